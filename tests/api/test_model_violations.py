"""Every constraint of the service models, broken one at a time: the right refusal each time, and nothing changes.

The requests are derived from the botocore models alone. For each operation a smallest valid input is made, then for
every member, at every depth, one input for each way to break it: missing, of the wrong type, too short, too long,
out of range, not of the pattern, not of the enumeration.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from botocore.loaders import Loader
from botocore.model import (
    ListShape,
    MapShape,
    OperationModel,
    ServiceModel,
    Shape,
    StringShape,
    StructureShape,
)

from homeport.access.operations import OPERATIONS
from homeport.aws.handlers import HANDLERS
from tests.api.signing import FORM, JSON, Signer, form_fields
from tests.harness.server import MODELS as OWN_MODELS
from tests.harness.server import Homeport

SERVICES = ("ecr", "ecr-public", "secretsmanager", "iam", "sts", "homeport")
_LOADER = Loader(extra_search_paths=[str(OWN_MODELS)])
MODELS = {name: ServiceModel(_LOADER.load_service_model(name, "service-2"), name) for name in SERVICES}
ROWS = [
    (front, name)
    for front, name in OPERATIONS
    if front in MODELS and (MODELS[front].metadata["protocol"] == "json" or (front, name) in HANDLERS)
]

# --- Values ---

LONGEST = 200_000  # characters, bytes or items: what the body of a small request can hold
GOOD = (
    "123456789012", "team/app", "ROOT", "v1", "/", "us-east-1", "a1", "sha256:" + "ab" * 32,
    "01234567-89ab-cdef-0123-456789abcdef", "123456", "AKIA0123456789ABCDEF", "x" * 9, "x" * 36,
    "arn:aws:secretsmanager:us-east-1:123456789012:secret:ecr-pullthroughcache/name-abcdef",
    "arn:aws:kms:us-east-1:123456789012:key/1", "arn:aws:iam::123456789012:role/name",
    "arn:aws:signer:us-east-1:123456789012:/signing-profiles/name",
)  # fmt: skip
BAD = ("!", "\u0101", "\x00", "é")
_CLASSES = {r"\p{L}": "a-zA-Z", r"\p{Z}": " ", r"\p{N}": "0-9"}


def fits(shape: Shape, text: str) -> bool:
    """Whether the text keeps the length and the pattern of the shape."""
    pattern = shape.metadata.get("pattern", ".*")
    for name, plain in _CLASSES.items():
        pattern = pattern.replace(name, plain)
    least, most = shape.metadata.get("min", 0), shape.metadata.get("max", len(text))
    return least <= len(text) <= most and re.fullmatch(pattern, text, re.ASCII | re.DOTALL) is not None


def good(shape: Shape) -> Any:
    """The smallest valid value of a shape, as its protocol's serialiser would be given it."""
    if isinstance(shape, StructureShape):
        return {name: good(shape.members[name]) for name in shape.required_members}
    if isinstance(shape, ListShape):
        return [good_item(shape)] * max(shape.metadata.get("min", 1), 1)
    if isinstance(shape, MapShape):
        return {good(shape.key): good(shape.value)}
    if isinstance(shape, StringShape):
        if shape.enum:
            return shape.enum[0]
        return next(text for text in (*GOOD, "x" * shape.metadata.get("min", 1)) if fits(shape, text))
    if shape.type_name == "blob":
        return base64.b64encode(b"x" * max(shape.metadata.get("min", 1), 1)).decode()
    return {"boolean": True, "timestamp": 0}.get(shape.type_name, max(shape.metadata.get("min", 1), 1))


def good_item(shape: ListShape) -> Any:
    """The smallest valid item of a list that is there at all when it is written as a form."""
    member = shape.member
    if isinstance(member, StructureShape) and not member.required_members:
        name, first = next(iter(member.members.items()))
        return {name: good(first)}
    return good(member)


