"""Section 1 of the security cases: names, digests and paths. One function for each case, named after its id."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError

from tests.harness.images import artifact, random_image, sha256
from tests.harness.oci import OciClient
from tests.harness.server import Credentials, Homeport
from tests.oci.raw import Site

DIGEST = "sha256:" + "0" * 64
UPLOAD = "00000000-0000-4000-8000-000000000000"
BAD_NAMES = [
    "..",
    "a/../b",
    "../../etc/passwd",
    "a//b",
    "a/",
    "/a",
    "a\\b",
    "a\0b",
    "ab\n",
    "Abc",
    "aB/c",
    "-ab",
    "ab-",
    "a..b",
    "a___b",
    "a b",
    "a;b",
    "a*b",
    ".",
    "x",
    "a" * 257,
    "a/" * 200 + "a",
    "_catalog",
]


def files_below(folder: Path) -> set[str]:
    """Names of the files in the blob store's folder."""
    return {str(path.relative_to(folder)) for path in (folder / "blobs").rglob("*") if not path.is_dir()}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_n1_an_illegal_repository_name_is_refused_by_both_fronts(
    homeport: Homeport, site: Site, name: str
) -> None:
    before = files_below(homeport.data)
    encoded = quote(name, safe="/")

    for path in (
        "tags/list",
        "manifests/v1",
        f"blobs/{DIGEST}",
        f"referrers/{DIGEST}",
        f"blobs/uploads/{UPLOAD}",
    ):
        site.ask("GET", f"/v2/{encoded}/{path}").refused(400, "NAME_INVALID")
    site.ask("POST", f"/v2/{encoded}/blobs/uploads/", body=b"").refused(400, "NAME_INVALID")
    site.ask("PUT", f"/v2/{encoded}/manifests/v1", body=b"{}").refused(400, "NAME_INVALID")
    if len(name) > 1:
        with pytest.raises(ClientError) as refusal:
            homeport.client().create_repository(repositoryName=name)
        assert refusal.value.response["Error"]["Code"] == "InvalidParameterException"

    assert files_below(homeport.data) == before


def test_n1_the_longest_legal_name_works(homeport: Homeport, site: Site) -> None:
    name = "n" * 256

    homeport.client().create_repository(repositoryName=name)

    assert site.ask("GET", f"/v2/{name}/tags/list").json() == {"name": name, "tags": []}


@pytest.mark.parametrize(
    "name",
    [
        "%2e%2e",
        "a/%2e%2e/b",
        "a%2f..%2fb",
        "%2fa",
        "a%2f%2fb",
        "a%5cb",
        "a%00b",
        "%41bc",
        "%252e%252e",
        "a%252fb",
        "a%25b",
        "%c0%ae%c0%ae",
        "a%c0%afb",
        "%e0%80%ae",
        "%ff%fe",
        "%zz",
        "a%",
        "a%2",
        "%u002e",
        "ab%0a",
        "ab%0d%0aX-Injected:%201",
    ],
)
def test_n2_an_encoded_illegal_name_is_decoded_once_and_refused(site: Site, name: str) -> None:
    for path in ("tags/list", "manifests/v1", f"blobs/{DIGEST}"):
        answer = site.ask("GET", f"/v2/{name}/{path}").refused(400, "NAME_INVALID")
        assert "x-injected" not in answer.headers
    site.ask("POST", f"/v2/{name}/blobs/uploads/?digest={DIGEST}", body=b"x").refused(400, "NAME_INVALID")


def test_n2_an_encoded_legal_name_is_the_same_repository(site: Site, oci: OciClient, repository: str) -> None:
    oci.push(repository, random_image(), "v1")

    encoded = repository.replace("/", "%2F").replace("test", "%74est")

    assert site.ask("GET", f"/v2/{encoded}/tags/list").json() == {"name": repository, "tags": ["v1"]}


BAD_DIGESTS = [
    "sha256:../../x",
    "sha256:" + "..%2f" * 20,
    "sha256:" + "0" * 63,
    "sha256:" + "0" * 65,
    "sha256:" + "A" * 64,
    "sha256:" + "g" * 64,
    "sha256:",
    "sha256",
    ":" + "0" * 64,
    "sha512:" + "0" * 64,
    "sha256:" + "0" * 64 + "%0a",
    "unknown:" + "0" * 64,
    "SHA256:" + "0" * 64,
    "sha256+b64u:" + "0" * 64,
    "sha256:sha256:" + "0" * 57,
    "sha256:" + "%D9%A0" * 64,
    "",
]


