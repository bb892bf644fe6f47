"""Who may do what: IAM's decisions in one account and across accounts, and the sentence of a refusal."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from homeport.access.evaluate import Ask, Caller, Decision, evaluate
from homeport.access.policies import (
    Policy,
    parse_identity_policy,
    parse_registry_policy,
    parse_repository_policy,
)

HOME = "111122223333"
AWAY = "444455556666"
REPOSITORY = f"arn:aws:ecr:eu-west-1:{HOME}:repository/prod/web"
PULL = "ecr:BatchGetImage"

BOB = Caller(HOME, f"arn:aws:iam::{HOME}:user/team/bob", "AIDABOB", "user")
ALICE = Caller(HOME, f"arn:aws:iam::{HOME}:user/alice", "AIDAALICE", "user")
ROOT = Caller(HOME, f"arn:aws:iam::{HOME}:root", HOME, "root")
SESSION = Caller(HOME, f"arn:aws:sts::{HOME}:assumed-role/ci/run-7", "AROACI:run-7", "assumed-role")
STRANGER = Caller(AWAY, f"arn:aws:iam::{AWAY}:user/eve", "AIDAEVE", "user")
FAR_ROOT = Caller(AWAY, f"arn:aws:iam::{AWAY}:root", AWAY, "root")
NOBODY = Caller("", "", "", "anonymous")
SERVICE = Caller("", "codebuild.amazonaws.com", "", "service")


def statement(effect: str, fields: Mapping[str, object]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": {"Effect": effect, "Action": PULL, **fields}})


def own(effect: str = "Allow", **fields: object) -> Policy:
    return parse_identity_policy(statement(effect, {"Resource": "*"} | fields))


def other() -> Policy:
    """A policy that says nothing about a pull."""
    return own(Action="ecr:PutImage")


def shared(effect: str = "Allow", aws: object = "*", **fields: object) -> Policy:
    return parse_repository_policy(statement(effect, {"Principal": {"AWS": aws}} | fields))


def deny_all_but(*names: str) -> Policy:
    return parse_repository_policy(statement("Deny", {"NotPrincipal": {"AWS": list(names)}}))


def decide(
    caller: Caller,
    *identity: Policy,
    resource: tuple[Policy, ...] = (),
    session: tuple[Policy, ...] | None = None,
    boundary: tuple[Policy, ...] | None = None,
    action: str = PULL,
    context: Mapping[str, str | tuple[str, ...]] | None = None,
) -> Decision:
    ask = Ask(action, REPOSITORY, context or {})
    return evaluate(
        caller,
        ask,
        resource_account=HOME,
        identity=identity,
        resource=resource,
        session=session,
        boundary=boundary,
    )


def refusal(caller: Caller, why: str) -> Decision:
    return Decision(
        False, f"User: {caller.arn} is not authorized to perform: {PULL} on resource: {REPOSITORY} {why}"
    )


NO_IDENTITY = f"because no identity-based policy allows the {PULL} action"
NO_RESOURCE = f"because no resource-based policy allows the {PULL} action"


def test_a_user_without_policies_is_refused_with_the_sentence_of_aws() -> None:
    decision = decide(BOB)

    assert decision == Decision(
        False,
        "User: arn:aws:iam::111122223333:user/team/bob is not authorized to perform: ecr:BatchGetImage "
        "on resource: arn:aws:ecr:eu-west-1:111122223333:repository/prod/web "
        "because no identity-based policy allows the ecr:BatchGetImage action",
    )


def test_an_identity_policy_alone_is_enough_in_the_own_account() -> None:
    assert decide(BOB, own()).allowed


def test_a_repository_policy_that_names_the_user_is_enough_in_the_own_account() -> None:
    assert decide(BOB, resource=(shared(aws=BOB.arn),)).allowed
    assert decide(ALICE, resource=(shared(aws=BOB.arn),)) == refusal(ALICE, NO_IDENTITY)


@pytest.mark.parametrize("name", [HOME, ROOT.arn])
def test_naming_the_own_account_only_delegates_to_it(name: str) -> None:
    assert decide(BOB, resource=(shared(aws=name),)) == refusal(BOB, NO_IDENTITY)
    assert decide(BOB, own(), resource=(shared(aws=name),)).allowed


def test_the_root_user_needs_no_policy() -> None:
    assert decide(ROOT).allowed
    assert decide(ROOT, own("Deny"), session=(), boundary=(own("Deny"),)).allowed


def test_a_repository_policy_can_refuse_even_root() -> None:
    decision = decide(ROOT, resource=(shared("Deny", aws=HOME),))

    assert decision == refusal(ROOT, "with an explicit deny in a resource-based policy")


def test_an_explicit_deny_wins_wherever_it_stands() -> None:
    fine, repo = (own(),), (shared(),)
    barred, closed = (own(), own("Deny")), (shared(), shared("Deny", aws=BOB.arn))

    allowed = decide(BOB, *fine, resource=repo, session=fine, boundary=fine)
    by_identity = decide(BOB, *barred, resource=repo, session=fine, boundary=fine)
    by_resource = decide(BOB, *fine, resource=closed, session=fine, boundary=fine)
    by_session = decide(BOB, *fine, resource=repo, session=barred, boundary=fine)
    by_boundary = decide(BOB, *fine, resource=repo, session=fine, boundary=barred)

    assert allowed.allowed
    assert by_identity == refusal(BOB, "with an explicit deny in an identity-based policy")
    assert by_resource == refusal(BOB, "with an explicit deny in a resource-based policy")
    assert by_session == refusal(BOB, "with an explicit deny in a session policy")
    assert by_boundary == refusal(BOB, "with an explicit deny in a permissions boundary")


def test_a_deny_whose_condition_does_not_hold_has_no_effect() -> None:
    deny = own("Deny", Condition={"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}})

    inside = decide(BOB, own(), deny, context={"AWS:sourceIP": "::ffff:10.1.2.3"})
    outside = decide(BOB, own(), deny, context={"AWS:sourceIP": "203.0.113.1"})

    assert inside.allowed
    assert not outside.allowed


def test_actions_ignore_case_and_resources_do_not() -> None:
    assert decide(BOB, own(Action="ECR:batchget*")).allowed
    assert not decide(BOB, own(Resource=REPOSITORY.replace("prod", "Prod"))).allowed
    assert decide(BOB, own(Resource=f"arn:aws:ecr:*:{HOME}:repository/*/web")).allowed


def test_not_action_and_not_resource_mean_everything_else() -> None:
    text = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "NotAction": PULL, "Resource": "*"}}
    all_but_pull = parse_identity_policy(json.dumps(text))
    text["Statement"] = {"Effect": "Allow", "Action": "*", "NotResource": f"{REPOSITORY[:-3]}*"}
    all_but_prod = parse_identity_policy(json.dumps(text))

    assert not decide(BOB, all_but_pull).allowed
    assert decide(BOB, all_but_pull, action="ecr:PutImage").allowed
    assert not decide(BOB, all_but_prod).allowed


def test_a_variable_without_a_value_never_widens_access() -> None:
    mine = f"arn:aws:ecr:*:{HOME}:repository/prod/${{aws:PrincipalTag/app}}"
    body = {"Effect": "Allow", "Action": "*", "NotResource": mine}
    all_but_mine = parse_identity_policy(json.dumps({"Version": "2012-10-17", "Statement": body}))
    body["Effect"] = "Deny"
    only_mine = parse_identity_policy(json.dumps({"Version": "2012-10-17", "Statement": body}))

    assert not decide(BOB, own(Resource=mine)).allowed
    assert not decide(BOB, all_but_mine).allowed
    assert not decide(BOB, own(), only_mine).allowed
    assert decide(BOB, own(Resource=mine), only_mine, context={"aws:PrincipalTag/app": "web"}).allowed


def test_across_accounts_both_sides_have_to_allow() -> None:
    for name in (AWAY, STRANGER.arn, "*"):
        resource = (shared(aws=name),)

        assert decide(STRANGER, own(), resource=resource).allowed
        assert decide(STRANGER, resource=resource) == refusal(STRANGER, NO_IDENTITY)
    assert decide(STRANGER, own()) == refusal(STRANGER, NO_RESOURCE)
    assert decide(STRANGER, own(), resource=(shared(aws=HOME),)) == refusal(STRANGER, NO_RESOURCE)


def test_the_root_user_of_another_account_needs_only_the_repository_policy() -> None:
    assert decide(FAR_ROOT, resource=(shared(aws=AWAY),)).allowed
    assert decide(FAR_ROOT) == refusal(FAR_ROOT, NO_RESOURCE)


def test_an_anonymous_caller_is_allowed_only_by_a_principal_of_everyone() -> None:
    open_at_home = shared(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})

    assert decide(NOBODY, own(), resource=(shared(aws=HOME),)).reason.startswith("User: anonymous is not")
    assert decide(NOBODY, resource=(open_at_home,), context={"aws:SourceIp": "10.9.9.9"}).allowed
    assert not decide(NOBODY, resource=(open_at_home,), context={"aws:SourceIp": "11.9.9.9"}).allowed
    assert not decide(NOBODY, resource=(open_at_home,)).allowed


def test_an_anonymous_caller_with_an_empty_account_is_not_at_home_anywhere() -> None:
    decision = evaluate(NOBODY, Ask(PULL, "*", {}), resource_account="", identity=[own()])

    assert not decision.allowed


def test_a_service_is_allowed_only_by_its_name_or_everyone() -> None:
    body = {"Principal": {"Service": SERVICE.arn}}
    named = parse_repository_policy(statement("Allow", body))

    assert decide(SERVICE, resource=(named,)).allowed
    assert not decide(BOB, resource=(named,)).allowed
    assert not decide(SERVICE, own(), resource=(shared(aws=HOME),)).allowed


def test_a_federated_caller_is_matched_by_the_provider_of_its_session() -> None:
    provider = f"arn:aws:iam::{HOME}:saml-provider/corp"
    policy = parse_repository_policy(statement("Allow", {"Principal": {"Federated": provider}}))

    assert decide(SESSION, resource=(policy,), context={"aws:FederatedProvider": provider}).allowed
    assert not decide(SESSION, resource=(policy,), context={"aws:FederatedProvider": "other.test"}).allowed


def test_a_role_session_is_named_by_its_role_with_or_without_a_path() -> None:
    for role in (f"arn:aws:iam::{HOME}:role/ci", f"arn:aws:iam::{HOME}:role/teams/build/ci"):
        assert decide(SESSION, resource=(shared(aws=role),)).allowed
    assert not decide(SESSION, resource=(shared(aws=f"arn:aws:iam::{AWAY}:role/ci"),)).allowed
    assert not decide(SESSION, resource=(shared(aws=f"arn:aws:iam::{HOME}:role/ci2"),)).allowed


def test_a_boundary_and_a_session_policy_limit_what_an_identity_policy_allows() -> None:
    assert decide(SESSION, own(), boundary=(own(),), session=(own(),)).allowed
    assert decide(SESSION, own(), boundary=(other(),), session=(own(),)) == refusal(
        SESSION, f"because no permissions boundary allows the {PULL} action"
    )
    assert decide(SESSION, own(), boundary=(own(),), session=(other(),)) == refusal(
        SESSION, f"because no session policy allows the {PULL} action"
    )
    assert not decide(SESSION, own(), session=()).allowed
    assert not decide(SESSION, session=(own(),), boundary=(own(),)).allowed


def test_a_grant_to_the_role_is_limited_and_a_grant_to_the_session_is_not() -> None:
    role, session = shared(aws=f"arn:aws:iam::{HOME}:role/ci"), shared(aws=SESSION.arn)

    assert not decide(SESSION, resource=(role,), session=(other(),)).allowed
    assert not decide(SESSION, resource=(role,), boundary=(other(),)).allowed
    assert decide(SESSION, resource=(session,), session=(other(),), boundary=(other(),)).allowed


def test_a_grant_to_the_user_is_not_limited_by_a_boundary_but_by_a_session_policy() -> None:
    named = shared(aws=BOB.arn)

    assert decide(BOB, resource=(named,), boundary=(other(),)).allowed
    assert not decide(BOB, resource=(named,), session=(other(),)).allowed


def test_across_accounts_a_boundary_and_a_session_policy_always_limit() -> None:
    resource = (shared(aws=STRANGER.arn),)

    assert not decide(STRANGER, own(), resource=resource, boundary=(other(),)).allowed
    assert not decide(STRANGER, own(), resource=resource, session=(other(),)).allowed


def test_not_principal_spares_only_the_one_whose_whole_chain_is_listed() -> None:
    assert decide(BOB, own(), resource=(deny_all_but(BOB.arn, HOME),)).allowed
    assert not decide(BOB, own(), resource=(deny_all_but(BOB.arn),)).allowed
    assert not decide(ALICE, own(), resource=(deny_all_but(BOB.arn, HOME),)).allowed
    assert decide(ROOT, resource=(deny_all_but(HOME),)).allowed
    assert not decide(NOBODY, resource=(shared(), deny_all_but(HOME))).allowed


def test_not_principal_checks_account_role_and_session() -> None:
    role = f"arn:aws:iam::{HOME}:role/ci"

    assert decide(SESSION, own(), resource=(deny_all_but(SESSION.arn, role, HOME),)).allowed
    assert not decide(SESSION, own(), resource=(deny_all_but(role, HOME),)).allowed
    assert not decide(SESSION, own(), resource=(deny_all_but(SESSION.arn, HOME),)).allowed


def test_not_principal_refuses_everyone_who_has_a_permissions_boundary() -> None:
    decision = decide(BOB, own(), resource=(deny_all_but(BOB.arn, HOME),), boundary=(own(),))

    assert decision == refusal(BOB, "with an explicit deny in a resource-based policy")


def test_a_registry_policy_applies_only_to_its_resources() -> None:
    def registry(resource: str) -> Policy:
        body = {"Principal": {"AWS": BOB.arn}, "Resource": resource}
        return parse_registry_policy(statement("Allow", body))

    assert decide(BOB, resource=(registry(f"arn:aws:ecr:*:{HOME}:repository/prod/*"),)).allowed
    assert not decide(BOB, resource=(registry(f"arn:aws:ecr:*:{HOME}:repository/test/*"),)).allowed


@pytest.mark.parametrize(
    ("caller", "key", "value"),
    [
        (BOB, "aws:username", "bob"),
        (BOB, "aws:userid", "AIDABOB"),
        (BOB, "aws:PrincipalType", "User"),
        (BOB, "aws:PrincipalAccount", HOME),
        (BOB, "aws:ResourceAccount", HOME),
        (SESSION, "aws:PrincipalArn", f"arn:aws:iam::{HOME}:role/ci"),
        (SESSION, "aws:userid", "AROACI:run-7"),
        (SESSION, "aws:PrincipalIsAWSService", "false"),
    ],
)
def test_what_follows_from_the_caller_can_be_used_in_conditions(caller: Caller, key: str, value: str) -> None:
    assert decide(caller, own(Condition={"StringEquals": {key: value}})).allowed


def test_the_context_of_a_request_cannot_pretend_to_be_another_caller() -> None:
    forged = {"aws:username": "alice", "AWS:PrincipalArn": ALICE.arn, "aws:PrincipalServiceName": "x"}

    for key, value in forged.items():
        policy = own(Condition={"StringEquals": {key: value}})
        assert not decide(SESSION, policy, context=forged).allowed
