"""Simulation over boto3: what it says is what is decided."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.calls import policy, refused
from tests.api.iam_calls import AWS, fresh, new_policy, new_role, new_user, text
from tests.harness.server import Credentials, Homeport

REPOSITORY = "arn:aws:ecr:us-east-1:123456789012:repository/app"


@pytest.fixture(scope="session")
def iam(homeport: Homeport) -> Any:
    """The administrator's client."""
    return homeport.client("iam")


def simulated(iam: Any, *documents: str, **more: Any) -> dict[str, Any]:
    """The one result of SimulateCustomPolicy for ecr:PutImage, unless `more` says otherwise."""
    asked = {"PolicyInputList": list(documents), "ActionNames": ["ecr:PutImage"], **more}
    (result,) = iam.simulate_custom_policy(**asked)["EvaluationResults"]
    found: dict[str, Any] = result
    return found


def context(name: str, *values: str, kind: str = "string") -> dict[str, Any]:
    return {"ContextKeyName": name, "ContextKeyType": kind, "ContextKeyValues": list(values)}


def conditional(operator: str, key: str, value: str, *actions: str) -> str:
    """A policy with one condition."""
    document = policy(*(actions or ("ecr:PutImage",)))
    document["Statement"][0]["Condition"] = {operator: {key: value}}
    return json.dumps(document)


# --- Policies of nobody ---


@pytest.mark.parametrize(
    ("documents", "decision", "sources"),
    [
        ([text("ecr:*")], "allowed", ["PolicyInputList.1"]),
        ([text("ecr:BatchGetImage")], "implicitDeny", []),
        ([text("ecr:*"), text("ecr:Put*", effect="Deny")], "explicitDeny", ["PolicyInputList.2"]),
        ([text("ecr:*"), text("*")], "allowed", ["PolicyInputList.1", "PolicyInputList.2"]),
        ([text("ecr:*", effect="Deny")], "explicitDeny", ["PolicyInputList.1"]),
    ],
)
def test_policies_allow_deny_or_say_nothing(
    iam: Any, documents: list[str], decision: str, sources: list[str]
) -> None:
    result = simulated(iam, *documents)

    assert (result["EvalActionName"], result["EvalResourceName"]) == ("ecr:PutImage", "*")
    assert result["EvalDecision"] == decision
    assert [each["SourcePolicyId"] for each in result["MatchedStatements"]] == sources


def test_a_matched_statement_is_found_by_line_and_column(iam: Any) -> None:
    written = (
        '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"*",'
        '"Condition":{"DateGreaterThan":{"aws:CurrentTime":"2018-08-16T12:00:00Z"}}}}'
    )

    result = simulated(
        iam,
        written,
        ActionNames=["dynamodb:CreateBackup"],
        ContextEntries=[context("aws:CurrentTime", "2019-04-25T11:00:00Z", kind="date")],
    )

    (matched,) = result["MatchedStatements"]
    assert result["EvalDecision"] == "allowed"
    assert matched["StartPosition"] == {"Line": 1, "Column": 38}  # as in the AWS CLI's own example
    assert matched["EndPosition"] == {"Line": 1, "Column": 167}


def test_the_second_statement_of_an_indented_policy_is_found_where_it_is(iam: Any) -> None:
    document = policy("ecr:BatchGetImage")
    document["Statement"] += policy("ecr:PutImage")["Statement"]

    (matched,) = simulated(iam, json.dumps(document, indent=2))["MatchedStatements"]

    lines = json.dumps(document, indent=2).splitlines()
    starts = [number for number, line in enumerate(lines, 1) if line == "    {"]
    assert matched["StartPosition"] == {"Line": starts[1], "Column": 6}