@pytest.mark.parametrize("digest", BAD_DIGESTS)
def test_n3_what_is_no_digest_is_refused_before_any_look_up(
    homeport: Homeport, site: Site, repository: str, digest: str
) -> None:
    before = files_below(homeport.data)
    start = f"/v2/{repository}/blobs/uploads/"
    location = site.ask("POST", start, body=b"").headers["location"]

    slashed = "/" in digest or "%2f" in digest
    for path in (f"blobs/{digest}", f"referrers/{digest}", f"manifests/{digest}") if digest else ():
        answer = site.ask("GET", f"/v2/{repository}/{path}")
        if slashed:  # another path, where nothing is
            assert answer.status in (400, 404), answer
        elif not path.startswith("manifests/") or ":" in digest:  # without a colon it may be a tag
            answer.refused(400, "DIGEST_INVALID")
    site.ask("POST", f"{start}?digest={digest}", body=b"x").refused(400, "DIGEST_INVALID")
    site.ask("POST", f"{start}?mount={digest}&from={repository}", body=b"").refused(400, "DIGEST_INVALID")
    site.ask("PUT", f"{location}?digest={digest}", body=b"x").refused(400, "DIGEST_INVALID")

    assert files_below(homeport.data) == before


@pytest.mark.parametrize(
    "digest",
    ["md5:" + "0" * 32, "sha1:" + "0" * 40, "sha224:" + "0" * 56, "sha384:" + "0" * 96, "crc32:00000000"],
)
def test_n4_weak_and_other_algorithms_are_refused(site: Site, repository: str, digest: str) -> None:
    for path in (f"blobs/{digest}", f"manifests/{digest}", f"referrers/{digest}"):
        site.ask("GET", f"/v2/{repository}/{path}").refused(400, "DIGEST_INVALID")
    site.ask("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", body=b"x").refused(
        400, "DIGEST_INVALID"
    )
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 1, "digest": digest}
    manifest = {"schemaVersion": 2, "config": config, "layers": []}
    kind = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
    body = str(manifest).replace("'", '"').encode()
    site.ask("PUT", f"/v2/{repository}/manifests/v1", kind, body).refused(400, "MANIFEST_INVALID")


BAD_TAGS = [
    "-x",
    ".x",
    "t" * 129,
    "a\nb",
    "v1\n",
    "a b",
    "a\0b",
    "é",
    "a,b",
    "a+b",
    "@",
    "a%b",
    "..",
    "\u0661",
]


@pytest.mark.parametrize("tag", BAD_TAGS)
def test_n5_an_illegal_tag_is_refused_by_both_fronts(
    homeport: Homeport, site: Site, oci: OciClient, repository: str, tag: str
) -> None:
    image = random_image()
    oci.push(repository, image)
    path = f"/v2/{repository}/manifests/{quote(tag, safe='')}"
    kind = {"Content-Type": image.manifest.media_type}

    # A percent sign that is left after decoding is refused with the whole path.
    code = "NAME_INVALID" if "%" in tag else "TAG_INVALID"
    site.ask("PUT", path, kind, image.manifest.data).refused(400, code)
    site.ask("GET", path).refused(400, code)
    site.ask("DELETE", path).refused(400, code)
    with pytest.raises(ClientError) as refusal:
        homeport.client().put_image(
            repositoryName=repository, imageManifest=image.manifest.text, imageTag=tag
        )
    assert refusal.value.response["Error"]["Code"] == "InvalidParameterException"

    assert oci.tags(repository) == []


def test_n5_a_tag_with_a_slash_is_another_path(site: Site, repository: str) -> None:
    for tag in ("a/b", "a%2Fb", "../v1"):
        assert site.ask("PUT", f"/v2/{repository}/manifests/{tag}", body=b"{}").status in (400, 404)


