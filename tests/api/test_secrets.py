"""Secrets through the API of AWS Secrets Manager: values, versions, deletion, lists, and who may."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.api.calls import at_once, policy, refused
from tests.harness.server import Credentials, Homeport

NOT_FOUND = ("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
MARKED = (
    "InvalidRequestException",
    "You can't perform this operation on the secret because it was marked for deletion.",
)


@pytest.fixture(scope="module")
def secrets(homeport: Homeport) -> Any:
    """The administrator's client."""
    return homeport.client("secretsmanager")


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"test/{uuid.uuid4().hex}"


@pytest.fixture
def secret(secrets: Any, name: str) -> str:
    """The name of a secret whose value is `first`."""
    secrets.create_secret(Name=name, SecretString="first")
    return name


@pytest.fixture
def owner(homeport: Homeport) -> Any:
    """The client of the administrator of a new account, which has no secrets."""
    return homeport.client("secretsmanager", credentials=homeport.account())


def value(secrets: Any, secret_id: str, **which: str) -> str:
    text: str = secrets.get_secret_value(SecretId=secret_id, **which)["SecretString"]
    return text


def names(answer: dict[str, Any]) -> list[str]:
    return [each["Name"] for each in answer["SecretList"]]


# --- Values ---


@pytest.mark.parametrize("given", [{"SecretString": "päss\nword"}, {"SecretBinary": b"\x00\xff"}])
def test_a_value_comes_back_as_it_was_given(
    homeport: Homeport, secrets: Any, account: str, name: str, given: dict[str, Any]
) -> None:
    made = secrets.create_secret(Name=name, **given)

    got = secrets.get_secret_value(SecretId=name)

    start = f"arn:aws:secretsmanager:{homeport.credentials.region}:{account}:secret:{name}-"
    assert made["ARN"].startswith(start)
    assert len(made["ARN"]) == len(start) + 6
    assert {key: got.get(key) for key in given} == given
    assert {"SecretString", "SecretBinary"} & got.keys() == given.keys()
    assert (got["ARN"], got["Name"], got["VersionId"]) == (made["ARN"], name, made["VersionId"])
    assert got["VersionStages"] == ["AWSCURRENT"]


def test_a_secret_is_found_by_name_by_arn_and_by_arn_without_its_random_part(secrets: Any, name: str) -> None:
    arn = secrets.create_secret(Name=name, SecretString="x")["ARN"]

    found = [value(secrets, each) for each in (name, arn, arn[:-7])]

    assert found == ["x", "x", "x"]
    assert refused(secrets.get_secret_value, SecretId=arn[:-1] + "!") == NOT_FOUND


def test_a_secret_may_have_no_value_yet(secrets: Any, name: str) -> None:
    made = secrets.create_secret(Name=name)

    assert "VersionId" not in made
    assert refused(secrets.get_secret_value, SecretId=name) == (
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
    )


def test_no_value_lies_readable_in_the_data_folder_or_the_log(homeport: Homeport, name: str) -> None:
    marker = f"marker-{uuid.uuid4().hex}"
    secrets: Any = homeport.client("secretsmanager")
    secrets.create_secret(Name=name, SecretString=marker)
    refused(secrets.create_secret, Name=name, SecretString=marker + "x")

    files = [path for path in Path(homeport.data).rglob("*") if path.is_file()]

    assert any(name.encode() in path.read_bytes() for path in files)
    assert not any(marker.encode() in path.read_bytes() for path in files)
    assert not any(marker in line for line in homeport.output)


def test_a_name_is_used_once(secrets: Any, secret: str) -> None:
    assert refused(secrets.create_secret, Name=secret, SecretString="other") == (
        "ResourceExistsException",
        f"The operation failed because the secret {secret} already exists.",
    )
    assert value(secrets, secret) == "first"


