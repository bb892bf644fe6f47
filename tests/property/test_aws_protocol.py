"""For any parameters and any bytes: the wire loses nothing, invents nothing, and fails in one way only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.model import ListShape, MapShape, OperationModel, Shape, StringShape, StructureShape
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from homeport.access.operations import OPERATIONS as OFFERED
from homeport.aws.patterns import matcher
from homeport.aws.protocol import SerializationError, load_services, parse_json, serialise_json
from homeport.aws.query import parse_query, serialise_xml
from homeport.aws.services import Service
from homeport.aws.validation import validate, violations
from homeport.kernel.errors import InvalidParameter

OPERATIONS = {
    f"{service.name}:{name}": operation
    for service in load_services().values()
    for name, operation in service.operations.items()
    if (service.name, name) in OFFERED
}
QUERY_OPERATIONS = [name for name in OPERATIONS if name.startswith(("sts:", "iam:"))]
JSON_OPERATIONS = [name for name in OPERATIONS if name not in QUERY_OPERATIONS]

# Shapes whose pattern is too narrow for generated text to fit it and the lengths.
EXAMPLES = {
    "CredentialArn": ["arn:aws:secretsmanager:eu-west-1:111122223333:secret:ecr-pullthroughcache/hub-a1"],
    "PrincipalArn": ["arn:aws:iam::111122223333:role/pull", "arn:aws-cn:iam::111122223333:user/a/b@c"],
    "SigningProfileArn": ["arn:aws:signer:eu-west-1:111122223333:/signing-profiles/main_1"],
    "KmsKeyForRepositoryCreationTemplate": ["", "arn:aws:kms:eu-west-1:111122223333:key/1-a"],
    "RegistryId": ["111122223333", "000000000000"],
    "UploadId": ["0a1b2c3d-0000-1111-2222-333344445555"],
    "ReplicationBackfillId": ["0A1b2c3d-0000-1111-2222-333344445555"],
    "RepositoryName": ["shop", "a/b", "a_b.c-d/e"],
    "PullThroughCacheRuleRepositoryPrefix": ["ROOT", "hub/", "a-b"],
    "Prefix": ["ROOT", "hub/", "a"],
    "LifecycleRunId": ["1", "42"],
    "RegistryAliasName": ["ab", "shop.cart"],
    "arnType": ["arn:aws:iam::111122223333:role/pull"],
    "accessKeyIdType": ["AKIA" + "A" * 16],
    "pathType": ["/", "/team/"],
    "policyPathType": ["/", "/team/"],
    "pathPrefixType": ["/", "/team/"],
    "policyVersionIdType": ["v1", "v23"],
    "serialNumberType": ["arn:aws:iam::111122223333:mfa/a"],
}
TEXT = st.characters(exclude_categories=["Cs"])
MOMENTS = st.integers(0, 4_102_444_800_000).map(
    lambda milliseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
)
quick = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))


def values_of(shape: Shape, *, limits: bool) -> st.SearchStrategy[Any]:
    """Any value of the shape; within its constraints when `limits`."""
    rules = shape.metadata if limits else {}
    least = rules.get("min", 0)
    most = min(rules.get("max", least + 6), least + 6)
    if isinstance(shape, StructureShape):
        members = {name: values_of(member, limits=limits) for name, member in shape.members.items()}
        required = {name: members.pop(name) for name in list(members) if name in shape.required_members}
        return st.fixed_dictionaries(required, optional=members)
    if isinstance(shape, ListShape):
        return st.lists(values_of(shape.member, limits=limits), min_size=least, max_size=min(most, least + 3))
    if isinstance(shape, MapShape):
        return st.dictionaries(st.text(TEXT, max_size=4), values_of(shape.value, limits=limits), max_size=3)
    if isinstance(shape, StringShape):
        return texts_of(shape, least, most) if limits else st.text(TEXT, max_size=6)
    wide = {"integer": 31, "long": 63}
    if shape.type_name in wide:
        bits = wide[shape.type_name]
        return st.integers(rules.get("min", -(2**bits)), rules.get("max", 2**bits - 1))
    return {
        "boolean": st.booleans(),
        "double": st.floats(allow_nan=False, allow_infinity=False),
        "timestamp": MOMENTS,
        "blob": st.binary(min_size=least, max_size=most),
    }[shape.type_name]


def texts_of(shape: StringShape, least: int, most: int) -> st.SearchStrategy[str]:
    if shape.enum:
        return st.sampled_from(shape.enum)
    if "pattern" not in shape.metadata:
        return st.text(TEXT, min_size=least, max_size=most)
    if shape.name in EXAMPLES:
        return st.sampled_from(EXAMPLES[shape.name])
    matches = matcher(shape.metadata["pattern"])
    return (
        st.text("a0:", min_size=max(least, 3), max_size=max(most, 3))
        .map(lambda text: text if matches(text) else ("a:0" if matches("a:0") else text.replace(":", "0")))
        .filter(matches)
    )


def without_metadata(parsed: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parsed.items() if name != "ResponseMetadata"}


def written_by_botocore(operation: OperationModel, params: dict[str, Any]) -> bytes:
    protocol = operation.service_model.metadata["protocol"]
    request = create_serializer(protocol, include_validation=False).serialize_to_request(params, operation)
    body: str | bytes | dict[str, Any] = request["body"]
    if isinstance(body, dict):
        return urlencode(body).encode()
    return body.encode() if isinstance(body, str) else body


def read_by_botocore(operation: OperationModel, body: bytes) -> dict[str, Any]:
    protocol = operation.service_model.metadata["protocol"]
    response = {"status_code": 200, "headers": {}, "body": body}
    assert operation.output_shape is not None
    return without_metadata(create_parser(protocol).parse(response, operation.output_shape))


# --- Round trips with botocore as the client --------------------


@pytest.mark.parametrize("name", JSON_OPERATIONS)
@quick
@given(data=st.data())
def test_whatever_botocore_sends_is_read_back_unchanged(name: str, data: st.DataObject) -> None:
    operation = OPERATIONS[name]
    assert operation.input_shape is not None
    params = data.draw(values_of(operation.input_shape, limits=False))

    assert parse_json(operation, written_by_botocore(operation, params)) == params


@pytest.mark.parametrize("name", [name for name in JSON_OPERATIONS if OPERATIONS[name].output_shape])
@quick
@given(data=st.data())
def test_whatever_a_handler_returns_is_read_back_unchanged_by_botocore(
    name: str, data: st.DataObject
) -> None:
    operation = OPERATIONS[name]
    assert operation.output_shape is not None
    result = data.draw(values_of(operation.output_shape, limits=False))

    assert read_by_botocore(operation, serialise_json(operation, result)) == result


@pytest.mark.parametrize("name", [name for name in QUERY_OPERATIONS if OPERATIONS[name].input_shape])
@quick
@given(data=st.data())
def test_whatever_botocore_asks_by_a_form_is_read_back_unchanged(name: str, data: st.DataObject) -> None:
    operation = OPERATIONS[name]
    assert operation.input_shape is not None
    params = data.draw(values_of(operation.input_shape, limits=True))
    expected = with_empty_structures_dropped(params)

    request = parse_query(service_of(name), written_by_botocore(operation, params))

    assert request.operation is operation
    assert request.params == expected


def service_of(name: str) -> Service:
    """The service of an operation's full name."""
    return load_services()[name.partition(":")[0]]


