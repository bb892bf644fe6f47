"""Scenarios of IAM: what names nothing, what is out of form, what exists, what is in use, and what is full."""

from __future__ import annotations

import re
from typing import Any

from tests.api.iam_calls import fresh, new_policy, text
from tests.api.identity_errors_base import (
    OPERATIONS,
    Refused,
    World,
    listing,
    long_policy,
    refuses,
    usual,
)
from tests.api.listed_errors_base import behind_the_back

BAD_POLICY, BAD_PROVIDER = "arn:aws:iam::not-an-account:policy/x", "arn:aws:iam::not-an-account:provider/x"
NO_JSON = "{this is no JSON"
TWICE = {"Tags": [{"Key": "team", "Value": "1"}, {"Key": "Team", "Value": "2"}]}
FIFTY = [{"Key": f"k{number}", "Value": "v"} for number in range(50)]


# --- NoSuchEntity ---


def _not_found(world: World, params: dict[str, Any]) -> str:
    """How IAM says that the first thing that a call names does not exist."""
    for member, kind, name in (
        ("GroupName", "group", world.group),
        ("RoleName", "role", world.role),
        ("UserName", "user", world.user),
        ("PolicySourceArn", "user", world.user),
    ):
        if member in params:
            return f"The {kind} with name {name} cannot be found."
    if "PolicyArn" in params:
        return f"Policy {world.policy} was not found."
    return f"OpenIDConnect Provider not found for arn {world.provider}"


@refuses("NoSuchEntity", *sorted(set(listing("NoSuchEntity")) - {"iam:CreateGroup", "iam:CreateUser"}))
def names_nothing(world: World, operation: str) -> Refused:
    nowhere = world.missing()
    params = usual(nowhere)[operation]
    return Refused(_not_found(nowhere, params), params)


@refuses("NoSuchEntity", "iam:CreateUser")
def is_bounded_by_nothing(world: World, operation: str) -> Refused:
    arn = world.missing().policy
    return Refused(
        f"Scope ARN: {arn} does not exist or is not attachable.",
        {**usual(world)[operation], "PermissionsBoundary": arn},
    )


# --- InvalidInput ---

_TAGS_TWICE = {"CreatePolicy", "CreateRole", "CreateUser", "TagRole", "TagUser"}


def _takes(member: str) -> list[str]:
    return [
        operation
        for operation in listing("InvalidInput")
        if member in OPERATIONS[operation].input_shape.members  # type: ignore[union-attr]
        and operation.partition(":")[2] not in _TAGS_TWICE
    ]


@refuses("InvalidInput", *_takes("PolicyArn"))
def names_no_policy(world: World, operation: str) -> Refused:
    return Refused(f"ARN {BAD_POLICY} is not valid.", {**usual(world)[operation], "PolicyArn": BAD_POLICY})


@refuses("InvalidInput", *_takes("PermissionsBoundary"))
def is_bounded_by_no_policy(world: World, operation: str) -> Refused:
    params = {**usual(world)[operation], "PermissionsBoundary": BAD_POLICY}
    return Refused(f"ARN {BAD_POLICY} is not valid.", params)


@refuses("InvalidInput", *_takes("OpenIDConnectProviderArn"))
def names_no_provider(world: World, operation: str) -> Refused:
    params = {**usual(world)[operation], "OpenIDConnectProviderArn": BAD_PROVIDER}
    return Refused(f"Invalid ARN: {BAD_PROVIDER}", params)


@refuses("InvalidInput", *(f"iam:{name}" for name in sorted(_TAGS_TWICE)))
def has_a_tag_twice(world: World, operation: str) -> Refused:
    return Refused(
        "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        {**usual(world)[operation], **TWICE},
    )


@refuses("InvalidInput", "iam:CreateOpenIDConnectProvider")
def is_no_address_of_an_issuer(world: World, operation: str) -> Refused:
    return Refused("Invalid Open ID Connect Provider URL", {"Url": "http://issuer.example"})


@refuses("InvalidInput", "iam:UpdateAccessKey")
def sets_a_status_that_only_time_sets(world: World, operation: str) -> Refused:
    return Refused(
        "The status Expired cannot be set; it must be Active or Inactive.",
        {**usual(world)[operation], "Status": "Expired"},
    )


@refuses("InvalidInput", "iam:SimulateCustomPolicy", "iam:SimulatePrincipalPolicy")
def simulates_no_policy(world: World, operation: str) -> Refused:
    return Refused(
        re.compile(r"Invalid Input Policy: .+"), {**usual(world)[operation], "PolicyInputList": [NO_JSON]}
    )


@refuses("NotSupportedService", "iam:ListServiceSpecificCredentials")
def asks_for_credentials_of_a_service_without_any(world: World, operation: str) -> Refused:
    return Refused(
        "No such service ecr.amazonaws.com is supported for Service Specific Credentials",
        {**usual(world)[operation], "ServiceName": "ecr.amazonaws.com"},
    )


