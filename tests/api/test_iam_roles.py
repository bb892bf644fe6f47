"""Roles over boto3: their life, trust policies, tags, boundaries and attachments, and who may touch them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.api.calls import policy, refused
from tests.api.iam_calls import AWS, fresh, new_policy, new_role, new_user, text, trust
from tests.harness.server import Credentials, Homeport

MISSING = "nobody-has-this-name"
GONE = ("NoSuchEntity", f"The role with name {MISSING} cannot be found.")


@pytest.fixture(scope="session")
def iam(homeport: Homeport) -> Any:
    """The administrator's client."""
    return homeport.client("iam")


@pytest.fixture
def role(iam: Any, account: str) -> str:
    """A new role that the account may take on."""
    return new_role(iam, account)


# --- The life of a role ---


def test_a_role_is_answered_as_it_was_made(iam: Any, account: str) -> None:
    name, tags = fresh(), [{"Key": "Team", "Value": "a b"}]

    created = iam.create_role(
        RoleName=name,
        Path="/ci/build/",
        AssumeRolePolicyDocument=trust(account),
        Description="Builds images",
        MaxSessionDuration=7200,
        Tags=tags,
    )["Role"]
    got = iam.get_role(RoleName=name)["Role"]

    assert got.pop("RoleLastUsed") == {}
    assert created == got
    assert got["Arn"] == f"arn:aws:iam::{account}:role/ci/build/{name}"
    assert got["RoleId"].startswith("AROA")
    assert len(got["RoleId"]) == 21
    assert (got["Path"], got["Description"], got["MaxSessionDuration"]) == (
        "/ci/build/",
        "Builds images",
        7200,
    )
    assert got["AssumeRolePolicyDocument"] == json.loads(trust(account))
    assert got["Tags"] == tags
    assert "PermissionsBoundary" not in got


def test_a_session_lasts_an_hour_unless_the_role_says_otherwise(iam: Any, role: str) -> None:
    assert iam.get_role(RoleName=role)["Role"]["MaxSessionDuration"] == 3600


def test_names_of_roles_differ_in_more_than_case(iam: Any, account: str, role: str) -> None:
    again = refused(iam.create_role, RoleName=role.upper(), AssumeRolePolicyDocument=trust(account))

    assert again == ("EntityAlreadyExists", f"Role with name {role.upper()} already exists.")


@pytest.mark.parametrize(
    "document",
    [
        "not json",
        "{}",
        text("sts:AssumeRole"),
        json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "ecr:*"}]}
        ),
    ],
)
def test_what_is_no_trust_policy_is_refused(iam: Any, role: str, document: str) -> None:
    name = fresh()

    assert (
        refused(iam.create_role, RoleName=name, AssumeRolePolicyDocument=document)[0]
        == "MalformedPolicyDocument"
    )
    assert refused(iam.get_role, RoleName=name)[0] == "NoSuchEntity"
    changed = refused(iam.update_assume_role_policy, RoleName=role, PolicyDocument=document)
    assert changed[0] == "MalformedPolicyDocument"


def test_a_trust_policy_has_at_most_2048_characters(iam: Any, role: str, account: str) -> None:
    document = json.loads(trust(account))
    document["Statement"][0]["Condition"] = {"StringEquals": {"sts:ExternalId": ["x" * 1000, "y" * 1000]}}

    refusal = refused(iam.update_assume_role_policy, RoleName=role, PolicyDocument=json.dumps(document))

    assert refusal == ("LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048")


def test_a_trust_policy_can_be_replaced(iam: Any, role: str) -> None:
    other = json.loads(trust("123456789012"))

    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(other))

    assert iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"] == other


def test_update_role_changes_only_what_it_names(iam: Any, role: str) -> None:
    iam.update_role(RoleName=role, Description="first")
    iam.update_role(RoleName=role, MaxSessionDuration=43200)

    got = iam.get_role(RoleName=role)["Role"]

    assert (got["Description"], got["MaxSessionDuration"]) == ("first", 43200)


def test_update_role_description_answers_the_role(iam: Any, role: str) -> None:
    answer = iam.update_role_description(RoleName=role, Description="second")

    assert answer["Role"]["Description"] == "second"
    assert iam.get_role(RoleName=role)["Role"]["Description"] == "second"


def test_a_session_of_13_hours_is_a_validation_error(iam: Any, role: str) -> None:
    assert refused(iam.update_role, RoleName=role, MaxSessionDuration=46800)[0] == "ValidationError"


