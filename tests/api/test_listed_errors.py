"""Every operation of ECR and ECR Public works, and answers every error that botocore's model lists for it.

The scenarios are in the modules `listed_errors_*`. They are proved to be all of them against the models: an error that
cannot be brought about has its reason instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from tests.api import (  # noqa: F401 - the modules of scenarios fill the tables
    listed_errors_images,
    listed_errors_invalid,
    listed_errors_registry,
    listed_errors_repositories,
    listed_errors_settings,
    listed_errors_success,
)
from tests.api.listed_errors_base import LISTED, OPERATIONS, TABLES, Asked, Side, behind_the_back
from tests.api.listed_errors_reasons import CANNOT_OCCUR_YET, NEVER_WORKS
from tests.harness.server import Homeport

FAILURE = "ServerException"
"""The error that is brought about for all operations alike, by a database that fails."""
ALWAYS_FAIL = [operation for operation, error in LISTED if error == FAILURE]
QUOTAS = "repositories=1, tags_per_image=1, layer_parts=2, public_repositories=1, public_layer_parts=2"
READS = ("Get", "List", "Describe", "BatchGet", "BatchCheck", "Validate")
FIRST_READ = ("registry_document", "repository", "public_alias")
"""Tables of which every operation reads at least one, once it is known who asks."""


@pytest.fixture(scope="module")
def server() -> Iterator[Homeport]:
    """The server of the scenarios."""
    with Homeport() as one:
        yield one
        one.terminate()
        assert one.defects == []


@pytest.fixture(scope="module")
def small() -> Iterator[Homeport]:
    """A server whose registries take very little."""
    with Homeport(environment={"HOMEPORT_QUOTAS": QUOTAS}) as one:
        yield one
        one.terminate()
        assert one.defects == []


@pytest.fixture(scope="module")
def failing() -> Iterator[tuple[Homeport, dict[str, Asked]]]:
    """A server whose database refuses every write, and a right call of each operation that was arranged before."""
    with Homeport() as one:
        asked: dict[str, Asked] = {}
        for operation in OPERATIONS:
            with suppress(ClientError):  # what cannot be arranged fails its own test only
                asked[operation] = TABLES.success[operation].arrange(side(one, operation))
        one.terminate()
        one.environment["HOMEPORT_DATABASE_FAULTS"] = "write:1+:unavailable"
        one.start()
        yield one, asked


def side(server: Homeport, operation: str) -> Side:
    """The administrator's registry, through the service of the operation."""
    return Side(server, operation.partition(":")[0], server.credentials)


def refusal(asked: Asked, operation: str) -> tuple[int, str, str, str]:
    """Make a call that must fail; return the status, the code and the text, and the id of the request."""
    with pytest.raises(ClientError) as caught:
        asked.call(operation)
    answer = caught.value.response
    metadata = answer["ResponseMetadata"]
    return (
        metadata["HTTPStatusCode"],
        answer["Error"]["Code"],
        answer["Error"]["Message"],
        metadata["RequestId"],
    )


# --- The tables are complete ---


def test_every_listed_error_has_a_scenario_or_a_reason() -> None:
    proved = {*TABLES.scenarios, *CANNOT_OCCUR_YET, *((operation, FAILURE) for operation in ALWAYS_FAIL)}

    assert set(LISTED) - proved == set()


def test_no_scenario_and_no_reason_is_for_an_error_that_is_not_listed() -> None:
    assert {*TABLES.scenarios, *CANNOT_OCCUR_YET} - set(LISTED) == set()


def test_no_error_has_both_a_scenario_and_a_reason_or_two_scenarios() -> None:
    assert TABLES.scenarios.keys() & CANNOT_OCCUR_YET.keys() == set()
    assert TABLES.twice == []


def test_every_operation_has_a_call_that_works() -> None:
    assert TABLES.success.keys() == OPERATIONS.keys()
    assert NEVER_WORKS.keys() <= OPERATIONS.keys()


# --- Success ---


