"""Pull-through cache rules through the API: which upstreams, with which credentials, and who may write them."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.api.calls import policy, refused
from tests.harness.server import Credentials, Homeport

LOGIN = json.dumps({"username": "cart", "accessToken": "token-of-the-cart"})
ABSENT = "arn:aws:secretsmanager:{region}:{account}:secret:ecr-pullthroughcache/absent-AbCdEf"


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses."""
    return f"cache-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def secrets(homeport: Homeport) -> Any:
    """The administrator's client of Secrets Manager."""
    return homeport.client("secretsmanager")


@pytest.fixture(scope="module")
def login(secrets: Any) -> str:
    """The ARN of a secret with credentials for an upstream registry."""
    return new_secret(secrets, SecretString=LOGIN)


@pytest.fixture
def owner(homeport: Homeport) -> Any:
    """The client of the administrator of a new, empty registry."""
    return homeport.client(credentials=homeport.account())


def new_secret(secrets: Any, **value: Any) -> str:
    name = f"ecr-pullthroughcache/{uuid.uuid4().hex[:12]}"
    arn: str = secrets.create_secret(Name=name, **value)["ARN"]
    return arn


def described(ecr: Any, prefix: str) -> dict[str, Any]:
    answer = ecr.describe_pull_through_cache_rules(ecrRepositoryPrefixes=[prefix])
    rule: dict[str, Any] = answer["pullThroughCacheRules"][0]
    return rule


@pytest.mark.parametrize(
    ("url", "kind"),
    [("public.ecr.aws", "ecr-public"), ("quay.io", "quay"), ("registry.k8s.io", "k8s")],
)
def test_a_rule_for_an_open_upstream_needs_nothing(
    ecr: Any, account: str, prefix: str, url: str, kind: str
) -> None:
    made = ecr.create_pull_through_cache_rule(ecrRepositoryPrefix=prefix, upstreamRegistryUrl=url)

    assert {key: value for key, value in made.items() if key not in ("createdAt", "ResponseMetadata")} == {
        "ecrRepositoryPrefix": prefix,
        "upstreamRegistryUrl": url,
        "registryId": account,
        "upstreamRegistry": kind,
    }
    shown = described(ecr, prefix)
    assert shown["upstreamRegistry"] == kind
    assert shown["createdAt"] == shown["updatedAt"] == made["createdAt"]


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("registry-1.docker.io", "docker-hub"),
        ("ghcr.io", "github-container-registry"),
        ("registry.gitlab.com", "gitlab-container-registry"),
        ("cart.azurecr.io", "azure-container-registry"),
        ("cgr.dev", "chainguard"),
    ],
)
def test_a_rule_for_a_closed_upstream_needs_credentials(
    ecr: Any, login: str, prefix: str, url: str, kind: str
) -> None:
    asked = {"ecrRepositoryPrefix": prefix, "upstreamRegistryUrl": url}

    code, message = refused(ecr.create_pull_through_cache_rule, **asked)
    made = ecr.create_pull_through_cache_rule(**asked, credentialArn=login, upstreamRegistry=kind)

    assert code == "InvalidParameterException"
    assert "credentialArn" in message
    assert made["upstreamRegistry"] == kind
    assert described(ecr, prefix)["credentialArn"] == login


def test_a_rule_for_another_registry_of_the_same_account_needs_no_role(
    ecr: Any, account: str, prefix: str
) -> None:
    url = f"{account}.dkr.ecr.eu-south-2.amazonaws.com"

    made = ecr.create_pull_through_cache_rule(
        ecrRepositoryPrefix=prefix, upstreamRegistryUrl=url, upstreamRepositoryPrefix="team"
    )

    assert made["upstreamRegistry"] == "ecr"
    assert made["upstreamRepositoryPrefix"] == "team"


def test_a_rule_for_the_registry_of_another_account_needs_a_role(ecr: Any, account: str, prefix: str) -> None:
    asked = {
        "ecrRepositoryPrefix": prefix,
        "upstreamRegistryUrl": "999999999999.dkr.ecr.eu-south-2.amazonaws.com",
    }
    role = f"arn:aws:iam::{account}:role/puller"

    code, message = refused(ecr.create_pull_through_cache_rule, **asked)
    made = ecr.create_pull_through_cache_rule(**asked, customRoleArn=role)

    assert code == "InvalidParameterException"
    assert "customRoleArn" in message
    assert made["customRoleArn"] == role


