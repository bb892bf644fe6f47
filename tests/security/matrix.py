"""What the matrix of operations and callers is made of: what AWS documents, a world to ask in, and valid requests.

What each row of the table must need, and who therefore may, is derived here from the names of the operations and
from the policies of the callers, read as plain lists; nothing of the server's decision code takes part.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, ServiceModel, Shape, StringShape, StructureShape

from tests.api.calls import policy, put
from tests.api.issued import expired_session, password
from tests.api.signing import Signer, call, form_fields, query_call
from tests.harness.images import OCI_MANIFEST, random_image, sha256
from tests.harness.oci import OciClient, Response
from tests.harness.server import MODELS as OWN_MODELS
from tests.harness.server import Credentials
from tests.harness.server import Homeport as Server

_LOADER = Loader(extra_search_paths=[str(OWN_MODELS)])
MODELS = {
    name: ServiceModel(_LOADER.load_service_model(name, "service-2"), name)
    for name in ("ecr", "ecr-public", "sts", "iam", "secretsmanager", "homeport")
}
QUERY = {name for name, model in MODELS.items() if model.metadata["protocol"] == "query"}

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
# IAMReadOnlyAccess and AmazonElasticContainerRegistryPublicReadOnly as far as there are such operations here, and what
# somebody who looks after secrets may read.
AUDITOR = (
    "iam:Get*",
    "iam:List*",
    "iam:SimulateCustomPolicy",
    "iam:SimulatePrincipalPolicy",
    "ecr-public:GetAuthorizationToken",
    "sts:GetServiceBearerToken",
    "ecr-public:BatchCheckLayerAvailability",
    "ecr-public:GetRepositoryPolicy",
    "ecr-public:DescribeRepositories",
    "ecr-public:DescribeRegistries",
    "ecr-public:DescribeImages",
    "ecr-public:DescribeImageTags",
    "ecr-public:GetRepositoryCatalogData",
    "ecr-public:GetRegistryCatalogData",
    "ecr-public:ListTagsForResource",
    "secretsmanager:DescribeSecret",
    "secretsmanager:ListSecrets",
)
ACTIONS = {"nobody": (), "reader": READER, "writer": WRITER, "auditor": AUDITOR}

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

# The operations of STS that there are here, and those that need nothing but to be somebody.
STS_HERE = {"AssumeRole", "AssumeRoleWithWebIdentity", "GetCallerIdentity", "GetSessionToken"}
UNSIGNED = ("sts", "AssumeRoleWithWebIdentity")
NO_PERMISSION = {("sts", "GetCallerIdentity"), ("sts", "GetSessionToken"), UNSIGNED, ("oci", "Ping")}
_NEEDED = {
    ("ecr", "ListImageReferrers"): ("ecr:BatchGetImage",),
    ("ecr-public", "GetAuthorizationToken"): (
        "ecr-public:GetAuthorizationToken",
        "sts:GetServiceBearerToken",
    ),
}

CALLERS = (
    "anonymous", "forger", "nobody", "reader", "writer", "auditor", "outsider", "expired", "administrator",
)  # fmt: skip


def needed(front: str, name: str) -> tuple[str, ...]:
    """The actions that a caller must be allowed for the operation."""
    if (front, name) in NO_PERMISSION:
        return ()
    if front == "oci":
        return ROUTES[name][2]
    prefix = "ecr" if front == "homeport" else front  # docs/how-to/lifecycle.md
    return _NEEDED.get((front, name), (f"{prefix}:{name}",))


def names_a_registry(front: str, name: str) -> bool:
    """Whether the matrix aims the operation at what belongs to the account of the administrator, whoever asks.

    Users, groups and roles are asked for by name, and so are secrets that are changed: those of the own account.
    """
    if front == "oci" or (front, name) == ("sts", "AssumeRole"):
        return True
    shape = MODELS[front].operation_model(name).input_shape
    members = shape.members if shape is not None else {}
    reads_a_secret = "SecretId" in members and name.startswith(_READS)
    return "registryId" in members or "resourceArn" in members or reads_a_secret


def may(caller: str, front: str, name: str) -> bool:
    """Who may do what, from the documented policies alone."""
    if (front, name) == UNSIGNED:
        return True
    if caller in ("anonymous", "forger", "expired"):
        return False
    actions = needed(front, name)
    if not actions or caller == "administrator":
        return True
    if caller == "outsider":
        return not names_a_registry(front, name)
    return all(any(fnmatchcase(action, each) for each in ACTIONS[caller]) for action in actions)


# --- The world ---

MISSING = "never-there"
"""A name that nothing has."""
NOWHERE = "sha256:" + "0" * 64
"""A digest that nothing has."""


@dataclass(frozen=True)
class World:
    """A server with one of everything in it, and somebody of each kind."""

    server: Server
    people: dict[str, Credentials]
    repository: str
    digest: str
    layer: str
    passwords: dict[str, str]
    secret_arn: str
    access_key_id: str

    @property
    def account(self) -> str:
        """The registry that everything here is aimed at."""
        return self.people["administrator"].account_id

    def arn(self, front: str = "ecr", name: str | None = None) -> str:
        """The resource name of the repository, or of another."""
        region = self.people["administrator"].region if front == "ecr" else ""
        return f"arn:aws:{front}:{region}:{self.account}:repository/{name or self.repository}"

    def iam(self, rest: str) -> str:
        """The resource name of an identity of the administrator's account."""
        return f"arn:aws:iam::{self.account}:{rest}"

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


