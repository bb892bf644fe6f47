"""The aws command line with the service model of Homeport's own operations, as the how-to page says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from homeport.cli.main import main
from tests.api.homeport_calls import policy_text
from tests.harness.images import random_image
from tests.harness.oci import OciClient
from tests.harness.sandbox import Sandbox, needs
from tests.harness.server import Homeport

pytestmark = [pytest.mark.clients, needs("aws", "awscli"), pytest.mark.timeout(180)]


def test_the_printed_model_teaches_the_command_line_the_operations(
    sandbox: Sandbox, homeport: Homeport, oci: OciClient, repository: str
) -> None:
    sandbox.act_as(homeport.credentials)
    model = sandbox.folder / "service-2.json"
    model.write_text(CliRunner().invoke(main, ["model"]).stdout)
    sandbox.run(
        *("aws", "configure", "add-model"),
        *("--service-name", "homeport", "--service-model", f"file://{model}"),
    )
    oci.push(repository, random_image(), "release")

    def homeport_says(*words: str) -> Any:
        words = ("aws", "--endpoint-url", homeport.url, "--output", "json", "homeport", *words)
        return json.loads(sandbox.run(*words).out)

    here = ("--repository-name", repository)
    pinned = homeport_says("pin-image-tag", *here, "--image-tag", "release")
    listed = homeport_says("list-pinned-image-tags", *here)
    put = homeport_says(
        *("put-default-lifecycle-policy", "--prefix", "only/here"),
        *("--lifecycle-policy-text", policy_text()),
    )
    refused = sandbox.refused(
        *("aws", "--endpoint-url", homeport.url, "homeport"),
        *("get-effective-lifecycle-policy", *here),
    )

    assert pinned["pinnedImageTag"]["imageTag"] == "release"
    assert listed["pinnedImageTags"] == [pinned["pinnedImageTag"]]
    assert put["defaultLifecyclePolicy"]["prefix"] == "only/here"
    assert "LifecyclePolicyNotFoundException" in refused
