"""Who a request comes from, as load balancers say it."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from homeport.outbound.addresses import networks
from homeport.wire.forwarded import NO_PROXIES, Proxies

OURS = Proxies(networks(["10.0.0.0/8", "fd00::/8"]))


def client(proxies: Proxies, peer: str | None, *said: tuple[str, str]) -> tuple[str | None, bool | None]:
    transport = mock.Mock()
    given: dict[str, Any] = {"peername": (peer, 1) if peer else None, "sslcontext": None}
    transport.get_extra_info.side_effect = given.get
    return proxies.client(make_mocked_request("GET", "/", headers=CIMultiDict(said), transport=transport))


@pytest.mark.parametrize(
    ("peer", "said", "address"),
    [
        ("10.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("1.1.1.1, 203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("1.1.1.1", "203.0.113.9"), "203.0.113.9"),
        ("10.0.0.1", ("1.1.1.1, 203.0.113.9, 10.0.0.2",), "203.0.113.9"),
        ("10.0.0.1", ("10.9.9.9, 10.0.0.2",), "10.9.9.9"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("",), "10.0.0.1"),
        ("10.0.0.1", ("203.0.113.9, unknown",), "10.0.0.1"),
        ("10.0.0.1", ("203.0.113.9, not-an-address, 10.0.0.2",), "10.0.0.2"),
        ("::ffff:10.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        ("fd00::1", ("2001:db8::1",), "2001:db8::1"),
        ("203.0.113.1", ("10.0.0.7",), "203.0.113.1"),
        (None, ("203.0.113.9",), None),
    ],
)
def test_the_last_address_that_is_no_proxy_of_ours_is_the_client(
    peer: str | None, said: tuple[str, ...], address: str | None
) -> None:
    assert client(OURS, peer, *(("X-Forwarded-For", text) for text in said))[0] == address


@pytest.mark.parametrize(
    ("peer", "said", "secure"),
    [
        ("10.0.0.1", ("https",), True),
        ("10.0.0.1", ("HTTPS",), True),
        ("10.0.0.1", ("http",), False),
        ("10.0.0.1", ("https, http",), False),
        ("10.0.0.1", ("https", "http"), False),
        ("10.0.0.1", (), None),
        ("203.0.113.1", ("https",), None),
    ],
)
def test_what_the_nearest_proxy_says_about_tls_counts(
    peer: str, said: tuple[str, ...], secure: bool | None
) -> None:
    assert client(OURS, peer, *(("X-Forwarded-Proto", text) for text in said))[1] is secure


def test_without_proxies_nothing_that_is_said_counts() -> None:
    said = (("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https"))

    assert client(NO_PROXIES, "127.0.0.1", *said) == ("127.0.0.1", None)