def test_the_same_request_once_more_changes_nothing(secrets: Any, name: str) -> None:
    request = {"Name": name, "SecretString": "x", "ClientRequestToken": str(uuid.uuid4())}

    first, second = secrets.create_secret(**request), secrets.create_secret(**request)

    assert (first["ARN"], first["VersionId"]) == (second["ARN"], second["VersionId"])
    assert refused(secrets.create_secret, **{**request, "SecretString": "y"})[0] == "ResourceExistsException"


def test_one_of_many_that_create_the_same_secret_wins(secrets: Any, name: str) -> None:
    outcomes = at_once(lambda number: secrets.create_secret(Name=name, SecretString=f"by {number}"), range(6))

    assert sorted(outcomes) == ["ResourceExistsException"] * 5 + ["done"]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"Name": "with space"}, "ValidationException"),
        ({"Name": "x" * 513}, "InvalidParameterException"),
        ({"SecretString": "a", "SecretBinary": b"b"}, "InvalidParameterException"),
        ({"KmsKeyId": "alias/mine"}, "EncryptionFailure"),
        ({"AddReplicaRegions": [{"Region": "eu-south-2"}]}, "InvalidParameterException"),
        ({"Tags": [{"Key": "aws:x", "Value": "y"}]}, "InvalidParameterException"),
        ({"Tags": [{"Key": "x", "Value": "y"}, {"Key": "x", "Value": "z"}]}, "InvalidParameterException"),
        (
            {"Tags": [{"Key": f"k{number}", "Value": ""} for number in range(51)]},
            "InvalidParameterException",
        ),
        ({"SecretString": "x" * 65537}, "InvalidParameterException"),
    ],
)
def test_what_cannot_be_kept_is_refused(secrets: Any, name: str, wrong: dict[str, Any], code: str) -> None:
    refusal = refused(secrets.create_secret, **{"Name": name, **wrong})

    assert refusal[0] == code
    assert "x" * 100 not in refusal[1].replace(wrong.get("Name", "-"), "")
    assert refused(secrets.describe_secret, SecretId=name) == NOT_FOUND


# --- Versions ---


def test_a_new_value_takes_the_place_of_the_old_one_which_stays_as_the_previous(
    secrets: Any, secret: str
) -> None:
    old = secrets.get_secret_value(SecretId=secret)["VersionId"]

    put = secrets.put_secret_value(SecretId=secret, SecretString="second")

    assert put["VersionStages"] == ["AWSCURRENT"]
    assert value(secrets, secret) == "second"
    assert value(secrets, secret, VersionStage="AWSPREVIOUS") == "first"
    assert value(secrets, secret, VersionId=old) == "first"
    assert secrets.describe_secret(SecretId=secret)["VersionIdsToStages"] == {
        put["VersionId"]: ["AWSCURRENT"],
        old: ["AWSPREVIOUS"],
    }


def test_a_version_without_a_label_is_not_kept(secrets: Any, secret: str) -> None:
    first = secrets.get_secret_value(SecretId=secret)["VersionId"]

    for text in ("second", "third"):
        secrets.put_secret_value(SecretId=secret, SecretString=text)

    listed = secrets.list_secret_version_ids(SecretId=secret)["Versions"]
    assert [each["VersionStages"] for each in listed] == [["AWSPREVIOUS"], ["AWSCURRENT"]]
    assert refused(secrets.get_secret_value, SecretId=secret, VersionId=first) == (
        "ResourceNotFoundException",
        f"Secrets Manager can't find the specified secret value for VersionId: {first}",
    )


def test_a_version_can_wait_under_a_label_of_its_own_and_become_current(secrets: Any, secret: str) -> None:
    old = secrets.get_secret_value(SecretId=secret)["VersionId"]
    pending = secrets.put_secret_value(SecretId=secret, SecretString="second", VersionStages=["AWSPENDING"])[
        "VersionId"
    ]
    before = value(secrets, secret)

    secrets.update_secret_version_stage(
        SecretId=secret, VersionStage="AWSCURRENT", MoveToVersionId=pending, RemoveFromVersionId=old
    )

    assert before == "first"
    assert value(secrets, secret) == "second"
    assert secrets.describe_secret(SecretId=secret)["VersionIdsToStages"] == {
        pending: ["AWSPENDING", "AWSCURRENT"],
        old: ["AWSPREVIOUS"],
    }