@pytest.mark.parametrize("operation", sorted(OPERATIONS.keys() - NEVER_WORKS.keys()))
def test_an_operation_works_and_answers_all_its_members(server: Homeport, operation: str) -> None:
    success, shape = TABLES.success[operation], OPERATIONS[operation].output_shape
    asked = success.arrange(side(server, operation))

    answer = asked.call(operation)

    assert answer.pop("ResponseMetadata")["HTTPStatusCode"] == 200
    assert shape is not None
    assert shape.members.keys() - success.may_lack <= answer.keys() <= shape.members.keys()
    report = ParamValidator().validate(answer, shape)  # also the members that the model requires further down
    assert not report.has_errors(), report.generate_report()


@pytest.mark.parametrize("operation", sorted(NEVER_WORKS))
def test_an_operation_that_cannot_work_yet_says_so_even_to_a_right_call(
    server: Homeport, operation: str
) -> None:
    asked = TABLES.success[operation].arrange(side(server, operation))

    assert refusal(asked, operation)[:2] == (400, NEVER_WORKS[operation])


# --- Refusals ---


@pytest.mark.parametrize(
    ("operation", "error"), sorted(key for key, row in TABLES.scenarios.items() if not row.small)
)
def test_a_listed_error_is_answered_with_its_own_words(server: Homeport, operation: str, error: str) -> None:
    refused = TABLES.scenarios[operation, error].run(side(server, operation))

    assert refusal(refused.asked, operation)[:3] == (400, error, refused.text)


@pytest.mark.parametrize(
    ("operation", "error"), sorted(key for key, row in TABLES.scenarios.items() if row.small)
)
def test_what_is_full_is_refused_with_its_own_words(small: Homeport, operation: str, error: str) -> None:
    refused = TABLES.scenarios[operation, error].run(side(small, operation))

    assert refusal(refused.asked, operation)[:3] == (400, error, refused.text)


# --- A database that fails ---


def reads(operation: str) -> bool:
    """Whether the operation writes nothing; a scan is begun and over at once, as there is no scanner."""
    return operation.partition(":")[2].startswith(READS) or operation == "ecr:StartImageScan"


@contextmanager
def hidden(server: Homeport, operation: str) -> Iterator[None]:
    """Let the server meanwhile not find the tables that the operation reads first."""
    # A public password follows from nothing but who asks.
    tables = ("access_key",) if operation == "ecr-public:GetAuthorizationToken" else FIRST_READ
    with behind_the_back(server) as rows:
        for name in tables:
            rows.execute(f"ALTER TABLE {name} RENAME TO hidden_{name}")
    try:
        yield
    finally:
        with behind_the_back(server) as rows:
            for name in tables:
                rows.execute(f"ALTER TABLE hidden_{name} RENAME TO {name}")


@pytest.mark.parametrize("operation", sorted(each for each in ALWAYS_FAIL if not reads(each)))
def test_a_write_that_the_database_refuses_is_a_server_exception(
    failing: tuple[Homeport, dict[str, Asked]], operation: str
) -> None:
    _, asked = failing

    answer = refusal(asked[operation], operation)

    assert answer[:3] == (500, FAILURE, "The metadata database failed (a planned fault)")


@pytest.mark.parametrize("operation", sorted(each for each in ALWAYS_FAIL if reads(each)))
def test_a_read_that_fails_is_a_server_exception_and_over_when_the_database_is_well(
    failing: tuple[Homeport, dict[str, Asked]], operation: str
) -> None:
    server, asked = failing

    with hidden(server, operation):
        status, code, text, request = refusal(asked[operation], operation)

    assert (status, code) == (500, FAILURE)
    assert text == f"Internal error; the operator finds it in the log under the id {request}"
    if operation in NEVER_WORKS:
        assert refusal(asked[operation], operation)[1] == NEVER_WORKS[operation]
    else:
        assert asked[operation].call(operation)["ResponseMetadata"]["HTTPStatusCode"] == 200