def test_a_registry_is_not_its_own_upstream(ecr: Any, homeport: Homeport, account: str, prefix: str) -> None:
    url = f"{account}.dkr.ecr.{homeport.credentials.region}.amazonaws.com"

    code, _ = refused(ecr.create_pull_through_cache_rule, ecrRepositoryPrefix=prefix, upstreamRegistryUrl=url)

    assert code == "InvalidParameterException"


@pytest.mark.parametrize(
    "url",
    ["docker.io", "https://quay.io", "quay.io/team", "azurecr.io", "a.b.azurecr.io", "localhost:5000", ""],
)
def test_any_other_upstream_is_unsupported(ecr: Any, prefix: str, url: str) -> None:
    code, _ = refused(ecr.create_pull_through_cache_rule, ecrRepositoryPrefix=prefix, upstreamRegistryUrl=url)

    assert code == "UnsupportedUpstreamRegistryException"


@pytest.mark.parametrize(
    ("wrong", "about"),
    [
        ({"upstreamRegistry": "quay"}, "upstreamRegistry"),
        ({"upstreamRegistry": "harbor"}, "enum value set"),
        ({"customRoleArn": "arn:aws:iam::{account}:role/x"}, "customRoleArn"),
        ({"ecrRepositoryPrefix": "ROOT", "upstreamRepositoryPrefix": "team"}, "upstreamRepositoryPrefix"),
        ({"ecrRepositoryPrefix": "Not/Legal"}, "ecrRepositoryPrefix"),
        ({"ecrRepositoryPrefix": "a" * 31}, "ecrRepositoryPrefix"),
        (
            {"credentialArn": "arn:aws:secretsmanager:a:secret:other/thing-that-is-long-enough"},
            "credentialArn",
        ),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(
    ecr: Any, account: str, prefix: str, wrong: dict[str, str], about: str
) -> None:
    asked = {"ecrRepositoryPrefix": prefix, "upstreamRegistryUrl": "public.ecr.aws", **wrong}
    asked = {key: value.format(account=account) for key, value in asked.items()}

    code, message = refused(ecr.create_pull_through_cache_rule, **asked)

    assert code == "InvalidParameterException"
    assert about in message


def test_a_prefix_has_one_rule_with_and_without_the_slash_at_its_end(
    ecr: Any, account: str, prefix: str
) -> None:
    ecr.create_pull_through_cache_rule(ecrRepositoryPrefix=prefix, upstreamRegistryUrl="quay.io")

    refusal = refused(
        ecr.create_pull_through_cache_rule, ecrRepositoryPrefix=f"{prefix}/", upstreamRegistryUrl="quay.io"
    )

    assert refusal == (
        "PullThroughCacheRuleAlreadyExistsException",
        f"A pull through cache rule with repository prefix '{prefix}/' already exists in the registry with id "
        f"'{account}'",
    )


def test_a_secret_that_does_not_exist_is_not_found(
    ecr: Any, homeport: Homeport, account: str, prefix: str
) -> None:
    arn = ABSENT.format(region=homeport.credentials.region, account=account)

    code, _ = refused(
        ecr.create_pull_through_cache_rule,
        ecrRepositoryPrefix=prefix,
        upstreamRegistryUrl="ghcr.io",
        credentialArn=arn,
    )

    assert code == "SecretNotFoundException"


@pytest.mark.parametrize(("region", "owner"), [("eu-south-2", None), (None, "999999999999")])
def test_a_secret_of_another_region_or_account_cannot_be_accessed(
    ecr: Any, homeport: Homeport, account: str, prefix: str, region: str | None, owner: str | None
) -> None:
    arn = ABSENT.format(region=region or homeport.credentials.region, account=owner or account)

    code, _ = refused(
        ecr.create_pull_through_cache_rule,
        ecrRepositoryPrefix=prefix,
        upstreamRegistryUrl="ghcr.io",
        credentialArn=arn,
    )

    assert code == "UnableToAccessSecretException"


def test_a_secret_that_is_being_deleted_cannot_be_accessed(ecr: Any, secrets: Any, prefix: str) -> None:
    arn = new_secret(secrets, SecretString=LOGIN)
    secrets.delete_secret(SecretId=arn)

    code, _ = refused(
        ecr.create_pull_through_cache_rule,
        ecrRepositoryPrefix=prefix,
        upstreamRegistryUrl="ghcr.io",
        credentialArn=arn,
    )

    assert code == "UnableToAccessSecretException"


@pytest.mark.parametrize(
    "value",
    [
        "hunter2",
        "[]",
        "[" * 30_000,
        '{"username": "cart"}',
        '{"username": "cart", "accessToken": ""}',
        '{"username": 1, "accessToken": "hunter2"}',
        None,
    ],
)
def test_a_secret_without_credentials_is_refused_and_not_quoted(
    ecr: Any, secrets: Any, prefix: str, value: str | None
) -> None:
    arn = new_secret(secrets, **({"SecretString": value} if value is not None else {}))

    code, message = refused(
        ecr.create_pull_through_cache_rule,
        ecrRepositoryPrefix=prefix,
        upstreamRegistryUrl="ghcr.io",
        credentialArn=arn,
    )

    assert code == "UnableToDecryptSecretValueException"
    assert "hunter2" not in message


def test_an_update_changes_the_credentials_and_nothing_else(
    ecr: Any, secrets: Any, login: str, prefix: str
) -> None:
    ecr.create_pull_through_cache_rule(
        ecrRepositoryPrefix=prefix, upstreamRegistryUrl="ghcr.io", credentialArn=login
    )
    before, other = described(ecr, prefix), new_secret(secrets, SecretString=LOGIN)

    changed = ecr.update_pull_through_cache_rule(ecrRepositoryPrefix=prefix, credentialArn=other)

    after = described(ecr, prefix)
    assert changed["credentialArn"] == after["credentialArn"] == other
    assert changed["updatedAt"] == after["updatedAt"] > before["updatedAt"]
    different = {key for key in before if before[key] != after[key]}
    assert different == {"credentialArn", "updatedAt"}


def test_an_update_with_a_bad_secret_leaves_the_rule(ecr: Any, secrets: Any, login: str, prefix: str) -> None:
    ecr.create_pull_through_cache_rule(
        ecrRepositoryPrefix=prefix, upstreamRegistryUrl="ghcr.io", credentialArn=login
    )

    code, _ = refused(
        ecr.update_pull_through_cache_rule,
        ecrRepositoryPrefix=prefix,
        credentialArn=new_secret(secrets, SecretString="nothing"),
    )

    assert code == "UnableToDecryptSecretValueException"
    assert described(ecr, prefix)["credentialArn"] == login


def test_a_deleted_rule_is_answered_and_gone(ecr: Any, account: str, prefix: str) -> None:
    made = ecr.create_pull_through_cache_rule(ecrRepositoryPrefix=prefix, upstreamRegistryUrl="quay.io")

    gone = ecr.delete_pull_through_cache_rule(ecrRepositoryPrefix=prefix)

    assert gone["createdAt"] == made["createdAt"]
    assert gone["upstreamRegistryUrl"] == "quay.io"
    expected = (
        "PullThroughCacheRuleNotFoundException",
        f"Pull through cache rule with repository prefix '{prefix}' does not exist in the registry with id "
        f"'{account}'",
    )
    assert refused(ecr.delete_pull_through_cache_rule, ecrRepositoryPrefix=prefix) == expected
    assert refused(ecr.update_pull_through_cache_rule, ecrRepositoryPrefix=prefix) == expected
    assert refused(ecr.validate_pull_through_cache_rule, ecrRepositoryPrefix=prefix) == expected
    assert refused(ecr.describe_pull_through_cache_rules, ecrRepositoryPrefixes=[prefix]) == expected


def test_a_rule_is_not_said_to_work_as_long_as_nothing_is_pulled_through(ecr: Any, prefix: str) -> None:
    ecr.create_pull_through_cache_rule(ecrRepositoryPrefix=prefix, upstreamRegistryUrl="quay.io")

    answer = ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix=prefix)

    assert answer["isValid"] is False
    assert "was not contacted" in answer["failure"]
    assert answer["upstreamRegistryUrl"] == "quay.io"


def test_validation_finds_credentials_that_went_bad(ecr: Any, secrets: Any, prefix: str) -> None:
    arn = new_secret(secrets, SecretString=LOGIN)
    ecr.create_pull_through_cache_rule(
        ecrRepositoryPrefix=prefix, upstreamRegistryUrl="ghcr.io", credentialArn=arn
    )

    secrets.put_secret_value(SecretId=arn, SecretString="not json")
    spoilt = ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix=prefix)
    secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    gone = ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix=prefix)

    assert (spoilt["isValid"], gone["isValid"]) == (False, False)
    assert "unable to be decrypted" in spoilt["failure"]
    assert "was not found" in gone["failure"]


