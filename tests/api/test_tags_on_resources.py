"""Resource tags: TagResource, UntagResource, ListTagsForResource, and policies that look at them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.calls import new_name, refused, unknown_repository
from tests.harness.server import Credentials, Homeport


def tag_list(**tags: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


@pytest.fixture
def arn(homeport: Homeport, account: str, repository: str) -> str:
    """The resource name of `repository`."""
    return f"arn:aws:ecr:{homeport.credentials.region}:{account}:repository/{repository}"


def test_tags_are_merged_changed_and_removed(ecr: Any, arn: str) -> None:
    ecr.tag_resource(resourceArn=arn, tags=tag_list(team="cart", stage="test"))
    ecr.tag_resource(resourceArn=arn, tags=tag_list(stage="prod", empty=""))
    merged = ecr.list_tags_for_resource(resourceArn=arn)["tags"]

    ecr.untag_resource(resourceArn=arn, tagKeys=["team", "was-never-there"])

    assert merged == tag_list(empty="", stage="prod", team="cart")
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == tag_list(empty="", stage="prod")


def test_a_new_repository_has_no_tags(ecr: Any, arn: str) -> None:
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == []


def test_fifty_tags_fit_and_one_more_does_not(ecr: Any, arn: str) -> None:
    ecr.tag_resource(resourceArn=arn, tags=tag_list(**{f"k{number}": "v" for number in range(50)}))

    code, _ = refused(ecr.tag_resource, resourceArn=arn, tags=tag_list(one="more"))
    ecr.tag_resource(resourceArn=arn, tags=tag_list(k0="changed"))

    assert code == "TooManyTagsException"
    assert len(ecr.list_tags_for_resource(resourceArn=arn)["tags"]) == 50


@pytest.mark.parametrize(
    "tag",
    [
        {"Key": "aws:made-up", "Value": "v"},
        {"Key": "a\u0000b", "Value": "v"},
        {"Key": "a{b", "Value": "v"},
        {"Key": "a", "Value": "v;w"},
        {"Key": "", "Value": "v"},
    ],
)
def test_a_malformed_tag_is_refused_and_nothing_is_set(ecr: Any, arn: str, tag: dict[str, str]) -> None:
    code, _ = refused(ecr.tag_resource, resourceArn=arn, tags=[{"Key": "good", "Value": "v"}, tag])
    at_creation, _ = refused(ecr.create_repository, repositoryName=new_name(), tags=[tag])

    assert code == at_creation == "InvalidTagParameterException"
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == []


@pytest.mark.parametrize("key", ["aws:made-up", "a{b", "", "x" * 129])
def test_a_key_that_no_tag_can_have_cannot_be_removed(ecr: Any, arn: str, key: str) -> None:
    ecr.tag_resource(resourceArn=arn, tags=tag_list(team="cart"))

    code, _ = refused(ecr.untag_resource, resourceArn=arn, tagKeys=["team", key])

    assert code == "InvalidTagParameterException"
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == tag_list(team="cart")


def test_a_key_twice_in_one_request_is_refused(ecr: Any, arn: str) -> None:
    code, _ = refused(ecr.tag_resource, resourceArn=arn, tags=[*tag_list(a="1"), *tag_list(a="2")])

    assert code == "InvalidTagParameterException"


@pytest.mark.parametrize("operation", ["list_tags_for_resource", "tag_resource", "untag_resource"])
@pytest.mark.parametrize(
    "wrong",
    [
        "repository/a",
        "arn:aws:ecr:eu-elsewhere-9:{account}:repository/ab",
        "arn:aws:s3:::bucket",
        "{arn}:x y",
    ],
)
def test_a_name_that_is_no_repository_of_this_registry_is_refused(
    ecr: Any, account: str, arn: str, operation: str, wrong: str
) -> None:
    more: dict[str, dict[str, Any]] = {
        "list_tags_for_resource": {},
        "tag_resource": {"tags": tag_list(a="b")},
        "untag_resource": {"tagKeys": ["a"]},
    }

    code, message = refused(
        getattr(ecr, operation), resourceArn=wrong.format(account=account, arn=arn), **more[operation]
    )

    assert code == "InvalidParameterException"
    if not wrong.startswith("{arn}"):
        assert message == ("Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'")


def test_tags_of_an_unknown_repository_are_unknown(homeport: Homeport, ecr: Any, account: str) -> None:
    name = new_name()
    arn = f"arn:aws:ecr:{homeport.credentials.region}:{account}:repository/{name}"

    assert refused(ecr.list_tags_for_resource, resourceArn=arn) == unknown_repository(name, account)


def test_a_policy_can_depend_on_the_tags_of_a_repository(homeport: Homeport, ecr: Any, arn: str) -> None:
    team = homeport.user(
        "cart-team",
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": "ecr:*",
                    "Resource": "*",
                    "Condition": {"StringEquals": {"aws:ResourceTag/team": "cart"}},
                }
            ],
        },
    )
    theirs: Any = homeport.client(credentials=team)
    name = arn.rpartition("repository/")[2]

    before, _ = refused(theirs.list_images, repositoryName=name)
    ecr.tag_resource(resourceArn=arn, tags=tag_list(team="cart"))
    listed = theirs.list_images(repositoryName=name)["imageIds"]
    # A policy without any statement about them does not lock out somebody who is let in by a tag.
    theirs.set_repository_policy(
        repositoryName=name,
        policyText='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},'
        '"Action":"ecr:BatchGetImage"}]}',
    )

    assert before == "AccessDeniedException"
    assert listed == []


def test_a_policy_can_demand_and_forbid_tags_that_are_set(homeport: Homeport, ecr: Any, arn: str) -> None:
    statement = {"Effect": "Allow", "Action": ["ecr:CreateRepository", "ecr:*Tag*"], "Resource": "*"}
    creator = homeport.user(
        "tagging-creator",
        {
            "Version": "2012-10-17",
            "Statement": [
                {**statement, "Condition": {"StringEquals": {"aws:RequestTag/team": "cart"}}},
                {
                    "Effect": "Allow",
                    "Action": "ecr:UntagResource",
                    "Resource": "*",
                    "Condition": {
                        "ForAllValues:StringEquals": {"aws:TagKeys": ["free"]},
                        "Null": {"aws:RequestTag/free": "true"},
                    },
                },
            ],
        },
    )
    theirs: Any = homeport.client(credentials=creator)

    untagged, _ = refused(theirs.create_repository, repositoryName=new_name())
    wrong, _ = refused(theirs.create_repository, repositoryName=new_name(), tags=tag_list(team="other"))
    theirs.create_repository(repositoryName=new_name(), tags=tag_list(team="cart"))
    not_free, _ = refused(theirs.untag_resource, resourceArn=arn, tagKeys=["free", "team"])
    theirs.untag_resource(resourceArn=arn, tagKeys=["free"])

    assert untagged == wrong == not_free == "AccessDeniedException"


def test_creating_with_tags_needs_permission_to_tag(homeport: Homeport) -> None:
    creator = homeport.user(
        "plain-creator",
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "ecr:CreateRepository", "Resource": "*"}],
        },
    )
    theirs: Any = homeport.client(credentials=creator)
    name = new_name()

    code, message = refused(theirs.create_repository, repositoryName=name, tags=tag_list(a="b"))
    theirs.create_repository(repositoryName=name)

    assert code == "AccessDeniedException"
    assert "ecr:TagResource" in message


def test_another_account_may_not_see_or_set_tags(
    homeport: Homeport, arn: str, neighbour: Credentials
) -> None:
    theirs: Any = homeport.client(credentials=neighbour)

    for refusal in (
        refused(theirs.list_tags_for_resource, resourceArn=arn),
        refused(theirs.tag_resource, resourceArn=arn, tags=tag_list(a="b")),
        refused(theirs.untag_resource, resourceArn=arn, tagKeys=["a"]),
    ):
        assert refusal[0] == "AccessDeniedException"
        assert "no resource-based policy allows" in refusal[1]
