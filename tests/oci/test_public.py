"""Public repositories over HTTP: anonymous pulls, pushes by those who may, and the paths and hosts of both."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from homeport.access.sealing import Sealer, load_master_key
from homeport.access.tokens import AuthorizationTokens
from tests.api.calls import policy
from tests.api.public import alias_of, new_public, password_of
from tests.harness.images import artifact, random_image, random_index, sha256
from tests.harness.oci import OciClient
from tests.harness.server import Credentials, Homeport
from tests.oci.raw import Answer, Site

HOST = "public.ecr.localhost"


@dataclass(frozen=True, slots=True)
class Open:
    """A public repository: its name, and its two paths by which a client gets to it."""

    server: Homeport
    name: str
    alias: str

    def path(self, host: str) -> str:
        """The name of the repository after `/v2/` on a host."""
        return f"{self.alias}/{self.name}" if host == HOST else f"public.ecr/{self.alias}/{self.name}"

    def ask(self, host: str, method: str, rest: str, password: str | None = None, **more: Any) -> Answer:
        """A request below the repository's path on `host`; without a password, nobody's."""
        site = Site.of(self.server.url, password) if password else Site(self.server.url, "")
        headers = {"Host": host, **more.pop("headers", {})}
        return site.ask(method, f"/v2/{self.path(host)}/{rest}", headers, **more)


@pytest.fixture(scope="session")
def public(homeport: Homeport) -> Any:
    """The administrator's client of ECR Public on the shared server."""
    return homeport.client("ecr-public")


@pytest.fixture(scope="session")
def password(public: Any) -> str:
    """The administrator's password for public images."""
    return password_of(public)


@pytest.fixture
def make(homeport: Homeport, public: Any) -> Callable[[], Open]:
    """Makes another empty public repository at every call."""
    return lambda: Open(homeport, new_public(public), alias_of(public))


@pytest.fixture
def open_(make: Callable[[], Open]) -> Open:
    """An empty public repository."""
    return make()


@pytest.fixture(params=["single", "public"])
def host(request: pytest.FixtureRequest, homeport: Homeport) -> str:
    """Each of the hosts under which public repositories are served."""
    return homeport.host if request.param == "single" else HOST


@pytest.fixture
def pusher(homeport: Homeport, password: str) -> OciClient:
    """A client of the single host with the administrator's password for public images."""
    return OciClient(homeport.url, password=password)


# --- Pulls ---


def test_anybody_pulls_without_credentials(
    open_: Open, host: str, pusher: OciClient, homeport: Homeport
) -> None:
    index = random_index()
    image = index.images[0]
    path = open_.path(homeport.host)
    pusher.push(path, index, "v1")
    note = artifact(b"note", artifact_type="application/x-note", subject=image.manifest)
    pusher.push(path, note)

    manifest = open_.ask(host, "GET", "manifests/v1")
    by_digest = open_.ask(host, "GET", f"manifests/{image.digest}")
    head = open_.ask(host, "HEAD", f"manifests/{image.digest}")
    blobs = [open_.ask(host, "GET", f"blobs/{blob.digest}") for blob in image.blobs]
    part = open_.ask(host, "GET", f"blobs/{image.blobs[0].digest}", headers={"Range": "bytes=0-3"})
    blob_head = open_.ask(host, "HEAD", f"blobs/{image.blobs[0].digest}")
    referrers = open_.ask(host, "GET", f"referrers/{image.digest}")
    tags = open_.ask(host, "GET", "tags/list")

    assert (manifest.status, manifest.body) == (200, index.manifest.data)
    assert (by_digest.status, by_digest.body) == (200, image.manifest.data)
    assert (head.status, head.headers["docker-content-digest"]) == (200, image.digest)
    assert [answer.body for answer in blobs] == [blob.data for blob in image.blobs]
    assert (part.status, part.body) == (206, image.blobs[0].data[:4])
    assert blob_head.headers["content-length"] == str(len(image.blobs[0].data))
    assert [each["digest"] for each in referrers.json()["manifests"]] == [note.digest]
    assert tags.json() == {"name": open_.path(host), "tags": ["v1"]}


