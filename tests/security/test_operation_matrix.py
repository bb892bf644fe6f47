"""Every operation tried by every kind of caller, over the network (case P8).

What each row must need, and who therefore may, is derived here from the names of the operations and from
the policies of the callers, read as plain lists; nothing of the server's decision code takes part. A row of
the table that is not tried here, a route or a modelled operation without a row: each fails a test.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ListShape, ServiceModel, Shape, StringShape, StructureShape

import homeport.oci.server as oci_server
from homeport.access.operations import OPERATIONS, On
from tests.api.calls import policy
from tests.api.issued import expired_session, password
from tests.api.signing import Signer, call, query_call
from tests.harness.images import OCI_MANIFEST, artifact, random_image, sha256
from tests.harness.oci import OciClient, Response
from tests.harness.server import Credentials
from tests.harness.server import Homeport as Server

# --- What AWS documents ---

# AmazonEC2ContainerRegistryReadOnly and ...PowerUser, of the AWS managed policy reference.
READER = (
    "ecr:GetAuthorizationToken",
    "ecr:BatchCheckLayerAvailability",
    "ecr:GetDownloadUrlForLayer",
    "ecr:GetRepositoryPolicy",
    "ecr:DescribeRepositories",
    "ecr:ListImages",
    "ecr:DescribeImages",
    "ecr:BatchGetImage",
    "ecr:GetLifecyclePolicy",
    "ecr:GetLifecyclePolicyPreview",
    "ecr:ListTagsForResource",
    "ecr:DescribeImageScanFindings",
)
WRITER = (
    *READER,
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
)

# ECR User Guide, image-push-iam and logging-using-cloudtrail: what a request to /v2/ needs.
# name of the row: (method, route, actions)
ROUTES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "Ping": ("GET", "root", ()),
    "ListRepositories": ("GET", "catalog", ("ecr:DescribeRepositories",)),
    "ListTags": ("GET", "tags", ("ecr:ListImages",)),
    "HeadManifest": ("HEAD", "manifest", ("ecr:BatchGetImage",)),
    "GetManifest": ("GET", "manifest", ("ecr:BatchGetImage",)),
    "PutManifest": ("PUT", "manifest", ("ecr:PutImage",)),
    "DeleteManifest": ("DELETE", "manifest", ("ecr:BatchDeleteImage",)),
    "HeadBlob": ("HEAD", "blob", ("ecr:BatchCheckLayerAvailability",)),
    "GetBlob": ("GET", "blob", ("ecr:GetDownloadUrlForLayer",)),
    "DeleteBlob": ("DELETE", "blob", ("ecr:BatchDeleteImage",)),
    "StartUpload": ("POST", "uploads", ("ecr:InitiateLayerUpload",)),
    "FinishWholeUpload": ("POST", "uploads", ("ecr:InitiateLayerUpload", "ecr:CompleteLayerUpload")),
    "MountBlob": ("POST", "uploads", ("ecr:InitiateLayerUpload",)),
    "MountBlobSource": ("POST", "uploads", ("ecr:InitiateLayerUpload", "ecr:GetDownloadUrlForLayer")),
    "GetUpload": ("GET", "upload", ("ecr:UploadLayerPart",)),
    "AppendUpload": ("PATCH", "upload", ("ecr:UploadLayerPart",)),
    "FinishUpload": ("PUT", "upload", ("ecr:CompleteLayerUpload",)),
    "CancelUpload": ("DELETE", "upload", ("ecr:UploadLayerPart",)),
    "ListReferrers": ("GET", "referrers", ("ecr:BatchGetImage",)),
}

MODELS = {name: ServiceModel(Loader().load_service_model(name, "service-2"), name) for name in (
    "ecr", "ecr-public", "sts",
)}  # fmt: skip
STS_HERE = {"GetCallerIdentity"}
NO_PERMISSION = {("sts", "GetCallerIdentity"), ("oci", "Ping")}

CALLERS = ("anonymous", "forger", "nobody", "reader", "writer", "outsider", "expired", "administrator")
CASES = [
    pytest.param(front, name, caller, id=f"{front}-{name}-{caller}")
    for front, name in OPERATIONS
    for caller in CALLERS
]


def needed(front: str, name: str) -> tuple[str, ...]:
    """The actions that a caller must be allowed for the operation."""
    if (front, name) in NO_PERMISSION:
        return ()
    if front == "oci":
        return ROUTES[name][2]
    if (front, name) == ("ecr", "ListImageReferrers"):
        return ("ecr:BatchGetImage",)
    return (f"{front}:{name}",)


def names_a_registry(front: str, name: str) -> bool:
    """Whether a caller can aim the operation at the registry of somebody else."""
    if front in ("oci", "sts"):
        return front == "oci"
    shape = MODELS[front].operation_model(name).input_shape
    members = shape.members if shape is not None else {}
    # ECR Public has no repositories here yet, so a resource name of it leads nowhere.
    return "registryId" in members or (front == "ecr" and "resourceArn" in members)


def may(caller: str, front: str, name: str) -> bool:
    """Who may do what, from the documented policies alone."""
    if caller in ("anonymous", "forger", "expired"):
        return False
    actions = needed(front, name)
    if not actions or caller == "administrator":
        return True
    if caller == "outsider":
        return not names_a_registry(front, name)
    return set(actions) <= set({"nobody": (), "reader": READER, "writer": WRITER}[caller])


# --- The world ---


@dataclass(frozen=True)
class World:
    """A server with a repository, an image in it, and somebody of each kind."""

    server: Server
    people: dict[str, Credentials]
    repository: str
    digest: str
    layer: str
    passwords: dict[str, str]

    @property
    def account(self) -> str:
        """The registry that everything here is aimed at."""
        return self.people["administrator"].account_id

    @property
    def arn(self) -> str:
        """The resource name of the repository."""
        region = self.people["administrator"].region
        return f"arn:aws:ecr:{region}:{self.account}:repository/{self.repository}"

    def signer(self, caller: str, service: str) -> Signer | None:
        """Who signs API calls as this caller."""
        if caller == "anonymous":
            return None
        if caller == "expired":
            return expired_session(self.server, self.people["administrator"], service)
        if caller == "forger":
            who = self.people["administrator"]
            return Signer(who.access_key_id, "x" * 40, who.region, service)
        return Signer.of(self.people[caller], service)

    def oci(self, caller: str) -> OciClient:
        """The /v2/ client of this caller."""
        secret = {"anonymous": None, "forger": "made-up"}.get(caller, self.passwords.get(caller))
        return OciClient(self.server.url, password=secret)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One server for the whole matrix; nothing that a case does changes what another one finds."""
    with Server() as server:
        people = {
            "administrator": server.credentials,
            "reader": server.user("reader", policy(*READER)),
            "writer": server.user("writer", policy(*WRITER)),
            "nobody": server.user("nobody", None),
            "outsider": server.account(),
        }
        passwords = {name: password(server, who) for name, who in people.items()}
        passwords["expired"] = password(server, server.credentials, age=timedelta(hours=13))
        server.client().create_repository(repositoryName="shop/cart")
        image = random_image()
        administrator = OciClient(server.url, password=passwords["administrator"])
        administrator.push("shop/cart", image, "v1")
        yield World(server, people, "shop/cart", image.digest, image.layers[0].digest, passwords)