@pytest.mark.parametrize("key", ["aws:SourceIp", "ecr:ResourceTag/Team"])
def test_context_keys_that_are_missing_are_named_and_those_that_are_given_decide(iam: Any, key: str) -> None:
    value = {"aws:SourceIp": "192.0.2.7"}.get(key, "blue")
    operator = {"aws:SourceIp": "IpAddress"}.get(key, "StringEquals")
    document = conditional(operator, key, value)

    without = simulated(iam, document)
    fitting = simulated(iam, document, ContextEntries=[context(key, value)])
    other = simulated(iam, document, ContextEntries=[context(key, "198.51.100.1")])

    assert (without["EvalDecision"], without["MissingContextValues"]) == ("implicitDeny", [key])
    assert (fitting["EvalDecision"], fitting["MissingContextValues"]) == ("allowed", [])
    assert (other["EvalDecision"], other["MissingContextValues"]) == ("implicitDeny", [])


def test_statements_about_other_actions_miss_nothing(iam: Any) -> None:
    document = conditional("StringEquals", "aws:PrincipalTag/Team", "blue", "ecr:BatchGetImage")

    assert simulated(iam, document)["MissingContextValues"] == []


def test_variables_are_context_keys_too(iam: Any) -> None:
    document = text("ecr:PutImage", resource="arn:aws:ecr:*:*:repository/${aws:username}/*")
    asked = {"ResourceArns": [REPOSITORY.replace("app", "bob/app")]}

    without = simulated(iam, document, **asked)
    named = simulated(iam, document, ContextEntries=[context("aws:username", "bob")], **asked)
    caller = simulated(iam, document, CallerArn="arn:aws:iam::123456789012:user/team/bob", **asked)

    assert without["EvalDecision"] == "implicitDeny"
    assert without["ResourceSpecificResults"][0]["MissingContextValues"] == ["aws:username"]
    assert (named["EvalDecision"], caller["EvalDecision"]) == ("allowed", "allowed")


def test_every_action_is_simulated_on_every_resource_by_pages(iam: Any) -> None:
    other = REPOSITORY.replace("app", "other")
    document = text("ecr:PutImage", resource=REPOSITORY)
    paginator = iam.get_paginator("simulate_custom_policy")

    pages = list(
        paginator.paginate(
            PolicyInputList=[document],
            ActionNames=["ecr:PutImage", "ecr:BatchGetImage"],
            ResourceArns=[REPOSITORY, other],
            PaginationConfig={"PageSize": 3},
        )
    )

    results = [each for page in pages for each in page["EvaluationResults"]]
    assert [len(page["EvaluationResults"]) for page in pages] == [3, 1]
    assert [(each["EvalActionName"], each["EvalResourceName"], each["EvalDecision"]) for each in results] == [
        ("ecr:PutImage", REPOSITORY, "allowed"),
        ("ecr:PutImage", other, "implicitDeny"),
        ("ecr:BatchGetImage", REPOSITORY, "implicitDeny"),
        ("ecr:BatchGetImage", other, "implicitDeny"),
    ]
    for each in results:
        (specific,) = each["ResourceSpecificResults"]
        assert specific["EvalResourceName"] == each["EvalResourceName"]
        assert specific["EvalResourceDecision"] == each["EvalDecision"]


@pytest.mark.parametrize(
    ("boundary", "decision", "within"),
    [
        ("ecr:*", "allowed", True),
        ("ecr:BatchGetImage", "implicitDeny", False),
    ],
)
def test_a_boundary_narrows_what_policies_allow(iam: Any, boundary: str, decision: str, within: bool) -> None:
    result = simulated(iam, text("ecr:*"), PermissionsBoundaryPolicyInputList=[text(boundary)])

    assert result["EvalDecision"] == decision
    assert result["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": within}


def test_every_level_of_an_organisation_has_to_allow(iam: Any) -> None:
    def levels(*actions: str) -> list[dict[str, Any]]:
        return [{"ServiceControlPolicyInputList": [text(action)]} for action in actions]

    allowed = simulated(iam, text("ecr:*"), OrderedOrganizationPolicyInputList=levels("*", "ecr:*"))
    refused_ = simulated(iam, text("ecr:*"), OrderedOrganizationPolicyInputList=levels("*", "iam:*"))

    assert allowed["OrganizationsDecisionDetail"] == {"AllowedByOrganizations": True}
    assert (allowed["EvalDecision"], refused_["EvalDecision"]) == ("allowed", "implicitDeny")
    assert refused_["OrganizationsDecisionDetail"] == {"AllowedByOrganizations": False}