def test_what_is_missing_is_told_to_nobody_too(open_: Open, host: str, homeport: Homeport) -> None:
    nothing = "sha256:" + "0" * 64
    site = Site(homeport.url, "")
    within = "" if host == HOST else "public.ecr/"

    def get(path: str) -> Answer:
        return site.ask("GET", path, {"Host": host})

    open_.ask(host, "GET", "manifests/absent").refused(404, "MANIFEST_UNKNOWN")
    open_.ask(host, "GET", f"blobs/{nothing}").refused(404, "BLOB_UNKNOWN")
    get(f"/v2/{within}{open_.alias}/absent/repository/manifests/v1").refused(404, "NAME_UNKNOWN")
    get(f"/v2/{within}nobody/{open_.name}/manifests/v1").refused(404, "NAME_UNKNOWN")
    get(f"/v2/{within}{open_.alias}/{open_.name}").refused(404)
    get(f"/v2/{within}{open_.alias}").refused(404)
    get(f"/v2/{within}{open_.alias}/_catalog").refused(404)
    get(f"/v2/{within}{open_.alias}/UPPER/manifests/v1").refused(400, "NAME_INVALID")


def test_pages_of_tags_follow_their_links(
    open_: Open, host: str, pusher: OciClient, homeport: Homeport
) -> None:
    image = random_image()
    for tag in ("a", "b", "c"):
        pusher.push(open_.path(homeport.host), image, tag)

    first = open_.ask(host, "GET", "tags/list?n=2")
    link = first.headers["link"].partition(">")[0].removeprefix("<")
    second = Site(homeport.url, "").ask("GET", link, {"Host": host})

    assert first.json()["tags"] == ["a", "b"]
    assert second.json() == {"name": open_.path(host), "tags": ["c"]}


def test_a_policy_cannot_deny_pulling(
    open_: Open, host: str, pusher: OciClient, homeport: Homeport, public: Any
) -> None:
    image = random_image()
    pusher.push(open_.path(homeport.host), image, "v1")
    deny = {"Effect": "Deny", "Principal": "*", "Action": ["ecr-public:*"]}
    text = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    public.set_repository_policy(repositoryName=open_.name, policyText=text, force=True)
    nothing = homeport.user(f"nothing-{host[:6].replace('.', '')}", policy("ecr:GetAuthorizationToken"))

    assert open_.ask(host, "GET", "manifests/v1").status == 200
    assert open_.ask(host, "GET", f"blobs/{image.blobs[0].digest}").status == 200
    assert open_.ask(host, "GET", "manifests/v1", homeport.password(nothing)).status == 200


# --- Credentials ---


def _expired(server: Homeport, who: Credentials, region: str) -> str:
    tokens = AuthorizationTokens(Sealer(load_master_key(server.data / "master.key")), region)
    then = datetime.now(UTC) - timedelta(hours=13)
    return tokens.issue(who.user_arn, who.account_id, who.access_key_id, then)[0]


def test_a_wrong_password_is_refused_for_pulls_too(open_: Open, host: str, password: str) -> None:
    changed = password[:-2] + ("AA" if password[-2:] != "AA" else "BB")

    for wrong in (changed, "made-up", "x", "anonymous"):
        assert open_.ask(host, "GET", "manifests/v1", wrong).status == 401
    assert open_.ask(host, "GET", "manifests/v1", headers={"Authorization": "Digest x"}).status == 401


@pytest.mark.parametrize("kind", ["public.ecr", "region"])
def test_an_expired_password_is_refused_for_pulls_too(
    open_: Open, host: str, homeport: Homeport, kind: str
) -> None:
    who = homeport.credentials
    expired = _expired(homeport, who, who.region if kind == "region" else kind)

    answer = open_.ask(host, "GET", "manifests/v1", expired).refused(403, "DENIED")

    assert "expired" in answer.json()["errors"][0]["message"]


def test_empty_credentials_are_nobodys(open_: Open, host: str) -> None:
    # containers/image answers a Basic challenge so when it has no credentials.
    empty = {"Authorization": "Basic " + base64.b64encode(b":").decode()}

    open_.ask(host, "GET", "manifests/absent", headers=empty).refused(404, "MANIFEST_UNKNOWN")
    assert open_.ask(host, "POST", "blobs/uploads/", headers=empty, body=b"").status == 401