@dataclass(frozen=True)
class Broken:
    """A value with one thing wrong in it: where, and what the refusal says about it (None: it is not even read)."""

    value: Any
    path: str
    says: str | None
    text: bool = False
    """Whether anything would be right as far as its type goes, where everything comes as text."""


def broken(shape: Shape, path: str, depth: int = 0) -> Iterator[Broken]:
    """Every way to break a value of the shape once."""
    wrong = "x" if shape.type_name in ("boolean", "integer", "long", "timestamp") else 5
    yield Broken(wrong, path, None, text=shape.type_name in ("string", "blob"))
    if isinstance(shape, StructureShape):
        yield from _broken_members(shape, path, depth)
    elif isinstance(shape, ListShape):
        yield from _broken_lengths(shape, path, lambda count: [good_item(shape)] * count)
        yield from _broken_items(shape, path, depth)
    elif isinstance(shape, MapShape):
        yield Broken({good(shape.key): 5}, path, None)
    elif shape.type_name == "blob":
        yield from _broken_lengths(shape, path, lambda count: base64.b64encode(b"x" * count).decode())
        yield Broken("not base64!", path, None)
    elif isinstance(shape, StringShape):
        yield from _broken_lengths(shape, path, lambda count: "x" * count)
        if shape.enum:
            yield Broken("no-such-value", path, "enum value set")
        elif "pattern" in shape.metadata:
            least = shape.metadata.get("min", 1)
            for text in (each * max(least, 1) for each in BAD):
                if not fits(shape, text):
                    yield Broken(text, path, "regular expression")
                    break
    else:
        least, most = shape.metadata.get("min"), shape.metadata.get("max")
        if least is not None:
            yield Broken(least - 1, path, f"greater than or equal to {least}")
        if most is not None and most < 2**31:
            yield Broken(most + 1, path, f"less than or equal to {most}")
        if shape.type_name == "integer":
            yield Broken(2**31, path, None)
            yield Broken(1.5, path, None)


def _broken_lengths(shape: Shape, path: str, make: Any) -> Iterator[Broken]:
    least, most = shape.metadata.get("min", 0), shape.metadata.get("max", LONGEST)
    if least > 0:
        yield Broken(make(least - 1), path, f"length greater than or equal to {least}")
    if most < LONGEST:
        yield Broken(make(most + 1), path, f"length less than or equal to {most}")


def _broken_members(shape: StructureShape, path: str, depth: int) -> Iterator[Broken]:
    whole = good(shape)
    for name, member in shape.members.items():
        where = f"{path}.{name}" if path else name
        if name in shape.required_members:
            rest = {key: value for key, value in whole.items() if key != name}
            yield Broken(rest, where, "Member must not be null")
            yield Broken({**rest, name: None}, where, "Member must not be null")
        for each in broken(member, where, depth + 1):
            yield Broken({**whole, name: each.value}, each.path, each.says, each.text)


def _broken_items(shape: ListShape, path: str, depth: int) -> Iterator[Broken]:
    member, least = shape.member, max(shape.metadata.get("min", 1), 1)
    plain = not isinstance(member, StructureShape) and member.name != "RepositoryName"
    for each in broken(member, f"{path}.{least}.member", depth + 1):
        items = [good_item(shape)] * (least - 1) + [each.value]
        # A list of plain values is judged as a whole, so the refusal names the list.
        where, says = (
            (path, "Member must satisfy constraint") if plain and each.says else (each.path, each.says)
        )
        yield Broken(items, where, says, each.text)


# --- Requests ---


