"""Every operation tried by every kind of caller, over the network (case P8).

Who must be let through is derived in `matrix.py` from what AWS documents. A row of the table that is not tried here, a
route or a modelled operation without a row: each fails a test.
"""

from __future__ import annotations

import re
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import homeport.oci.server as oci_server
from homeport.access.operations import OPERATIONS, On
from homeport.aws.handlers import HANDLERS
from tests.api.calls import policy
from tests.api.issued import password
from tests.api.signing import call, query_call
from tests.harness.images import artifact
from tests.harness.oci import OciClient, Response
from tests.harness.server import Homeport as Server
from tests.security.matrix import (
    CALLERS,
    MISSING,
    MODELS,
    NO_PERMISSION,
    NOWHERE,
    QUERY,
    ROUTES,
    STS_HERE,
    UNSIGNED,
    World,
    ask_api,
    ask_oci,
    build,
    may,
    needed,
)

ROWS = [(front, name) for front, name in OPERATIONS if front not in QUERY or (front, name) in HANDLERS]
CASES = [
    pytest.param(front, name, caller, id=f"{front}-{name}-{caller}")
    for front, name in ROWS
    for caller in CALLERS
]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One server for the whole matrix; nothing that a case does changes what another one finds."""
    with Server(environment={"HOMEPORT_LIFECYCLE_INTERVAL": "0"}) as server:  # nothing happens by itself
        yield build(server, timedelta(hours=13))


def ask(world: World, front: str, name: str, caller: str, real: bool | None = None) -> Response:
    """Send the request of a row as this caller."""
    if front == "oci":
        return ask_oci(world, name, caller, "never/there" if real is False else None)
    return ask_api(world, front, name, caller, real)


# --- The matrix ---

API_REFUSALS = {
    "anonymous": "MissingAuthenticationToken",
    "forger": "InvalidSignature|SignatureDoesNotMatch",
    "expired": "ExpiredToken",
}


@pytest.mark.parametrize(("front", "name", "caller"), CASES)
def test_p8_an_operation_is_open_to_those_who_may_and_to_nobody_else(
    world: World, front: str, name: str, caller: str
) -> None:
    allowed = may(caller, front, name)

    answer = ask(world, front, name, caller)

    assert answer.status < 500, str(answer)
    if front == "oci":
        refusals = {"anonymous": 401, "forger": 401}
        if allowed:
            assert answer.status not in (401, 403), str(answer)
        else:
            assert answer.status == refusals.get(caller, 403), str(answer)
        return
    text = answer.body.decode()
    refused = re.search(
        "AccessDenied|MissingAuth|Signature|Unrecognized|InvalidClientToken|ExpiredToken", text
    )
    if (front, name) == UNSIGNED:  # the token that comes with it decides, and it is no token
        assert "<Code>InvalidIdentityToken</Code>" in text
    elif allowed:
        assert refused is None or answer.status == 200, str(answer)
        assert "Internal" not in text
    else:
        assert answer.status in (400, 403), str(answer)
        assert re.search(API_REFUSALS.get(caller, "AccessDenied"), text), str(answer)


# An answer to HEAD has no body to name anything in.
WITH_WORDS = [
    row for row in ROWS if row not in NO_PERMISSION and not (row[0] == "oci" and ROUTES[row[1]][0] == "HEAD")
]


def words(front: str, answer: Response) -> str:
    """The text of a refusal."""
    if front in QUERY:
        found = re.search("<Message>(.*)</Message>", answer.body.decode(), re.DOTALL)
        return found[1] if found else ""
    document = answer.json()
    return str(document["errors"][0]["message"] if front == "oci" else document["message"])


@pytest.mark.parametrize(("front", "name"), WITH_WORDS, ids=lambda part: part)
def test_a_refusal_names_the_action_and_the_resource(world: World, front: str, name: str) -> None:
    message = words(front, ask(world, front, name, "nobody"))

    match = re.fullmatch(
        "User: (.+) is not authorized to perform: (.+) on resource: ([^ ]+)(?: because no .+)?", message
    )
    assert match is not None, message
    assert match[1] == world.people["nobody"].user_arn
    assert match[2] == needed(front, name)[0]
    assert _resource_fits(world, front, name, match[3]), message


def _resource_fits(world: World, front: str, name: str, resource: str) -> bool:
    row = OPERATIONS[front, name]
    if row.on is On.IDENTITY:
        kinds = "secretsmanager" if front == "secretsmanager" else "iam"
        # A secret that does not exist has no resource name yet.
        unnamed = rf"\*|{MISSING}|new-[0-9a-f]+" if front == "secretsmanager" else r"\*"
        return re.fullmatch(rf"{unnamed}|arn:aws:{kinds}:.*:{world.account}:.+", resource) is not None
    if front == "ecr-public":
        of_registry = rf"\*|arn:aws:ecr-public::{world.account}:registry/{world.account}"
        of_repository = rf"arn:aws:ecr-public::{world.account}:repository/.+"
        return re.fullmatch(of_registry if row.on is On.REGISTRY else of_repository, resource) is not None
    if row.on is On.REGISTRY:
        return resource == "*"
    everything = world.arn(name="*")
    if name == "MountBlobSource":
        return resource.startswith(everything[:-1] + "mount/")
    of_all = {"ListRepositories", "DescribeRepositories"}
    return resource == (everything if name in of_all else world.arn())


@pytest.mark.parametrize(("front", "name"), WITH_WORDS, ids=lambda part: part)
def test_a_refusal_does_not_tell_whether_the_thing_exists(world: World, front: str, name: str) -> None:
    there, absent = (ask(world, front, name, "nobody", real) for real in (True, False))

    assert there.status == absent.status
    unnamed = [re.sub("on resource: [^ ]+ ", "", words(front, each)) for each in (there, absent)]
    assert unnamed[0] == unnamed[1]


def test_who_is_refused_changes_nothing_that_exists(world: World) -> None:
    before = rows(world)

    for front, name in ROWS:
        for caller in CALLERS:
            if not may(caller, front, name) and front != "oci":
                answer = ask_api(world, front, name, caller, real=True)
                assert answer.status in (400, 403), f"{name} as {caller}: {answer}"

    assert rows(world) == before


NAMES_AN_IDENTITY = [
    (front, name)
    for front, name in ROWS
    if front in ("iam", "secretsmanager")
    and {"PolicyArn", "OpenIDConnectProviderArn", "PolicySourceArn", "SecretId"}
    & set(getattr(MODELS[front].operation_model(name).input_shape, "members", ()))
]


@pytest.mark.parametrize(("front", "name"), NAMES_AN_IDENTITY, ids=lambda part: part)
def test_an_administrator_of_another_account_neither_sees_nor_changes_an_identity_by_its_arn(
    world: World, front: str, name: str
) -> None:
    before = rows(world)

    there, absent = (ask_api(world, front, name, "outsider", real) for real in (True, False))

    assert 400 <= there.status < 500, str(there)
    assert rows(world) == before
    if "SecretId" not in MODELS[front].operation_model(name).input_shape.members:  # type: ignore[union-attr]
        assert there.status == absent.status
        unnamed = [re.sub(f"real|{MISSING}", "NAME", words(front, each)) for each in (there, absent)]
        assert unnamed[0] == unnamed[1]


def rows(world: World) -> dict[str, list[Any]]:
    """Everything that the server remembers, except when images were pulled."""
    path = f"file:{world.server.data}/homeport.db?mode=ro"
    with closing(sqlite3.connect(path, uri=True)) as database:
        named = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        tables = [row[0] for row in database.execute(named)]
        found = {table: database.execute(f'SELECT * FROM "{table}"').fetchall() for table in tables}
        columns = "id, digest, status, pushed_at"
        return found | {"image": database.execute(f"SELECT {columns} FROM image").fetchall()}


def test_refused_writes_have_changed_nothing(world: World) -> None:
    others = [caller for caller in CALLERS if caller not in ("administrator", "writer")]

    for name in ("DeleteRepository", "BatchDeleteImage", "PutImageTagMutability", "SetRepositoryPolicy"):
        for caller in others:
            params = {
                "registryId": world.account,
                "repositoryName": world.repository,
                "force": True,
                "imageIds": [{"imageDigest": world.digest}],
                "imageTagMutability": "IMMUTABLE",
                "policyText": '{"Version":"2012-10-17","Statement":'
                '[{"Effect":"Allow","Principal":"*","Action":"ecr:*"}]}',
            }
            call(world.server.url, name, params, world.signer(caller, "ecr"))
    for caller in others:
        note = artifact(b"x", artifact_type="application/x-note")
        client = world.oci(caller)
        client.put_manifest(world.repository, "v1", note.manifest.data, note.manifest.media_type)
        client.delete(world.repository, world.digest)

    ecr: Any = world.server.client()
    found = ecr.describe_repositories(repositoryNames=[world.repository])["repositories"][0]
    images = ecr.describe_images(repositoryName=world.repository, imageIds=[{"imageTag": "v1"}])
    assert found["imageTagMutability"] == "MUTABLE"
    assert images["imageDetails"][0]["imageDigest"] == world.digest
    with pytest.raises(ecr.exceptions.RepositoryPolicyNotFoundException):
        ecr.get_repository_policy(repositoryName=world.repository)


def test_a_blob_is_not_mounted_from_a_repository_that_the_caller_may_not_read(world: World) -> None:
    region = world.people["administrator"].region
    mine = f"arn:aws:ecr:{region}:{world.account}:repository/mine/*"
    who = world.server.user("pusher-of-mine", policy("ecr:*", resource=mine))
    target = f"mine/{uuid.uuid4().hex}"
    world.server.client().create_repository(repositoryName=target)
    client = OciClient(world.server.url, password=password(world.server, who))

    answer = client.mount_blob(target, world.layer, world.repository)
    missing = client.mount_blob(target, NOWHERE, world.repository)

    assert answer.status == missing.status == 202
    assert client.request("HEAD", f"/v2/{target}/blobs/{world.layer}").status == 404


# --- Nothing is left out ---


@pytest.mark.parametrize("service", ["ecr", "ecr-public", "homeport"])
def test_every_modelled_operation_has_a_row(service: str) -> None:
    rows_of_it = {name for front, name in OPERATIONS if front == service}

    assert rows_of_it == set(MODELS[service].operation_names)


@pytest.mark.parametrize("service", ["iam", "sts", "secretsmanager"])
def test_every_row_is_a_modelled_operation(service: str) -> None:
    assert {name for front, name in OPERATIONS if front == service} <= set(MODELS[service].operation_names)


def test_every_handler_has_a_row() -> None:
    assert set(HANDLERS) <= set(OPERATIONS)


def test_every_row_says_what_aws_documents() -> None:
    for (front, name), row in OPERATIONS.items():
        always = front == "oci" or (front, name) == ("ecr-public", "GetAuthorizationToken")
        also = row.also if always else ()
        stated = tuple(action for action in (row.action, *also) if action)

        if (front, name) == ("oci", "MountBlobSource"):
            stated = ("ecr:InitiateLayerUpload", *stated)  # after MountBlob itself
        if (front, name) in NO_PERMISSION:
            assert row.on is On.NOBODY, name
        else:
            assert stated == needed(front, name), name
    assert {name for front, name in OPERATIONS if front == "sts"} == STS_HERE
    assert {name for front, name in OPERATIONS if front == "oci"} == set(ROUTES)


def test_every_route_is_tried() -> None:
    served = {(resource.value, method) for resource, method in oci_server._HANDLERS}

    tried = {(route, method) for method, route, _ in ROUTES.values()} | {("root", "HEAD")}

    assert served == tried


def test_every_route_asks_for_a_row_of_the_table() -> None:
    room = Path(oci_server.__file__).parent
    source = "\n".join(path.read_text() for path in sorted(room.glob("*.py")))
    asked = re.findall(r'(?:\.repository|\.pushed|\.readable|_find)\(\s*(?:visit,\s*)?"(\w+)"', source)
    asked += re.findall(r'"(HeadManifest)" if head else "(GetManifest)"', source)[0]
    asked += re.findall(r'OPERATIONS\["oci", "(\w+)"\]', source)

    assert set(asked) | {"Ping"} == set(ROUTES)


@pytest.mark.parametrize(
    ("front", "name"),
    [
        (front, name)
        for front in sorted(QUERY)
        for name in MODELS[front].operation_names
        if (front, name) not in OPERATIONS
    ],
)
def test_an_operation_without_a_row_is_closed_to_all(world: World, front: str, name: str) -> None:
    asked = {"Action": name, "Version": MODELS[front].metadata["apiVersion"]}

    answers = {
        caller: query_call(world.server.url, asked, world.signer(caller, front))
        for caller in ("anonymous", "administrator")
    }

    assert b"<Code>MissingAuthenticationToken</Code>" in answers["anonymous"].body
    assert b"<Code>InvalidAction</Code>" in answers["administrator"].body