def test_a_deleted_role_is_gone(iam: Any, role: str) -> None:
    iam.tag_role(RoleName=role, Tags=[{"Key": "a", "Value": "b"}])

    iam.delete_role(RoleName=role)

    expected = ("NoSuchEntity", f"The role with name {role} cannot be found.")
    assert refused(iam.get_role, RoleName=role) == expected
    assert refused(iam.delete_role, RoleName=role) == expected


def test_a_role_made_anew_has_nothing_of_its_namesake(iam: Any, account: str, role: str) -> None:
    iam.tag_role(RoleName=role, Tags=[{"Key": "a", "Value": "b"}])
    before = iam.get_role(RoleName=role)["Role"]["RoleId"]
    iam.delete_role(RoleName=role)

    again = iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust(account))["Role"]

    assert again["RoleId"] != before
    assert iam.list_role_tags(RoleName=role)["Tags"] == []


def test_a_role_with_policies_cannot_be_deleted(iam: Any, role: str) -> None:
    iam.attach_role_policy(RoleName=role, PolicyArn=AWS + "AdministratorAccess")
    attached = refused(iam.delete_role, RoleName=role)
    iam.detach_role_policy(RoleName=role, PolicyArn=AWS + "AdministratorAccess")
    iam.put_role_policy(RoleName=role, PolicyName="own", PolicyDocument=text("ecr:*"))
    inline = refused(iam.delete_role, RoleName=role)
    iam.delete_role_policy(RoleName=role, PolicyName="own")

    assert attached == ("DeleteConflict", "Cannot delete entity, must detach all policies first.")
    assert inline == ("DeleteConflict", "Cannot delete entity, must delete policies first.")
    iam.delete_role(RoleName=role)


def test_no_role_has_an_instance_profile(iam: Any, role: str) -> None:
    assert iam.list_instance_profiles_for_role(RoleName=role)["InstanceProfiles"] == []


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("get_role", {}),
        ("update_role", {}),
        ("update_role_description", {"Description": "x"}),
        ("delete_role", {}),
        ("update_assume_role_policy", {"PolicyDocument": trust("123456789012")}),
        ("tag_role", {"Tags": [{"Key": "a", "Value": "b"}]}),
        ("untag_role", {"TagKeys": ["a"]}),
        ("list_role_tags", {}),
        ("list_instance_profiles_for_role", {}),
        ("put_role_permissions_boundary", {"PermissionsBoundary": AWS + "AdministratorAccess"}),
        ("delete_role_permissions_boundary", {}),
        ("attach_role_policy", {"PolicyArn": AWS + "AdministratorAccess"}),
        ("detach_role_policy", {"PolicyArn": AWS + "AdministratorAccess"}),
        ("list_attached_role_policies", {}),
    ],
)
def test_a_role_that_does_not_exist_is_named_so_only_to_those_who_may(
    iam: Any, homeport: Homeport, stranger: Credentials, operation: str, more: Mapping[str, Any]
) -> None:
    denied: Any = homeport.client("iam", credentials=stranger)

    assert refused(getattr(iam, operation), RoleName=MISSING, **more) == GONE
    code, message = refused(getattr(denied, operation), RoleName=MISSING, **more)
    assert code == "AccessDenied"
    assert f"role/{MISSING}" in message


# --- Lists ---


def test_roles_are_listed_by_path_and_pages(iam: Any, account: str) -> None:
    path = f"/{fresh()}/"
    names = sorted(new_role(iam, account, Path=path) for _ in range(5))

    pages = list(iam.get_paginator("list_roles").paginate(PathPrefix=path, PaginationConfig={"PageSize": 2}))

    assert [len(page["Roles"]) for page in pages] == [2, 2, 1]
    assert [each["RoleName"] for page in pages for each in page["Roles"]] == names
    assert iam.list_roles(PathPrefix=path + "deeper/")["Roles"] == []


def test_a_marker_serves_only_the_list_that_it_was_made_for(iam: Any, account: str) -> None:
    path = f"/{fresh()}/"
    for _ in range(2):
        new_role(iam, account, Path=path)
    marker = iam.list_roles(PathPrefix=path, MaxItems=1)["Marker"]

    assert refused(iam.list_roles, PathPrefix="/", Marker=marker)[0] == "ValidationError"
    assert refused(iam.list_users, Marker=marker)[0] == "ValidationError"


# --- Tags ---


