"""GetAuthorizationToken, the passwords that it gives, temporary credentials, and how soon a change counts."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.calls import policy, put, refused
from tests.api.issued import expired_session, password
from tests.api.signing import call, fault
from tests.harness.images import random_image
from tests.harness.oci import OciClient
from tests.harness.server import Credentials, Homeport


def status(homeport: Homeport, secret: str, path: str = "/v2/") -> int:
    """The HTTP status that a registry password gets."""
    return OciClient(homeport.url, password=secret).request("GET", path).status


def session(homeport: Homeport, user: str, *, seconds: int | None = None, narrowed: Any = None) -> Any:
    """Temporary credentials through `homeport session`, as its JSON says them."""
    words = ["session", user, "--json"]
    words += ["--seconds", str(seconds)] if seconds is not None else []
    words += ["--policy-file", "-"] if narrowed is not None else []
    done = homeport.here(*words, stdin=json.dumps(narrowed) if narrowed is not None else "")
    assert done.code == 0, str(done)
    return json.loads(done.out)


def client_of(homeport: Homeport, issued: Any, service: str = "ecr") -> Any:
    """A boto3 client with temporary credentials."""
    return homeport.client(
        service,
        aws_access_key_id=issued["AccessKeyId"],
        aws_secret_access_key=issued["SecretAccessKey"],
        aws_session_token=issued["SessionToken"],
    )


def password_of(ecr: Any) -> str:
    """The docker password that a client is given."""
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    return base64.b64decode(token).decode().removeprefix("AWS:")


@pytest.fixture(scope="session")
def temporary(homeport: Homeport, pusher: Credentials) -> Any:
    """Temporary credentials of the pusher, for a quarter of an hour."""
    return session(homeport, pusher.user_name, seconds=900)


# --- GetAuthorizationToken ---


def test_a_token_is_for_the_own_registry_and_twelve_hours(homeport: Homeport, ecr: Any) -> None:
    data = ecr.get_authorization_token()["authorizationData"]

    assert len(data) == 1
    assert data[0]["proxyEndpoint"] == homeport.url
    left = data[0]["expiresAt"] - datetime.now(UTC)
    assert timedelta(hours=11, minutes=59) < left <= timedelta(hours=12)
    assert base64.b64decode(data[0]["authorizationToken"]).startswith(b"AWS:")


def test_a_token_works_as_basic_authorization_as_it_is(homeport: Homeport, ecr: Any) -> None:
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]

    for scheme in ("Basic", "basic"):
        headers = {"Authorization": f"{scheme} {token}"}
        OciClient(homeport.url).request("GET", "/v2/", headers=headers).expect(200)
    bearer = {"Authorization": f"Bearer {homeport.password()}"}
    OciClient(homeport.url).request("GET", "/v2/", headers=bearer).expect(200)


def test_each_registry_asked_for_gets_an_entry_with_its_address(
    homeport: Homeport, ecr: Any, account: str, neighbour: Credentials
) -> None:
    data = ecr.get_authorization_token(registryIds=[account, neighbour.account_id])["authorizationData"]

    port = homeport.host.rpartition(":")[2]
    region = homeport.credentials.region
    assert [each["proxyEndpoint"] for each in data] == [
        homeport.url,
        f"http://{neighbour.account_id}.dkr.ecr.{region}.localhost:{port}",
    ]


def test_getting_a_token_needs_permission(homeport: Homeport, stranger: Credentials) -> None:
    theirs: Any = homeport.client(credentials=stranger)

    code, message = refused(theirs.get_authorization_token)

    assert code == "AccessDeniedException"
    assert message == (
        f"User: {stranger.user_arn} is not authorized to perform: ecr:GetAuthorizationToken on resource: * "
        "because no identity-based policy allows the ecr:GetAuthorizationToken action"
    )


@pytest.mark.parametrize("secret", ["", "made-up", "A" * 9000, "ümlaut"])
def test_a_made_up_password_is_challenged(homeport: Homeport, secret: str) -> None:
    answer = OciClient(homeport.url, password=secret).request("GET", "/v2/")

    assert answer.status == 401
    assert answer.header("WWW-Authenticate") == (f'Basic realm="{homeport.url}/",service="ecr.amazonaws.com"')


def test_a_changed_password_is_challenged(homeport: Homeport) -> None:
    good = homeport.password()
    place = len(good) // 2

    changed = good[:place] + ("A" if good[place] != "A" else "B") + good[place + 1 :]

    assert status(homeport, good) == 200
    assert status(homeport, changed) == 401


def test_the_user_must_be_aws(homeport: Homeport) -> None:
    answer = OciClient(homeport.url, "administrator", homeport.password()).request("GET", "/v2/")

    assert answer.status == 401


def test_a_password_from_before_twelve_hours_is_told_to_have_expired(homeport: Homeport) -> None:
    who = homeport.credentials
    fresh = password(homeport, who, age=timedelta(hours=11, minutes=59))
    old = password(homeport, who, age=timedelta(hours=12))

    answer = OciClient(homeport.url, password=old).request("GET", "/v2/")

    assert status(homeport, fresh) == 200
    assert answer.status == 403
    assert answer.json()["errors"] == [
        {
            "code": "DENIED",
            "message": "Your authorization token has expired. Reauthenticate and try again.",
        }
    ]


def test_a_password_is_worth_nothing_on_another_server(
    homeport: Homeport, fresh_homeport: Callable[..., Homeport]
) -> None:
    other = fresh_homeport(account=homeport.credentials.account_id)

    assert status(other, homeport.password()) == 401
    assert status(homeport, other.password()) == 401


# --- Temporary credentials ---


def test_a_session_acts_as_its_user_over_both_fronts(
    homeport: Homeport, pusher: Credentials, temporary: Any, repository: str
) -> None:
    ecr = client_of(homeport, temporary)
    image = random_image()

    put(ecr, repository, image, "v1")
    secret = password_of(ecr)
    pulled = OciClient(homeport.url, password=secret).pull_manifest(repository, "v1")
    me = client_of(homeport, temporary, "sts").get_caller_identity()

    assert pulled.digest == image.digest
    assert me["Arn"] == pusher.user_arn
    assert refused(ecr.delete_repository, repositoryName=repository)[0] == "AccessDeniedException"


def test_the_password_of_a_session_ends_with_it(homeport: Homeport, temporary: Any) -> None:
    data = client_of(homeport, temporary).get_authorization_token()["authorizationData"][0]

    end = datetime.fromisoformat(temporary["Expiration"])
    assert abs(data["expiresAt"] - end) < timedelta(seconds=1)
    assert end - datetime.now(UTC) <= timedelta(seconds=900)


def test_a_session_policy_narrows_api_and_password_alike(
    homeport: Homeport, pusher: Credentials, ecr: Any, repository: str
) -> None:
    put(ecr, repository, random_image(), "v1")
    narrowed = policy("ecr:ListImages", "ecr:GetAuthorizationToken", "ecr:DeleteRepository")
    theirs = client_of(homeport, session(homeport, "pusher", narrowed=narrowed))

    listed = theirs.list_images(repositoryName=repository)["imageIds"]
    narrow = refused(theirs.describe_images, repositoryName=repository)
    never_had = refused(theirs.delete_repository, repositoryName=repository)
    oci = OciClient(homeport.url, password=password_of(theirs))
    manifest = oci.get_manifest(repository, "v1")

    assert len(listed) == 1
    assert narrow[0] == never_had[0] == "AccessDeniedException"
    assert narrow[1].endswith("because no session policy allows the ecr:DescribeImages action")
    assert oci.tags(repository) == ["v1"]
    assert manifest.status == 403
    assert manifest.error_codes == ["DENIED"]


def test_a_session_that_is_over_is_refused(homeport: Homeport) -> None:
    signer = expired_session(homeport, homeport.credentials)

    answer = call(homeport.url, "DescribeRegistry", {}, signer)

    assert fault(answer) == (
        "ExpiredTokenException",
        "The security token included in the request is expired",
    )


def test_session_credentials_without_their_token_are_nobody(homeport: Homeport, temporary: Any) -> None:
    theirs: Any = homeport.client(
        aws_access_key_id=temporary["AccessKeyId"], aws_secret_access_key=temporary["SecretAccessKey"]
    )

    assert refused(theirs.describe_registry)[0] == "UnrecognizedClientException"


def test_a_session_token_of_one_key_does_not_fit_another(homeport: Homeport, temporary: Any) -> None:
    mixed: Any = homeport.client(aws_session_token=temporary["SessionToken"])

    assert refused(mixed.describe_registry)[0] == "UnrecognizedClientException"


@pytest.mark.parametrize("seconds", [899, 129_601])
def test_a_session_of_an_unreasonable_length_is_not_made(homeport: Homeport, seconds: int) -> None:
    done = homeport.here("session", "administrator", "--seconds", str(seconds), "--json")

    assert done.code != 0
    assert "durationSeconds" in done.err


# --- Changes count at once ---


def test_a_changed_policy_counts_for_tokens_that_are_out(
    homeport: Homeport, ecr: Any, repository: str
) -> None:
    put(ecr, repository, random_image(), "v1")
    reader = homeport.user("fickle", policy("ecr:*"))
    theirs: Any = homeport.client(credentials=reader)
    session_client = client_of(homeport, session(homeport, "fickle"))
    oci = OciClient(homeport.url, password=password_of(theirs))
    before = oci.get_manifest(repository, "v1").status

    changed = homeport.here("user", "put-policy", "fickle", "-", stdin=json.dumps(policy("ecr:ListImages")))

    assert changed.code == 0, str(changed)
    assert before == 200
    assert oci.get_manifest(repository, "v1").status == 403
    assert oci.tags(repository) == ["v1"]
    assert refused(theirs.describe_registry)[0] == "AccessDeniedException"
    assert refused(session_client.describe_registry)[0] == "AccessDeniedException"


def test_a_key_that_is_switched_off_ends_everything_that_came_from_it(homeport: Homeport) -> None:
    user = homeport.user("leaver", policy("ecr:*"))
    theirs: Any = homeport.client(credentials=user)
    temporary = client_of(homeport, session(homeport, "leaver"))
    secret, of_session = password_of(theirs), password_of(temporary)
    before = [status(homeport, secret), status(homeport, of_session)]

    off = homeport.here("key", "deactivate", user.access_key_id)
    without = [status(homeport, secret), status(homeport, of_session)]
    refusals = [refused(theirs.describe_registry)[0], refused(temporary.describe_registry)[0]]
    on = homeport.here("key", "activate", user.access_key_id)

    assert (off.code, on.code) == (0, 0)
    assert before == [200, 200]
    assert without == [401, 401]
    assert refusals == ["UnrecognizedClientException"] * 2
    assert status(homeport, secret) == 200


def test_a_user_who_is_gone_does_not_return_under_the_same_name(homeport: Homeport) -> None:
    first = homeport.user("phoenix", policy("ecr:*"))
    secret = homeport.password(first)
    before = status(homeport, secret)

    homeport.here("user", "delete", "phoenix")
    gone = status(homeport, secret)
    homeport.user("phoenix", policy("ecr:*"))

    assert (before, gone, status(homeport, secret)) == (200, 401, 401)