def test_a_resource_policy_counts_for_the_caller_that_it_names(iam: Any) -> None:
    bob, eve = (f"arn:aws:iam::123456789012:user/{name}" for name in ("bob", "eve"))
    statement = {"Effect": "Allow", "Principal": {"AWS": bob}, "Action": "ecr:PutImage"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    asked = {"ResourcePolicy": document, "ResourceArns": [REPOSITORY]}

    for_bob = simulated(iam, text("ecr:ListImages"), CallerArn=bob, **asked)
    for_eve = simulated(iam, text("ecr:ListImages"), CallerArn=eve, **asked)

    assert (for_bob["EvalDecision"], for_eve["EvalDecision"]) == ("allowed", "implicitDeny")
    assert [each["SourcePolicyType"] for each in for_bob["MatchedStatements"]] == ["resource"]


def test_across_accounts_both_sides_have_to_allow(iam: Any) -> None:
    bob = "arn:aws:iam::999999999999:user/bob"
    statement = {"Effect": "Allow", "Principal": {"AWS": bob}, "Action": "ecr:PutImage"}
    asked = {
        "CallerArn": bob,
        "ResourcePolicy": json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        "ResourceArns": [REPOSITORY],
    }

    assert simulated(iam, text("ecr:ListImages"), **asked)["EvalDecision"] == "implicitDeny"
    assert simulated(iam, text("ecr:PutImage"), **asked)["EvalDecision"] == "allowed"


@pytest.mark.parametrize(
    "wrong",
    [
        {"PolicyInputList": ["nonsense"]},
        {"ActionNames": ["everything"]},
        {"ActionNames": ["ecr:Put*"]},
        {"PermissionsBoundaryPolicyInputList": [text("*"), text("*")]},
        {"ResourcePolicy": text("ecr:*"), "CallerArn": "arn:aws:iam::123456789012:user/bob"},
        {"ResourcePolicy": '{"Statement":{"Effect":"Allow","Principal":"*","Action":"ecr:*"}}'},
        {"CallerArn": "arn:aws:iam::123456789012:role/builder"},
        {"ResourceOwner": "nobody"},
        {"ContextEntries": [context("aws:SourceIp", "192.0.2.1", "192.0.2.2", kind="ip")]},
        {"ContextEntries": [context("aws:SourceIp", "192.0.2.1"), context("AWS:sourceip", "192.0.2.2")]},
    ],
)
def test_what_cannot_be_simulated_is_invalid_input(iam: Any, wrong: dict[str, Any]) -> None:
    asked = {"PolicyInputList": [text("*")], "ActionNames": ["ecr:PutImage"], **wrong}

    assert refused(iam.simulate_custom_policy, **asked)[0] == "InvalidInput"


# --- Policies of somebody ---


def principal(iam: Any, arn: str, **more: Any) -> dict[str, Any]:
    """The one result of SimulatePrincipalPolicy for ecr:PutImage, unless `more` says otherwise."""
    asked = {"ActionNames": ["ecr:PutImage"], **more}
    (result,) = iam.simulate_principal_policy(PolicySourceArn=arn, **asked)["EvaluationResults"]
    found: dict[str, Any] = result
    return found


def test_every_policy_of_a_user_counts_and_is_named(homeport: Homeport, iam: Any) -> None:
    who, group = new_user(homeport, policy("ecr:PutImage")), fresh()
    arn = new_policy(iam, text("ecr:Put*"))
    iam.create_group(GroupName=group)
    iam.put_group_policy(GroupName=group, PolicyName="of-the-group", PolicyDocument=text("ecr:*"))
    iam.add_user_to_group(GroupName=group, UserName=who.user_name)
    iam.attach_user_policy(UserName=who.user_name, PolicyArn=arn)
    iam.attach_user_policy(UserName=who.user_name, PolicyArn=AWS + "AmazonEC2ContainerRegistryPowerUser")

    result = principal(iam, who.user_arn)

    assert result["EvalDecision"] == "allowed"
    assert {(each["SourcePolicyId"], each["SourcePolicyType"]) for each in result["MatchedStatements"]} == {
        ("own", "user"),
        ("of-the-group", "group"),
        (arn.rpartition("/")[2], "user-managed"),
        ("AmazonEC2ContainerRegistryPowerUser", "aws-managed"),
    }


def test_policies_can_be_left_out_and_added(homeport: Homeport, iam: Any) -> None:
    who = new_user(homeport, policy("ecr:PutImage"))
    iam.attach_user_policy(UserName=who.user_name, PolicyArn=AWS + "AmazonEC2ContainerRegistryPowerUser")
    own = {"PolicyName": "own", "AttachmentType": "user", "AttachmentName": who.user_name}
    without = [
        {"InlinePolicyIdentifier": own},
        {"PolicyArn": AWS + "AmazonEC2ContainerRegistryPowerUser"},
    ]
    kinds = [{"PolicyType": "inline"}, {"PolicyType": "aws-managed"}]

    assert principal(iam, who.user_arn, PolicyExclusionList=without[:1])["EvalDecision"] == "allowed"
    assert principal(iam, who.user_arn, PolicyExclusionList=without)["EvalDecision"] == "implicitDeny"
    assert principal(iam, who.user_arn, PolicyExclusionList=kinds[:1])["EvalDecision"] == "allowed"
    assert principal(iam, who.user_arn, PolicyExclusionList=kinds)["EvalDecision"] == "implicitDeny"
    denied = principal(iam, who.user_arn, PolicyInputList=[text("ecr:Put*", effect="Deny")])
    assert denied["EvalDecision"] == "explicitDeny"


def test_the_boundary_of_a_role_counts_unless_it_is_left_out(iam: Any, account: str) -> None:
    role = new_role(iam, account, PermissionsBoundary=new_policy(iam, text("ecr:ListImages")))
    iam.attach_role_policy(RoleName=role, PolicyArn=AWS + "AdministratorAccess")
    arn = f"arn:aws:iam::{account}:role/{role}"

    bounded = principal(iam, arn)
    other = principal(iam, arn, PermissionsBoundaryPolicyInputList=[text("ecr:*")])
    without = principal(iam, arn, PolicyExclusionList=[{"PolicyType": "permission-boundary"}])

    assert bounded["EvalDecision"] == "implicitDeny"
    assert bounded["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": False}
    assert (other["EvalDecision"], without["EvalDecision"]) == ("allowed", "allowed")
    assert "PermissionsBoundaryDecisionDetail" not in without


def test_what_the_user_is_decides_conditions(homeport: Homeport, iam: Any) -> None:
    document = policy("ecr:PutImage", resource="arn:aws:ecr:*:*:repository/${aws:username}/*")
    document["Statement"][0]["Condition"] = {"StringEquals": {"aws:PrincipalTag/Team": "blue"}}
    who = new_user(homeport, document)
    asked = {"ResourceArns": [REPOSITORY.replace("app", f"{who.user_name}/app")]}

    untagged = principal(iam, who.user_arn, **asked)
    iam.tag_user(UserName=who.user_name, Tags=[{"Key": "Team", "Value": "blue"}])
    tagged = principal(iam, who.user_arn, **asked)

    assert untagged["EvalDecision"] == "implicitDeny"
    assert untagged["ResourceSpecificResults"][0]["MissingContextValues"] == ["aws:PrincipalTag/Team"]
    assert tagged["EvalDecision"] == "allowed"


def test_a_group_has_policies_to_simulate(iam: Any, account: str) -> None:
    group = fresh()
    iam.create_group(GroupName=group)
    iam.attach_group_policy(GroupName=group, PolicyArn=AWS + "AmazonEC2ContainerRegistryFullAccess")

    assert principal(iam, f"arn:aws:iam::{account}:group/{group}")["EvalDecision"] == "allowed"


@pytest.mark.parametrize(
    "name", ["AmazonEC2ContainerRegistryReadOnly", "AmazonEC2ContainerRegistryPowerUser", "IAMFullAccess"]
)
def test_a_simulation_says_what_the_registry_then_does(
    homeport: Homeport, iam: Any, account: str, repository: str, name: str
) -> None:
    who = new_user(homeport)
    iam.attach_user_policy(UserName=who.user_name, PolicyArn=AWS + name)
    ecr: Any = homeport.client(credentials=who)
    arn = f"arn:aws:ecr:{who.region}:{account}:repository/{repository}"
    calls: dict[str, Callable[[], object]] = {
        "ecr:ListImages": lambda: ecr.list_images(repositoryName=repository),
        "ecr:InitiateLayerUpload": lambda: ecr.initiate_layer_upload(repositoryName=repository),
        "ecr:PutImageTagMutability": lambda: ecr.put_image_tag_mutability(
            repositoryName=repository, imageTagMutability="MUTABLE"
        ),
    }

    results = iam.simulate_principal_policy(
        PolicySourceArn=who.user_arn, ActionNames=list(calls), ResourceArns=[arn]
    )["EvaluationResults"]

    for result in results:
        call = calls[result["EvalActionName"]]
        if result["EvalDecision"] == "allowed":
            call()
        else:
            assert refused(call)[0] == "AccessDeniedException"


def test_nobody_cannot_be_simulated(iam: Any, account: str) -> None:
    for kind in ("user", "group", "role"):
        arn = f"arn:aws:iam::{account}:{kind}/nobody-has-this-name"
        code, message = refused(
            iam.simulate_principal_policy, PolicySourceArn=arn, ActionNames=["ecr:PutImage"]
        )
        assert (code, message) == (
            "NoSuchEntity",
            f"The {kind} with name nobody-has-this-name cannot be found.",
        )
    policy_arn = AWS + "IAMFullAccess"
    refusal = refused(iam.simulate_principal_policy, PolicySourceArn=policy_arn, ActionNames=["ecr:PutImage"])
    assert refusal[0] == "InvalidInput"


def test_a_role_alone_needs_a_caller_for_a_resource_policy(iam: Any, account: str) -> None:
    arn = f"arn:aws:iam::{account}:role/{new_role(iam, account)}"
    statement = {"Effect": "Allow", "Principal": "*", "Action": "ecr:*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    refusal = refused(
        iam.simulate_principal_policy,
        PolicySourceArn=arn,
        ActionNames=["ecr:PutImage"],
        ResourcePolicy=document,
    )

    assert refusal[0] == "InvalidInput"


def test_one_who_may_nothing_may_not_simulate(homeport: Homeport, stranger: Credentials) -> None:
    denied: Any = homeport.client("iam", credentials=stranger)
    asked = {"ActionNames": ["ecr:PutImage"]}

    assert refused(denied.simulate_custom_policy, PolicyInputList=[text("*")], **asked)[0] == "AccessDenied"
    own = refused(denied.simulate_principal_policy, PolicySourceArn=stranger.user_arn, **asked)
    assert own[0] == "AccessDenied"


def test_one_may_be_allowed_to_simulate_oneself_only(homeport: Homeport, account: str) -> None:
    us = f"arn:aws:iam::{account}:user/${{aws:username}}"
    who = new_user(homeport, policy("iam:SimulatePrincipalPolicy", resource=us))
    client: Any = homeport.client("iam", credentials=who)

    assert principal(client, who.user_arn)["EvalDecision"] == "implicitDeny"

    other = homeport.credentials.user_arn
    refusal = refused(client.simulate_principal_policy, PolicySourceArn=other, ActionNames=["ecr:PutImage"])
    assert refusal[0] == "AccessDenied"
