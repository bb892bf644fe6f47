"""Signing configuration: what may be configured, and statuses that say honestly that nothing was signed."""

from __future__ import annotations

from typing import Any

from tests.api.calls import new_name, put, refused, unknown_repository
from tests.harness.images import random_image
from tests.harness.server import Credentials, Homeport


def profile(owner: Credentials, name: str = "releases", region: str | None = None) -> str:
    """The resource name of a signing profile."""
    return f"arn:aws:signer:{region or owner.region}:{owner.account_id}:/signing-profiles/{name}"


def rule(arn: str, *filters: str) -> dict[str, Any]:
    """A signing rule."""
    if not filters:
        return {"signingProfileArn": arn}
    shown = [{"filter": each, "filterType": "WILDCARD_MATCH"} for each in filters]
    return {"signingProfileArn": arn, "repositoryFilters": shown}


def configure(client: Any, *rules: dict[str, Any]) -> Any:
    """Put these rules."""
    return client.put_signing_configuration(signingConfiguration={"rules": list(rules)})


def test_rules_are_answered_exactly_as_they_were_put(own: Any, owner: Credentials) -> None:
    expected = {"rules": [rule(profile(owner)), rule(profile(owner, "other"), "prod/*", "*web")]}

    put_ = configure(own, *expected["rules"])
    got = own.get_signing_configuration()
    deleted = own.delete_signing_configuration()

    assert put_["signingConfiguration"] == expected
    for answer in (got, deleted):
        assert answer["registryId"] == owner.account_id
        assert answer["signingConfiguration"] == expected


def test_a_new_configuration_replaces_the_whole(own: Any, owner: Credentials) -> None:
    configure(own, rule(profile(owner)))

    configure(own)

    assert own.get_signing_configuration()["signingConfiguration"] == {"rules": []}


def test_no_configuration_is_a_failure_of_its_own(own: Any, owner: Credentials) -> None:
    first = refused(own.get_signing_configuration)
    configure(own, rule(profile(owner)))
    own.delete_signing_configuration()

    assert first[0] == "SigningConfigurationNotFoundException"
    assert owner.account_id in first[1]
    assert refused(own.get_signing_configuration) == first
    assert refused(own.delete_signing_configuration) == first


def test_a_profile_of_another_region_is_refused(own: Any, owner: Credentials) -> None:
    rules = [rule(profile(owner, region="mars-north-1"))]

    code, message = refused(own.put_signing_configuration, signingConfiguration={"rules": rules})

    assert code == "InvalidParameterException"
    assert owner.region in message
    assert refused(own.get_signing_configuration)[0] == "SigningConfigurationNotFoundException"


def test_a_profile_of_another_account_is_taken(own: Any, owner: Credentials, neighbour: Credentials) -> None:
    expected = [rule(profile(neighbour))]

    assert configure(own, *expected)["signingConfiguration"]["rules"] == expected


def test_a_configuration_has_ten_rules_at_most(own: Any, owner: Credentials) -> None:
    rules = [rule(profile(owner, f"number_{number}")) for number in range(11)]
    configure(own, *rules[:10])

    assert (
        refused(own.put_signing_configuration, signingConfiguration={"rules": rules})[0]
        == "InvalidParameterException"
    )
    assert len(own.get_signing_configuration()["signingConfiguration"]["rules"]) == 10


def test_who_may_do_nothing_cannot_touch_signing(
    homeport: Homeport, stranger: Credentials, repository: str
) -> None:
    theirs: Any = homeport.client(credentials=stranger)

    for call, params in (
        (theirs.get_signing_configuration, {}),
        (theirs.put_signing_configuration, {"signingConfiguration": {"rules": []}}),
        (theirs.delete_signing_configuration, {}),
        (theirs.describe_image_signing_status, {"repositoryName": repository, "imageId": {"imageTag": "a"}}),
    ):
        assert refused(call, **params)[0] == "AccessDeniedException"


# --- The status of an image ---


def test_an_image_has_a_failed_signature_for_each_profile_that_matches(own: Any, owner: Credentials) -> None:
    own.create_repository(repositoryName="prod/web")
    digest = put(own, "prod/web", random_image(), "v1")
    every, some, none = (profile(owner, name) for name in ("every", "some", "none"))
    configure(own, rule(every), rule(some, "prod/*"), rule(some, "*web"), rule(none, "web", "test/*"))

    answer = own.describe_image_signing_status(repositoryName="prod/web", imageId={"imageTag": "v1"})

    assert answer["repositoryName"] == "prod/web"
    assert answer["registryId"] == owner.account_id
    assert answer["imageId"] == {"imageDigest": digest, "imageTag": "v1"}
    assert [each["signingProfileArn"] for each in answer["signingStatuses"]] == [every, some]
    for status in answer["signingStatuses"]:
        assert status["status"] == "FAILED"
        assert status["failureCode"] == "SigningNotAvailable"
        assert "does not sign" in status["failureReason"]


def test_an_image_that_nothing_should_sign_has_no_status(own: Any) -> None:
    own.create_repository(repositoryName="web")
    digest = put(own, "web", random_image())

    answer = own.describe_image_signing_status(repositoryName="web", imageId={"imageDigest": digest})

    assert answer["signingStatuses"] == []


def test_the_status_of_what_does_not_exist_is_refused(ecr: Any, account: str, repository: str) -> None:
    name = new_name()
    image = {"imageTag": "none"}

    code, _ = refused(ecr.describe_image_signing_status, repositoryName=repository, imageId=image)
    missing = refused(ecr.describe_image_signing_status, repositoryName=name, imageId=image)

    assert code == "ImageNotFoundException"
    assert missing == unknown_repository(name, account)
