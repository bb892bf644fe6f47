"""Which hosts mean ECR Public, and the address of a public image in the family of a host."""

from __future__ import annotations

import pytest

from homeport.kernel.errors import RegistryNotFound
from homeport.kernel.hosts import Hosts
from homeport.kernel.names import AccountId, Region

HOSTS = Hosts(Region("eu-west-1"), AccountId("111122223333"), ("localhost", "registry.example"))


@pytest.mark.parametrize(
    "host", ["public.ecr.localhost:5000", "public.ecr.registry.example", "PUBLIC.ecr.localhost"]
)
def test_the_public_host_is_no_private_registry(host: str) -> None:
    assert HOSTS.is_public(host)
    assert not HOSTS.is_single(host)
    with pytest.raises(RegistryNotFound):
        HOSTS.account_of(host)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.0.0.1:5000",
        "public.ecr.evil.example",
        "evil.public.ecr.localhost",
        "public.ecr",
        "publicXecr.localhost",
        "111122223333.dkr.ecr.eu-west-1.localhost",
        "public.ecr.localhost.evil.example",
        "",
    ],
)
def test_other_hosts_are_not_public(host: str) -> None:
    assert not HOSTS.is_public(host)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("localhost:5000", "localhost:5000/public.ecr"),
        ("[::1]:5000", "[::1]:5000/public.ecr"),
        ("registry.example", "registry.example/public.ecr"),
        ("public.ecr.registry.example:443", "public.ecr.registry.example:443"),
        ("444455556666.dkr.ecr.eu-west-1.registry.example", "public.ecr.registry.example"),
        ("api.ecr.eu-west-1.registry.example:8443", "public.ecr.registry.example:8443"),
        ("api.ecr-public.us-east-1.registry.example", "public.ecr.registry.example"),
        ("ecr-public.us-east-1.api.registry.example", "public.ecr.registry.example"),
        ("evil.example:80", "public.ecr.localhost:80"),
    ],
)
def test_public_images_have_an_address_in_the_family_of_the_host(host: str, address: str) -> None:
    assert HOSTS.public_address(host) == address