class Wire:
    """One connection of the administrator, kept open."""

    def __init__(self, server: Homeport) -> None:
        self._host = urlsplit(server.url).netloc
        self._connection = http.client.HTTPConnection(self._host, timeout=30)
        self._credentials = server.credentials

    def close(self) -> None:
        """Let the connection go."""
        self._connection.close()

    def json(self, model: OperationModel, params: Any) -> tuple[int, str, str]:
        """Send a JSON 1.1 call; return the status, the type of the error and its text."""
        metadata = model.service_model.metadata
        headers = {
            "content-type": JSON,
            "x-amz-target": f"{metadata['targetPrefix']}.{model.name}",
        }
        status, body = self._send(model, headers, json.dumps(params).encode())
        document = json.loads(body)
        return status, document.get("__type", ""), document.get("message", "")

    def query(self, model: OperationModel, params: Mapping[str, Any]) -> tuple[int, str, str]:
        """Send a call of the query protocol; return the status, the code of the error and its text."""
        version = model.service_model.metadata["apiVersion"]
        fields = {"Action": model.name, "Version": version, **dict(form_fields(model.input_shape, params))}
        status, body = self._send(model, {"content-type": FORM}, urlencode(fields).encode())
        found = [
            re.search(f"<{name}>(.*?)</{name}>", body.decode(), re.DOTALL) for name in ("Code", "Message")
        ]
        code, text = (match[1] if match else "" for match in found)
        return status, code, text.replace("&apos;", "'").replace("&#39;", "'")

    def _send(self, model: OperationModel, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        signer = Signer.of(self._credentials, model.service_model.signing_name)
        signed = signer.sign("POST", {"host": self._host, **headers}, body)
        self._connection.request("POST", "/", body, signed)
        answer = self._connection.getresponse()
        return answer.status, answer.read()


@pytest.fixture(scope="module")
def server() -> Iterator[Homeport]:
    """A server that must not change."""
    with Homeport(environment={"HOMEPORT_LIFECYCLE_INTERVAL": "0"}) as one:  # nothing happens by itself
        one.client().create_repository(repositoryName="team/app")
        yield one
        one.terminate()
        assert one.defects == []


@pytest.fixture(scope="module")
def wire(server: Homeport) -> Iterator[Wire]:
    """A connection to it."""
    with closing(Wire(server)) as one:
        yield one


def refusal_of(model: OperationModel) -> str:
    """The exception with which the operation refuses bad input."""
    if model.service_model.metadata["protocol"] == "query":
        return "ValidationError"
    modelled = {shape.name for shape in model.error_shapes}
    only = "ValidationException" in modelled and "InvalidParameterException" not in modelled
    return "ValidationException" if only else "InvalidParameterException"


@pytest.mark.parametrize(("front", "name"), ROWS, ids=lambda part: part)
def test_every_broken_constraint_is_refused_by_its_name(
    wire: Wire, server: Homeport, front: str, name: str
) -> None:
    model = MODELS[front].operation_model(name)
    if model.input_shape is None:
        pytest.skip("takes no input")
    query = MODELS[front].metadata["protocol"] == "query"
    before = rows(server)
    wrong: list[str] = []

    for each in list(broken(model.input_shape, ""))[1:]:
        if query and each.says is None and each.text:
            continue
        status, kind, text = (wire.query if query else wire.json)(model, each.value)
        shown = f"{each.path} {each.says}: {status} {kind} {text[:200]}"
        if each.says is None:
            right = (status, kind) == (400, "MalformedInput" if query else "SerializationException")
        else:
            where = "repositoryName" if each.path.startswith("repositoryNames.") else each.path
            where = where[:1].lower() + where[1:] if query else where
            named = f"'{where}'" in text
            right = (status, kind) == (400, refusal_of(model)) and named and each.says in text
        if not right:
            wrong.append(shown)

    assert wrong == []
    assert rows(server) == before


def rows(server: Homeport) -> dict[str, list[Any]]:
    """Everything that the server remembers."""
    with closing(sqlite3.connect(f"file:{server.data}/homeport.db?mode=ro", uri=True)) as database:
        named = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        tables = [row[0] for row in database.execute(named)]
        return {table: database.execute(f'SELECT * FROM "{table}"').fetchall() for table in tables}