def test_tags_of_a_role_can_be_added_changed_and_removed(iam: Any, account: str) -> None:
    name = new_role(iam, account, Tags=[{"Key": "Team", "Value": "a"}])

    iam.tag_role(RoleName=name, Tags=[{"Key": "team", "Value": "b"}, {"Key": "Cost", "Value": ""}])
    assert iam.list_role_tags(RoleName=name)["Tags"] == [
        {"Key": "Cost", "Value": ""},
        {"Key": "team", "Value": "b"},
    ]

    iam.untag_role(RoleName=name, TagKeys=["TEAM", "unknown"])
    assert iam.list_role_tags(RoleName=name)["Tags"] == [{"Key": "Cost", "Value": ""}]


def test_a_role_has_at_most_fifty_tags(iam: Any, role: str) -> None:
    iam.tag_role(RoleName=role, Tags=[{"Key": f"k{number}", "Value": ""} for number in range(50)])

    refusal = refused(iam.tag_role, RoleName=role, Tags=[{"Key": "one-more", "Value": ""}])

    assert refusal[0] == "LimitExceeded"
    pages = list(
        iam.get_paginator("list_role_tags").paginate(RoleName=role, PaginationConfig={"PageSize": 20})
    )
    assert [len(page["Tags"]) for page in pages] == [20, 20, 10]


def test_a_tag_key_comes_once_in_a_request(iam: Any, role: str) -> None:
    twice = [{"Key": "A", "Value": "1"}, {"Key": "a", "Value": "2"}]

    assert refused(iam.tag_role, RoleName=role, Tags=twice)[0] == "InvalidInput"


# --- Attachments and boundaries ---


