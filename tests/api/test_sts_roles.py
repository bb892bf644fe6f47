"""AssumeRole and GetSessionToken: who may be whom, for how long, with which rights, and how soon a change counts."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.api.calls import new_name, policy, put, refused
from tests.api.roles import Session, assume, document, name_of, new_role, outcome, root, statement, trust
from tests.harness.images import random_image
from tests.harness.server import Credentials, Homeport

ANYTHING = policy("*")
PULL = policy("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:GetAuthorizationToken")
READ_ONLY = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly"


def denied(caller: str, action: str, arn: str) -> tuple[str, str]:
    """What STS answers to whoever may not."""
    return "AccessDenied", f"User: {caller} is not authorized to perform: {action} on resource: {arn}"


# --- AssumeRole: what one gets ---


def test_a_role_session_is_the_role_under_the_name_that_was_asked_for(homeport: Homeport) -> None:
    who = homeport.credentials
    role = new_role(homeport, trust(root(who)), ANYTHING, Path="/ci/")

    session = assume(homeport, role, name="build-7")

    arn = f"arn:aws:sts::{who.account_id}:assumed-role/{name_of(role)}/build-7"
    user = session.answer["AssumedRoleUser"]
    identity = session.client("sts").get_caller_identity()
    assert user["Arn"] == arn
    assert user["AssumedRoleId"].startswith("AROA")
    assert user["AssumedRoleId"].endswith(":build-7")
    assert (identity["Arn"], identity["UserId"]) == (arn, user["AssumedRoleId"])
    assert identity["Account"] == who.account_id
    assert session.answer["Credentials"]["AccessKeyId"].startswith("ASIA")
    assert "PackedPolicySize" not in session.answer


@pytest.mark.parametrize(("asked", "seconds"), [(None, 3600), (900, 900), (7200, 7200)])
def test_a_session_lives_as_long_as_was_asked_for_or_an_hour(
    homeport: Homeport, asked: int | None, seconds: int
) -> None:
    role = new_role(homeport, trust(root(homeport.credentials)), MaxSessionDuration=7200)
    more: dict[str, Any] = {"DurationSeconds": asked} if asked else {}

    ends = assume(homeport, role, **more).answer["Credentials"]["Expiration"]

    assert abs((ends - datetime.now(UTC)).total_seconds() - seconds) < 30


def test_a_session_longer_than_its_role_allows_is_refused(homeport: Homeport) -> None:
    role = new_role(homeport, trust(root(homeport.credentials)))
    sts = homeport.client("sts")

    answer = refused(sts.assume_role, RoleArn=role, RoleSessionName="me", DurationSeconds=3601)

    assert answer == (
        "ValidationError",
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
    )


def test_a_session_has_the_rights_of_its_role_and_not_those_of_its_user(
    homeport: Homeport, repository: str
) -> None:
    role = new_role(homeport, trust(root(homeport.credentials)), PULL)
    put(homeport.client(), repository, random_image(), "v1")
    ecr = assume(homeport, role).client()

    assert ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "v1"}])["images"]
    assert refused(ecr.create_repository, repositoryName=new_name())[0] == "AccessDeniedException"


def test_attached_policies_count_like_inline_ones(homeport: Homeport, repository: str) -> None:
    role = new_role(homeport, trust(root(homeport.credentials)))
    ecr = assume(homeport, role).client()

    before = outcome(ecr.list_images, repositoryName=repository)
    homeport.client("iam").attach_role_policy(RoleName=name_of(role), PolicyArn=READ_ONLY)

    assert before == "AccessDeniedException"
    assert outcome(ecr.list_images, repositoryName=repository) == "done"
    assert outcome(ecr.delete_repository, repositoryName=repository) == "AccessDeniedException"


def test_a_registry_password_of_a_session_ends_with_the_session(homeport: Homeport) -> None:
    role = new_role(homeport, trust(root(homeport.credentials)), PULL)
    session = assume(homeport, role, DurationSeconds=900)

    data = session.client().get_authorization_token()["authorizationData"][0]

    apart = data["expiresAt"] - session.answer["Credentials"]["Expiration"]
    assert abs(apart.total_seconds()) <= 1


def test_a_session_pulls_through_the_registry(homeport: Homeport, repository: str) -> None:
    role = new_role(homeport, trust(root(homeport.credentials)), PULL)
    put(homeport.client(), repository, random_image(), "v1")

    registry = assume(homeport, role).registry()

    assert registry.request("GET", f"/v2/{repository}/manifests/v1").status == 200
    assert registry.request("DELETE", f"/v2/{repository}/manifests/v1").status == 403


def test_a_session_token_has_at_least_the_size_that_was_asked_for(homeport: Homeport) -> None:
    role = new_role(homeport, trust(root(homeport.credentials)))

    session = assume(homeport, role, MinimumSessionTokenSize=3000)

    size = len(session.answer["Credentials"]["SessionToken"])
    assert size >= 3000
    assert session.answer["SessionTokenSize"] == size
    assert session.client("sts").get_caller_identity()["Arn"].endswith("/work")


# --- AssumeRole: who may ---


def test_a_trust_policy_that_names_the_user_is_enough_in_the_own_account(homeport: Homeport) -> None:
    named, other = homeport.user("trusted-by-name", None), homeport.user("trusted-by-nobody", None)
    role = new_role(homeport, trust(named.user_arn))

    assume(homeport, role, by=homeport.client("sts", credentials=named))

    sts = homeport.client("sts", credentials=other)
    answer = refused(sts.assume_role, RoleArn=role, RoleSessionName="me")
    assert answer == denied(other.user_arn, "sts:AssumeRole", role)


def test_a_trust_policy_that_names_the_account_leaves_it_to_the_users_own_policies(
    homeport: Homeport,
) -> None:
    role = new_role(homeport, trust(root(homeport.credentials)))
    may = homeport.user("may-assume", policy("sts:AssumeRole", resource=role))
    may_not = homeport.user("may-not-assume", policy("sts:AssumeRole", resource=f"{role}x"))

    assume(homeport, role, by=homeport.client("sts", credentials=may))

    sts = homeport.client("sts", credentials=may_not)
    assert refused(sts.assume_role, RoleArn=role, RoleSessionName="me")[0] == "AccessDenied"


def test_an_identity_policy_alone_does_not_open_a_role(homeport: Homeport) -> None:
    someone = homeport.user("the-only-trusted-one", None)
    role = new_role(homeport, trust(someone.user_arn))
    sts = homeport.client("sts")

    answer = refused(sts.assume_role, RoleArn=role, RoleSessionName="me")

    assert answer == denied(homeport.credentials.user_arn, "sts:AssumeRole", role)


def test_a_role_that_does_not_exist_looks_like_one_that_trusts_somebody_else(homeport: Homeport) -> None:
    who = homeport.credentials
    role = f"arn:aws:iam::{who.account_id}:role/nothing"
    far = "arn:aws:iam::999999999999:role/nothing"
    sts = homeport.client("sts")

    for arn in (role, far):
        answer = refused(sts.assume_role, RoleArn=arn, RoleSessionName="me")
        assert answer == denied(who.user_arn, "sts:AssumeRole", arn)


def test_a_role_is_found_only_with_its_path(homeport: Homeport) -> None:
    role = new_role(homeport, trust(root(homeport.credentials)), Path="/team/")
    sts = homeport.client("sts")

    bare = role.replace("/team/", "/")

    assert refused(sts.assume_role, RoleArn=bare, RoleSessionName="me")[0] == "AccessDenied"
    assert refused(sts.assume_role, RoleArn=role.replace(":role", ":user"), RoleSessionName="me")[0] == (
        "ValidationError"
    )


def test_across_accounts_both_sides_have_to_allow(homeport: Homeport, neighbour: Credentials) -> None:
    open_role = new_role(homeport, trust(root(neighbour)))
    closed_role = new_role(homeport, trust(root(homeport.credentials)))
    named = homeport.user("far-without-rights", None, neighbour.account_id)
    by_name = new_role(homeport, trust(named.user_arn))
    far = homeport.client("sts", credentials=neighbour)
    powerless = homeport.client("sts", credentials=named)

    taken = assume(homeport, open_role, by=far)

    assert taken.client("sts").get_caller_identity()["Account"] == homeport.credentials.account_id
    assert outcome(far.assume_role, RoleArn=closed_role, RoleSessionName="me") == "AccessDenied"
    assert outcome(powerless.assume_role, RoleArn=by_name, RoleSessionName="me") == "AccessDenied"


def test_a_deny_in_the_trust_policy_wins(homeport: Homeport) -> None:
    who = homeport.credentials
    role = new_role(
        homeport, document(statement(root(who)), statement(who.user_arn, "sts:AssumeRole", effect="Deny"))
    )

    assert outcome(homeport.client("sts").assume_role, RoleArn=role, RoleSessionName="me") == "AccessDenied"


def test_an_external_id_that_is_asked_for_has_to_be_given(homeport: Homeport, neighbour: Credentials) -> None:
    condition = {"StringEquals": {"sts:ExternalId": "the-secret-handshake"}}
    role = new_role(homeport, trust(root(neighbour), Condition=condition))
    sts = homeport.client("sts", credentials=neighbour)

    for wrong in ({}, {"ExternalId": "something-else"}):
        assert outcome(sts.assume_role, RoleArn=role, RoleSessionName="me", **wrong) == "AccessDenied"
    assume(homeport, role, by=sts, ExternalId="the-secret-handshake")


def test_a_session_name_can_be_bound_to_the_user(homeport: Homeport) -> None:
    condition = {"StringLike": {"sts:RoleSessionName": "${aws:username}"}}
    role = new_role(homeport, trust(root(homeport.credentials), Condition=condition))
    sts = homeport.client("sts")

    assert outcome(sts.assume_role, RoleArn=role, RoleSessionName="somebody") == "AccessDenied"
    assume(homeport, role, name=homeport.credentials.user_name)


def test_a_second_factor_that_nobody_has_is_refused(homeport: Homeport) -> None:
    role = new_role(homeport, trust(root(homeport.credentials)))
    sts = homeport.client("sts")
    factor = {"SerialNumber": "arn:aws:iam::1:mfa/me", "TokenCode": "123456"}

    assert refused(sts.assume_role, RoleArn=role, RoleSessionName="me", **factor)[0] == "AccessDenied"
    assert refused(sts.get_session_token, **factor)[0] == "AccessDenied"


@pytest.mark.parametrize(
    "wrong",
    [
        {"RoleArn": "arn:aws:iam::123456789012:role/"},
        {"RoleArn": "not-an-arn-but-long-enough"},
        {"RoleSessionName": "a b"},
        {"RoleSessionName": "x"},
        {"DurationSeconds": 899},
        {"DurationSeconds": 43201},
        {"TransitiveTagKeys": ["unknown"]},
        {"Tags": [{"Key": "Team", "Value": "a"}, {"Key": "team", "Value": "b"}]},
        {"Tags": [{"Key": "aws:own", "Value": "a"}]},
        {"PolicyArns": [{"arn": READ_ONLY}] * 11},
    ],
)
def test_what_sts_cannot_mean_is_a_validation_error(homeport: Homeport, wrong: dict[str, Any]) -> None:
    role = new_role(
        homeport, document(statement(root(homeport.credentials), "sts:AssumeRole", "sts:TagSession"))
    )
    request = {"RoleArn": role, "RoleSessionName": "me"} | wrong
    assert refused(unchecked(homeport).assume_role, **request)[0] == "ValidationError"


def unchecked(homeport: Homeport) -> Any:
    """An STS client that sends what boto3 would not."""
    who = homeport.credentials
    return boto3.client(
        "sts",
        endpoint_url=homeport.url,
        region_name=who.region,
        aws_access_key_id=who.access_key_id,
        aws_secret_access_key=who.secret_access_key,
        config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
    )


# --- Session policies ---


def test_session_policies_narrow_and_never_widen(homeport: Homeport, repository: str) -> None:
    role = new_role(homeport, trust(root(homeport.credentials)), policy("ecr:*"))
    narrowed = json.dumps(policy("ecr:ListImages", "iam:*"))

    session = assume(homeport, role, Policy=narrowed)

    ecr = session.client()
    assert outcome(ecr.list_images, repositoryName=repository) == "done"
    assert refused(ecr.describe_repositories)[1].endswith(
        "because no session policy allows the ecr:DescribeRepositories action"
    )
    assert outcome(session.client("iam").list_users) == "AccessDenied"
    assert 0 < session.answer["PackedPolicySize"] <= 100


def test_several_session_policies_together_are_the_limit(homeport: Homeport, repository: str) -> None:
    role = new_role(homeport, trust(root(homeport.credentials)), policy("ecr:*"))

    ecr = assume(
        homeport,
        role,
        Policy=json.dumps(policy("ecr:DeleteRepository")),
        PolicyArns=[{"arn": READ_ONLY}],
    ).client()

    assert outcome(ecr.list_images, repositoryName=repository) == "done"
    assert outcome(ecr.create_repository, repositoryName=new_name()) == "AccessDeniedException"
    assert outcome(ecr.delete_repository, repositoryName=repository) == "done"


def test_a_session_policy_that_is_no_policy_is_malformed(homeport: Homeport) -> None:
    role = new_role(homeport, trust(root(homeport.credentials)))
    sts = homeport.client("sts")

    for wrong in (
        "{}",
        "not json",
        json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow"}]}),
    ):
        answer = refused(sts.assume_role, RoleArn=role, RoleSessionName="me", Policy=wrong)
        assert answer[0] == "MalformedPolicyDocument"
    answer = refused(
        sts.assume_role, RoleArn=role, RoleSessionName="me", PolicyArns=[{"arn": f"{READ_ONLY}x"}]
    )
    assert answer[0] == "MalformedPolicyDocument"


def test_policies_and_tags_that_do_not_fit_are_too_large(homeport: Homeport) -> None:
    role = new_role(
        homeport, document(statement(root(homeport.credentials), "sts:AssumeRole", "sts:TagSession"))
    )
    tags = [{"Key": f"k{number}", "Value": secrets.token_hex(100)} for number in range(40)]

    code, message = refused(homeport.client("sts").assume_role, RoleArn=role, RoleSessionName="me", Tags=tags)

    assert code == "PackedPolicyTooLarge"
    assert "% of allotted space" in message


def test_a_grant_to_the_role_is_narrowed_and_a_grant_to_the_session_is_not(
    homeport: Homeport, repository: str
) -> None:
    role = new_role(homeport, trust(root(homeport.credentials)))
    narrowed = json.dumps(policy("sts:*"))
    session = assume(homeport, role, Policy=narrowed)
    ecr, admin = session.client(), homeport.client()

    def open_to(principal: str) -> str:
        text = document(statement({"AWS": principal}, "ecr:ListImages"))
        admin.set_repository_policy(repositoryName=repository, policyText=text)
        return outcome(ecr.list_images, repositoryName=repository)

    assert open_to(role) == "AccessDeniedException"
    assert open_to(session.answer["AssumedRoleUser"]["Arn"]) == "done"


# --- Tags and source identity ---


def test_session_tags_need_permission_and_become_principal_tags(homeport: Homeport, repository: str) -> None:
    who = homeport.credentials
    rights = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "ecr:ListImages",
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:PrincipalTag/team": "red"}},
            }
        ],
    }
    untagged = new_role(homeport, trust(root(who)), rights)
    role = new_role(homeport, document(statement(root(who), "sts:AssumeRole", "sts:TagSession")), rights)
    sts = homeport.client("sts")
    red, blue = ([{"Key": "Team", "Value": value}] for value in ("red", "blue"))

    refusal = refused(sts.assume_role, RoleArn=untagged, RoleSessionName="me", Tags=red)

    assert refusal == denied(who.user_arn, "sts:TagSession", untagged)
    for tags, expected in ((red, "done"), (blue, "AccessDeniedException"), ([], "AccessDeniedException")):
        ecr = assume(homeport, role, Tags=tags).client()
        assert outcome(ecr.list_images, repositoryName=repository) == expected


def test_a_session_tag_wins_over_the_tag_of_the_role(homeport: Homeport, repository: str) -> None:
    who = homeport.credentials
    condition = {"StringEquals": {"aws:PrincipalTag/Team": "red"}}
    rights = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "ecr:*", "Resource": "*", "Condition": condition}],
    }
    role = new_role(
        homeport,
        document(statement(root(who), "sts:AssumeRole", "sts:TagSession")),
        rights,
        Tags=[{"Key": "Team", "Value": "red"}],
    )

    as_role = assume(homeport, role).client()
    other = assume(homeport, role, Tags=[{"Key": "team", "Value": "blue"}]).client()

    assert outcome(as_role.list_images, repositoryName=repository) == "done"
    assert outcome(other.list_images, repositoryName=repository) == "AccessDeniedException"


def test_which_tags_may_be_passed_is_a_condition_of_the_trust_policy(homeport: Homeport) -> None:
    condition = {
        "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]},
        "StringEquals": {"aws:RequestTag/team": ["red", "blue"]},
    }
    who = root(homeport.credentials)
    role = new_role(homeport, document(statement(who), statement(who, "sts:TagSession", Condition=condition)))
    sts = homeport.client("sts")

    def tagged(**tags: str) -> str:
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
        return outcome(sts.assume_role, RoleArn=role, RoleSessionName="me", Tags=listed)

    assert tagged(team="red") == "done"
    assert tagged(team="green") == "AccessDenied"
    assert tagged(team="red", more="x") == "AccessDenied"


def test_a_chain_hands_on_transitive_tags_only_and_lasts_an_hour(homeport: Homeport, repository: str) -> None:
    both = ("sts:AssumeRole", "sts:TagSession")
    who = homeport.credentials
    first = new_role(homeport, document(statement(root(who), *both)), ANYTHING)
    tagged = {"StringEquals": {"aws:PrincipalTag/keep": "yes"}, "Null": {"aws:PrincipalTag/drop": "true"}}
    rights = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "ecr:*", "Resource": "*", "Condition": tagged}],
    }
    second = new_role(homeport, document(statement(first, *both)), rights, MaxSessionDuration=7200)
    tags = [{"Key": "keep", "Value": "yes"}, {"Key": "drop", "Value": "yes"}]
    middle = assume(homeport, first, Tags=tags, TransitiveTagKeys=["keep"]).client("sts")

    last = assume(homeport, second, by=middle)

    assert outcome(last.client().list_images, repositoryName=repository) == "done"
    assert refused(middle.assume_role, RoleArn=second, RoleSessionName="me", DurationSeconds=3601) == (
        "ValidationError",
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
    )
    again = [{"Key": "Keep", "Value": "no"}]
    assert outcome(middle.assume_role, RoleArn=second, RoleSessionName="me", Tags=again) == "ValidationError"


def test_a_source_identity_needs_permission_and_stays_for_the_whole_chain(homeport: Homeport) -> None:
    allowed = ("sts:AssumeRole", "sts:SetSourceIdentity")
    who = homeport.credentials
    closed = new_role(homeport, trust(root(who)))
    first = new_role(homeport, document(statement(root(who), *allowed)), ANYTHING)
    second = new_role(
        homeport,
        document(
            statement(first, *allowed, Condition={"StringEquals": {"aws:SourceIdentity": "alice"}}),
        ),
    )
    sts = homeport.client("sts")

    refusal = refused(sts.assume_role, RoleArn=closed, RoleSessionName="me", SourceIdentity="alice")
    session = assume(homeport, first, SourceIdentity="alice")
    middle = session.client("sts")
    last = assume(homeport, second, by=middle)
    changed = refused(middle.assume_role, RoleArn=second, RoleSessionName="me", SourceIdentity="bob")

    assert refusal == denied(who.user_arn, "sts:SetSourceIdentity", closed)
    assert session.answer["SourceIdentity"] == "alice"
    assert last.answer["SourceIdentity"] == "alice"
    assert changed[0] == "AccessDenied"


# --- What changes takes effect at once ---


def test_a_changed_policy_of_the_role_counts_at_once(homeport: Homeport, repository: str) -> None:
    role = new_role(homeport, trust(root(homeport.credentials)), policy("ecr:*"))
    session = assume(homeport, role)
    ecr, registry, iam = session.client(), session.registry(), homeport.client("iam")
    path = f"/v2/{repository}/tags/list"

    before = registry.request("GET", path).status, outcome(ecr.list_images, repositoryName=repository)
    iam.delete_role_policy(RoleName=name_of(role), PolicyName="rights")

    assert before == (200, "done")
    assert registry.request("GET", path).status == 403
    assert outcome(ecr.list_images, repositoryName=repository) == "AccessDeniedException"


def test_a_deleted_role_ends_its_sessions_also_when_it_is_made_again(
    homeport: Homeport, repository: str
) -> None:
    iam, text = homeport.client("iam"), trust(root(homeport.credentials))
    role = new_role(homeport, text, policy("ecr:*"))
    session = assume(homeport, role)
    registry = session.registry()

    iam.delete_role_policy(RoleName=name_of(role), PolicyName="rights")
    iam.delete_role(RoleName=name_of(role))
    gone = outcome(session.client("sts").get_caller_identity)
    iam.create_role(RoleName=name_of(role), AssumeRolePolicyDocument=text)

    assert gone == "InvalidClientTokenId"
    assert outcome(session.client("sts").get_caller_identity) == "InvalidClientTokenId"
    assert registry.request("GET", f"/v2/{repository}/tags/list").status == 401


def test_a_trust_policy_that_no_longer_names_the_caller_ends_the_session(homeport: Homeport) -> None:
    someone = homeport.user("trusted-for-a-while", None)
    condition = {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}, "StringLike": {"sts:RoleSessionName": "w*"}}
    role = new_role(homeport, trust(someone.user_arn, Condition=condition))
    session = assume(homeport, role, by=homeport.client("sts", credentials=someone))
    iam, identity = homeport.client("iam"), session.client("sts").get_caller_identity

    def now(text: str) -> str:
        iam.update_assume_role_policy(RoleName=name_of(role), PolicyDocument=text)
        return outcome(identity)

    assert outcome(identity) == "done"
    assert now(trust(someone.user_arn)) == "done"
    assert now(trust(homeport.credentials.user_arn)) == "InvalidClientTokenId"
    assert now(trust(someone.user_arn, Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})) == (
        "InvalidClientTokenId"
    )
    assert now(trust(someone.user_arn, Condition=condition)) == "done"


def test_the_session_ends_with_the_key_that_asked_for_it(homeport: Homeport) -> None:
    someone = homeport.user("short-lived", None)
    role = new_role(homeport, trust(someone.user_arn))
    session = assume(homeport, role, by=homeport.client("sts", credentials=someone))
    identity = session.client("sts").get_caller_identity

    before = outcome(identity)
    homeport.client("iam").update_access_key(
        UserName=someone.user_name, AccessKeyId=someone.access_key_id, Status="Inactive"
    )

    assert (before, outcome(identity)) == ("done", "InvalidClientTokenId")


# --- Boundaries, groups, principal tags ---


def test_a_boundary_limits_a_user_and_a_role_at_once(homeport: Homeport, repository: str) -> None:
    iam, user = homeport.client("iam"), homeport.user("bounded", policy("ecr:*"))
    role = new_role(homeport, trust(root(homeport.credentials)), policy("ecr:*"))
    clients = [homeport.client(credentials=user), assume(homeport, role).client()]

    before = [outcome(ecr.put_image_tag_mutability, **mutable(repository)) for ecr in clients]
    iam.put_user_permissions_boundary(UserName=user.user_name, PermissionsBoundary=READ_ONLY)
    iam.put_role_permissions_boundary(RoleName=name_of(role), PermissionsBoundary=READ_ONLY)
    bounded = [refused(ecr.put_image_tag_mutability, **mutable(repository)) for ecr in clients]
    reading = [outcome(ecr.list_images, repositoryName=repository) for ecr in clients]
    iam.delete_role_permissions_boundary(RoleName=name_of(role))

    assert before == reading == ["done", "done"]
    for code, message in bounded:
        assert code == "AccessDeniedException"
        assert message.endswith("because no permissions boundary allows the ecr:PutImageTagMutability action")
    assert outcome(clients[1].put_image_tag_mutability, **mutable(repository)) == "done"


def mutable(repository: str) -> dict[str, str]:
    """The parameters of a harmless change."""
    return {"repositoryName": repository, "imageTagMutability": "MUTABLE"}


def test_a_member_has_the_inline_and_attached_policies_of_the_group(
    homeport: Homeport, repository: str
) -> None:
    iam, user = homeport.client("iam"), homeport.user("member", None)
    ecr = homeport.client(credentials=user)
    iam.create_group(GroupName="readers")
    iam.attach_group_policy(GroupName="readers", PolicyArn=READ_ONLY)
    iam.put_group_policy(
        GroupName="readers", PolicyName="more", PolicyDocument=json.dumps(policy("ecr:PutImageTagMutability"))
    )

    outside = outcome(ecr.list_images, repositoryName=repository)
    iam.add_user_to_group(GroupName="readers", UserName=user.user_name)
    inside = outcome(ecr.list_images, repositoryName=repository)
    also = outcome(ecr.put_image_tag_mutability, **mutable(repository))
    iam.remove_user_from_group(GroupName="readers", UserName=user.user_name)

    assert (outside, inside, also) == ("AccessDeniedException", "done", "done")
    assert outcome(ecr.list_images, repositoryName=repository) == "AccessDeniedException"


def test_an_own_managed_policy_counts_in_its_default_version(homeport: Homeport, repository: str) -> None:
    iam, user = homeport.client("iam"), homeport.user("of-a-managed-policy", None)
    ecr = homeport.client(credentials=user)
    arn = iam.create_policy(
        PolicyName="versions", Path="/teams/", PolicyDocument=json.dumps(policy("ecr:ListImages"))
    )["Policy"]["Arn"]
    iam.attach_user_policy(UserName=user.user_name, PolicyArn=arn)

    first = outcome(ecr.list_images, repositoryName=repository)
    iam.create_policy_version(
        PolicyArn=arn, PolicyDocument=json.dumps(policy("ecr:GetRepositoryPolicy")), SetAsDefault=True
    )
    second = outcome(ecr.list_images, repositoryName=repository)
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")

    assert (first, second) == ("done", "AccessDeniedException")
    assert outcome(ecr.list_images, repositoryName=repository) == "done"


def test_tags_of_the_user_meet_tags_of_the_repository(homeport: Homeport) -> None:
    same = {"StringEquals": {"ecr:ResourceTag/team": "${aws:PrincipalTag/team}"}}
    rights = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "ecr:ListImages", "Resource": "*", "Condition": same}],
    }
    user, admin, iam = homeport.user("of-a-team", rights), homeport.client(), homeport.client("iam")
    ecr = homeport.client(credentials=user)
    names = {team: new_name(team) for team in ("red", "blue")}
    for team, name in names.items():
        admin.create_repository(repositoryName=name, tags=[{"Key": "team", "Value": team}])

    untagged = [outcome(ecr.list_images, repositoryName=name) for name in names.values()]
    iam.tag_user(UserName=user.user_name, Tags=[{"Key": "team", "Value": "red"}])

    assert untagged == ["AccessDeniedException", "AccessDeniedException"]
    assert outcome(ecr.list_images, repositoryName=names["red"]) == "done"
    assert outcome(ecr.list_images, repositoryName=names["blue"]) == "AccessDeniedException"


# --- GetSessionToken ---


def test_a_session_token_stands_for_its_user(homeport: Homeport, pusher: Credentials) -> None:
    made = homeport.client("sts", credentials=pusher).get_session_token()
    session = Session(homeport, made)

    seconds = (made["Credentials"]["Expiration"] - datetime.now(UTC)).total_seconds()

    assert session.client("sts").get_caller_identity()["Arn"] == pusher.user_arn
    assert abs(seconds - 43_200) < 30
    assert outcome(session.client().get_authorization_token) == "done"
    assert outcome(session.client().describe_repositories) == "AccessDeniedException"


def test_temporary_credentials_make_no_session_token(homeport: Homeport) -> None:
    session = Session(homeport, homeport.client("sts").get_session_token(DurationSeconds=900))
    role = new_role(homeport, trust(root(homeport.credentials)), ANYTHING)

    for sts in (session.client("sts"), assume(homeport, role).client("sts")):
        assert refused(sts.get_session_token) == (
            "AccessDenied",
            "Cannot call GetSessionToken with session credentials",
        )


def test_a_session_of_a_user_can_take_on_a_role(homeport: Homeport) -> None:
    session = Session(homeport, homeport.client("sts").get_session_token(DurationSeconds=900))
    role = new_role(homeport, trust(root(homeport.credentials)), MaxSessionDuration=7200)

    taken = assume(homeport, role, by=session.client("sts"), DurationSeconds=7200)

    assert taken.client("sts").get_caller_identity()["Arn"].endswith("/work")


@pytest.mark.parametrize("value", ["true", "false"])
def test_a_policy_can_tell_temporary_from_lasting_credentials(
    homeport: Homeport, repository: str, value: str
) -> None:
    rights = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "ecr:ListImages",
                "Resource": "*",
                "Condition": {"Null": {"aws:TokenIssueTime": value}},
            }
        ],
    }
    user = homeport.user(f"lasting-{value}", rights)
    lasting = homeport.client(credentials=user)
    temporary = Session(homeport, homeport.client("sts", credentials=user).get_session_token()).client()

    outcomes = [outcome(ecr.list_images, repositoryName=repository) for ecr in (lasting, temporary)]

    expected = ["done", "AccessDeniedException"]
    assert outcomes == (expected if value == "true" else expected[::-1])