def test_two_authorization_headers_are_refused(
    open_: Open, host: str, password: str, homeport: Homeport
) -> None:
    with Site.of(homeport.url, password).line() as line:
        head = line.head("GET", f"/v2/{open_.path(host)}/tags/list", {"Host": host})
        line.send(head[:-2] + b"Authorization: Basic Og==\r\n\r\n")

        assert line.answer().status == 400


def test_the_password_for_public_images_opens_no_private_repository(
    homeport: Homeport, repository: str, password: str
) -> None:
    site = Site.of(homeport.url, password)

    assert site.ask("GET", f"/v2/{repository}/tags/list").status == 401
    assert site.ask("GET", "/v2/_catalog").status == 401


def test_a_client_may_log_in_to_the_single_host_with_either_password(
    homeport: Homeport, password: str
) -> None:
    assert Site.of(homeport.url, password).ask("GET", "/v2/").status == 200
    assert Site.of(homeport.url, homeport.password()).ask("GET", "/v2/").status == 200


def test_the_single_host_goes_on_asking_for_credentials(homeport: Homeport, repository: str) -> None:
    site = Site(homeport.url, "")

    for path in ("/v2/", f"/v2/{repository}/tags/list", "/v2/_catalog", "/v2/public.ecr"):
        answer = site.ask("GET", path)
        assert answer.status == 401, path
        assert answer.headers["www-authenticate"].startswith("Basic ")


# --- The token of the public host ---


def test_the_public_host_says_where_tokens_come_from(homeport: Homeport) -> None:
    answer = Site(homeport.url, "").ask("GET", "/v2/", {"Host": f"{HOST}:8080"})

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == (
        f'Bearer realm="http://{HOST}:8080/token/",service="{HOST}",scope="aws"'
    )


def test_nobody_gets_a_token_that_opens_pulls_only(
    open_: Open, pusher: OciClient, homeport: Homeport
) -> None:
    pusher.push(open_.path(homeport.host), random_image(), "v1")
    nobody = Site(homeport.url, "")
    issued = nobody.ask("GET", f"/token/?service={HOST}&scope=aws", {"Host": HOST}).json()
    bearer = {"Authorization": f"Bearer {issued['token']}"}

    assert issued["token"] == issued["access_token"]
    assert nobody.ask("GET", "/v2/", {"Host": HOST, **bearer}).status == 200
    assert open_.ask(HOST, "GET", "manifests/v1", headers=bearer).status == 200
    assert open_.ask(HOST, "POST", "blobs/uploads/", headers=bearer, body=b"").status == 401
    assert nobody.ask("GET", "/v2/_catalog", bearer).status == 401


@pytest.mark.parametrize("private", [False, True])
def test_a_password_is_exchanged_for_a_token_that_pushes(
    open_: Open, homeport: Homeport, password: str, private: bool
) -> None:
    site = Site.of(homeport.url, homeport.password() if private else password)

    issued = site.ask("GET", "/token/", {"Host": HOST}).json()
    bearer = {"Authorization": f"Bearer {issued['token']}"}
    begun = open_.ask(HOST, "POST", "blobs/uploads/", headers=bearer, body=b"")

    assert begun.status == 202


def test_a_wrong_password_gets_no_token(homeport: Homeport) -> None:
    site = Site.of(homeport.url, "wrong")

    assert site.ask("GET", "/token/", {"Host": HOST}).status == 401
    assert site.ask("POST", "/token/", {"Host": HOST}, b"").status == 405
    expired = Site.of(homeport.url, _expired(homeport, homeport.credentials, "public.ecr"))
    expired.ask("GET", "/token/", {"Host": HOST}).refused(403, "DENIED")


def test_tokens_come_from_the_public_host_only(homeport: Homeport) -> None:
    site = Site(homeport.url, "")

    assert site.ask("GET", "/token/").status == 404
    assert site.ask("GET", "/token/", {"Host": "evil.example"}).status == 404


# --- Pushes ---