# --- MalformedPolicyDocument ---

_TRUST = ("iam:CreateRole", "iam:UpdateAssumeRolePolicy")


@refuses("MalformedPolicyDocument", *sorted(set(listing("MalformedPolicyDocument")) - set(_TRUST)))
def is_no_json(world: World, operation: str) -> Refused:
    return Refused("Syntax errors in policy.", {**usual(world)[operation], "PolicyDocument": NO_JSON})


@refuses("MalformedPolicyDocument", *_TRUST)
def trusts_nobody(world: World, operation: str) -> Refused:
    member = "AssumeRolePolicyDocument" if operation == "iam:CreateRole" else "PolicyDocument"
    return Refused(
        re.compile(r"Invalid trust policy: .+"),
        {**usual(world)[operation], member: text("sts:AssumeRole")},
    )


# --- EntityAlreadyExists ---


@refuses("EntityAlreadyExists", "iam:CreateGroup", "iam:CreateRole", "iam:CreateUser")
def exists(world: World, operation: str) -> Refused:
    kind = operation.partition("Create")[2]
    name = {"Group": world.group, "Role": world.role, "User": world.user}[kind].upper()
    return Refused(
        f"{kind} with name {name} already exists.", {**usual(world)[operation], f"{kind}Name": name}
    )


@refuses("EntityAlreadyExists", "iam:UpdateGroup", "iam:UpdateUser")
def takes_the_name_of_another(world: World, operation: str) -> Refused:
    kind = operation.partition("Update")[2]
    other = world.new_user() if kind == "User" else world.new_group()
    params = {**usual(world)[operation], f"New{kind}Name": other}
    return Refused(f"{kind} with name {other} already exists.", params)


@refuses("EntityAlreadyExists", "iam:CreatePolicy")
def is_a_policy_already(world: World, operation: str) -> Refused:
    name = world.policy.rpartition("/")[2]
    return Refused(
        f"A policy called {name} already exists. Duplicate names are not allowed.",
        {**usual(world)[operation], "PolicyName": name},
    )


@refuses("EntityAlreadyExists", "iam:CreateOpenIDConnectProvider")
def is_a_provider_already(world: World, operation: str) -> Refused:
    url = f"https://{world.provider.partition('/')[2]}"
    return Refused(f"Provider with url {url} already exists.", {"Url": url})


# --- DeleteConflict ---


@refuses("DeleteConflict", "iam:DeleteGroup")
def has_members(world: World, operation: str) -> Refused:
    group = world.new_group()
    world.iam.add_user_to_group(GroupName=group, UserName=world.new_user())
    return Refused("Cannot delete entity, must remove users from group first.", {"GroupName": group})


@refuses("DeleteConflict", "iam:DeleteUser")
def has_a_key(world: World, operation: str) -> Refused:
    user = world.new_user()
    world.iam.create_access_key(UserName=user)
    return Refused("Cannot delete entity, must delete access keys first.", {"UserName": user})


@refuses("DeleteConflict", "iam:DeleteRole")
def has_a_policy(world: World, operation: str) -> Refused:
    role = world.new_role()
    world.iam.attach_role_policy(RoleName=role, PolicyArn=world.policy)
    return Refused("Cannot delete entity, must detach all policies first.", {"RoleName": role})


@refuses("DeleteConflict", "iam:DeletePolicy")
def is_attached(world: World, operation: str) -> Refused:
    arn = new_policy(world.iam)
    world.iam.attach_user_policy(UserName=world.user, PolicyArn=arn)
    return Refused("Cannot delete a policy attached to entities.", {"PolicyArn": arn})


@refuses("DeleteConflict", "iam:DeletePolicyVersion")
def is_the_default(world: World, operation: str) -> Refused:
    return Refused("Cannot delete the default version of a policy.", usual(world)[operation])


# --- LimitExceeded ---


@refuses("LimitExceeded", "iam:AddClientIDToOpenIDConnectProvider")
def has_all_its_client_ids(world: World, operation: str) -> Refused:
    made = world.iam.create_open_id_connect_provider(
        Url=f"https://{fresh()}.example", ClientIDList=[f"app-{number}" for number in range(100)]
    )
    return Refused(
        "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100",
        {"OpenIDConnectProviderArn": made["OpenIDConnectProviderArn"], "ClientID": "one-more"},
    )


@refuses("LimitExceeded", "iam:AddUserToGroup")
def is_in_all_the_groups_it_can_be(world: World, operation: str) -> Refused:
    user = world.new_user()
    for _ in range(10):
        world.iam.add_user_to_group(GroupName=world.new_group(), UserName=user)
    return Refused("Cannot exceed quota for GroupsPerUser: 10", {"GroupName": world.group, "UserName": user})