@pytest.mark.parametrize(
    "name",
    [
        "blobs/uploads",
        "token",
        "tags/list",
        "manifests",
        "some/manifests/v1",
        "some/blobs/uploads/thing",
        "some/blobs",
        "v2/some",
        "catalog",
        "referrers",
        "uploads",
        "some/tags/list",
        "healthz",
        "layers/x",
    ],
)
def test_n6_no_repository_name_shadows_a_route(homeport: Homeport, oci: OciClient, name: str) -> None:
    homeport.client().create_repository(repositoryName=name)
    image = random_image(layers=2)
    signature = artifact(b"s", artifact_type="application/x.sig", subject=image.manifest)

    for tag in ("list", "uploads", "latest"):
        oci.push(name, image, tag)
    oci.push(name, signature)
    oci.push_blob_chunked(name, b"12345", 2)

    assert oci.tags(name) == ["latest", "list", "uploads"]
    for tag in ("list", "uploads", "latest"):
        assert image.digest in oci.pull(name, tag)
    assert [each["digest"] for each in oci.referrers(name, image.digest)] == [signature.digest]
    assert name in oci.request("GET", f"/v2/_catalog?last={name[:-1]}&n=1000").json()["repositories"]
    oci.delete(name, "list").expect(202)
    assert oci.tags(name) == ["latest", "uploads"]


def test_n7_no_spelling_of_a_path_goes_round_the_authorisation(
    homeport: Homeport,
    oci: OciClient,
    new_repository: Callable[[], str],
    stranger: Callable[..., Credentials],
) -> None:
    mine, secret = new_repository(), new_repository()
    oci.push(secret, random_image(), "hidden-tag")
    asking = Site.of(homeport.url, homeport.password(stranger(mine)))
    assert asking.ask("GET", f"/v2/{mine}/tags/list").status == 200
    part = secret.partition("/")[2]

    for path in (
        f"/v2/{secret}/tags/list",
        f"/v2/{secret}/tags/list/",
        f"/v2/{secret}//tags/list",
        f"/v2//{secret}/tags/list",
        f"//v2/{secret}/tags/list",
        f"/v2/./{secret}/tags/list",
        f"/v2/{mine}/../{part}/tags/list",
        f"/v2/{mine}/%2e%2e/{part}/tags/list",
        f"/v2/{mine}/..%2f{part}/tags/list",
        f"/v2/{mine};/../{part}/tags/list",
        f"/v2/{secret};{mine}/tags/list",
        f"/v2/{secret};a=b/tags/list",
        f"/v2/{secret}/tags/list;a=b",
        f"/v2/{secret.replace('/', '%2f')}/tags/list",
        f"/v2/{secret.replace('/', '%5c')}/tags/list",
        f"/v2/{secret.upper()}/tags/list",
        f"/V2/{secret}/tags/list",
        f"/v2/{secret}/tags%2flist",
        f"/v2/{secret}/tags/list?name={mine}",
        f"/v2/{secret}/tags/list#/v2/{mine}/tags/list",
        f"/v2/{mine}#/../{secret}/tags/list",
        f"/%76%32/{secret}/tags/list",
        f"/v2%2f{secret}/tags/list",
        f"/v2/{secret}/manifests/hidden-tag",
        f"/v2/{secret}/manifests/hidden%2Dtag",
        f"/v2/{mine}/manifests/../../{part}/manifests/hidden-tag",
    ):
        answer = asking.ask("GET", path)

        assert answer.status in (400, 403, 404), (path, answer)
        assert b"hidden-tag" not in answer.body.replace(path.encode(), b""), path


def test_n8_an_upload_is_found_only_by_its_owner_in_its_repository(
    homeport: Homeport,
    site: Site,
    new_repository: Callable[[], str],
    stranger: Callable[..., Credentials],
) -> None:
    here, there = new_repository(), new_repository()
    other = Site.of(homeport.url, homeport.password(stranger(here, there)))
    location = site.ask("POST", f"/v2/{here}/blobs/uploads/", body=b"").headers["location"]
    upload = location.rpartition("/")[2]
    digest = sha256(b"x")

    attempts = [(other, location), (site, location.replace(here, there)), (site, location[:-1] + "g")]
    guesses = (
        upload.upper(),
        "..%2f" + upload,
        upload + "%00",
        "..",
        "x" * 300,
        "%2e%2e%2f",
        "1",
        upload[:-1],
    )
    attempts += [(site, f"/v2/{here}/blobs/uploads/{text}") for text in guesses]
    for who, path in attempts:
        for method in ("GET", "PATCH", "DELETE", "PUT"):
            answer = who.ask(method, path + (f"?digest={digest}" if method == "PUT" else ""), body=b"x")
            if "%2f" in path:  # another path, where nothing is
                assert answer.status in (400, 404, 405), (path, answer)
            else:
                answer.refused(404, "BLOB_UPLOAD_UNKNOWN")

    assert site.ask("GET", location).headers["range"] == "0-0"
    assert site.ask("HEAD", f"/v2/{here}/blobs/{digest}").status == 404