def test_a_label_moves_only_from_where_it_is(secrets: Any, secret: str) -> None:
    old = secrets.get_secret_value(SecretId=secret)["VersionId"]
    new = secrets.put_secret_value(SecretId=secret, SecretString="second")["VersionId"]
    move = secrets.update_secret_version_stage

    refusals = [
        refused(move, SecretId=secret, VersionStage="AWSCURRENT", MoveToVersionId=old),
        refused(move, SecretId=secret, VersionStage="AWSCURRENT", RemoveFromVersionId=new),
        refused(move, SecretId=secret, VersionStage="AWSCURRENT", RemoveFromVersionId=old),
    ]
    unknown = refused(move, SecretId=secret, VersionStage="mine", MoveToVersionId=str(uuid.uuid4()))

    assert {code for code, _ in refusals} == {"InvalidParameterException"}
    assert unknown[0] == "ResourceNotFoundException"
    assert value(secrets, secret) == "second"


def test_version_and_label_must_belong_together(secrets: Any, secret: str) -> None:
    version = secrets.get_secret_value(SecretId=secret)["VersionId"]

    assert refused(
        secrets.get_secret_value, SecretId=secret, VersionId=version, VersionStage="AWSPREVIOUS"
    ) == (
        "InvalidRequestException",
        "You provided a VersionStage that is not associated to the provided VersionId.",
    )


def test_a_token_that_was_used_brings_its_value_again_or_is_refused(secrets: Any, secret: str) -> None:
    token = str(uuid.uuid4())
    put = {"SecretId": secret, "ClientRequestToken": token}
    arn = secrets.put_secret_value(**put, SecretString="second")["ARN"]

    again = secrets.put_secret_value(**put, SecretString="second")
    refusal = refused(secrets.put_secret_value, **put, SecretString="third")

    assert again["VersionId"] == token
    assert refusal == (
        "ResourceExistsException",
        f"You can't use ClientRequestToken {token} because that value is already in use for a version of secret "
        f"{arn}.",
    )


def test_putting_nothing_is_refused(secrets: Any, secret: str) -> None:
    assert refused(secrets.put_secret_value, SecretId=secret) == (
        "InvalidRequestException",
        "You must provide either SecretString or SecretBinary.",
    )


def test_an_update_changes_the_description_the_value_or_both(secrets: Any, secret: str) -> None:
    only_text = secrets.update_secret(SecretId=secret, Description="of the cart")
    unchanged = value(secrets, secret)
    both = secrets.update_secret(SecretId=secret, Description="", SecretString="second")

    assert "VersionId" not in only_text
    assert unchanged == "first"
    assert secrets.get_secret_value(SecretId=secret)["VersionId"] == both["VersionId"]
    assert value(secrets, secret) == "second"
    assert "Description" not in secrets.describe_secret(SecretId=secret)


# --- Description, tags, lists ---


def test_a_description_tells_everything_but_the_value(secrets: Any, name: str) -> None:
    made = secrets.create_secret(
        Name=name, SecretString="x", Description="of the cart", Tags=[{"Key": "team", "Value": "cart"}]
    )

    shown = secrets.describe_secret(SecretId=name)

    created, changed = shown.pop("CreatedDate"), shown.pop("LastChangedDate")
    del shown["ResponseMetadata"]
    assert changed >= created
    assert shown == {
        "ARN": made["ARN"],
        "Name": name,
        "Description": "of the cart",
        "Tags": [{"Key": "team", "Value": "cart"}],
        "VersionIdsToStages": {made["VersionId"]: ["AWSCURRENT"]},
    }


