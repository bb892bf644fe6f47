"""Every error that the models of STS, IAM and Secrets Manager list for an operation that works here.

Each has a scenario that brings the operation to answer it, with its exact text and the status of the model, or a reason
in `identity_errors_reasons.py`. A model that lists something new fails the first test.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from homeport.aws import faults
from homeport.aws.services import load_services
from homeport.kernel.errors import StorageFull, Unavailable
from tests.api.federation import trusting
from tests.api.identity_errors_base import LISTED, OPERATIONS, TABLES, World, code_of, usual
from tests.api.identity_errors_reasons import CANNOT_OCCUR, OUR_TROUBLE, WRITES
from tests.harness.issuer import Issuer
from tests.harness.server import Homeport
from tests.oci.conftest import self_signed

for _module in ("iam", "others"):
    importlib.import_module(f"tests.api.identity_errors_{_module}")

FAILING = {(operation, OUR_TROUBLE[operation.partition(":")[0]]) for operation in WRITES} & LISTED.keys()
"""What is answered for our own trouble, by the operations that write."""


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    """An issuer that the server may reach."""
    with Issuer(*self_signed(tmp_path_factory.mktemp("issuer"))) as running:
        yield running


@pytest.fixture(scope="module")
def world(issuer: Issuer) -> Iterator[World]:
    """An account with one of everything."""
    with trusting(issuer) as server:
        yield World.of(server, issuer)


@pytest.fixture(scope="module")
def failing(issuer: Issuer) -> Iterator[World]:
    """The same on a server whose database has failed since."""
    with Homeport() as server:
        made = World.of(server, issuer)
        server.environment["HOMEPORT_DATABASE_FAULTS"] = "write:*:unavailable"
        server.restart()
        yield made


def refusal(call: Any) -> tuple[str, str, int, str]:
    """Make a call that must fail; return code, message, status and the name of the exception that clients catch."""
    with pytest.raises(ClientError) as caught:
        call()
    response = caught.value.response
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    return response["Error"]["Code"], response["Error"]["Message"], status, type(caught.value).__name__


def status_of(operation: str, error: str) -> int:
    """The status that the model states, or that of its protocol's errors."""
    stated: int | None = LISTED[operation, error].metadata.get("error", {}).get("httpStatusCode")
    return stated or (500 if error in OUR_TROUBLE.values() else 400)


def test_every_listed_error_has_a_scenario_or_a_reason_and_not_both() -> None:
    told = TABLES.scenarios.keys() | FAILING

    assert LISTED.keys() - told - CANNOT_OCCUR.keys() == set(), "neither a scenario nor a reason"
    assert (told | CANNOT_OCCUR.keys()) - LISTED.keys() == set(), "not listed by the model"
    assert told & CANNOT_OCCUR.keys() == set(), "what is told needs no reason"
    assert TABLES.scenarios.keys() & FAILING == set()
    assert TABLES.twice == []
    assert all(len(reason) > 30 for reason in CANNOT_OCCUR.values())


def test_the_tables_are_about_every_operation_that_works() -> None:
    counts = {
        service: sum(operation.startswith(f"{service}:") for operation in OPERATIONS)
        for service in load_services()
    }

    assert counts["sts"] >= 4
    assert counts["iam"] >= 89
    assert counts["secretsmanager"] >= 13


@pytest.mark.parametrize(("operation", "error"), sorted(TABLES.scenarios))
def test_the_operation_answers_the_error(world: World, operation: str, error: str) -> None:
    expected = TABLES.scenarios[operation, error](world, operation)
    where = expected.world or world

    code, message, status, name = refusal(
        lambda: where.call(operation, expected.params, signed=expected.signed)
    )

    assert code == error
    if isinstance(expected.text, re.Pattern):
        assert expected.text.fullmatch(message), message
    else:
        assert message == expected.text
    assert status == status_of(operation, error)
    assert name == LISTED[operation, error].name


@pytest.mark.parametrize(("operation", "error"), sorted(FAILING))
def test_a_database_that_fails_is_our_trouble_in_the_words_of_the_service(
    failing: World, operation: str, error: str
) -> None:
    params = usual(failing)[operation]

    code, message, status, name = refusal(lambda: failing.call(operation, params))

    assert (code, message, status) == (error, "The metadata database failed (a planned fault)", 500)
    assert name == LISTED[operation, error].name


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
@pytest.mark.parametrize("trouble", [Unavailable("no"), StorageFull("no")], ids=["unavailable", "full"])
def test_our_trouble_has_the_name_that_the_operation_lists(operation: str, trouble: Unavailable) -> None:
    service = operation.partition(":")[0]
    listed = {code_of(shape) for shape in OPERATIONS[operation].error_shapes}

    if service == "secretsmanager":
        found = faults.fault_of(trouble, service)
    else:
        found = faults.query_fault_of(trouble, listed)

    usual_name = {"secretsmanager": "InternalServiceError"}.get(service, "InternalFailure")
    assert found == (OUR_TROUBLE[service] if OUR_TROUBLE.get(service) in listed else usual_name, 500)
