"""The surface around blobs and manifests: credentials, routes, methods, error bodies. ECR texts where ECR has them."""

from __future__ import annotations

import datetime

import pytest

from homeport.access.tokens import AuthorizationTokens
from homeport.folder import sealer
from tests.harness.server import Homeport
from tests.oci.raw import Site

DIGEST = "sha256:" + "0" * 64


def test_a_caller_with_a_password_is_told_that_this_is_a_registry(site: Site) -> None:
    for path in ("/v2/", "/v2"):
        answer = site.ask("GET", path)

        assert answer.status == 200
        assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
        assert answer.json() == {}


def test_a_caller_without_credentials_is_asked_for_basic_ones(site: Site) -> None:
    for method in ("GET", "HEAD", "POST", "DELETE"):
        answer = site.ask(method, "/v2/", {"Authorization": ""})

        assert answer.status == 401
        challenge = f'Basic realm="{site.url}/",service="ecr.amazonaws.com"'
        assert answer.headers["www-authenticate"] == challenge
        assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.body in (b"Not Authorized\n", b"")


def test_the_password_is_also_taken_as_a_bearer_token(homeport: Homeport, site: Site) -> None:
    password = homeport.password()

    for scheme in ("Bearer", "bearer"):
        assert site.ask("GET", "/v2/", {"Authorization": f"{scheme} {password}"}).status == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic",
        "Basic !!!",
        "Basic QVdTOg==",
        "Basic QVdTOndyb25n",
        "Basic Ym9iOnNlY3JldA==",
        "Basic /////w==",
        "Bearer",
        "Bearer x.y.z",
        "Digest username=AWS",
        "AWS4-HMAC-SHA256 Credential=x",
        "Basic " + "A" * 20_000,
    ],
)
def test_credentials_that_are_not_ours_are_not_authorised(site: Site, authorization: str) -> None:
    answer = site.ask("GET", "/v2/", {"Authorization": authorization})

    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert answer.body == b"Not Authorized\n"


def test_an_expired_password_is_told_apart(homeport: Homeport) -> None:
    who = homeport.credentials
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=13)
    passwords = AuthorizationTokens(sealer(homeport.data), who.region)
    expired, _ = passwords.issue(who.user_arn, who.account_id, who.access_key_id, then)

    answer = Site.of(homeport.url, expired).ask("GET", "/v2/")

    answer.refused(403, "DENIED")
    text = "Your authorization token has expired. Reauthenticate and try again."
    assert answer.json() == {"errors": [{"code": "DENIED", "message": text}]}


def test_a_caller_without_permission_is_told_the_missing_action(homeport: Homeport, repository: str) -> None:
    log_in_only = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"}],
    }
    visitor = homeport.user("answers-visitor", log_in_only)

    answer = Site.of(homeport.url, homeport.password(visitor)).ask("GET", f"/v2/{repository}/tags/list")

    answer.refused(403, "DENIED")
    assert "is not authorized to perform: ecr:ListImages" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/v2/x",
        "/v2/some/name",
        "/v2/some/name/",
        "/v2/some/name/tags",
        "/v2/some/name/tags/list/",
        "/v2/some/name/manifests",
        "/v2/some/name/manifests/",
        "/v2/some/name/blobs/",
        "/v2/some/name/unknown/thing",
        "/v2/_catalog/",
        "/v2/_catalog/x",
        "/v2/_state",
    ],
)
def test_what_is_no_route_is_not_found(site: Site, path: str) -> None:
    site.ask("GET", path).refused(404, "UNSUPPORTED")


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ("/v2/", "POST PUT PATCH DELETE OPTIONS TRACE"),
        ("/v2/_catalog", "POST PUT PATCH DELETE"),
        ("/v2/{name}/tags/list", "POST PUT PATCH DELETE"),
        ("/v2/{name}/manifests/v1", "POST PATCH OPTIONS"),
        ("/v2/{name}/blobs/{digest}", "POST PUT PATCH"),
        ("/v2/{name}/blobs/uploads/", "GET PUT PATCH DELETE"),
        ("/v2/{name}/blobs/uploads/00000000-0000-4000-8000-000000000000", "POST"),
        ("/v2/{name}/referrers/{digest}", "POST PUT DELETE"),
    ],
)
def test_a_method_that_a_route_does_not_have_is_unsupported(
    site: Site, repository: str, path: str, refused: str
) -> None:
    for method in refused.split():
        answer = site.ask(method, path.format(name=repository, digest=DIGEST))

        answer.refused(405, "UNSUPPORTED")
        assert method not in answer.headers["allow"].split(", ")
        assert "GET" in answer.headers["allow"] or "POST" in answer.headers["allow"]


def test_errors_speak_of_what_is_missing(homeport: Homeport, site: Site, repository: str) -> None:
    account = homeport.credentials.account_id
    missing = f"The repository with name 'not/there' does not exist in the registry with id '{account}'"

    answer = site.ask("GET", "/v2/not/there/tags/list").refused(404, "NAME_UNKNOWN")
    assert answer.json() == {"errors": [{"code": "NAME_UNKNOWN", "message": missing}]}
    site.ask("GET", f"/v2/{repository}/manifests/v1").refused(404, "MANIFEST_UNKNOWN")
    site.ask("GET", f"/v2/{repository}/manifests/{DIGEST}").refused(404, "MANIFEST_UNKNOWN")
    site.ask("GET", f"/v2/{repository}/blobs/{DIGEST}").refused(404, "BLOB_UNKNOWN")
    site.ask("DELETE", f"/v2/{repository}/manifests/v1").refused(404, "MANIFEST_UNKNOWN")
    site.ask("GET", f"/v2/{repository}/blobs/uploads/{DIGEST[7:43]}").refused(404, "BLOB_UPLOAD_UNKNOWN")


def test_a_head_that_fails_has_no_body_and_the_connection_goes_on(site: Site, repository: str) -> None:
    with site.line() as line:
        for path in (f"blobs/{DIGEST}", f"manifests/{DIGEST}", "manifests/v1", "manifests/-x"):
            answer = line.ask("HEAD", f"/v2/{repository}/{path}")
            assert answer.status in (404, 400)
        assert line.ask("GET", "/v2/").status == 200


def test_answers_to_a_caller_are_for_that_caller_alone(site: Site, repository: str) -> None:
    for path in ("tags/list", "manifests/v1", f"referrers/{DIGEST}", f"blobs/{DIGEST}"):
        answer = site.ask("GET", f"/v2/{repository}/{path}")

        assert "private" in answer.headers["cache-control"], path
        assert "public" not in answer.headers["cache-control"]
    assert "private" in site.ask("GET", "/v2/_catalog").headers["cache-control"]


def test_a_query_of_many_parameters_is_refused(site: Site, repository: str) -> None:
    many = "&".join(f"a{number}=1" for number in range(1000))

    for path in ("tags/list", f"referrers/{DIGEST}"):
        assert site.ask("GET", f"/v2/{repository}/{path}?{many}").status == 400
    assert site.ask("GET", f"/v2/_catalog?{many}").status == 400
    assert site.ask("POST", f"/v2/{repository}/blobs/uploads/?{many}", body=b"").status == 400
    assert site.ask("GET", f"/v2/{repository}/tags/list?n=1&n=2").status == 400
