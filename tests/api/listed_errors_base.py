"""What the tests of every listed error are made of: a world for each scenario, and the tables the scenarios go into.

An operation is written `service:Operation` here, such as `ecr-public:PutImage`.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel

from homeport.database.generation import Generation
from homeport.database.sqlite import turn
from tests.api.calls import put
from tests.harness.images import Image, random_image
from tests.harness.server import Credentials, Homeport

SERVICES = ("ecr", "ecr-public")
_MODELS = {name: ServiceModel(Loader().load_service_model(name, "service-2"), name) for name in SERVICES}
OPERATIONS: dict[str, OperationModel] = {
    f"{service}:{name}": model.operation_model(name)
    for service, model in _MODELS.items()
    for name in model.operation_names
}
"""Every operation of both services, as botocore models it."""
LISTED = [(operation, shape.name) for operation, model in OPERATIONS.items() for shape in model.error_shapes]
"""Every (operation, error) that the models list."""


def both(*names: str) -> list[str]:
    """The operations of those names in both services."""
    return [f"{service}:{name}" for service in SERVICES for name in names]


def members(operation: str) -> set[str]:
    """The members of an operation's input."""
    shape = OPERATIONS[operation].input_shape
    return set(shape.members) if shape is not None else set()


# --- Worlds ---


@dataclass(frozen=True)
class Side:
    """One registry as one caller sees it through one service."""

    server: Homeport
    service: str
    who: Credentials

    @property
    def client(self) -> Any:
        """The caller's client."""
        return self.server.client(self.service, credentials=self.who)

    @property
    def account(self) -> str:
        """The id of the registry."""
        return self.who.account_id

    def of(self, service: str) -> Side:
        """The same caller in another service."""
        return Side(self.server, service, self.who)

    def elsewhere(self) -> Side:
        """The administrator of a new account: for what a registry has only one of."""
        return Side(self.server, self.service, self.server.account())

    def repository(self, **more: Any) -> str:
        """Create an empty repository; return its name."""
        name = new_name()
        self.client.create_repository(repositoryName=name, **more)
        return name

    def image(self, repository: str, tag: str = "v1") -> Image:
        """Push a new image to the repository."""
        image = random_image()
        put(self.client, repository, image, tag)
        return image

    def arn(self, repository: str) -> str:
        """The resource name of a repository."""
        region = self.who.region if self.service == "ecr" else ""
        return f"arn:aws:{self.service}:{region}:{self.account}:repository/{repository}"

    def upload(self, repository: str, *parts: bytes) -> str:
        """Begin an upload and send it these parts; return its id."""
        upload_id: str = self.client.initiate_layer_upload(repositoryName=repository)["uploadId"]
        first = 0
        for part in parts:
            self.client.upload_layer_part(
                repositoryName=repository,
                uploadId=upload_id,
                partFirstByte=first,
                partLastByte=first + len(part) - 1,
                layerPartBlob=part,
            )
            first += len(part)
        return upload_id

    def in_registry(self, repository: str) -> str:
        """How most texts name a repository."""
        return f"the repository with name '{repository}' in the registry with id '{self.account}'"

    def asks(self, **params: Any) -> Asked:
        """What this caller will call an operation with."""
        return Asked(self, params)

    def is_refused(self, text: str, **params: Any) -> Refused:
        """What this caller will call an operation with, and the text of the refusal."""
        return Refused(Asked(self, params), text)


@dataclass(frozen=True)
class Asked:
    """The parameters of a call, and who makes it."""

    side: Side
    params: dict[str, Any]

    def call(self, operation: str) -> dict[str, Any]:
        """Make the call; the operation is that of the table's row, so no scenario can call another by mistake."""
        service, _, name = operation.partition(":")
        answer: dict[str, Any] = getattr(self.side.of(service).client, xform_name(name))(**self.params)
        return answer

    def but(self, **params: Any) -> Asked:
        """The same call with some parameters replaced."""
        return Asked(self.side, {**self.params, **params})


@dataclass(frozen=True)
class Refused:
    """A call that must be refused with exactly this text."""

    asked: Asked
    text: str


def new_name() -> str:
    """A repository name that nobody has used."""
    return f"listed/{uuid.uuid4().hex}"


def new_prefix() -> str:
    """A prefix for templates and rules that nobody has used; they can be no longer than 30 characters."""
    return f"p-{uuid.uuid4().hex[:20]}"


def now() -> int:
    """The present in the unit of the database, microseconds."""
    return int(datetime.now(UTC).timestamp() * 1_000_000)


@contextmanager
def behind_the_back(server: Homeport) -> Iterator[sqlite3.Connection]:
    """Change the server's rows from outside, as another process of it would: by turns, and so that it notices."""
    path = server.data / "homeport.db"
    with turn(path), closing(Generation(path.with_suffix(".generation"))) as generation:
        generation.begin()
        try:
            with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as rows, rows:
                rows.execute("BEGIN IMMEDIATE")
                yield rows
        finally:
            generation.end()


# --- Documents ---

LIFECYCLE = json.dumps(
    {
        "rules": [
            {
                "rulePriority": 1,
                "selection": {
                    "tagStatus": "untagged",
                    "countType": "sinceImagePushed",
                    "countUnit": "days",
                    "countNumber": 14,
                },
                "action": {"type": "expire"},
            }
        ]
    },
    indent=1,
)
"""A lifecycle policy."""


def statement(action: str) -> str:
    """A resource policy that allows everybody that action; on a registry, everywhere in it."""
    allowed = {"Effect": "Allow", "Principal": "*", "Action": [action]}
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed]})


# --- Tables ---

Arrange = Callable[[Side], Asked]
Scenario = Callable[[Side], Refused]


@dataclass(frozen=True)
class Success:
    """How a call is arranged that works, and which members its answer may lack."""

    arrange: Arrange
    may_lack: frozenset[str]


@dataclass(frozen=True)
class Row:
    """A scenario, and whether it is for the server whose registries take very little."""

    run: Scenario
    small: bool


@dataclass
class Tables:
    """What the modules of scenarios fill when they are imported."""

    success: dict[str, Success] = field(default_factory=dict)
    scenarios: dict[tuple[str, str], Row] = field(default_factory=dict)
    twice: list[object] = field(default_factory=list)


TABLES = Tables()


def works(*operations: str, may_lack: set[str] | None = None) -> Callable[[Arrange], Arrange]:
    """Enter a function that arranges a call of the operations which works.

    Args:
        operations: for which the same parameters are right.
        may_lack: members of the answer that it has in other situations only. A token for a next page always may.
    """

    def enter(arrange: Arrange) -> Arrange:
        for operation in operations:
            if operation in TABLES.success:
                TABLES.twice.append(operation)
            TABLES.success[operation] = Success(arrange, frozenset(may_lack or ()) | {"nextToken"})
        return arrange

    return enter


def refuses(error: str, *operations: str, small: bool = False) -> Callable[[Scenario], Scenario]:
    """Enter a function that arranges a call of the operations which is refused with `error` (without `Exception`).

    Args:
        error: its name in the model, without `Exception` at its end.
        operations: for which the same parameters are wrong in the same way.
        small: the scenario is for the server whose registries take very little.
    """

    def enter(scenario: Scenario) -> Scenario:
        for operation in operations:
            key = (operation, f"{error}Exception")
            if key in TABLES.scenarios:
                TABLES.twice.append(key)
            TABLES.scenarios[key] = Row(scenario, small)
        return scenario

    return enter