@pytest.mark.parametrize("private", [False, True])
def test_whoever_may_pushes_with_either_password(
    open_: Open, host: str, homeport: Homeport, password: str, private: bool
) -> None:
    secret = homeport.password() if private else password
    data = b"layer of " + open_.name.encode()

    begun = open_.ask(host, "POST", "blobs/uploads/", secret, body=b"")
    location = begun.headers["location"]
    site = Site.of(homeport.url, secret)
    appended = site.ask("PATCH", location, {"Host": host}, data[:5])
    status = site.ask("GET", appended.headers["location"], {"Host": host})
    done = site.ask("PUT", f"{location}?digest={sha256(data)}", {"Host": host}, data[5:])
    pulled = Site(homeport.url, "").ask("GET", done.headers["location"], {"Host": host})

    assert location.startswith(f"/v2/{open_.path(host)}/blobs/uploads/")
    assert [begun.status, appended.status, status.status, done.status] == [202, 202, 204, 201]
    assert status.headers["range"] == "0-4"
    assert done.headers["location"] == f"/v2/{open_.path(host)}/blobs/{sha256(data)}"
    assert pulled.body == data


def test_a_manifest_is_pushed_and_deleted(
    open_: Open, host: str, pusher: OciClient, homeport: Homeport, password: str
) -> None:
    image = random_image()
    for blob in image.blobs:
        pusher.push_blob(open_.path(homeport.host), blob.data)

    put = open_.ask(
        host, "PUT", "manifests/v1", password, headers={"Content-Type": image.manifest.media_type},
        body=image.manifest.data,
    )  # fmt: skip
    deleted = open_.ask(host, "DELETE", f"manifests/{image.digest}", password)

    assert put.status == 201
    assert put.headers["location"] == f"/v2/{open_.path(host)}/manifests/{image.digest}"
    assert deleted.status == 202
    open_.ask(host, "GET", "manifests/v1").refused(404, "MANIFEST_UNKNOWN")


def test_nobody_may_change_anything(
    open_: Open, host: str, pusher: OciClient, homeport: Homeport, password: str
) -> None:
    image = random_image()
    pusher.push(open_.path(homeport.host), image, "v1")
    begun = open_.ask(host, "POST", "blobs/uploads/", password, body=b"").headers["location"]
    upload = begun.partition(f"{open_.name}/")[2]
    scheme = "Bearer" if host == HOST else "Basic"

    answers = [
        open_.ask(host, "POST", "blobs/uploads/", body=b""),
        open_.ask(host, "POST", f"blobs/uploads/?digest={sha256(b'x')}", body=b"x"),
        open_.ask(host, "PATCH", upload, body=b"x"),
        open_.ask(host, "PUT", f"{upload}?digest={sha256(b'x')}", body=b"x"),
        open_.ask(host, "GET", upload),
        open_.ask(host, "DELETE", upload),
        open_.ask(host, "PUT", "manifests/v1", body=b"{}"),
        open_.ask(host, "DELETE", "manifests/v1"),
        open_.ask(host, "DELETE", f"blobs/{image.blobs[0].digest}"),
    ]

    assert [answer.status for answer in answers] == [401] * len(answers)
    assert all(answer.headers["www-authenticate"].startswith(f"{scheme} ") for answer in answers)
    assert open_.ask(host, "GET", "manifests/v1").body == image.manifest.data


def test_a_push_needs_permission_for_the_public_repository(
    open_: Open, host: str, homeport: Homeport
) -> None:
    who = homeport.user(f"private-only-{open_.name[-8:]}", policy("ecr:*"))
    arn = f"arn:aws:ecr-public::{homeport.credentials.account_id}:repository/{open_.name}"

    answer = open_.ask(host, "POST", "blobs/uploads/", homeport.password(who), body=b"").refused(
        403, "DENIED"
    )

    message = answer.json()["errors"][0]["message"]
    assert (
        f"{who.user_arn} is not authorized to perform: ecr-public:InitiateLayerUpload on resource: {arn}"
        in message
    )