@pytest.mark.parametrize("kind", ["user", "group", "role"])
def test_a_policy_can_be_attached_listed_and_detached(iam: Any, account: str, kind: str) -> None:
    name = fresh()
    trusted = {"AssumeRolePolicyDocument": trust(account)} if kind == "role" else {}
    getattr(iam, f"create_{kind}")(**{f"{kind.title()}Name": name}, **trusted)
    who = {f"{kind.title()}Name": name}
    arn = new_policy(iam, Path="/shared/")

    for _ in range(2):  # the second time changes nothing
        getattr(iam, f"attach_{kind}_policy")(**who, PolicyArn=arn)
    getattr(iam, f"attach_{kind}_policy")(**who, PolicyArn=AWS + "IAMFullAccess")
    listing = getattr(iam, f"list_attached_{kind}_policies")
    everything, shared = listing(**who)["AttachedPolicies"], listing(**who, PathPrefix="/shared/")
    getattr(iam, f"detach_{kind}_policy")(**who, PolicyArn=arn)

    own = {"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn}
    built_in = {"PolicyName": "IAMFullAccess", "PolicyArn": AWS + "IAMFullAccess"}
    assert sorted(everything, key=str) == sorted([own, built_in], key=str)
    assert shared["AttachedPolicies"] == [own]
    assert listing(**who)["AttachedPolicies"] == [built_in]
    assert refused(getattr(iam, f"detach_{kind}_policy"), **who, PolicyArn=arn) == (
        "NoSuchEntity",
        f"Policy {arn} was not found.",
    )


@pytest.mark.parametrize("kind", ["user", "group"])
def test_attachments_of_nobody_are_no_such_entity(iam: Any, kind: str) -> None:
    who = {f"{kind.title()}Name": MISSING}
    expected = ("NoSuchEntity", f"The {kind} with name {MISSING} cannot be found.")

    assert refused(getattr(iam, f"list_attached_{kind}_policies"), **who) == expected
    for verb in ("attach", "detach"):
        call = getattr(iam, f"{verb}_{kind}_policy")
        assert refused(call, **who, PolicyArn=AWS + "IAMFullAccess") == expected


def test_a_policy_that_does_not_exist_cannot_be_attached(iam: Any, account: str, role: str) -> None:
    for arn in (
        f"arn:aws:iam::{account}:policy/none",
        AWS + "NoSuchThing",
        "arn:aws:iam::999999999999:policy/x",
    ):
        refusal = refused(iam.attach_role_policy, RoleName=role, PolicyArn=arn)
        assert refusal == ("NoSuchEntity", f"Policy {arn} does not exist or is not attachable.")


def test_the_path_is_a_part_of_the_arn_of_a_policy(iam: Any, role: str) -> None:
    arn = new_policy(iam, Path="/a/")

    refusal = refused(iam.attach_role_policy, RoleName=role, PolicyArn=arn.replace("/a/", "/"))

    assert refusal[0] == "NoSuchEntity"


def test_what_is_no_arn_of_a_policy_is_invalid_input(iam: Any, role: str) -> None:
    arn = "arn:aws:s3:::a-bucket-of-somebody"

    assert refused(iam.attach_role_policy, RoleName=role, PolicyArn=arn) == (
        "InvalidInput",
        f"ARN {arn} is not valid.",
    )


def test_ten_policies_can_be_attached_to_a_role(iam: Any, role: str) -> None:
    for _ in range(10):
        iam.attach_role_policy(RoleName=role, PolicyArn=new_policy(iam))

    refusal = refused(iam.attach_role_policy, RoleName=role, PolicyArn=AWS + "IAMFullAccess")

    assert refusal == ("LimitExceeded", "Cannot exceed quota for PoliciesPerRole: 10")
    paging = {"PageSize": 4}
    pages = iam.get_paginator("list_attached_role_policies").paginate(RoleName=role, PaginationConfig=paging)
    assert [len(page["AttachedPolicies"]) for page in pages] == [4, 4, 2]


@pytest.mark.parametrize("kind", ["user", "role"])
def test_a_boundary_can_be_set_shown_and_removed(iam: Any, account: str, kind: str) -> None:
    name = fresh()
    trusted = {"AssumeRolePolicyDocument": trust(account)} if kind == "role" else {}
    who = {f"{kind.title()}Name": name}
    getattr(iam, f"create_{kind}")(**who, **trusted)
    arn = new_policy(iam)

    getattr(iam, f"put_{kind}_permissions_boundary")(**who, PermissionsBoundary=arn)
    shown = getattr(iam, f"get_{kind}")(**who)[kind.title()]["PermissionsBoundary"]
    getattr(iam, f"delete_{kind}_permissions_boundary")(**who)

    assert shown == {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": arn}
    assert "PermissionsBoundary" not in getattr(iam, f"get_{kind}")(**who)[kind.title()]
    again = refused(getattr(iam, f"delete_{kind}_permissions_boundary"), **who)
    assert again[0] == "NoSuchEntity"


def test_a_boundary_has_to_exist(iam: Any, account: str, role: str) -> None:
    arn = f"arn:aws:iam::{account}:policy/none"
    expected = ("NoSuchEntity", f"Scope ARN: {arn} does not exist or is not attachable.")

    set_ = refused(iam.put_role_permissions_boundary, RoleName=role, PermissionsBoundary=arn)
    made = refused(
        iam.create_role, RoleName=fresh(), AssumeRolePolicyDocument=trust(account), PermissionsBoundary=arn
    )

    assert (set_, made) == (expected, expected)


def test_a_boundary_limits_a_user_from_the_next_request_on(homeport: Homeport, iam: Any) -> None:
    who = new_user(homeport, policy("*"))
    ecr = homeport.client(credentials=who)
    ecr.describe_repositories(maxResults=1)

    iam.put_user_permissions_boundary(
        UserName=who.user_name, PermissionsBoundary=new_policy(iam, text("ecr:ListImages"))
    )
    code, message = refused(ecr.describe_repositories)
    iam.delete_user_permissions_boundary(UserName=who.user_name)

    assert code == "AccessDeniedException"
    assert "no permissions boundary allows" in message
    ecr.describe_repositories(maxResults=1)


# --- Who may ---


def test_a_condition_on_the_policy_decides_what_may_be_attached(
    homeport: Homeport, iam: Any, account: str, role: str
) -> None:
    allowed = AWS + "AmazonEC2ContainerRegistryPullOnly"
    document = policy("iam:AttachRolePolicy")
    document["Statement"][0]["Condition"] = {"ArnEquals": {"iam:PolicyARN": allowed}}
    delegate: Any = homeport.client("iam", credentials=new_user(homeport, document))

    delegate.attach_role_policy(RoleName=role, PolicyArn=allowed)

    escalation = refused(delegate.attach_role_policy, RoleName=role, PolicyArn=AWS + "AdministratorAccess")
    assert escalation[0] == "AccessDenied"


def test_a_condition_on_the_boundary_decides_which_roles_may_be_made(
    homeport: Homeport, iam: Any, account: str
) -> None:
    boundary = new_policy(iam)
    document = policy("iam:CreateRole", "iam:PutRolePolicy")
    document["Statement"][0]["Condition"] = {"StringEquals": {"iam:PermissionsBoundary": boundary}}
    delegate: Any = homeport.client("iam", credentials=new_user(homeport, document))
    asked = {"AssumeRolePolicyDocument": trust(account)}

    delegate.create_role(RoleName=fresh(), PermissionsBoundary=boundary, **asked)

    assert refused(delegate.create_role, RoleName=fresh(), **asked)[0] == "AccessDenied"


@pytest.mark.parametrize("kind", ["user", "role"])
def test_a_delegate_gives_rights_only_to_those_who_are_bounded(
    homeport: Homeport, iam: Any, account: str, kind: str
) -> None:
    boundary = new_policy(iam)
    document = policy(f"iam:Put{kind.title()}Policy", f"iam:Attach{kind.title()}Policy")
    document["Statement"][0]["Condition"] = {"StringEquals": {"iam:PermissionsBoundary": boundary}}
    delegate: Any = homeport.client("iam", credentials=new_user(homeport, document))
    trusted = {"AssumeRolePolicyDocument": trust(account)} if kind == "role" else {}
    bounded, free = fresh(), fresh()
    getattr(iam, f"create_{kind}")(
        **{f"{kind.title()}Name": bounded}, **trusted, PermissionsBoundary=boundary
    )
    getattr(iam, f"create_{kind}")(**{f"{kind.title()}Name": free}, **trusted)
    calls = [
        (getattr(delegate, f"put_{kind}_policy"), {"PolicyName": "p", "PolicyDocument": text("*")}),
        (getattr(delegate, f"attach_{kind}_policy"), {"PolicyArn": AWS + "AdministratorAccess"}),
    ]

    for call, more in calls:
        call(**{f"{kind.title()}Name": bounded}, **more)
        assert refused(call, **{f"{kind.title()}Name": free}, **more)[0] == "AccessDenied"


def test_tags_of_the_role_decide_who_may_change_it(homeport: Homeport, iam: Any, account: str) -> None:
    document = policy("iam:UpdateRole")
    document["Statement"][0]["Condition"] = {"StringEquals": {"aws:ResourceTag/Team": "blue"}}
    blue: Any = homeport.client("iam", credentials=new_user(homeport, document))
    ours = new_role(iam, account, Tags=[{"Key": "Team", "Value": "blue"}])
    theirs = new_role(iam, account, Tags=[{"Key": "Team", "Value": "red"}])

    blue.update_role(RoleName=ours, Description="ours")

    assert refused(blue.update_role, RoleName=theirs, Description="ours")[0] == "AccessDenied"


def test_tags_of_the_request_decide_what_may_be_made(homeport: Homeport, account: str) -> None:
    document = policy("iam:CreateRole", "iam:TagRole")
    document["Statement"][0]["Condition"] = {
        "StringEquals": {"aws:RequestTag/Team": "blue"},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["Team"]},
    }
    blue: Any = homeport.client("iam", credentials=new_user(homeport, document))
    asked = {"AssumeRolePolicyDocument": trust(account)}

    blue.create_role(RoleName=fresh(), Tags=[{"Key": "Team", "Value": "blue"}], **asked)

    assert refused(blue.create_role, RoleName=fresh(), **asked)[0] == "AccessDenied"
    more = [{"Key": "Team", "Value": "blue"}, {"Key": "Other", "Value": ""}]
    assert refused(blue.create_role, RoleName=fresh(), Tags=more, **asked)[0] == "AccessDenied"


def test_a_path_limits_who_may_manage_which_roles(homeport: Homeport, iam: Any, account: str) -> None:
    path = f"/{fresh()}/"
    arn = f"arn:aws:iam::{account}:role{path}*"
    keeper: Any = homeport.client("iam", credentials=new_user(homeport, policy("iam:*Role*", resource=arn)))
    other = new_role(iam, account)

    name = new_role(keeper, account, Path=path)
    keeper.delete_role(RoleName=name)

    assert refused(keeper.delete_role, RoleName=other)[0] == "AccessDenied"


def test_roles_of_another_account_do_not_exist_for_us(
    homeport: Homeport, neighbour: Credentials, role: str
) -> None:
    theirs: Any = homeport.client("iam", credentials=neighbour)

    assert refused(theirs.get_role, RoleName=role)[0] == "NoSuchEntity"
    assert role not in [each["RoleName"] for each in theirs.list_roles()["Roles"]]


def test_one_who_may_nothing_may_neither_make_nor_list_roles(
    homeport: Homeport, stranger: Credentials, account: str
) -> None:
    denied: Any = homeport.client("iam", credentials=stranger)
    name = fresh()

    code, message = refused(denied.create_role, RoleName=name, AssumeRolePolicyDocument=trust(account))

    assert code == "AccessDenied"
    assert message == (
        f"User: {stranger.user_arn} is not authorized to perform: iam:CreateRole on resource: "
        f"arn:aws:iam::{account}:role/{name} because no identity-based policy allows the iam:CreateRole action"
    )
    assert refused(denied.list_roles)[0] == "AccessDenied"
