"""The service `homeport` as clients meet it: its model, its signatures, and that ECR's clients notice nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.config import Config
from click.testing import CliRunner

from homeport.aws.services import MODELS, load_services
from homeport.cli.main import main
from tests.api.calls import refused
from tests.api.signing import Signer, call
from tests.harness.server import Homeport

FOLDER = MODELS / "homeport" / "2026-11-01"
MODEL = json.loads((FOLDER / "service-2.json").read_text())


def test_the_model_that_is_printed_is_the_one_that_is_served() -> None:
    printed = CliRunner().invoke(main, ["model"])

    assert printed.exit_code == 0
    assert json.loads(printed.stdout) == MODEL
    assert set(MODEL["operations"]) == set(load_services()["homeport"].operations)


def test_boto3_learns_the_operations_from_a_folder_that_the_command_wrote(
    homeport: Homeport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, account: str
) -> None:
    written = CliRunner().invoke(main, ["model", "--into", str(tmp_path / "models")])
    assert written.exit_code == 0, written.output
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path / "models"))
    who = homeport.credentials
    session = boto3.Session(
        aws_access_key_id=who.access_key_id,
        aws_secret_access_key=who.secret_access_key,
        region_name=who.region,
        botocore_session=botocore.session.Session(),
    )

    make: Any = session.client
    client = make("homeport", endpoint_url=homeport.url, config=Config(proxies={}))
    listed = client.list_default_lifecycle_policies()

    assert listed["registryId"] == account
    assert client.can_paginate("list_deleted_images")
    assert client.waiter_names == ["lifecycle_run_complete"]
    client.close()


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    answer = CliRunner().invoke(main, ["model", "--into", str(tmp_path / "file" / "models")])

    assert answer.exit_code == 1
    assert answer.output.startswith("Error: The model cannot be written: ")


@pytest.mark.parametrize("service", ["ecr", "ecr-public", "sts"])
def test_a_signature_for_another_service_is_refused(homeport: Homeport, service: str) -> None:
    signer = Signer.of(homeport.credentials, service)

    answer = call(homeport.url, "ListDefaultLifecyclePolicies", {}, signer, service="homeport")

    assert (answer.status, answer.json()["__type"]) == (400, "InvalidSignatureException")
    assert "scoped to correct service: 'homeport'" in answer.json()["message"]


def test_ecr_itself_does_not_know_the_operations(homeport: Homeport) -> None:
    signer = Signer.of(homeport.credentials)

    for name in MODEL["operations"]:
        answer = call(homeport.url, name, {}, signer)
        assert (answer.status, answer.json()["__type"]) == (400, "UnknownOperationException")


def test_an_unknown_operation_is_refused(homeport: Homeport) -> None:
    signer = Signer.of(homeport.credentials, "homeport")

    answer = call(homeport.url, "MakeTea", {}, signer, service="homeport")

    assert (answer.status, answer.json()["__type"]) == (400, "UnknownOperationException")


def test_a_registry_policy_counts_for_the_extensions(homeport: Homeport) -> None:
    owner, other = homeport.account(), homeport.account()
    mine: Any = homeport.client(credentials=owner)
    theirs = homeport.client("homeport", credentials=other)
    mine.create_repository(repositoryName="team/app")
    asked = {"registryId": owner.account_id, "repositoryName": "team/app"}
    assert refused(theirs.list_deleted_images, **asked)[0] == "AccessDeniedException"
    statement = {
        "Sid": "Look",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{other.account_id}:root"},
        "Action": "ecr:ListDeletedImages",
        "Resource": f"arn:aws:ecr:{owner.region}:{owner.account_id}:repository/team/*",
    }

    mine.put_registry_policy(policyText=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))

    assert theirs.list_deleted_images(**asked)["deletedImages"] == []
    assert refused(theirs.list_pinned_image_tags, **asked)[0] == "AccessDeniedException"


# --- The model itself ---


@pytest.mark.parametrize("name", sorted(MODEL["operations"]))
def test_every_operation_and_member_is_explained_and_every_error_listed(name: str) -> None:
    operation = MODEL["operations"][name]
    errors = {each["shape"] for each in operation["errors"]}

    assert operation["documentation"]
    assert {"ServerException", "InvalidParameterException"} <= errors
    asked = MODEL["shapes"][operation["input"]["shape"]]["members"]
    assert ("RepositoryNotFoundException" in errors) == ("repositoryName" in asked)
    for shape in (operation["input"]["shape"], operation["output"]["shape"]):
        for member in MODEL["shapes"][shape]["members"].values():
            assert member["documentation"]


def test_what_ecr_has_is_named_and_bounded_as_ecr_does() -> None:
    ecr = botocore.session.Session().get_service_model("ecr")

    for name in ("RepositoryName", "RegistryId", "ImageTag", "LifecyclePolicyText", "Prefix", "MaxResults"):
        theirs = ecr.shape_for(name)
        ours = MODEL["shapes"][name]
        assert ours["type"] == theirs.type_name
        for trait in ("min", "max", "pattern"):
            assert ours.get(trait) == theirs.metadata.get(trait), (name, trait)


def test_every_list_has_a_paginator() -> None:
    paged = json.loads((FOLDER / "paginators-1.json").read_text())["pagination"]
    shapes = MODEL["shapes"]

    tokens = {
        name
        for name, operation in MODEL["operations"].items()
        if "nextToken" in shapes[operation["input"]["shape"]]["members"]
    }
    assert set(paged) == tokens
    for name, page in paged.items():
        answer = shapes[MODEL["operations"][name]["output"]["shape"]]["members"]
        assert {page["output_token"], page["result_key"]} <= set(answer)
