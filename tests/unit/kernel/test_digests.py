"""Digests: which texts name bytes."""

from __future__ import annotations

import hashlib

import pytest

from homeport.kernel.digests import Digest, digest_of
from homeport.kernel.errors import DigestInvalid


@pytest.mark.parametrize(("algorithm", "digits"), [("sha256", 64), ("sha512", 128)])
def test_a_digest_knows_its_algorithm_and_its_digits(algorithm: str, digits: int) -> None:
    digest = Digest(f"{algorithm}:{'0a' * (digits // 2)}")

    assert (digest.algorithm, digest.hex) == (algorithm, "0a" * (digits // 2))
    assert digest == f"{algorithm}:{'0a' * (digits // 2)}"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_the_digest_of_bytes_is_that_of_every_other_tool(algorithm: str) -> None:
    for data in (b"", b"layer", bytearray(b"layer"), memoryview(b"layer")):
        assert digest_of(data, algorithm) == f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "a" * 128,
        "sha512:" + "a" * 64,
        "sha256:" + "A" * 64,
        "sha256:" + "g" * 64,
        "sha256:" + "a" * 64 + "\n",
        " sha256:" + "a" * 64,
        "sha256:../../../../etc/passwd",
        "sha256:" + "../" * 21 + "a",
        "SHA256:" + "a" * 64,
        "sha256-" + "a" * 64,
        "md5:" + "a" * 32,
        "sha1:" + "a" * 40,
        "sha384:" + "a" * 96,
        "blake3:" + "a" * 64,
        "sha256+b64:" + "a" * 64,
        "sha256:" + "\u0661" * 64,
        "a" * 64,
        "sha256:" + "a" * 1_000_000,
    ],
)
def test_weak_unknown_and_misshapen_digests_are_refused_before_any_look_up(text: str) -> None:
    with pytest.raises(DigestInvalid) as refused:
        Digest(text)

    assert "etc" not in refused.value.message