def build(server: Server, passwords_age: Any) -> World:
    """Fill a new server with one of everything; `passwords_age` is that of the password that is past its end."""
    people = {
        "administrator": server.credentials,
        "reader": server.user("reader", policy(*READER)),
        "writer": server.user("writer", policy(*WRITER)),
        "auditor": server.user("auditor", policy(*AUDITOR)),
        "nobody": server.user("nobody", None),
        "outsider": server.account(),
    }
    passwords = {name: password(server, who) for name, who in people.items()}
    passwords["expired"] = password(server, server.credentials, age=passwords_age)
    server.client().create_repository(repositoryName="shop/cart")
    server.client().put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
    image = random_image()
    OciClient(server.url, password=passwords["administrator"]).push("shop/cart", image, "v1")
    public: Any = server.client("ecr-public")
    public.create_repository(repositoryName="shop/cart")
    put(public, "shop/cart", image, "v1")
    key = _identities(server)
    secret = server.client("secretsmanager").create_secret(
        Name="ecr-pullthroughcache/hub", SecretString='{"username":"u","accessToken":"t"}'
    )
    return World(
        server, people, "shop/cart", image.digest, image.layers[0].digest, passwords, secret["ARN"], key
    )


def _identities(server: Server) -> str:
    """Make one of each kind of identity, all named `real` and without rights over a registry; return an access key."""
    iam: Any = server.client("iam")
    account = server.credentials.account_id
    document = json.dumps(policy("s3:GetObject"))
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    iam.create_user(UserName="real")
    iam.create_group(GroupName="real")
    iam.create_role(RoleName="real", AssumeRolePolicyDocument=json.dumps(trust))
    arn = iam.create_policy(PolicyName="real", PolicyDocument=document)["Policy"]["Arn"]
    iam.create_open_id_connect_provider(Url="https://real.example", ThumbprintList=["a" * 40])
    iam.add_user_to_group(UserName="real", GroupName="real")
    iam.put_user_policy(UserName="real", PolicyName="real", PolicyDocument=document)
    iam.put_group_policy(GroupName="real", PolicyName="real", PolicyDocument=document)
    iam.put_role_policy(RoleName="real", PolicyName="real", PolicyDocument=document)
    iam.attach_role_policy(RoleName="real", PolicyArn=arn)
    key: str = iam.create_access_key(UserName="real")["AccessKey"]["AccessKeyId"]
    return key


# --- Requests to the API: valid for the model, and by default without effect where they are allowed ---

