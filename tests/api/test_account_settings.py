"""Account settings: their defaults and values, who may change them, and what blob mounting does."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.api.calls import at_registry, refused
from tests.harness.server import Credentials, Homeport

DEFAULTS = {
    "BASIC_SCAN_TYPE_VERSION": "AWS_NATIVE",
    "REGISTRY_POLICY_SCOPE": "V2",
    "BLOB_MOUNTING": "DISABLED",
    "LIFECYCLE_EXTENSIONS": "DISABLED",
    "IMAGE_RECOVERY": "DISABLED",
}


@pytest.mark.parametrize(("name", "value"), DEFAULTS.items())
def test_a_setting_that_nobody_has_set_has_its_default(own: Any, name: str, value: str) -> None:
    answer = own.get_account_setting(name=name)

    assert (answer["name"], answer["value"]) == (name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BASIC_SCAN_TYPE_VERSION", "AWS_NATIVE"),
        ("REGISTRY_POLICY_SCOPE", "V1"),
        ("REGISTRY_POLICY_SCOPE", "V2"),
        ("BLOB_MOUNTING", "ENABLED"),
        ("BLOB_MOUNTING", "DISABLED"),
        ("LIFECYCLE_EXTENSIONS", "ENABLED"),
        ("LIFECYCLE_EXTENSIONS", "DISABLED"),
        ("IMAGE_RECOVERY", "ENABLED"),
        ("IMAGE_RECOVERY", "DISABLED"),
        ("IMAGE_RECOVERY", "1"),
        ("IMAGE_RECOVERY", "365"),
    ],
)
def test_a_setting_keeps_the_value_that_it_was_given(own: Any, name: str, value: str) -> None:
    put = own.put_account_setting(name=name, value=value)

    assert (put["name"], put["value"]) == (name, value)
    assert own.get_account_setting(name=name)["value"] == value


def test_a_setting_of_one_account_is_not_anothers(homeport: Homeport, own: Any) -> None:
    own.put_account_setting(name="REGISTRY_POLICY_SCOPE", value="V1")

    other: Any = homeport.client(credentials=homeport.account())

    assert other.get_account_setting(name="REGISTRY_POLICY_SCOPE")["value"] == "V2"


def test_an_unknown_setting_is_refused(own: Any) -> None:
    code, message = refused(own.get_account_setting, name="COLOUR")

    assert code == "InvalidParameterException"
    assert message == (
        "Invalid parameter at 'name' failed to satisfy constraint: 'Member must satisfy enum value set: "
        "[BASIC_SCAN_TYPE_VERSION, REGISTRY_POLICY_SCOPE, BLOB_MOUNTING]'"
    ), "what ECR does not have is no business of its clients"
    assert refused(own.put_account_setting, name="COLOUR", value="ENABLED") == (code, message)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BASIC_SCAN_TYPE_VERSION", "CLAIR"),
        ("REGISTRY_POLICY_SCOPE", "V3"),
        ("BLOB_MOUNTING", "enabled"),
        ("BLOB_MOUNTING", ""),
        ("LIFECYCLE_EXTENSIONS", "7"),
        ("IMAGE_RECOVERY", "0"),
        ("IMAGE_RECOVERY", "366"),
        ("IMAGE_RECOVERY", "07"),
        ("IMAGE_RECOVERY", "-1"),
        ("IMAGE_RECOVERY", "1.5"),
        ("IMAGE_RECOVERY", "\u0667"),
    ],
)
def test_a_value_that_the_setting_cannot_have_is_refused(own: Any, name: str, value: str) -> None:
    code, message = refused(own.put_account_setting, name=name, value=value)

    assert code == "InvalidParameterException"
    assert message.startswith("Invalid parameter at 'value' failed to satisfy constraint: ")
    assert own.get_account_setting(name=name)["value"] == DEFAULTS[name]


def test_who_may_do_nothing_learns_nothing_about_settings(homeport: Homeport, stranger: Credentials) -> None:
    theirs: Any = homeport.client(credentials=stranger)

    assert refused(theirs.get_account_setting, name="COLOUR")[0] == "AccessDeniedException"
    assert (
        refused(theirs.put_account_setting, name="BLOB_MOUNTING", value="ENABLED")[0]
        == "AccessDeniedException"
    )


def test_a_policy_can_name_the_one_setting_that_a_user_may_change(
    homeport: Homeport, owner: Credentials
) -> None:
    statement = {
        "Effect": "Allow",
        "Action": "ecr:PutAccountSetting",
        "Resource": "*",
        "Condition": {"StringEquals": {"ecr:AccountSetting": "BLOB_MOUNTING"}},
    }
    allowed = {"Version": "2012-10-17", "Statement": [statement]}
    mounter: Any = homeport.client(credentials=homeport.user("mounter", allowed, owner.account_id))

    assert mounter.put_account_setting(name="BLOB_MOUNTING", value="ENABLED")["value"] == "ENABLED"
    code, _ = refused(mounter.put_account_setting, name="REGISTRY_POLICY_SCOPE", value="V1")
    assert code == "AccessDeniedException"


def test_a_blob_is_mounted_only_where_that_is_enabled(
    homeport: Homeport, owner: Credentials, own: Any
) -> None:
    for name in ("from/here", "to/there"):
        own.create_repository(repositoryName=name)
    registry = at_registry(homeport, owner)
    digest = registry.push_blob("from/here", os.urandom(200))

    before = registry.mount_blob("to/there", digest, "from/here")
    absent = registry.request("HEAD", f"/v2/to/there/blobs/{digest}")
    own.put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
    enabled = registry.mount_blob("to/there", digest, "from/here")
    own.put_account_setting(name="BLOB_MOUNTING", value="DISABLED")
    again = registry.mount_blob("to/there", digest, "from/here")

    assert before.status == 202
    assert "/blobs/uploads/" in before.header("Location")
    assert absent.status == 404
    assert enabled.status == 201
    assert enabled.header("Location") == f"/v2/to/there/blobs/{digest}"
    assert again.status == 202
    assert registry.pull_blob("to/there", digest), "what was mounted stays"


def test_an_upload_that_a_refused_mount_opened_can_be_finished(
    homeport: Homeport, owner: Credentials, own: Any
) -> None:
    own.create_repository(repositoryName="to/there")
    registry = at_registry(homeport, owner)
    digest = registry.push_blob("to/there", b"some bytes")

    opened = registry.mount_blob("to/there", digest, "to/there").expect(202).header("Location")

    registry.request("PUT", opened, body=b"some bytes", query={"digest": digest}).expect(201)