@pytest.mark.parametrize(
    ("method", "rest", "action"),
    [
        ("POST", "blobs/uploads/", "InitiateLayerUpload"),
        ("POST", "blobs/uploads/?digest={digest}", "InitiateLayerUpload"),
        ("POST", "blobs/uploads/?mount={digest}&from=x/y", "InitiateLayerUpload"),
        ("PATCH", "blobs/uploads/{upload}", "UploadLayerPart"),
        ("GET", "blobs/uploads/{upload}", "UploadLayerPart"),
        ("DELETE", "blobs/uploads/{upload}", "UploadLayerPart"),
        ("PUT", "blobs/uploads/{upload}?digest={digest}", "CompleteLayerUpload"),
        ("PUT", "manifests/v1", "PutImage"),
        ("DELETE", "manifests/v1", "BatchDeleteImage"),
        ("DELETE", "blobs/{digest}", "BatchDeleteImage"),
    ],
)
def test_every_change_needs_its_own_permission(
    open_: Open, homeport: Homeport, password: str, nobodys: str, method: str, rest: str, action: str
) -> None:
    begun = open_.ask(HOST, "POST", "blobs/uploads/", password, body=b"").headers["location"]
    path = rest.format(digest=sha256(b"x"), upload=begun.rpartition("/")[2])

    answer = open_.ask(HOST, method, path, nobodys, body=b"x").refused(403, "DENIED")

    assert f"is not authorized to perform: ecr-public:{action} on" in answer.json()["errors"][0]["message"]


@pytest.fixture(scope="session")
def nobodys(homeport: Homeport) -> str:
    """The password of a user who may do everything with private repositories and nothing with public ones."""
    return homeport.password(homeport.user("private-only-of-all", policy("ecr:*")))


def test_a_push_to_a_repository_that_does_not_exist_makes_none(
    open_: Open, host: str, homeport: Homeport, password: str, public: Any
) -> None:
    ecr = homeport.client()
    ecr.create_repository_creation_template(prefix="absent-public", appliedFor=["CREATE_ON_PUSH"])
    missing = replace(open_, name="absent-public/x")

    missing.ask(host, "POST", "blobs/uploads/", password, body=b"").refused(404, "NAME_UNKNOWN")

    for client in (public, ecr):
        with pytest.raises(client.exceptions.RepositoryNotFoundException):
            client.describe_repositories(repositoryNames=["absent-public/x"])
        with pytest.raises(public.exceptions.RepositoryNotFoundException):
            public.initiate_layer_upload(repositoryName="absent-public/x")
    ecr.delete_repository_creation_template(prefix="absent-public")


# --- Mounts ---


def test_a_blob_is_mounted_between_public_repositories_of_one_account_only(
    make: Callable[[], Open], host: str, homeport: Homeport, password: str, repository: str, oci: OciClient,
    neighbour_alias: tuple[str, str],
) -> None:  # fmt: skip
    source, target = make(), make()
    site = OciClient(homeport.url, password=password)
    digest = site.push_blob(source.path(homeport.host), b"mounted " + source.name.encode())
    private = oci.push_blob(repository, b"private " + repository.encode())
    alias, name = neighbour_alias
    theirs = replace(source, alias=alias, name=name)

    def mount(wanted: str, origin: str) -> Answer:
        return target.ask(host, "POST", f"blobs/uploads/?mount={wanted}&from={origin}", password, body=b"")

    mounted = mount(digest, source.path(host))

    assert mounted.status == 201
    assert mounted.headers["location"] == f"/v2/{target.path(host)}/blobs/{digest}"
    assert target.ask(host, "GET", f"blobs/{digest}").body.startswith(b"mounted ")
    assert mount(private, repository).status == 202
    assert mount(sha256(b"theirs"), theirs.path(host)).status == 202
    for blob in (private, sha256(b"theirs")):
        assert target.ask(host, "HEAD", f"blobs/{blob}").status == 404


@pytest.fixture(scope="session")
def neighbour_alias(homeport: Homeport) -> tuple[str, str]:
    """Another account's alias, and its public repository that holds the layer `theirs`."""
    other = homeport.account()
    client = homeport.client("ecr-public", credentials=other)
    name = new_public(client)
    alias = alias_of(client)
    OciClient(homeport.url, password=password_of(client)).push_blob(f"public.ecr/{alias}/{name}", b"theirs")
    return alias, name


