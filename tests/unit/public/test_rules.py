"""What an alias and a logo must be."""

from __future__ import annotations

import re
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.kernel.errors import InvalidParameter
from homeport.public.rules import check_alias, check_logo
from tests.api.public import png

MODEL = re.compile(r"[a-z][a-z0-9]+(?:[._-][a-z0-9]+)*", re.ASCII)  # RegistryAliasName of botocore's model


@given(st.text(st.sampled_from("ab1._-A/é"), max_size=60))
def test_an_alias_is_what_the_model_says(name: str) -> None:
    try:
        accepted = check_alias(name) == name
    except InvalidParameter:
        accepted = False

    assert accepted == (2 <= len(name) <= 50 and MODEL.fullmatch(name) is not None)


@pytest.mark.parametrize("size", [(60, 60), (2048, 2048), (60, 2048)])
def test_a_logo_may_have_sixty_to_two_thousand_and_forty_eight_pixels(size: tuple[int, int]) -> None:
    logo = png(*size)

    assert check_logo(logo) is logo


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_logo(data: bytes) -> None:
    with pytest.raises(InvalidParameter):
        check_logo(data)


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_logo_with_one_byte_changed_is_refused(at: int, change: int) -> None:
    logo = bytearray(png(60, 60))
    logo[at % len(logo)] ^= change

    with pytest.raises(InvalidParameter):
        check_logo(bytes(logo))


@given(st.binary(max_size=60))
def test_a_logo_may_hold_further_chunks(data: bytes) -> None:
    kind = b"tEXt"
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    assert check_logo(png(60, 60, extra=chunk))


def test_a_length_beyond_the_end_is_refused() -> None:
    with pytest.raises(InvalidParameter):
        check_logo(png(60, 60, extra=struct.pack(">I", 2**31 - 1) + b"tEXt"))