# --- Requests to the API: valid for the model, and without effect where they are allowed ---

NOWHERE = "sha256:" + "0" * 64


def parameters(world: World, front: str, name: str) -> dict[str, Any]:
    """Valid input of an operation: the required members, and the registry where one can be named."""
    shape = MODELS[front].operation_model(name).input_shape
    if shape is None:
        return {}
    params: dict[str, Any] = _sample(shape, world)
    if "registryId" in shape.members:
        params["registryId"] = world.account
    if front == "ecr" and name == "DescribeImages":
        params["imageIds"] = [{"imageTag": "v1"}]
    return params


def _sample(shape: Shape, world: World, name: str = "") -> Any:
    fixed: dict[str, Any] = {
        "repositoryName": world.repository,
        "repositoryNames": [world.repository],
        "resourceArn": world.arn,
        "registryId": world.account,
        "imageTag": "none",
        "imageDigest": NOWHERE,
        "imageId": {"imageTag": "none"},
        "imageIds": [{"imageTag": "none"}],
        "subjectId": {"imageDigest": world.digest},
        "imageManifest": "{}",
        "layerDigest": world.layer,
        "layerDigests": [NOWHERE],
        "layerPartBlob": "eA==",
        "uploadId": str(uuid.UUID(int=0, version=4)),
        "replicationBackfillId": str(uuid.UUID(int=0, version=4)),
        "policyText": "this is no policy",
        "lifecyclePolicyText": "{" + " " * 120 + "}",
        "ecrRepositoryPrefix": "upstream",
        "prefix": "upstream",
        "principalArn": f"arn:aws:iam::{world.account}:role/scanner",
        "region": "eu-central-1",
        "tags": [],
        "tagKeys": ["never-there"],
    }
    if name in fixed:
        return fixed[name]
    if isinstance(shape, StructureShape):
        return {key: _sample(shape.members[key], world, key) for key in shape.required_members}
    if isinstance(shape, ListShape):
        return [_sample(shape.member, world, shape.member.name)] if shape.metadata.get("min") else []
    if isinstance(shape, StringShape):
        return shape.enum[0] if shape.enum else "x" * shape.metadata.get("min", 1)
    return {"boolean": False, "blob": "eA==", "timestamp": 0}.get(shape.type_name, 0)