def test_a_private_repository_mounts_nothing_from_a_public_one(
    open_: Open, homeport: Homeport, repository: str, pusher: OciClient, oci: OciClient
) -> None:
    digest = pusher.push_blob(open_.path(homeport.host), b"open " + open_.name.encode())

    for origin in (open_.path(homeport.host), open_.name):
        assert oci.mount_blob(repository, digest, origin).status == 202
    assert oci.request("HEAD", f"/v2/{repository}/blobs/{digest}").status == 404


# --- Hosts and paths ---


def test_the_path_of_public_images_cannot_be_written_otherwise(
    open_: Open, homeport: Homeport, pusher: OciClient
) -> None:
    pusher.push(open_.path(homeport.host), random_image(), "v1")
    logged_in, nobody = Site.of(homeport.url, homeport.password()), Site(homeport.url, "")

    for written in ("public%2eecr", "public.ecr%2F" + open_.alias, "%70ublic.ecr"):
        rest = f"{open_.name}/manifests/v1" if "2F" in written else f"{open_.alias}/{open_.name}/manifests/v1"
        assert nobody.ask("GET", f"/v2/{written}/{rest}").status == 401
        assert logged_in.ask("GET", f"/v2/{written}/{rest}").status == 404


def test_the_host_of_an_account_serves_its_private_repositories_only(
    open_: Open, homeport: Homeport, pusher: OciClient
) -> None:
    pusher.push(open_.path(homeport.host), random_image(), "v1")
    who = homeport.credentials
    host = {"Host": f"{who.account_id}.dkr.ecr.{who.region}.localhost"}
    path = f"/v2/{open_.path(homeport.host)}/manifests/v1"

    assert Site(homeport.url, "").ask("GET", path, host).status == 401
    Site.of(homeport.url, homeport.password()).ask("GET", path, host).refused(404, "NAME_UNKNOWN")


def test_the_public_host_serves_no_private_repository(
    homeport: Homeport, repository: str, oci: OciClient, public: Any
) -> None:
    oci.push(repository, random_image(), "v1")
    alias = alias_of(public)

    for path in (f"/v2/{repository}/manifests/v1", f"/v2/{alias}/{repository}/manifests/v1", "/v2/_catalog"):
        for site in (Site(homeport.url, ""), Site.of(homeport.url, homeport.password())):
            assert site.ask("GET", path, {"Host": HOST}).status == 404, path


def test_methods_that_do_not_fit_are_refused(open_: Open, host: str, password: str) -> None:
    answer = open_.ask(host, "DELETE", "tags/list", password)

    answer.refused(405, "UNSUPPORTED")
    assert answer.headers["allow"] == "GET"


def test_pulls_of_nobody_are_counted_when_rates_are_on(fresh_homeport: Callable[..., Homeport]) -> None:
    server = fresh_homeport(environment={"HOMEPORT_THROTTLING": "anonymous-pull=0.01/2"})
    client = server.client("ecr-public")
    open_ = Open(server, new_public(client), alias_of(client))
    OciClient(server.url, password=password_of(client)).push(open_.path(server.host), random_image(), "v1")

    answers = [open_.ask(server.host, "GET", "manifests/v1") for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 429]
    answers[2].refused(429, "TOOMANYREQUESTS")
    assert int(answers[2].headers["retry-after"]) > 0
    assert open_.ask(server.host, "GET", "manifests/v1", password_of(client)).status == 200


def test_a_pull_by_nobody_is_in_the_log_as_one(fresh_homeport: Callable[..., Homeport]) -> None:
    server = fresh_homeport()
    client = server.client("ecr-public")
    open_ = Open(server, new_public(client), alias_of(client))
    OciClient(server.url, password=password_of(client)).push(open_.path(server.host), random_image(), "v1")

    open_.ask(server.host, "GET", "manifests/v1")

    record = server.wait_for_log(
        lambda each: each if each.get("method") == "GET" and "/manifests/" in str(each.get("path")) else None,
        "the pull",
        seconds=5,
    )
    assert record["principal"] == "anonymous"
    assert record["operation"] == "GetManifest"
