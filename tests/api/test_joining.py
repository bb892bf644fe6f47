"""How nodes come to a registry, as containers do it: an empty data folder, a shared database, secrets in files."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.harness.oci import OciClient
from tests.harness.postgres import Postgres
from tests.harness.process import Background, ProgramFailed
from tests.harness.server import Homeport

KEY_ID, SECRET = "AKIAQWERTYUIOPASDFGH", "v0fXb2Hq7sLw9TzKc4RnYp3MdJ6gUeA1+oQiBs8x"


@pytest.fixture
def given(tmp_path: Path, postgres: Postgres) -> dict[str, str]:
    """What every node is given: the address of an empty database and the registry's secrets, in files."""
    values = {
        "DATABASE": postgres.new_database(),
        "MASTER_KEY": secrets.token_hex(32),
        "ADMINISTRATOR_ACCESS_KEY_ID": KEY_ID,
        "ADMINISTRATOR_SECRET_ACCESS_KEY": SECRET,
    }
    for name, value in values.items():
        (tmp_path / name).write_text(value + "\n")
        (tmp_path / name).chmod(0o440)  # as Kubernetes gives them to a group
    return {f"HOMEPORT_{name}_FILE": str(tmp_path / name) for name in values}


@pytest.fixture
def nodes(given: dict[str, str]) -> Iterator[list[Homeport]]:
    """Three nodes with nothing but that; not started."""
    made = [Homeport(environment=given) for _ in range(3)]
    for node in made:
        node.environment.pop("HOMEPORT_DATABASE", None)  # the file says it, whatever the tests run on
    yield made
    for node in made:
        node.close()


def begin(node: Homeport) -> Background:
    """Start `serve` without waiting for it."""
    words: list[str | Path] = [
        sys.executable,
        "-m",
        "homeport",
        "serve",
        "--data",
        node.data,
        "--port",
        "0",
        "--log-format",
        "json",
    ]
    return Background(words, node.environment, node.data.parent)


def test_three_nodes_that_start_at_once_on_an_empty_database_make_one_registry_with_the_chosen_key(
    nodes: list[Homeport],
) -> None:
    running = [begin(node) for node in nodes]
    try:
        urls = [each.wait_for(_url, "the event 'serving'") for each in running]

        said = ["\n".join(each.lines()) for each in running]
        assert sorted("Made a new registry" in text for text in said) == [False, False, True]
        assert sum("Joined the registry" in text for text in said) == 2
        assert not any(SECRET in text for text in said)
        seen = set()
        for url in urls:
            sts = boto3.client(
                "sts",
                endpoint_url=url,
                region_name="us-east-1",
                aws_access_key_id=KEY_ID,
                aws_secret_access_key=SECRET,
            )
            seen.add(sts.get_caller_identity()["Arn"])
            sts.close()
            OciClient(url).request("GET", "/readyz").expect(200)
        assert len(seen) == 1
        assert seen.pop().endswith(":user/administrator")
        accounts = nodes[2].command("account", "list", "--json")
        assert accounts.code == 0, accounts
        assert len(json.loads(accounts.out)) == 1
    finally:
        for each in running:
            each.stop()


def _url(line: str) -> str | None:
    return line.partition('"url": "')[2].partition('"')[0] or None if '"serving"' in line else None


def test_a_node_whose_folder_is_lost_joins_again_and_a_machine_for_commands_joins_without_serving(
    nodes: list[Homeport], tmp_path: Path
) -> None:
    first, again, tool = nodes
    made = first.command("init", "--account", "123456789012", "--region", "eu-west-1")
    assert made.code == 0, made
    assert SECRET not in made.out

    twice = again.command("init", "--region", "eu-west-1")
    joined = tool.command("join", "--region", "eu-west-1")
    users = tool.command("user", "list")

    assert (twice.code, joined.code, users.code) == (1, 0, 0), (twice, joined, users)
    assert "holds a registry already" in twice.err
    assert "Joined the registry of account 123456789012, region eu-west-1" in joined.out
    assert "administrator" in users.out

    (tmp_path / "MASTER_KEY").chmod(0o600)
    (tmp_path / "MASTER_KEY").write_text(secrets.token_hex(32))
    changed = tool.command("user", "list")
    assert changed.code == 1
    assert "another master key" in changed.err


def test_a_node_with_another_key_is_told_so_and_keeps_no_key_of_its_own(nodes: list[Homeport]) -> None:
    first, stranger, empty = nodes
    first.command("migrate")
    early = first.command("join")
    first.command("init")
    for node in (stranger, empty):
        del node.environment["HOMEPORT_MASTER_KEY_FILE"]

    with pytest.raises(ProgramFailed, match="Copy the file from another node"):
        stranger.start()
    refused = empty.command("join")

    assert (early.code, refused.code) == (1, 1)
    assert "The database holds no registry yet" in early.err
    assert "Copy the master key of another node" in refused.err
    assert not (stranger.data / "master.key").exists()
    assert not (stranger.data / "homeport.toml").exists()