def with_empty_structures_dropped(params: dict[str, Any]) -> dict[str, Any]:
    """A form cannot say "a structure without members": drop those, and give up on lists that hold one."""
    dropped = {name: value for name, value in params.items() if value != {}}
    for name, value in dropped.items():
        if isinstance(value, list):
            assume({} not in value)
        elif isinstance(value, dict):
            dropped[name] = with_empty_structures_dropped(value)
    return dropped


@pytest.mark.parametrize("name", [name for name in QUERY_OPERATIONS if OPERATIONS[name].output_shape])
@quick
@given(data=st.data())
def test_whatever_is_returned_as_xml_is_read_back_by_botocore(name: str, data: st.DataObject) -> None:
    operation = OPERATIONS[name]
    assert operation.output_shape is not None
    result = data.draw(values_of(operation.output_shape, limits=True))

    body = serialise_xml(service_of(name), operation, result, "request")

    assert carried(read_by_botocore(operation, body)) == carried(result)


def carried(value: Any) -> Any:
    """What XML can carry of a result: no control characters, whole seconds, no empty members."""
    if isinstance(value, dict):
        return {name: carried(item) for name, item in value.items() if item not in ({}, "", [])}
    if isinstance(value, list):
        return [carried(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(microsecond=0)
    if isinstance(value, str):
        return "".join(
            one if one in "\t\n\r" or " " <= one < "\ufffe" or one > "\uffff" else "\ufffd" for one in value
        )
    return value


# --- Constraints --------------------


@pytest.mark.parametrize("name", [name for name in OPERATIONS if OPERATIONS[name].input_shape])
@quick
@given(data=st.data())
def test_parameters_within_every_constraint_are_accepted(name: str, data: st.DataObject) -> None:
    shape = OPERATIONS[name].input_shape
    assert shape is not None
    params = data.draw(values_of(shape, limits=True))

    validate(OPERATIONS[name], params)


def breakages(shape: Shape, value: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    """(path, AWS text, value that breaks it) for what can be broken in `value` itself."""
    word = "Member must"
    if shape.name == "RepositoryName":
        word, path = "must", "repositoryName"
    rules = shape.metadata
    if shape.type_name in ("integer", "long"):
        if "max" in rules:
            yield path, f"{word} have value less than or equal to {rules['max']}", rules["max"] + 1
        if "min" in rules:
            yield path, f"{word} have value greater than or equal to {rules['min']}", rules["min"] - 1
        return
    if (
        shape.type_name in ("string", "list")
        and rules.get("max", 10**9) <= 30_720
        and (value or "min" not in rules)
    ):
        filler = value[:1] or ("a" if isinstance(value, str) else [])
        if filler:
            too_long = filler * (rules["max"] + 1)
            yield path, f"{word} have length less than or equal to {rules['max']}", too_long
    if shape.type_name in ("string", "list", "blob") and rules.get("min", 0) > 0:
        too_short = value[: rules["min"] - 1]
        yield path, f"{word} have length greater than or equal to {rules['min']}", too_short
    if "pattern" in rules:
        yield path, f"{word} satisfy regular expression", value[:-1] + "\x00"
    if isinstance(shape, StringShape) and shape.enum:
        yield path, f"{word} satisfy enum value set: [", "no such value"


def sites(shape: Shape, value: Any, path: str) -> Iterator[tuple[Any, Any, str, str, Any]]:
    """(container, key, path, AWS text, bad value) for everything inside `value` that can be broken."""
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            where = f"{path}.{name}" if path else name
            if name not in value:
                continue
            if name in shape.required_members:
                yield value, name, where, "Member must not be null", None
            for broken in breakages(member, value[name], where):
                yield value, name, *broken
            yield from sites(member, value[name], where)
    elif isinstance(shape, ListShape):
        for index, item in enumerate(value):
            if isinstance(shape.member, StructureShape):
                yield from sites(shape.member, item, f"{path}.{index + 1}.member")
            elif shape.member.name == "RepositoryName":
                for broken in breakages(shape.member, item, path):
                    yield value, index, *broken
            else:
                for _, _, bad in breakages(shape.member, item, path):
                    yield value, index, path, "Member must satisfy constraint: [", bad


def is_constrained(shape: Shape | None) -> bool:
    if isinstance(shape, StructureShape):
        return bool(shape.required_members) or any(map(is_constrained, shape.members.values()))
    if isinstance(shape, ListShape):
        return "min" in shape.metadata or is_constrained(shape.member)
    return shape is not None and bool(shape.metadata.keys() & {"max", "enum", "pattern"})


@pytest.mark.parametrize(
    "name", [name for name in OPERATIONS if is_constrained(OPERATIONS[name].input_shape)]
)
@quick
@given(data=st.data())
def test_one_value_out_of_its_range_is_refused_by_name(name: str, data: st.DataObject) -> None:
    operation = OPERATIONS[name]
    assert operation.input_shape is not None
    params = data.draw(values_of(operation.input_shape, limits=True))
    breakable = list(sites(operation.input_shape, params, ""))
    assume(breakable)
    container, key, path, text, bad = data.draw(st.sampled_from(breakable))

    container[key] = bad

    with pytest.raises(InvalidParameter) as refused:
        validate(operation, params)
    assert refused.value.parameter == path
    assert text in refused.value.message


# --- Hostile bytes --------------------

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def read_or_refuse(operation: OperationModel, body: bytes) -> None:
    """Reading gives parameters that validation can judge, or the one error; anything else fails the test."""
    try:
        params = parse_json(operation, body)
    except SerializationError:
        return
    assert type(params) is dict
    list(violations(operation, params))


@settings(max_examples=300)
@given(
    st.sampled_from(JSON_OPERATIONS),
    st.binary(max_size=60) | st.text('{}[]":,\\u0d8e1-. tn', max_size=60).map(str.encode),
)
def test_any_bytes_are_read_or_refused(name: str, body: bytes) -> None:
    read_or_refuse(OPERATIONS[name], body)


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_json_in_the_place_of_a_member_is_read_or_refused(data: st.DataObject) -> None:
    operation = OPERATIONS[data.draw(st.sampled_from(JSON_OPERATIONS))]
    assert operation.input_shape is not None
    names = [*operation.input_shape.members, "other"]
    document = data.draw(st.dictionaries(st.sampled_from(names), JSON_VALUES, max_size=4))

    read_or_refuse(operation, json.dumps(document).encode())


@settings(max_examples=300)
@given(
    st.binary(max_size=60)
    | st.lists(
        st.tuples(
            st.sampled_from(
                ["RoleArn", "Tags", "Tags.member.1", "Tags.member.1.Key", "DurationSeconds", "Tags.member"]
            ),
            st.text(max_size=5),
        ),
        max_size=5,
    ).map(
        lambda pairs: urlencode(
            [("Action", "AssumeRole"), ("Version", "1"), *pairs], errors="replace"
        ).encode()
    )
)
def test_any_form_is_read_or_refused(form: bytes) -> None:
    try:
        request = parse_query(load_services()["sts"], form)
    except SerializationError:
        return
    if request.operation is not None:
        list(violations(request.operation, request.params))
