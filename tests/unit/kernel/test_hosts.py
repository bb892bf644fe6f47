"""Which registry a Host header means, and that no unknown host gets an answer."""

from __future__ import annotations

import socket

import pytest

from homeport.kernel.errors import RegistryNotFound
from homeport.kernel.hosts import Hosts
from homeport.kernel.names import AccountId, Region

HOME, OTHER = AccountId("111122223333"), AccountId("444455556666")
REGION = Region("eu-west-1")


def hosts(*suffixes: str) -> Hosts:
    return Hosts(REGION, HOME, suffixes or ("localhost", "registry.example"))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost",
        "localhost:5000",
        "registry.example",
        "registry.example:443",
        "127.0.0.1",
        "127.0.0.1:5000",
        "192.0.2.7",
        "[::1]",
        "[::1]:5000",
        "[2001:db8::1]:443",
        socket.gethostname(),
        "api.ecr.eu-west-1.localhost:5000",
        "ecr.eu-west-1.registry.example",
        "ecr-fips.eu-west-1.registry.example",
        "API.ECR.eu-west-1.registry.example",
    ],
)
def test_plain_hosts_and_the_api_host_mean_the_default_registry(host: str) -> None:
    assert hosts().account_of(host) == HOME


@pytest.mark.parametrize("label", ["dkr.ecr", "dkr-ecr", "dkr.ecr-fips", "dkr-ecr-fips", "DKR.ECR"])
@pytest.mark.parametrize("suffix", ["localhost:5000", "registry.example", "registry.example:8443"])
def test_a_registry_host_means_the_account_that_it_names(label: str, suffix: str) -> None:
    assert hosts().account_of(f"{OTHER}.{label}.eu-west-1.{suffix}") == OTHER


@pytest.mark.parametrize(
    "host",
    [
        "",
        ":5000",
        "evil.example",
        "localhost.evil.example",
        "evil.registry.example",
        "registry.example.",
        "444455556666.dkr.ecr.us-east-1.localhost",  # another region
        "444455556666.dkr.ecr.eu-west-1.evil.example",
        "444455556666.dkr.ecr.eu-west-1.localhost.evil.example",
        "44445555666.dkr.ecr.eu-west-1.localhost",
        "x444455556666.dkr.ecr.eu-west-1.localhost",
        "api.ecr.us-east-1.localhost",
        "api.ecr.eu-west-1.evil.example",
        "localhost:port",
        "localhost:123456",
        "localhost:5000:5000",
        "localhost/..",
        "user@localhost",
        "localhost\n",
        "256.1.1.1",
        "[::1",
        "[::1]]",
        "]]127.0.0.1[[",
        "[127.0.0.1]",
        "::1",
        '[fe80::1%"><script>]',
        "[fe80::1%eth0]:5000",
        "127.1",
        "0x7f000001",
        "\u0661\u0662\u0667.0.0.1",
        "a" * 100_000,
    ],
)
def test_a_host_that_the_operator_did_not_list_is_refused(host: str) -> None:
    with pytest.raises(RegistryNotFound) as refused:
        hosts().account_of(host)

    assert "HOMEPORT_HOST_SUFFIXES" in refused.value.message
    assert len(refused.value.message) < 400


def test_a_suffix_may_itself_look_like_an_api_host() -> None:
    named = hosts("api.example.com")

    assert named.account_of("api.ecr.eu-west-1.api.example.com") == HOME
    assert named.account_of("ecr.eu-west-1.api.example.com") == HOME
    assert named.account_of(f"{OTHER}.dkr.ecr.eu-west-1.api.example.com") == OTHER


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        ("localhost:5000", "localhost:5000"),
        ("[::1]:5000", "[::1]:5000"),
        ("10.0.0.1", "10.0.0.1"),
        (f"{HOME}.dkr.ecr.eu-west-1.localhost:5000", f"{HOME}.dkr.ecr.eu-west-1.localhost:5000"),
        (f"{OTHER}.dkr.ecr.eu-west-1.registry.example", f"{HOME}.dkr.ecr.eu-west-1.registry.example"),
        (f"{HOME}.dkr-ecr.eu-west-1.registry.example", f"{HOME}.dkr-ecr.eu-west-1.registry.example"),
        (f"{HOME}.dkr.ecr-fips.eu-west-1.localhost", f"{HOME}.dkr.ecr-fips.eu-west-1.localhost"),
        ("api.ecr.eu-west-1.localhost:5000", f"{HOME}.dkr.ecr.eu-west-1.localhost:5000"),
        ("ecr.eu-west-1.registry.example", f"{HOME}.dkr.ecr.eu-west-1.registry.example"),
    ],
)
def test_a_client_is_sent_to_the_family_of_hosts_that_it_used(used: str, expected: str) -> None:
    assert hosts().registry_host(used, HOME) == expected


@pytest.mark.parametrize(
    "used", ["localhost:5000", "127.0.0.1:5000", "[::1]:5000", "api.ecr.eu-west-1.localhost:5000"]
)
def test_another_accounts_registry_always_gets_a_host_that_names_it(used: str) -> None:
    host = hosts().registry_host(used, OTHER)

    assert host == f"{OTHER}.dkr.ecr.eu-west-1.localhost:5000"
    assert hosts().account_of(host) == OTHER


@pytest.mark.parametrize("suffix", ["localhost", "api.example.com", "registry.example"])
@pytest.mark.parametrize(
    "form", ["{s}", "{s}:5000", "api.ecr.eu-west-1.{s}", "ecr.eu-west-1.{s}:1", "{a}.dkr-ecr.eu-west-1.{s}"]
)
@pytest.mark.parametrize("account", [HOME, OTHER])
def test_the_host_that_a_client_is_given_leads_back_to_the_same_registry(
    suffix: str, form: str, account: AccountId
) -> None:
    named = hosts(suffix)

    given = named.registry_host(form.format(s=suffix, a=HOME), account)

    assert named.account_of(given) == account
