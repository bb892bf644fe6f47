"""Terraform with its AWS provider: every resource that the provider has for ECR and ECR Public, and what they need.

The provider is looked for where Terraform itself looks, and in the folder that TERRAFORM_PLUGINS names.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.process import Finished
from tests.harness.sandbox import Sandbox, needs
from tests.harness.server import Homeport

CONFIGURATIONS = Path(__file__).parent / "terraform"
_PROVIDER = "registry.terraform.io/hashicorp/aws"


def _mirrors() -> Iterator[Path]:
    named = os.environ.get("TERRAFORM_PLUGINS")
    if named:
        yield Path(named)
    for folder in ("~/.terraform.d/plugins", "~/.local/share/terraform/plugins"):
        yield Path(folder).expanduser()
    yield from (Path("/usr/local/share/terraform/plugins"), Path("/usr/share/terraform/plugins"))


def _newest() -> tuple[Path | None, int]:
    """The folder of plugins that has the newest AWS provider, and the major version of it."""
    found = [
        (int(version.name.partition(".")[0]), folder)
        for folder in _mirrors()
        for version in (folder / _PROVIDER).glob("[0-9]*.[0-9]*.[0-9]*")
    ]
    major, folder = max(found, default=(0, None), key=lambda each: each[0])
    return folder, major


MIRROR, MAJOR = _newest()

pytestmark = [
    pytest.mark.clients,
    needs("terraform", "terraform"),
    pytest.mark.skipif(
        MIRROR is None, reason=f"no {_PROVIDER}: name a folder of Terraform plugins in TERRAFORM_PLUGINS"
    ),
    pytest.mark.timeout(600),
]


class Terraform:
    """One configuration with its state, applied to one server."""

    def __init__(self, sandbox: Sandbox, server: Homeport, name: str) -> None:
        self._sandbox = sandbox
        self.folder = sandbox.folder / name
        shutil.copytree(CONFIGURATIONS / name, self.folder)
        sandbox.act_as(server.credentials)
        sandbox.environment.update(
            TF_IN_AUTOMATION="1",
            CHECKPOINT_DISABLE="1",
            TF_CLI_CONFIG_FILE=os.devnull,
            TF_CLI_ARGS="-no-color",
            TF_VAR_endpoint=server.url,
            TF_VAR_region=server.credentials.region,
        )
        self._run("init", f"-plugin-dir={MIRROR}")

    def _run(self, command: str, *words: str) -> Finished:
        return self._sandbox.run("terraform", f"-chdir={self.folder}", command, *words, seconds=200)

    def apply(self, *words: str) -> tuple[int, ...]:
        """Apply; return how many were imported, added, changed and destroyed."""
        said = self._run("apply", "-input=false", "-auto-approve", *words).out
        match = re.search(
            r"Apply complete! Resources: (?:(\d+) imported, )?(\d+) added, (\d+) changed, (\d+) destroyed",
            said,
        )
        assert match is not None, said
        return tuple(int(number or 0) for number in match.groups())

    def drift(self, *words: str) -> list[str]:
        """Read everything again; return what Terraform would then change, which should be nothing."""
        self._run("plan", "-input=false", "-out=plan", *words)
        plan = json.loads(self._run("show", "-json", "plan").out)
        return [
            f"{each['address']}: {each['change']['actions']} {each['change']}"
            for each in plan["resource_changes"]
            if each["mode"] == "managed" and each["change"]["actions"] != ["no-op"]
        ]

    def forget(self, *addresses: str) -> None:
        """Drop resources from the state; they stay as they are."""
        self._run("state", "rm", *addresses)

    def destroy(self) -> None:
        """Delete everything."""
        self._run("destroy", "-input=false", "-auto-approve")

    @property
    def outputs(self) -> dict[str, Any]:
        """The values of the outputs."""
        return {name: each["value"] for name, each in json.loads(self._run("output", "-json").out).items()}


def test_everything_is_created_read_changed_imported_and_destroyed_without_drift(
    sandbox: Sandbox, fresh_homeport: Any
) -> None:
    server: Homeport = fresh_homeport()
    terraform = Terraform(sandbox, server, "registry")

    _, added, _, _ = terraform.apply()
    assert added > 25
    assert terraform.drift() == []
    assert terraform.outputs["repositories"] == ["shop/attic", "shop/cart", "shop/plain"]
    assert terraform.outputs["repository_url"] == f"{server.host}/shop/cart"
    ecr = server.client()
    assert ecr.describe_repositories(repositoryNames=["shop/cart"])["repositories"][0][
        "imageTagMutability"
    ] == ("IMMUTABLE")

    second = "-var=second=true"
    _, _, changed, _ = terraform.apply(second)
    assert changed > 10
    assert terraform.drift(second) == []
    assert ecr.describe_repositories(repositoryNames=["shop/cart"])["repositories"][0][
        "imageTagMutability"
    ] == ("MUTABLE")

    later = terraform.folder / "imports.tf.later"
    addresses = re.findall(r"to = (\S+)", later.read_text())
    terraform.forget(*addresses)
    later.rename(terraform.folder / "imports.tf")
    imported, added, _, destroyed = terraform.apply(second)
    assert (imported, added, destroyed) == (len(addresses), 0, 0)
    assert terraform.drift(second) == []

    terraform.destroy()
    assert ecr.describe_repositories()["repositories"] == []
    assert ecr.describe_registry()["replicationConfiguration"]["rules"] == []
    assert ecr.describe_pull_through_cache_rules()["pullThroughCacheRules"] == []
    assert server.client("ecr-public").describe_repositories()["repositories"] == []
    users = server.client("iam").list_users()["Users"]
    assert [each["UserName"] for each in users] == ["administrator"]


@pytest.mark.skipif(MAJOR < 6, reason="needs the AWS provider 6 or newer")
def test_what_provider_6_brings_is_created_read_changed_and_destroyed_without_drift(
    sandbox: Sandbox, fresh_homeport: Any
) -> None:
    terraform = Terraform(sandbox, fresh_homeport(), "provider6")

    for words in ((), ("-var=second=true",)):
        terraform.apply(*words)
        assert terraform.drift(*words) == []
    terraform.destroy()