def test_tags_are_added_changed_and_removed(secrets: Any, secret: str) -> None:
    secrets.tag_resource(SecretId=secret, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    secrets.tag_resource(SecretId=secret, Tags=[{"Key": "a", "Value": "3"}])
    secrets.untag_resource(SecretId=secret, TagKeys=["b", "unknown"])

    assert secrets.describe_secret(SecretId=secret)["Tags"] == [{"Key": "a", "Value": "3"}]


def test_a_secret_has_no_policy_of_its_own(secrets: Any, secret: str) -> None:
    answer = secrets.get_resource_policy(SecretId=secret)

    assert answer["Name"] == secret
    assert "ResourcePolicy" not in answer


def test_secrets_are_listed_newest_first_by_pages(owner: Any) -> None:
    for name in ("b", "a", "c"):
        owner.create_secret(Name=name, SecretString="x")

    pages = [names(page) for page in owner.get_paginator("list_secrets").paginate(MaxResults=2)]
    by_name = names(owner.list_secrets(SortBy="name"))
    backwards = names(owner.list_secrets(SortBy="name", SortOrder="desc"))
    oldest = names(owner.list_secrets(SortOrder="asc"))
    owner.put_secret_value(SecretId="b", SecretString="y")
    changed = names(owner.list_secrets(SortBy="last-changed-date"))

    assert pages == [["c", "a"], ["b"]]
    assert (by_name, backwards) == (["a", "b", "c"], ["c", "b", "a"])
    assert oldest == ["b", "a", "c"]
    assert changed[0] == "b"


def test_a_page_goes_on_where_the_last_one_ended_whatever_was_deleted(owner: Any) -> None:
    for name in ("a", "b", "c", "d"):
        owner.create_secret(Name=name)
    first = owner.list_secrets(SortBy="name", MaxResults=2)

    owner.delete_secret(SecretId="b", ForceDeleteWithoutRecovery=True)
    rest = owner.list_secrets(SortBy="name", MaxResults=2, NextToken=first["NextToken"])

    assert names(first) == ["a", "b"]
    assert names(rest) == ["c", "d"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([("name", ["cart/"])], ["cart/db", "cart/hub"]),
        ([("name", ["Cart/"])], []),
        ([("name", ["!cart/"])], ["shop"]),
        ([("description", ["THE"])], ["cart/db"]),
        ([("tag-key", ["tea"])], ["cart/hub", "shop"]),
        ([("tag-value", ["two"])], ["shop"]),
        ([("tag-key", ["team"]), ("name", ["shop", "cart/db"])], ["shop"]),
        ([("all", ["Database"])], ["cart/db"]),
        ([("owning-service", ["ecr"])], []),
        ([("primary-region", ["us-east"])], ["cart/db", "cart/hub", "shop"]),
    ],
)
def test_a_list_shows_what_passes_its_filters(
    shop: Any, filters: list[tuple[str, list[str]]], expected: list[str]
) -> None:
    asked = [{"Key": key, "Values": values} for key, values in filters]

    assert names(shop.list_secrets(Filters=asked, SortBy="name")) == expected


@pytest.fixture(scope="module")
def shop(homeport: Homeport) -> Any:
    """The client of an account with three secrets."""
    client: Any = homeport.client("secretsmanager", credentials=homeport.account())
    client.create_secret(Name="cart/db", Description="The database of the cart")
    client.create_secret(Name="cart/hub", Tags=[{"Key": "team", "Value": "one"}])
    client.create_secret(Name="shop", Tags=[{"Key": "team", "Value": "two"}])
    return client


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"NextToken": "made-up"}, "InvalidNextTokenException"),
        ({"SortBy": "last-accessed-date"}, "InvalidParameterException"),
    ],
)
def test_a_list_that_cannot_be_made_is_refused(secrets: Any, wrong: dict[str, str], code: str) -> None:
    assert refused(secrets.list_secrets, **wrong)[0] == code


# --- Deletion ---


