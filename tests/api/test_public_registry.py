"""The public registry as a whole: aliases, display name, catalog data of its repositories with logos."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.calls import at_once, new_name, policy, refused, unknown_repository
from tests.api.public import alias_of, new_public, path_of, png
from tests.api.signing import Signer, call
from tests.harness.server import Credentials, Homeport


@pytest.fixture(scope="session")
def public(homeport: Homeport) -> Any:
    """The administrator's client of ECR Public on the shared server."""
    return homeport.client("ecr-public")


def aliases(server: Homeport, *words: str) -> list[dict[str, Any]]:
    """What `homeport public alias list --json` prints."""
    done = server.here("public", "alias", "list", "--json", *words)
    assert done.code == 0, done
    found: list[dict[str, Any]] = json.loads(done.out)
    return found


# --- Registries and aliases ---


def test_an_account_has_one_registry_with_a_default_alias_that_stays(
    public: Any, account: str, homeport: Homeport
) -> None:
    (first,) = public.describe_registries()["registries"]
    (again,) = public.describe_registries(maxResults=1)["registries"]

    (alias,) = [each for each in first["aliases"] if each["defaultRegistryAlias"]]
    assert first == again
    assert first["registryId"] == account
    assert first["registryArn"] == f"arn:aws:ecr-public::{account}:registry/{account}"
    assert first["registryUri"] == f"{homeport.host}/public.ecr/{alias['name']}"
    assert first["verified"] is False
    assert len(alias["name"]) == 8
    assert alias == {
        "name": alias["name"],
        "status": "ACTIVE",
        "primaryRegistryAlias": True,
        "defaultRegistryAlias": True,
    }


def test_accounts_have_registries_of_their_own(
    public: Any, homeport: Homeport, neighbour: Credentials
) -> None:
    other = homeport.client("ecr-public", credentials=neighbour)
    name = new_public(public)

    assert alias_of(other) != alias_of(public)
    assert refused(other.describe_images, repositoryName=name)[0] == "RepositoryNotFoundException"
    assert refused(other.describe_repositories, registryId=public.describe_registries()["registries"][0][
        "registryId"
    ])[0] == "AccessDeniedException"  # fmt: skip


def test_a_position_of_another_listing_is_no_position_here(public: Any) -> None:
    for method in ("describe_registries", "describe_repositories"):
        assert refused(getattr(public, method), nextToken="made-up")[0] == "InvalidParameterException"


def test_a_registry_gets_further_aliases_on_the_command_line(fresh_homeport: Callable[..., Homeport]) -> None:
    server = fresh_homeport()
    client = server.client("ecr-public")
    name = new_public(client)
    default = alias_of(client)

    added = server.here("public", "alias", "add", "my-team")
    made_primary = server.here("public", "alias", "primary", "my-team")

    assert (added.code, made_primary.code) == (0, 0)
    assert path_of(client, name) == f"public.ecr/my-team/{name}"
    assert client.describe_registries()["registries"][0]["aliases"] == [
        {"name": default, "status": "ACTIVE", "primaryRegistryAlias": False, "defaultRegistryAlias": True},
        {"name": "my-team", "status": "ACTIVE", "primaryRegistryAlias": True, "defaultRegistryAlias": False},
    ]
    for alias in (default, "my-team"):
        tags = urllib.request.urlopen(f"{server.url}/v2/public.ecr/{alias}/{name}/tags/list")
        assert json.load(tags) == {"name": f"public.ecr/{alias}/{name}", "tags": []}
    assert aliases(server) == [
        {"name": default, "status": "ACTIVE", "primary": False, "default": True},
        {"name": "my-team", "status": "ACTIVE", "primary": True, "default": False},
    ]


@pytest.mark.parametrize("name", ["x", "1abc", "Team", "a b", "a/b", "a" * 51])
def test_an_alias_outside_the_grammar_is_refused(homeport: Homeport, name: str) -> None:
    done = homeport.here("public", "alias", "add", name)

    assert done.code == 1
    assert "2 to 50 characters" in done.err


def test_an_alias_belongs_to_one_account(fresh_homeport: Callable[..., Homeport]) -> None:
    server = fresh_homeport()
    other = server.account().account_id
    server.here("public", "alias", "add", "taken")

    again = server.here("public", "alias", "add", "taken", "--account", other)
    foreign = server.here("public", "alias", "primary", "taken", "--account", other)
    nobody = server.here("public", "alias", "add", "spare", "--account", "999999999999")

    assert (again.code, foreign.code, nobody.code) == (1, 1, 1)
    assert "taken already" in again.err
    assert "has no alias 'taken'" in foreign.err
    assert "999999999999" in nobody.err
    assert "taken" not in [each["name"] for each in aliases(server, "--account", other)]