def ask_api(world: World, front: str, name: str, caller: str) -> Response:
    """Send an API call as this caller."""
    signer = world.signer(caller, front)
    if front == "sts":
        return query_call(world.server.url, {"Action": name}, signer)
    return call(world.server.url, name, parameters(world, front, name), signer, service=front)


# --- Requests to /v2/ ---


def ask_oci(world: World, name: str, caller: str) -> Response:
    """Send the request of a row as this caller."""
    method, _, _ = ROUTES[name]
    client, here = world.oci(caller), f"/v2/{world.repository}"
    upload = f"{here}/blobs/uploads/{uuid.UUID(int=0, version=4)}"
    data = uuid.uuid4().bytes
    paths: dict[str, str] = {
        "Ping": "/v2/",
        "ListRepositories": "/v2/_catalog",
        "ListTags": f"{here}/tags/list",
        "HeadManifest": f"{here}/manifests/v1",
        "GetManifest": f"{here}/manifests/v1",
        "PutManifest": f"{here}/manifests/new",
        "DeleteManifest": f"{here}/manifests/none",
        "HeadBlob": f"{here}/blobs/{world.layer}",
        "GetBlob": f"{here}/blobs/{world.layer}",
        "DeleteBlob": f"{here}/blobs/{world.layer}",
        "StartUpload": f"{here}/blobs/uploads/",
        "FinishWholeUpload": f"{here}/blobs/uploads/?digest={sha256(data)}",
        "MountBlob": f"{here}/blobs/uploads/?mount={NOWHERE}&from=not/there",
        "GetUpload": upload,
        "AppendUpload": upload,
        "FinishUpload": f"{upload}?digest={NOWHERE}",
        "CancelUpload": upload,
        "ListReferrers": f"{here}/referrers/{world.digest}",
    }
    if name == "MountBlobSource":
        target = f"mount/{uuid.uuid4().hex}"
        world.server.client().create_repository(repositoryName=target)
        paths[name] = f"/v2/{target}/blobs/uploads/?mount={world.layer}&from={world.repository}"
    bodies = {"PutManifest": b"{}", "FinishWholeUpload": data, "AppendUpload": data}
    headers = {"Content-Type": OCI_MANIFEST if name == "PutManifest" else "application/octet-stream"}
    return client.request(method, paths[name], headers=headers, body=bodies.get(name))