def test_a_deleted_secret_is_out_of_use_until_it_is_restored(secrets: Any, secret: str) -> None:
    marked = secrets.delete_secret(SecretId=secret, RecoveryWindowInDays=7)
    shown = secrets.describe_secret(SecretId=secret)
    refusals = [
        refused(secrets.get_secret_value, SecretId=secret),
        refused(secrets.put_secret_value, SecretId=secret, SecretString="x"),
        refused(secrets.update_secret, SecretId=secret, Description="x"),
        refused(secrets.tag_resource, SecretId=secret, Tags=[{"Key": "a", "Value": "b"}]),
    ]
    again = refused(secrets.delete_secret, SecretId=secret)
    anew = refused(secrets.create_secret, Name=secret)
    secrets.restore_secret(SecretId=secret)

    assert refusals == [MARKED] * 4
    assert again[0] == anew[0] == "InvalidRequestException"
    assert "already scheduled for deletion" in anew[1]
    assert shown["DeletedDate"] == marked["DeletionDate"]
    assert timedelta(days=6.9) < marked["DeletionDate"] - shown["CreatedDate"] < timedelta(days=7.1)
    assert value(secrets, secret) == "first"
    assert "DeletedDate" not in secrets.describe_secret(SecretId=secret)


def test_lists_show_deleted_secrets_only_when_asked(owner: Any) -> None:
    for name in ("kept", "marked"):
        owner.create_secret(Name=name)
    owner.delete_secret(SecretId="marked")

    assert names(owner.list_secrets()) == ["kept"]
    assert names(owner.list_secrets(IncludePlannedDeletion=True, SortBy="name")) == ["kept", "marked"]


def test_a_forced_deletion_is_final_and_frees_the_name(secrets: Any, name: str) -> None:
    arn = secrets.create_secret(Name=name, SecretString="x")["ARN"]

    secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    gone = refused(secrets.restore_secret, SecretId=name)
    anew = secrets.create_secret(Name=name)

    assert gone == NOT_FOUND
    assert anew["ARN"] != arn
    assert refused(secrets.describe_secret, SecretId=arn) == NOT_FOUND


def test_forcing_the_deletion_of_nothing_is_no_error(secrets: Any, name: str) -> None:
    assert secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)["Name"] == name
    assert refused(secrets.delete_secret, SecretId=name) == NOT_FOUND


@pytest.mark.parametrize(
    "wrong",
    [
        {"RecoveryWindowInDays": 6},
        {"RecoveryWindowInDays": 31},
        {"RecoveryWindowInDays": 7, "ForceDeleteWithoutRecovery": True},
    ],
)
def test_a_recovery_window_has_seven_to_thirty_days(secrets: Any, secret: str, wrong: dict[str, Any]) -> None:
    assert refused(secrets.delete_secret, SecretId=secret, **wrong)[0] == "InvalidParameterException"
    assert value(secrets, secret) == "first"


# --- Who may ---


def calls_on(client: Any, secret_id: str) -> list[tuple[str, str]]:
    """The refusals of every operation on one secret."""
    version = str(uuid.uuid4())
    return [
        refused(client.get_secret_value, SecretId=secret_id),
        refused(client.describe_secret, SecretId=secret_id),
        refused(client.put_secret_value, SecretId=secret_id, SecretString="x"),
        refused(client.update_secret, SecretId=secret_id, SecretString="x"),
        refused(
            client.update_secret_version_stage, SecretId=secret_id, VersionStage="a", MoveToVersionId=version
        ),
        refused(client.list_secret_version_ids, SecretId=secret_id),
        refused(client.tag_resource, SecretId=secret_id, Tags=[{"Key": "a", "Value": "b"}]),
        refused(client.untag_resource, SecretId=secret_id, TagKeys=["a"]),
        refused(client.get_resource_policy, SecretId=secret_id),
        refused(client.delete_secret, SecretId=secret_id, ForceDeleteWithoutRecovery=True),
        refused(client.restore_secret, SecretId=secret_id),
    ]