def test_rules_are_listed_by_pages_in_order_of_prefix(owner: Any) -> None:
    for prefix in ("quay", "ROOT", "aws/public"):
        owner.create_pull_through_cache_rule(ecrRepositoryPrefix=prefix, upstreamRegistryUrl="quay.io")

    pages = owner.get_paginator("describe_pull_through_cache_rules").paginate(
        PaginationConfig={"PageSize": 2}
    )

    listed = [[each["ecrRepositoryPrefix"] for each in page["pullThroughCacheRules"]] for page in pages]
    assert listed == [["ROOT", "aws/public"], ["quay"]]


def test_a_registry_has_at_most_fifty_rules(owner: Any) -> None:
    for number in range(50):
        owner.create_pull_through_cache_rule(
            ecrRepositoryPrefix=f"rule-{number}", upstreamRegistryUrl="quay.io"
        )

    code, _ = refused(
        owner.create_pull_through_cache_rule, ecrRepositoryPrefix="one-more", upstreamRegistryUrl="quay.io"
    )

    assert code == "LimitExceededException"


@pytest.mark.parametrize("who", ["stranger", "neighbour"])
def test_nobody_uses_the_rules_of_a_registry_without_permission(
    homeport: Homeport, request: pytest.FixtureRequest, account: str, prefix: str, who: str
) -> None:
    someone: Credentials = request.getfixturevalue(who)
    theirs: Any = homeport.client(credentials=someone)
    named = {"registryId": account, "ecrRepositoryPrefix": prefix}

    for refusal in (
        refused(theirs.create_pull_through_cache_rule, **named, upstreamRegistryUrl="quay.io"),
        refused(theirs.update_pull_through_cache_rule, **named),
        refused(theirs.delete_pull_through_cache_rule, **named),
        refused(theirs.validate_pull_through_cache_rule, **named),
        refused(theirs.describe_pull_through_cache_rules, registryId=account),
    ):
        assert refusal[0] == "AccessDeniedException"


def test_a_role_must_be_passed_to_the_rule(homeport: Homeport, account: str, prefix: str) -> None:
    who = homeport.user(prefix, policy("ecr:*"))
    theirs: Any = homeport.client(credentials=who)

    code, message = refused(
        theirs.create_pull_through_cache_rule,
        ecrRepositoryPrefix=prefix,
        upstreamRegistryUrl="999999999999.dkr.ecr.eu-south-2.amazonaws.com",
        customRoleArn=f"arn:aws:iam::{account}:role/puller",
    )

    assert code == "AccessDeniedException"
    assert "iam:PassRole" in message


def test_an_upstream_prefix_is_shown_only_when_it_was_given(ecr: Any, prefix: str) -> None:
    for name, more in ((prefix, {}), (f"{prefix}/x", {"upstreamRepositoryPrefix": "ROOT"})):
        ecr.create_pull_through_cache_rule(ecrRepositoryPrefix=name, upstreamRegistryUrl="quay.io", **more)

    # Terraform would replace a rule for a prefix that its configuration does not have.
    assert "upstreamRepositoryPrefix" not in described(ecr, prefix)
    assert described(ecr, f"{prefix}/x")["upstreamRepositoryPrefix"] == "ROOT"
