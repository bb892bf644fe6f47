"""Servers for the conformance tests, as `Site`s: the shared one, one with TLS, and one with two workers.

The three differ in how a body reaches the disk: from the socket in a thread, through the TLS stream, and in processes
that share one database. Tests that take `place` run against all of them.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.harness.server import Homeport
from tests.oci.raw import Site


@dataclass(frozen=True, slots=True)
class Place:
    """A server and an empty repository of the test's own on it."""

    kind: str
    site: Site
    repository: str
    new_repository: Callable[[], str]

    @property
    def uploads(self) -> str:
        """The path where uploads begin."""
        return f"/v2/{self.repository}/blobs/uploads/"


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "homeport test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate_file, key_file


@pytest.fixture(scope="session")
def site(homeport: Homeport) -> Site:
    """The shared server, as its administrator."""
    return Site.of(homeport.url, homeport.password())


House = tuple[str, Site, Callable[[], str]]


def _maker(server: Homeport) -> Callable[[], str]:
    server.client().put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
    counter = iter(range(10**6))

    def make() -> str:
        name = f"conformance/number-{next(counter)}"
        server.client().create_repository(repositoryName=name)
        return name

    return make


@pytest.fixture(scope="session")
def plain(homeport: Homeport) -> House:
    """The shared server."""
    return "plain", Site.of(homeport.url, homeport.password()), _maker(homeport)


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server with TLS."""
    certificate, key = self_signed(tmp_path_factory.mktemp("tls"))
    options = ["--tls-certificate", str(certificate), "--tls-key", str(key)]
    with Homeport(options=options, authority=certificate) as server:
        trust = ssl.create_default_context(cafile=str(certificate))
        yield "tls", Site.of(server.url, server.password(), trust), _maker(server)


@pytest.fixture(scope="session")
def workers() -> Iterator[House]:
    """A server with two workers."""
    with Homeport(options=["--workers", "2"]) as server:
        yield "workers", Site.of(server.url, server.password()), _maker(server)


# Each kind is a fixture of its own, so that it goes on when the tests of one file turn to another kind.
@pytest.fixture(params=["plain", "tls", "workers"])
def house(request: pytest.FixtureRequest) -> House:
    """Each kind of server in turn: its kind, where it is, and a maker of repositories."""
    found: House = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def place(house: House) -> Place:
    """An empty repository on each kind of server in turn."""
    kind, site, make = house
    return Place(kind, site, make(), make)
