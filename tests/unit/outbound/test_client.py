"""Which servers may be reached, and how much is taken from them (security cases O1 to O3 and O7)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.outbound.addresses import networks
from homeport.outbound.client import DOCUMENT_BYTES, Outbound, OutboundFailure
from tests.harness.issuer import Issuer
from tests.oci.conftest import self_signed

LOOPBACK = networks(["127.0.0.0/8"])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    return self_signed(tmp_path_factory.mktemp("outbound"))


@pytest.fixture(scope="module")
def server(certificate: tuple[Path, Path]) -> Iterator[Issuer]:
    """A server on loopback."""
    with Issuer(*certificate) as running:
        yield running


def fetch(outbound: Outbound, url: str) -> bytes:
    """Fetch, in an event loop of its own."""
    return asyncio.run(outbound.document(url))


def failure(outbound: Outbound, url: str) -> str:
    """Why something cannot be fetched."""
    with pytest.raises(OutboundFailure) as caught:
        fetch(outbound, url)
    return str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2002:a00:1::",
        "not an address",
        "",
        "127.1",
        "2130706433",
    ],
)
def test_addresses_that_are_not_public_are_not_reached(address: str) -> None:
    assert not Outbound().may_reach(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34"])
def test_public_addresses_are_reached(address: str) -> None:
    assert Outbound().may_reach(address)


def test_a_network_that_the_operator_lists_is_reached_and_no_other() -> None:
    outbound = Outbound(networks(["10.2.0.0/16", "::1/128"]))

    assert [
        outbound.may_reach(each) for each in ("10.2.3.4", "::ffff:10.2.3.4", "::1", "10.3.0.1", "127.0.0.1")
    ] == [
        True,
        True,
        True,
        False,
        False,
    ]


@given(st.ip_addresses())
def test_no_private_address_of_any_form_is_reached(address: object) -> None:
    text = str(address)

    if Outbound().may_reach(text):
        assert not text.startswith(("10.", "127.", "169.254.", "192.168.", "fe80:", "fc", "fd", "::ffff:10."))


@pytest.mark.parametrize("text", ["10.0.0.1/8", "anywhere", "10.0.0.0/40"])
def test_what_is_no_network_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValueError):
        networks([text])


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "localhost.",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ],
)
def test_loopback_by_any_name_is_not_reached(
    server: Issuer, certificate: tuple[Path, Path], host: str
) -> None:
    port = server.host.partition(":")[2]
    before = list(server.asked)

    failure(Outbound((), certificate[0]), f"https://{host}:{port}/keys")

    assert server.asked == before


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "file:///etc/passwd",
        "https://",
        "https:///keys",
        "https://a@b/",
        "https://a:b@127.0.0.1/",
        "https://127.0.0.1\\@example.com/",
        "https://example.com#@127.0.0.1/",
        "https://example.com\r\nHost: x/",
        "https://exa mple.com/",
        "https://[::1/",
        "https://example.com:123456/",
        "//example.com/",
        "",
        "https://example.com/" + "a" * 3000,
    ],
)
def test_what_is_not_a_plain_https_address_is_refused(url: str) -> None:
    assert failure(Outbound(LOOPBACK), url) == "the address is not a plain https address"


def test_a_document_of_a_listed_network_is_fetched(server: Issuer, certificate: tuple[Path, Path]) -> None:
    assert b"keys" in fetch(Outbound(LOOPBACK, certificate[0]), f"{server.url}/keys")


def test_a_certificate_that_nobody_vouches_for_is_refused(server: Issuer) -> None:
    assert (
        failure(Outbound(LOOPBACK), f"{server.url}/keys") == "its certificate is not one that is trusted here"
    )


@pytest.mark.parametrize("status", [301, 302, 307, 308, 404, 500, 204])
def test_only_a_plain_success_is_taken_and_no_redirect_followed(
    server: Issuer, certificate: tuple[Path, Path], status: int
) -> None:
    server.broken["/moved"] = (status, {"Location": f"{server.url}/target"}, b"")

    assert (
        failure(Outbound(LOOPBACK, certificate[0]), f"{server.url}/moved")
        == f"it answered with status {status}"
    )
    assert "/target" not in server.asked


def test_a_document_is_taken_up_to_its_limit(server: Issuer, certificate: tuple[Path, Path]) -> None:
    outbound = Outbound(LOOPBACK, certificate[0])
    server.broken["/fits"] = (200, {}, b"x" * DOCUMENT_BYTES)
    server.broken["/too-long"] = (200, {}, b"x" * (DOCUMENT_BYTES + 1))

    assert len(fetch(outbound, f"{server.url}/fits")) == DOCUMENT_BYTES
    assert failure(outbound, f"{server.url}/too-long") == f"it answered with more than {DOCUMENT_BYTES} bytes"


def test_a_compressed_document_is_not_inflated(server: Issuer, certificate: tuple[Path, Path]) -> None:
    import gzip

    bomb = gzip.compress(b"0" * 10_000_000)
    server.broken["/bomb"] = (200, {"Content-Encoding": "gzip"}, bomb)

    assert fetch(Outbound(LOOPBACK, certificate[0]), f"{server.url}/bomb") == bomb


def test_a_server_that_is_not_there_cannot_be_reached(certificate: tuple[Path, Path]) -> None:
    assert (
        failure(Outbound(LOOPBACK, certificate[0]), "https://127.0.0.1:1/keys") == "it could not be reached"
    )
