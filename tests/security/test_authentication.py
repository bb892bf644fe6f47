"""Section "Authentication and tokens": cases A3 to A26 over the network; web identities are in their own file."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from homeport.access.sealing import MasterKeyError, load_master_key
from tests.api.calls import new_name, policy, put, refused
from tests.api.issued import password
from tests.api.signing import FORM, JSON, Signer, call, fault
from tests.harness.images import OCI_MANIFEST, random_image, sha256
from tests.harness.oci import OciClient
from tests.harness.server import Credentials, Homeport
from tests.oci.raw import Site

ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


def of(homeport: Homeport, who: Credentials) -> Site:
    """The registry as a user of it."""
    return Site.of(homeport.url, homeport.password(who))


# --- Keys and tokens ---


@pytest.mark.parametrize("content", [b"", b"00" * 32, b"secret", b"5e" * 31, b"0123456789abcdef" * 4])
def test_a3_a_key_that_is_empty_constant_or_short_does_not_start_the_server(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "master.key"
    file.write_bytes(content)
    file.chmod(0o600)

    with pytest.raises(MasterKeyError):
        load_master_key(file)


def test_a4_a_token_of_another_region_or_server_is_nobodys(
    homeport: Homeport, fresh_homeport: Callable[..., Homeport]
) -> None:
    elsewhere = fresh_homeport(account=homeport.credentials.account_id, region="eu-west-1")

    assert Site.of(homeport.url, elsewhere.password()).ask("GET", "/v2/").status == 401
    assert Site.of(elsewhere.url, homeport.password()).ask("GET", "/v2/").status == 401


def test_a5_a_good_password_without_the_right_is_denied(
    homeport: Homeport, repository: str, stranger: Callable[..., Credentials]
) -> None:
    answer = of(homeport, stranger()).ask("GET", f"/v2/{repository}/tags/list")

    answer.refused(403, "DENIED")


def test_a6_who_may_push_may_not_delete(homeport: Homeport, repository: str) -> None:
    pusher = homeport.user(
        f"pusher-{uuid.uuid4().hex[:8]}",
        policy(
            "ecr:GetAuthorizationToken",
            "ecr:BatchCheckLayerAvailability",
            "ecr:InitiateLayerUpload",
            "ecr:UploadLayerPart",
            "ecr:CompleteLayerUpload",
            "ecr:PutImage",
            "ecr:BatchGetImage",
        ),
    )
    theirs: Any = homeport.client(credentials=pusher)
    image = random_image()
    put(theirs, repository, image, "v1")

    answer = of(homeport, pusher).ask("DELETE", f"/v2/{repository}/manifests/{image.digest}")

    answer.refused(403, "DENIED")
    assert of(homeport, pusher).ask("GET", f"/v2/{repository}/manifests/v1").status == 200


def test_a7_where_tags_are_immutable_a_pusher_creates_and_cannot_overwrite(
    homeport: Homeport, repository: str
) -> None:
    ecr: Any = homeport.client()
    ecr.put_image_tag_mutability(repositoryName=repository, imageTagMutability="IMMUTABLE")
    put(ecr, repository, random_image(), "latest")
    other = random_image()
    put(ecr, repository, other)

    overwritten = Site.of(homeport.url, homeport.password()).ask(
        "PUT", f"/v2/{repository}/manifests/latest", {"Content-Type": OCI_MANIFEST}, other.manifest.data
    )

    overwritten.refused(400, "TAG_INVALID")


@pytest.mark.parametrize(
    "scope",
    [
        "repository:a:pull,push repository:b:*",
        "repository:*:*",
        "registry:catalog:*",
        "repository:a b:pull",
    ],
)
def test_a8_a_scope_in_the_address_widens_nothing(
    homeport: Homeport, repository: str, stranger: Callable[..., Credentials], scope: str
) -> None:
    asked = scope.replace(" ", "%20")

    answer = of(homeport, stranger()).ask("GET", f"/v2/{repository}/tags/list?scope={asked}&service=x")

    assert answer.status == 403


def test_a9_who_shows_no_credentials_gets_no_token(homeport: Homeport, repository: str) -> None:
    nobody = Site(homeport.url, "")

    assert nobody.ask("GET", f"/v2/{repository}/tags/list").status == 401
    assert nobody.ask("GET", "/token?service=ecr.amazonaws.com&scope=repository:a:pull").status == 404
    assert (
        fault(call(homeport.url, "GetAuthorizationToken", {}, None))[0]
        == "MissingAuthenticationTokenException"
    )


def test_a10_a_removed_key_ends_its_password_with_the_next_request(homeport: Homeport) -> None:
    gone = homeport.user(f"gone-{uuid.uuid4().hex[:8]}", policy("ecr:*"))
    site = of(homeport, gone)
    assert site.ask("GET", "/v2/").status == 200

    assert homeport.command("key", "delete", gone.access_key_id).code == 0

    assert site.ask("GET", "/v2/").status == 401


@pytest.mark.parametrize(
    ("age", "status"),
    [
        (timedelta(hours=11, minutes=58), 200),
        (timedelta(hours=12, seconds=5), 403),
        (timedelta(minutes=-10), 401),
    ],
)
def test_a11_a_password_works_for_its_twelve_hours_only(
    homeport: Homeport, age: timedelta, status: int
) -> None:
    issued = password(homeport, homeport.credentials, age=age)

    assert Site.of(homeport.url, issued).ask("GET", "/v2/").status == status


# --- Signatures ---


@pytest.mark.parametrize(
    ("change", "hashed"),
    [
        ({"region": "ap-south-1"}, None),
        ({"service": "s3"}, None),
        ({}, "UNSIGNED-PAYLOAD"),
        ({}, sha256(b"another body").removeprefix("sha256:")),
    ],
)
def test_a12_a_signature_for_something_else_is_refused(
    homeport: Homeport, change: dict[str, str], hashed: str | None
) -> None:
    who = homeport.credentials
    signer = Signer(
        who.access_key_id,
        who.secret_access_key,
        change.get("region", who.region),
        change.get("service", "ecr"),
    )

    answer = call(homeport.url, "DescribeRepositories", {}, signer, payload_hash=hashed)

    assert fault(answer)[0] == "InvalidSignatureException"


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a13_a_signature_of_another_time_is_refused(homeport: Homeport, minutes: int) -> None:
    at = datetime.now(UTC) + timedelta(minutes=minutes)

    answer = call(homeport.url, "DescribeRepositories", {}, Signer.of(homeport.credentials), at=at)

    assert fault(answer)[0] == "InvalidSignatureException"


def test_a14_a_request_sent_twice_changes_nothing_the_second_time(homeport: Homeport) -> None:
    at, name = datetime.now(UTC), new_name("replay")
    signer = Signer.of(homeport.credentials)

    first, second = (
        call(homeport.url, "CreateRepository", {"repositoryName": name}, signer, at=at) for _ in range(2)
    )

    assert first.status == 200
    assert fault(second)[0] == "RepositoryAlreadyExistsException"


def test_a15_what_may_come_once_and_comes_twice_is_refused(homeport: Homeport, site: Site) -> None:
    with site.line() as line:
        line.send(line.head("GET", "/v2/").replace(b"\r\n\r\n", b"\r\nAuthorization: Basic QVdTOng=\r\n\r\n"))
        assert line.answer().status == 400
    target = {
        "X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories",
        "Content-Type": JSON,
    }
    with site.line() as line:
        head = line.head("POST", "/", {**target, "Content-Length": "2", "Authorization": ""})
        twice = b"\r\nX-Amz-Target: AmazonEC2ContainerRegistry_V20150921.DeleteRepository\r\n\r\n"
        line.send(head.replace(b"\r\n\r\n", twice) + b"{}")
        assert line.answer().status == 400
    body = b"Action=GetCallerIdentity&Version=2011-06-15&Action=GetSessionToken"
    sent = {"host": homeport.host, "content-type": FORM}
    signed = Signer.of(homeport.credentials, "sts").sign("POST", sent, body)
    repeated = OciClient(homeport.url).request("POST", "/", headers=signed, body=body)
    assert repeated.status == 400


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Remote-User", "X-Forwarded-User"]
)
def test_a16_what_a_client_says_about_itself_is_not_believed(homeport: Homeport, header: str) -> None:
    inside = policy("ecr:*")
    inside["Statement"][0]["Condition"] = {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}
    who = homeport.user(f"inside-{uuid.uuid4().hex[:8]}", inside)

    answer = call(homeport.url, "DescribeRepositories", {}, Signer.of(who), headers={header: "203.0.113.9"})

    assert fault(answer)[0] == "AccessDeniedException"
    assert Site(homeport.url, "").ask("GET", "/v2/", {header: "127.0.0.1"}).status == 401


def test_a17_a_host_of_somebody_else_is_never_in_an_answer(site: Site, repository: str) -> None:
    for path in ("/v2/", f"/v2/{repository}/blobs/uploads/"):
        answer = site.ask("POST", path, {"Host": "evil.example"})

        assert answer.status == 404
        assert not any("evil.example" in value for value in answer.headers.values())


def test_a19_the_first_start_makes_one_administrator_with_a_random_secret(
    fresh_homeport: Callable[..., Homeport],
) -> None:
    one, two = fresh_homeport().credentials, fresh_homeport().credentials

    assert one.secret_access_key != two.secret_access_key
    assert one.access_key_id != two.access_key_id
    assert len(one.secret_access_key) == 40


@pytest.mark.parametrize(
    "more", [{"Admin": "true"}, {"PolicyArn": ADMINISTRATOR}, {"UserId": "root"}, {"Role": "admin"}]
)
def test_a20_a_new_user_has_no_rights_whatever_the_request_adds(
    homeport: Homeport, more: dict[str, str]
) -> None:
    name = f"new-{uuid.uuid4().hex[:8]}"
    body = urlencode({"Action": "CreateUser", "Version": "2010-05-08", "UserName": name, **more}).encode()
    sent = {"host": homeport.host, "content-type": FORM}
    signed = Signer.of(homeport.credentials, "iam").sign("POST", sent, body)
    assert OciClient(homeport.url).request("POST", "/", headers=signed, body=body).status == 200

    key = homeport.client("iam").create_access_key(UserName=name)["AccessKey"]
    theirs: Any = homeport.client(
        aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
    )

    assert refused(theirs.describe_repositories)[0] == "AccessDeniedException"


# --- Secrets stay secret ---


def test_a23_no_secret_is_ever_logged(fresh_homeport: Callable[..., Homeport]) -> None:
    homeport = fresh_homeport()
    who, secret = homeport.credentials, homeport.password()
    ecr: Any = homeport.client()
    ecr.create_repository(repositoryName="one")
    Site.of(homeport.url, secret).ask("GET", "/v2/one/tags/list")
    Site.of(homeport.url, secret + "x").ask("GET", "/v2/one/tags/list")
    with Site.of(homeport.url, secret).line() as line:  # what the parser itself refuses
        line.send(line.head("GET", "/v2/").replace(b"Host:", b"Ho st:"))
        while line.socket.recv(4096):
            pass
    homeport.terminate()

    said = "\n".join(homeport.output)

    assert who.secret_access_key not in said
    assert secret not in said
    assert base64.b64encode(f"AWS:{secret}".encode()).decode() not in said
    assert "signature" not in said.lower()


def test_a24_secrets_of_keys_are_shown_once_and_never_again(homeport: Homeport) -> None:
    iam: Any = homeport.client("iam")
    name = f"holder-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    secret = iam.create_access_key(UserName=name)["AccessKey"]["SecretAccessKey"]

    listed = iam.list_access_keys(UserName=name)
    shown = homeport.command("user", "list").out

    assert secret not in json.dumps(listed, default=str)
    assert secret not in shown


@pytest.mark.parametrize("parameter", ["token", "access_token", "Authorization", "password"])
def test_a25_a_token_in_the_address_is_not_one(homeport: Homeport, parameter: str) -> None:
    answer = Site(homeport.url, "").ask("GET", f"/v2/?{parameter}={homeport.password()}")

    assert answer.status == 401


def test_a26_a_push_goes_on_with_a_new_password_of_the_same_user(homeport: Homeport, repository: str) -> None:
    almost = password(homeport, homeport.credentials, age=timedelta(hours=11, minutes=59))
    over = password(homeport, homeport.credentials, age=timedelta(hours=12, minutes=1))
    data = b"first half, second half"
    first = Site.of(homeport.url, almost)
    upload = first.ask("POST", f"/v2/{repository}/blobs/uploads/", body=b"").headers["location"]
    upload = first.ask("PATCH", upload, body=data[:10]).headers["location"]

    late = Site.of(homeport.url, over).ask("PATCH", upload, body=data[10:])
    renewed = Site.of(homeport.url, homeport.password())
    upload = renewed.ask("PATCH", upload, body=data[10:]).headers["location"]
    done = renewed.ask("PUT", f"{upload}?digest={sha256(data)}", body=b"")

    assert late.status == 403
    assert done.status == 201
    assert OciClient(homeport.url, password=homeport.password()).pull_blob(repository, sha256(data)) == data