def test_who_has_no_permission_does_not_even_learn_that_a_secret_exists(
    homeport: Homeport, stranger: Credentials, secret: str
) -> None:
    theirs: Any = homeport.client("secretsmanager", credentials=stranger)
    unknown = f"test/{'0' * 32}"

    on_secret, on_nothing = calls_on(theirs, secret), calls_on(theirs, unknown)

    assert {code for code, _ in on_secret} == {"AccessDeniedException"}
    assert [text.replace(secret, unknown) for _, text in on_secret] == [text for _, text in on_nothing]
    assert refused(theirs.create_secret, Name=secret)[0] == "AccessDeniedException"
    assert refused(theirs.list_secrets)[0] == "AccessDeniedException"


def test_another_account_can_do_nothing_with_the_secrets_of_this_one(
    homeport: Homeport, secrets: Any, neighbour: Credentials, secret: str
) -> None:
    arn = secrets.describe_secret(SecretId=secret)["ARN"]
    theirs: Any = homeport.client("secretsmanager", credentials=neighbour)

    by_arn, by_name = calls_on(theirs, arn), refused(theirs.get_secret_value, SecretId=secret)

    assert {code for code, _ in by_arn} == {"AccessDeniedException"}
    assert by_name == NOT_FOUND
    assert secret not in names(theirs.list_secrets())
    assert value(secrets, secret) == "first"


def test_a_policy_names_a_secret_by_its_arn(homeport: Homeport, secrets: Any, name: str) -> None:
    for end in ("mine", "other"):
        secrets.create_secret(Name=f"{name}/{end}", SecretString=end)
    resource = f"arn:aws:secretsmanager:*:*:secret:{name}/mine-??????"
    who = homeport.user(
        f"reader-{uuid.uuid4().hex[:8]}", policy("secretsmanager:GetSecretValue", resource=resource)
    )
    theirs: Any = homeport.client("secretsmanager", credentials=who)

    assert value(theirs, f"{name}/mine") == "mine"
    assert refused(theirs.get_secret_value, SecretId=f"{name}/other")[0] == "AccessDeniedException"
    assert refused(theirs.put_secret_value, SecretId=f"{name}/mine", SecretString="x")[0] == (
        "AccessDeniedException"
    )


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ({"StringEquals": {"aws:ResourceTag/team": "cart"}}, True),
        ({"StringEquals": {"secretsmanager:ResourceTag/team": "cart"}}, True),
        ({"StringEquals": {"secretsmanager:ResourceTag/team": "shop"}}, False),
        ({"StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}}, False),
        ({"StringLike": {"secretsmanager:SecretId": "test/*"}}, True),
    ],
)
def test_a_policy_can_depend_on_tags_and_on_what_is_asked(
    homeport: Homeport, secrets: Any, name: str, condition: dict[str, Any], allowed: bool
) -> None:
    secrets.create_secret(Name=name, SecretString="x", Tags=[{"Key": "team", "Value": "cart"}])
    rights = policy("secretsmanager:GetSecretValue")
    rights["Statement"][0]["Condition"] = condition
    who = homeport.user(f"reader-{uuid.uuid4().hex[:8]}", rights)
    theirs: Any = homeport.client("secretsmanager", credentials=who)

    if allowed:
        assert value(theirs, name) == "x"
    else:
        assert refused(theirs.get_secret_value, SecretId=name)[0] == "AccessDeniedException"


def test_creating_with_tags_needs_permission_to_tag(homeport: Homeport, name: str) -> None:
    who = homeport.user(f"maker-{uuid.uuid4().hex[:8]}", policy("secretsmanager:CreateSecret"))
    theirs: Any = homeport.client("secretsmanager", credentials=who)

    code, message = refused(theirs.create_secret, Name=name, Tags=[{"Key": "a", "Value": "b"}])
    theirs.create_secret(Name=name)

    assert code == "AccessDeniedException"
    assert "secretsmanager:TagResource" in message


def test_secrets_survive_a_restart(fresh_homeport: Any) -> None:
    server: Homeport = fresh_homeport()
    document = json.dumps({"username": "a", "accessToken": "b"})
    server.client("secretsmanager").create_secret(Name="kept", SecretString=document)

    server.restart()

    assert value(server.client("secretsmanager"), "kept") == document