@refuses("LimitExceeded", "iam:AttachGroupPolicy", "iam:AttachRolePolicy", "iam:AttachUserPolicy")
def has_all_its_policies(world: World, operation: str) -> Refused:
    kind = operation.removeprefix("iam:Attach").removesuffix("Policy")
    owner = {"Group": world.new_group, "Role": world.new_role, "User": world.new_user}[kind]()
    for _ in range(10):
        world.call(operation, {f"{kind}Name": owner, "PolicyArn": new_policy(world.iam)})
    return Refused(
        f"Cannot exceed quota for PoliciesPer{kind}: 10",
        {f"{kind}Name": owner, "PolicyArn": world.policy},
    )


@refuses("LimitExceeded", "iam:CreateAccessKey")
def has_both_its_keys(world: World, operation: str) -> Refused:
    user = world.new_user()
    for _ in range(2):
        world.iam.create_access_key(UserName=user)
    return Refused("Cannot exceed quota for AccessKeysPerUser: 2", {"UserName": user})


@refuses("LimitExceeded", "iam:CreateGroup", "iam:CreateUser")
def fills_the_account(world: World, operation: str) -> Refused:
    kind = operation.partition("Create")[2]
    most = {"Group": 300, "User": 5_000}[kind]
    there, table, own = world.elsewhere(), f"iam_{kind.lower()}", f"{kind.lower()}_id"
    rows = [(there.who.account_id, f"n{number}", f"ID{number}{fresh('')}") for number in range(most)]
    with behind_the_back(world.server) as database:
        database.executemany(
            f"INSERT INTO {table} (account_id, name, path, {own}, created_at) VALUES (?, ?, '/', ?, 0)",
            rows,
        )
    text_ = f"Cannot exceed quota for {kind}sPerAccount: {most}"
    return Refused(text_, usual(world)[operation], there)


@refuses("LimitExceeded", "iam:CreateRole", "iam:UpdateAssumeRolePolicy")
def trusts_too_many(world: World, operation: str) -> Refused:
    member = "AssumeRolePolicyDocument" if operation == "iam:CreateRole" else "PolicyDocument"
    return Refused(
        "Cannot exceed quota for ACLSizePerRole: 2048",
        {**usual(world)[operation], member: long_policy(2_048)},
    )


@refuses("LimitExceeded", "iam:CreatePolicy")
def is_longer_than_a_policy_may_be(world: World, operation: str) -> Refused:
    return Refused(
        "Cannot exceed quota for PolicySize: 6144",
        {**usual(world)[operation], "PolicyDocument": long_policy(6_144)},
    )


@refuses("LimitExceeded", "iam:CreatePolicyVersion")
def has_all_its_versions(world: World, operation: str) -> Refused:
    arn = new_policy(world.iam)
    params = {**usual(world)[operation], "PolicyArn": arn}
    for _ in range(4):
        world.call(operation, params)
    return Refused(
        "A managed policy can have up to 5 versions. Before you create a new version, you must delete an "
        "existing version.",
        params,
    )


@refuses("LimitExceeded", "iam:CreateOpenIDConnectProvider")
def has_too_many_thumbprints(world: World, operation: str) -> Refused:
    prints = [f"{number:040x}" for number in range(6)]
    return Refused(
        "Thumbprint list must contain fewer than 5 entries.",
        {**usual(world)[operation], "ThumbprintList": prints},
    )


@refuses("LimitExceeded", "iam:PutGroupPolicy", "iam:PutRolePolicy", "iam:PutUserPolicy")
def has_too_much_inline(world: World, operation: str) -> Refused:
    kind = operation.removeprefix("iam:Put").removesuffix("Policy").lower()
    most = {"group": 5_120, "role": 10_240, "user": 2_048}[kind]
    name = {"group": world.group, "role": world.role, "user": world.user}[kind]
    return Refused(
        f"Maximum policy size of {most} bytes exceeded for {kind} {name}",
        {**usual(world)[operation], "PolicyDocument": long_policy(most)},
    )


@refuses("LimitExceeded", "iam:TagOpenIDConnectProvider", "iam:TagPolicy", "iam:TagRole", "iam:TagUser")
def has_all_its_tags(world: World, operation: str) -> Refused:
    kind = operation.removeprefix("iam:Tag")
    made = {
        "OpenIDConnectProvider": lambda: world.iam.create_open_id_connect_provider(
            Url=f"https://{fresh()}.example"
        )["OpenIDConnectProviderArn"],
        "Policy": lambda: new_policy(world.iam),
        "Role": world.new_role,
        "User": world.new_user,
    }[kind]()
    member = {"OpenIDConnectProvider": "OpenIDConnectProviderArn", "Policy": "PolicyArn"}.get(
        kind, f"{kind}Name"
    )
    world.call(operation, {member: made, "Tags": FIFTY})
    shown = {"OpenIDConnectProvider": "OidcProvider"}.get(kind, kind)
    return Refused(
        f"Cannot exceed quota for TagsPer{shown}: 50",
        {member: made, "Tags": [{"Key": "one-more", "Value": "v"}]},
    )