_CREATES = ("Create",)
_READS = ("Get", "List", "Describe", "Simulate", "BatchGet", "BatchCheck", "AssumeRole")


def parameters(world: World, front: str, name: str, real: bool | None = None) -> dict[str, Any]:
    """Valid input of an operation: the required members, and the registry where one can be named.

    Args:
        real: whether what is named exists. By default what is only read does, and the repositories; users, groups,
            roles, policies, providers and secrets that would be changed do not.
    """
    shape = MODELS[front].operation_model(name).input_shape
    if shape is None:
        return {}
    params: dict[str, Any] = _sample(shape, _values(world, front, name, real))
    if "registryId" in shape.members:
        params["registryId"] = world.account
    if name == "DescribeImages":
        params["imageIds"] = [{"imageTag": "v1"}]
    return params


def _values(world: World, front: str, name: str, real: bool | None) -> dict[str, Any]:
    """The value of each member, by its name."""
    repository = world.repository if real is not False else "never/there"
    exists = real if real is not None else name.startswith(_READS)
    new = f"new-{uuid.uuid4().hex[:12]}"
    called = "real" if exists else new if name.startswith(_CREATES) else MISSING
    return {
        "repositoryName": repository,
        "repositoryNames": [repository],
        "resourceArn": world.arn(front, repository),
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
        "prefix": "upstream" if real is not False else "never/there",
        "runId": "1",
        "principalArn": world.iam("role/scanner"),
        "region": "eu-central-1",
        "tags": [],
        "tagKeys": ["never-there"],
        "UserName": called,
        "GroupName": called,
        "RoleName": called,
        "PolicyName": called,
        "PolicyArn": world.iam(f"policy/{called}"),
        "PermissionsBoundary": world.iam("policy/real"),
        "VersionId": "v1",
        "OpenIDConnectProviderArn": world.iam(f"oidc-provider/{called}.example"),
        "Url": f"https://{new}.example",
        "ThumbprintList": ["a" * 40],
        "PolicyDocument": "{}",
        "AssumeRolePolicyDocument": "{}",
        "PolicyInputList": [json.dumps(policy("s3:GetObject"))],
        "ActionNames": ["ecr:ListImages"],
        "PolicySourceArn": world.iam(f"user/{called}"),
        "AccessKeyId": world.access_key_id if exists else "AKIA0000000000000000",
        "RoleArn": world.iam("role/real"),
        "RoleSessionName": "matrix",
        "WebIdentityToken": "no.token.at.all",
        "SecretId": world.secret_arn if exists else MISSING,
        "Name": new,
        "TagKeys": ["never-there"],
    }


def _sample(shape: Shape, values: dict[str, Any], name: str = "") -> Any:
    if name in values:
        return values[name]
    if isinstance(shape, StructureShape):
        return {key: _sample(shape.members[key], values, key) for key in shape.required_members}
    if isinstance(shape, ListShape):
        return [_sample(shape.member, values, shape.member.name)] if shape.metadata.get("min") else []
    if isinstance(shape, StringShape):
        return shape.enum[0] if shape.enum else "x" * shape.metadata.get("min", 1)
    return {"boolean": False, "blob": "eA==", "timestamp": 0}.get(shape.type_name, 0)


def ask_api(world: World, front: str, name: str, caller: str, real: bool | None = None) -> Response:
    """Send an API call as this caller."""
    signer = world.signer(caller, front)
    params = parameters(world, front, name, real)
    if front in QUERY:
        model = MODELS[front]
        fields = dict(form_fields(model.operation_model(name).input_shape, params)) if params else {}
        asked = {"Action": name, "Version": model.metadata["apiVersion"], **fields}
        return query_call(world.server.url, asked, signer)
    return call(world.server.url, name, params, signer, service=front)


# --- Requests to /v2/ ---


def ask_oci(world: World, name: str, caller: str, repository: str | None = None) -> Response:
    """Send the request of a row as this caller."""
    method, _, _ = ROUTES[name]
    client, here = world.oci(caller), f"/v2/{repository or world.repository}"
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