def test_addresses_follow_the_family_of_the_host_that_the_client_used(
    fresh_homeport: Callable[..., Homeport],
) -> None:
    server = fresh_homeport(environment={"HOMEPORT_HOST_SUFFIXES": "registry.test"})
    client = server.client("ecr-public")
    name = new_public(client)
    alias = alias_of(client)
    signer = Signer.of(server.credentials, "ecr-public")

    def address(host: str) -> str:
        answer = call(
            server.url, "DescribeRepositories", {}, signer, service="ecr-public", headers={"host": host}
        )
        uri: str = answer.json()["repositories"][0]["repositoryUri"]
        return uri.removesuffix(f"/{alias}/{name}")

    family = "public.ecr.registry.test:5000"
    assert address("api.ecr-public.us-east-1.registry.test:5000") == family
    assert address("public.ecr.registry.test:5000") == family
    assert address(f"api.ecr.{server.credentials.region}.registry.test:5000") == family
    assert address("registry.test") == "registry.test/public.ecr"


# --- Display name ---


def test_a_registry_has_a_display_name_once_one_is_set(fresh_homeport: Callable[..., Homeport]) -> None:
    client = fresh_homeport().client("ecr-public")

    none = client.get_registry_catalog_data()["registryCatalogData"]
    put = client.put_registry_catalog_data(displayName="The Team ☃")["registryCatalogData"]
    got = client.get_registry_catalog_data()["registryCatalogData"]
    client.put_registry_catalog_data()
    gone = client.get_registry_catalog_data()["registryCatalogData"]

    assert (none, put, got, gone) == ({}, {"displayName": "The Team ☃"}, {"displayName": "The Team ☃"}, {})


def test_permission_may_name_the_registry(homeport: Homeport, public: Any, account: str) -> None:
    public.describe_registries()
    mine = policy("ecr-public:*", resource=f"arn:aws:ecr-public::{account}:registry/{account}")
    client = homeport.client("ecr-public", credentials=homeport.user("of-registry", mine))

    assert client.describe_registries()["registries"]
    assert refused(client.describe_repositories)[0] == "AccessDeniedException"


# --- Catalog data ---

DATA = {
    "description": "What it is",
    "aboutText": "# About\n\ntext ☃",
    "usageText": "`docker run`",
    "architectures": ["ARM 64", "x86-64"],
    "operatingSystems": ["Linux", "Plan 9"],
}


def test_catalog_data_comes_with_the_repository_and_is_replaced_as_a_whole(public: Any) -> None:
    name = new_name("catalog")

    created = public.create_repository(repositoryName=name, catalogData=DATA)["catalogData"]
    got = public.get_repository_catalog_data(repositoryName=name)["catalogData"]
    put = public.put_repository_catalog_data(repositoryName=name, catalogData={"description": "new"})
    after = public.get_repository_catalog_data(repositoryName=name)["catalogData"]

    assert created == got == DATA
    assert put["catalogData"] == after == {"description": "new"}


def test_a_repository_without_catalog_data_has_empty_ones(public: Any) -> None:
    # Terraform reads them for every repository and takes a failure for a failure.
    name = new_public(public)

    assert public.get_repository_catalog_data(repositoryName=name)["catalogData"] == {}


def test_catalog_data_of_a_missing_repository_is_not_found(public: Any, account: str) -> None:
    expected = unknown_repository("not/there", account)

    assert refused(public.get_repository_catalog_data, repositoryName="not/there") == expected
    assert refused(public.put_repository_catalog_data, repositoryName="not/there", catalogData={}) == expected


def test_a_logo_is_shown_to_everybody_at_its_address(public: Any) -> None:
    logo = png(100, 60)
    name = new_public(public, "logo", catalogData={"logoImageBlob": logo})

    url = public.get_repository_catalog_data(repositoryName=name)["catalogData"]["logoUrl"]
    shown = urllib.request.urlopen(url)
    headers = dict(shown.headers)
    public.delete_repository(repositoryName=name)

    assert shown.read() == logo
    assert headers["Content-Type"] == "image/png"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in headers["Content-Security-Policy"]
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(url)


@pytest.mark.parametrize("path", ["/logos/", "/logos/0", "/logos/x", "/logos/" + "9" * 40, "/logos/1/2"])
def test_there_is_no_logo_where_none_was_set(homeport: Homeport, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(homeport.url + path)


@pytest.mark.parametrize(
    "logo",
    [
        b"GIF89a" + b"\0" * 100,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        png(59, 100),
        png(100, 2049),
        png(100, 100)[:-1],
        png(100, 100) + b"<script>",
    ],
    ids=["gif", "svg", "too-narrow", "too-high", "cut-off", "with-a-tail"],
)
def test_a_logo_that_is_no_png_of_the_right_size_is_refused(public: Any, account: str, logo: bytes) -> None:
    name = new_name("logo")
    data = {"logoImageBlob": logo, "description": "x"}

    code, message = refused(public.create_repository, repositoryName=name, catalogData=data)

    assert code == "InvalidParameterException"
    assert "logoImageBlob" in message
    assert refused(public.describe_repositories, repositoryNames=[name]) == unknown_repository(name, account)


def test_a_registry_gets_one_default_alias_also_when_many_look_first(homeport: Homeport) -> None:
    client = homeport.client("ecr-public", credentials=homeport.account())
    names: list[list[str]] = []

    def look(_: int) -> None:
        (registry,) = client.describe_registries()["registries"]
        names.append([each["name"] for each in registry["aliases"]])

    assert at_once(look, range(6)) == ["done"] * 6
    assert names == [names[0]] * 6
    assert len(names[0]) == 1
