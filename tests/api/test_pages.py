"""The generated reference pages say what the code does, and every error has its words on every front."""

from __future__ import annotations

import re

import pytest

from homeport.aws import faults as aws_faults
from homeport.aws.handlers import HANDLERS
from homeport.aws.services import SERVICE_NAMES
from homeport.kernel.errors import HomeportError
from homeport.oci import faults as oci_faults
from tools import errors_page, operations_page


def test_the_committed_page_of_operations_is_the_generated_one() -> None:
    assert operations_page.main(["--check"]) == 0, "run tools/operations_page.py"


def test_the_committed_page_of_errors_is_the_generated_one() -> None:
    assert errors_page.main(["--check"]) == 0, "run tools/errors_page.py"


def test_the_page_of_operations_counts_what_works() -> None:
    counts = re.findall(r"(\d+) of (\d+) operations work", operations_page.page())

    working = [sum(front == name for front, _ in HANDLERS) for name in SERVICE_NAMES]
    assert [int(count) for count, _ in counts] == working
    assert [int(total) for _, total in counts][:2] == [62, 23]


@pytest.mark.parametrize("kind", errors_page.vocabulary(), ids=lambda kind: kind.__name__)
def test_every_error_is_translated_for_every_kind_of_client(kind: type[HomeportError]) -> None:
    for table in (aws_faults.FAULTS, oci_faults.FAULTS):
        assert any(each in table for each in kind.__mro__)