# --- The matrix ---

API_REFUSALS = {
    "anonymous": "MissingAuthenticationToken",
    "forger": "InvalidSignature|SignatureDoesNotMatch",
    "expired": "ExpiredToken",
}


@pytest.mark.parametrize(("front", "name", "caller"), CASES)
def test_an_operation_is_open_to_those_who_may_and_to_nobody_else(
    world: World, front: str, name: str, caller: str
) -> None:
    allowed = may(caller, front, name)

    answer = ask_oci(world, name, caller) if front == "oci" else ask_api(world, front, name, caller)

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
    if allowed:
        assert refused is None or answer.status == 200, str(answer)
        assert "Internal" not in text
    else:
        assert answer.status in (400, 403), str(answer)
        assert re.search(API_REFUSALS.get(caller, "AccessDenied"), text), str(answer)


# An answer to HEAD has no body to name anything in.
WITH_WORDS = [
    row
    for row in OPERATIONS
    if row not in NO_PERMISSION and not (row[0] == "oci" and ROUTES[row[1]][0] == "HEAD")
]


@pytest.mark.parametrize(("front", "name"), WITH_WORDS, ids=lambda part: part)
def test_a_refusal_names_the_action_and_the_resource(world: World, front: str, name: str) -> None:
    answer = ask_oci(world, name, "nobody") if front == "oci" else ask_api(world, front, name, "nobody")

    document = answer.json()
    message = document["errors"][0]["message"] if front == "oci" else document["message"]
    match = re.fullmatch(
        "User: (.+) is not authorized to perform: (.+) on resource: (.+) because no .+", message
    )
    assert match is not None, message
    assert match[1] == world.people["nobody"].user_arn
    assert match[2] == needed(front, name)[0]
    assert _resource_fits(world, front, name, match[3]), message


def _resource_fits(world: World, front: str, name: str, resource: str) -> bool:
    if OPERATIONS[front, name].on is On.REGISTRY:
        return resource == "*"
    everything = world.arn.replace(world.repository, "*")
    if front == "ecr-public":
        return re.fullmatch(rf"arn:aws:ecr-public::{world.account}:repository/.+", resource) is not None
    if name == "MountBlobSource":
        return resource.startswith(everything[:-1] + "mount/")
    of_all = {"ListRepositories", "DescribeRepositories", "BatchGetRepositoryScanningConfiguration"}
    return resource == (everything if name in of_all else world.arn)


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


@pytest.mark.parametrize("service", ["ecr", "ecr-public"])
def test_every_modelled_operation_has_a_row(service: str) -> None:
    rows = {name for front, name in OPERATIONS if front == service}

    assert rows == set(MODELS[service].operation_names)


def test_every_row_says_what_aws_documents() -> None:
    for (front, name), row in OPERATIONS.items():
        also = row.also if front == "oci" else ()
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
    asked = re.findall(r'(?:\.repository|\.readable|_find)\(\s*(?:visit,\s*)?"(\w+)"', source)
    asked += re.findall(r'"(HeadManifest)" if head else "(GetManifest)"', source)[0]
    asked += re.findall(r'OPERATIONS\["oci", "(\w+)"\]', source)

    assert set(asked) | {"Ping"} == set(ROUTES)


@pytest.mark.parametrize("name", sorted(set(MODELS["sts"].operation_names) - STS_HERE))
def test_an_operation_of_sts_without_a_row_is_closed_to_all(world: World, name: str) -> None:
    answers = {
        caller: query_call(world.server.url, {"Action": name}, world.signer(caller, "sts"))
        for caller in ("anonymous", "administrator")
    }

    assert b"<Code>MissingAuthenticationToken</Code>" in answers["anonymous"].body
    assert b"<Code>InvalidAction</Code>" in answers["administrator"].body