def test_n9_annotations_are_text_and_never_file_names(
    homeport: Homeport, oci: OciClient, repository: str, tmp_path: Path
) -> None:
    target = tmp_path / "was-here"
    title = "../" * 20 + str(target).lstrip("/")
    image = artifact(
        b"payload" + repository.encode(),
        artifact_type="application/x.file",
        annotations={"org.opencontainers.image.title": title},
    )

    oci.push(repository, image, "v1")

    assert oci.pull_manifest(repository, "v1").json()["annotations"] == {
        "org.opencontainers.image.title": title
    }
    assert not target.exists()
    ours = re.compile(r"blobs/(?:data|staging)/([0-9a-f]{2})/\1[0-9a-f]{6}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
    assert {name for name in files_below(homeport.data) if not ours.fullmatch(name)} == set()


LOOK_ALIKES = (
    "\u0430dmin admi\u200fn ad\u202emin \uff41dmin adm\u0131n stra\u00dfe \u2024\u2024 a\u0301b \u212ael"
)


@pytest.mark.parametrize("text", LOOK_ALIKES.split(" "))
def test_n10_only_ascii_makes_a_name(homeport: Homeport, site: Site, repository: str, text: str) -> None:
    encoded = quote(text)

    site.ask("GET", f"/v2/{encoded}/tags/list").refused(400, "NAME_INVALID")
    site.ask("GET", f"/v2/{repository}/manifests/{encoded}").refused(400, "TAG_INVALID")
    with pytest.raises(ClientError) as refusal:
        homeport.client().create_repository(repositoryName=text)
    assert refusal.value.response["Error"]["Code"] == "InvalidParameterException"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:5000",
        "{account}.dkr.ecr.eu-nowhere-9.localhost",
        "{account}.dkr.ecr.{region}.evil.example",
        "{account}.dkr.ecr.{region}.localhost.evil.example",
        "..",
        "127.0.0.1.evil.example",
        "127.0.0.1/../x",
        'localhost"x',
        "localhost,evil",
        '[::1%",x="y]',
        "12345678901.dkr.ecr.{region}.localhost",
    ],
)
def test_n11_an_unknown_host_names_no_registry(
    homeport: Homeport, site: Site, repository: str, host: str
) -> None:
    who = homeport.credentials
    named = host.format(account=who.account_id, region=who.region)
    before = files_below(homeport.data)

    for headers in ({"Host": named}, {"Host": named, "Authorization": ""}):
        answer = site.ask("GET", f"/v2/{repository}/tags/list", headers)
        assert answer.status in (400, 404), answer
        assert "www-authenticate" not in answer.headers
        answer = site.ask("POST", f"/v2/{repository}/blobs/uploads/", headers, b"")
        assert answer.status in (400, 404), answer
        assert "location" not in answer.headers

    assert files_below(homeport.data) == before


def test_n11_an_account_that_is_not_here_has_no_registry(
    homeport: Homeport, site: Site, repository: str
) -> None:
    who = homeport.credentials
    mine = f"{who.account_id}.dkr.ecr.{who.region}.localhost"
    other = f"999999999999.dkr.ecr.{who.region}.localhost"

    assert site.ask("GET", f"/v2/{repository}/tags/list", {"Host": mine}).status == 200
    for method, path in (
        ("GET", f"/v2/{repository}/tags/list"),
        ("POST", f"/v2/{repository}/blobs/uploads/"),
    ):
        answer = site.ask(method, path, {"Host": other}, b"" if method == "POST" else None)
        assert answer.status in (403, 404), answer
