"""The table: every operation of every front, the IAM action that allows it, and on which resource.

Fronts name an operation by its row and nothing else; a test crosses every row with every kind of caller, and another
proves that no row is missing. Source: Service Authorization Reference for Amazon ECR and ECR Public.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType


class On(StrEnum):
    """What the decision is about."""

    REPOSITORY = "repository"
    """The named repository; all of the registry's (`repository/*`) when the request names none."""
    REGISTRY = "registry"
    """The action has no resource-level permission: policies need `Resource: "*"`. A public registry as a whole has an
    ARN, which is the resource of all but its password."""
    IDENTITY = "identity"
    """A user, group, role, policy, provider or secret: the handler names its ARN (`*` when the request lists all)."""
    NOBODY = "nobody"
    """No permission is needed beyond being somebody (sts:GetCallerIdentity)."""


class Audit(StrEnum):
    """How an audit log files the operation (access levels of the Service Authorization Reference)."""

    READ = "Read"
    LIST = "List"
    WRITE = "Write"
    TAGGING = "Tagging"
    PERMISSIONS = "Permissions management"


@dataclass(frozen=True, slots=True)
class Operation:
    """One row. `name` is the API operation, or the route of the OCI front that needs `action`."""

    front: str
    name: str
    action: str
    on: On
    audit: Audit
    also: tuple[str, ...] = ()
    """Further actions that the operation needs in some cases (for example ecr:TagResource when creating with tags)."""


_READ, _LIST, _WRITE, _TAG, _PERMIT = Audit.READ, Audit.LIST, Audit.WRITE, Audit.TAGGING, Audit.PERMISSIONS

_ECR_ON_REPOSITORY: dict[Audit, tuple[str, ...]] = {
    _READ: (
        "BatchCheckLayerAvailability", "BatchGetImage", "BatchGetRepositoryScanningConfiguration",
        "DescribeImageReplicationStatus", "DescribeImageScanFindings", "DescribeImageSigningStatus", "DescribeImages",
        "GetDownloadUrlForLayer", "GetLifecyclePolicy", "GetLifecyclePolicyPreview", "GetRepositoryPolicy",
        "ListTagsForResource",
    ),
    _LIST: ("DescribeRepositories", "ListImageReferrers", "ListImages"),
    _WRITE: (
        "BatchDeleteImage", "CompleteLayerUpload", "CreateRepository", "DeleteLifecyclePolicy", "DeleteRepository",
        "InitiateLayerUpload", "PutImage", "PutImageScanningConfiguration", "PutImageTagMutability",
        "PutLifecyclePolicy", "StartImageScan", "StartLifecyclePolicyPreview", "UpdateImageStorageClass",
        "UploadLayerPart",
    ),
    _TAG: ("TagResource", "UntagResource"),
    _PERMIT: ("DeleteRepositoryPolicy", "SetRepositoryPolicy"),
}  # fmt: skip

_ECR_ON_REGISTRY: dict[Audit, tuple[str, ...]] = {
    _READ: (
        "DescribePullThroughCacheRules", "DescribeRegistry", "DescribeReplicationBackfillResults",
        "DescribeRepositoryCreationTemplates", "GetAccountSetting", "GetAuthorizationToken", "GetRegistryPolicy",
        "GetRegistryScanningConfiguration", "GetSigningConfiguration", "ValidatePullThroughCacheRule",
    ),
    _LIST: ("ListPullTimeUpdateExclusions", "ListReplicationBackfills"),
    _WRITE: (
        "CreatePullThroughCacheRule", "CreateRepositoryCreationTemplate", "DeletePullThroughCacheRule",
        "DeleteRepositoryCreationTemplate", "DeleteSigningConfiguration", "DeregisterPullTimeUpdateExclusion",
        "PutAccountSetting", "PutRegistryScanningConfiguration", "PutReplicationConfiguration",
        "PutSigningConfiguration", "RegisterPullTimeUpdateExclusion", "StartReplicationBackfill",
        "StopReplicationBackfill", "UpdatePullThroughCacheRule", "UpdateRepositoryCreationTemplate",
    ),
    _PERMIT: ("DeleteRegistryPolicy", "PutRegistryPolicy"),
}  # fmt: skip

_PUBLIC_ON_REPOSITORY: dict[Audit, tuple[str, ...]] = {
    _READ: (
        "BatchCheckLayerAvailability", "DescribeImages", "GetRepositoryCatalogData", "GetRepositoryPolicy",
        "ListTagsForResource",
    ),
    _LIST: ("DescribeImageTags", "DescribeRepositories"),
    _WRITE: (
        "BatchDeleteImage", "CompleteLayerUpload", "CreateRepository", "DeleteRepository", "InitiateLayerUpload",
        "PutImage", "PutRepositoryCatalogData", "UploadLayerPart",
    ),
    _TAG: ("TagResource", "UntagResource"),
    _PERMIT: ("DeleteRepositoryPolicy", "SetRepositoryPolicy"),
}  # fmt: skip

_PUBLIC_ON_REGISTRY: dict[Audit, tuple[str, ...]] = {
    _READ: ("GetAuthorizationToken", "GetRegistryCatalogData"),
    _LIST: ("DescribeRegistries",),
    _WRITE: ("PutRegistryCatalogData",),
}

# What ECR does not have: our own service model. Its actions are of the prefix `ecr:`, so that a policy which gives a
# registry away with `ecr:*` gives all of it away.
_OWN_ON_REPOSITORY: dict[Audit, tuple[str, ...]] = {
    _READ: (
        "DescribeLifecycleRun", "ExplainLifecyclePolicy", "GetEffectiveLifecyclePolicy",
        "GetLifecyclePolicyPreviewSavings",
    ),
    _LIST: ("ListDeletedImages", "ListLifecycleRuns", "ListPinnedImageTags"),
    _WRITE: ("PinImageTag", "RestoreDeletedImage", "StartLifecycleRun", "UnpinImageTag"),
}  # fmt: skip

_OWN_ON_REGISTRY: dict[Audit, tuple[str, ...]] = {
    _LIST: ("ListDefaultLifecyclePolicies",),
    _WRITE: ("DeleteDefaultLifecyclePolicy", "PutDefaultLifecyclePolicy"),
}

# What people need to manage a self-hosted account with the AWS CLI and Terraform. Service Authorization Reference for
# IAM, STS and Secrets Manager.
_IAM: dict[Audit, tuple[str, ...]] = {
    _READ: (
        "GetAccessKeyLastUsed", "GetGroup", "GetGroupPolicy", "GetLoginProfile", "GetOpenIDConnectProvider",
        "GetPolicy", "GetPolicyVersion",
        "GetRole", "GetRolePolicy", "GetUser", "GetUserPolicy", "SimulateCustomPolicy", "SimulatePrincipalPolicy",
    ),
    _LIST: (
        "ListAccessKeys", "ListAttachedGroupPolicies", "ListAttachedRolePolicies", "ListAttachedUserPolicies",
        "ListEntitiesForPolicy", "ListGroupPolicies", "ListGroups", "ListGroupsForUser", "ListInstanceProfilesForRole",
        "ListMFADevices", "ListOpenIDConnectProviderTags", "ListOpenIDConnectProviders", "ListPolicies",
        "ListPolicyTags", "ListPolicyVersions", "ListRolePolicies", "ListRoleTags", "ListRoles", "ListSSHPublicKeys",
        "ListServiceSpecificCredentials", "ListSigningCertificates", "ListUserPolicies", "ListUserTags", "ListUsers",
        "ListVirtualMFADevices",
    ),
    _WRITE: (
        "AddClientIDToOpenIDConnectProvider", "AddUserToGroup", "CreateAccessKey", "CreateGroup",
        "CreateOpenIDConnectProvider", "CreateRole", "CreateUser", "DeleteAccessKey", "DeleteGroup",
        "DeleteLoginProfile", "DeleteOpenIDConnectProvider", "DeleteRole", "DeleteUser",
        "RemoveClientIDFromOpenIDConnectProvider",
        "RemoveUserFromGroup", "UpdateAccessKey", "UpdateGroup", "UpdateOpenIDConnectProviderThumbprint", "UpdateRole",
        "UpdateRoleDescription", "UpdateUser",
    ),
    _TAG: (
        "TagOpenIDConnectProvider", "TagPolicy", "TagRole", "TagUser", "UntagOpenIDConnectProvider", "UntagPolicy",
        "UntagRole", "UntagUser",
    ),
    _PERMIT: (
        "AttachGroupPolicy", "AttachRolePolicy", "AttachUserPolicy", "CreatePolicy", "CreatePolicyVersion",
        "DeleteGroupPolicy", "DeletePolicy", "DeletePolicyVersion", "DeleteRolePermissionsBoundary", "DeleteRolePolicy",
        "DeleteUserPermissionsBoundary", "DeleteUserPolicy", "DetachGroupPolicy", "DetachRolePolicy",
        "DetachUserPolicy", "PutGroupPolicy", "PutRolePermissionsBoundary", "PutRolePolicy",
        "PutUserPermissionsBoundary", "PutUserPolicy", "SetDefaultPolicyVersion", "UpdateAssumeRolePolicy",
    ),
}  # fmt: skip

_SECRETS: dict[Audit, tuple[str, ...]] = {
    _READ: ("DescribeSecret", "GetResourcePolicy", "GetSecretValue"),
    _LIST: ("ListSecretVersionIds", "ListSecrets"),
    _WRITE: (
        "CreateSecret", "DeleteSecret", "PutSecretValue", "RestoreSecret", "UpdateSecret", "UpdateSecretVersionStage",
    ),
    _TAG: ("TagResource", "UntagResource"),
}  # fmt: skip

# A rule that refers to another action: the repository's own ListImageReferrers is allowed by BatchGetImage.
_PREFIXES = {"homeport": "ecr"}
_ALLOWED_BY = {("ecr", "ListImageReferrers"): "ecr:BatchGetImage"}
_ALSO = {
    ("ecr", "CreateRepository"): ("ecr:TagResource",),
    ("ecr-public", "CreateRepository"): ("ecr-public:TagResource",),
    ("ecr-public", "GetAuthorizationToken"): ("sts:GetServiceBearerToken",),
    ("iam", "CreateOpenIDConnectProvider"): ("iam:TagOpenIDConnectProvider",),
    ("iam", "CreatePolicy"): ("iam:TagPolicy",),
    ("iam", "CreateRole"): ("iam:TagRole",),
    ("iam", "CreateUser"): ("iam:TagUser",),
}

# (route, IAM action, resource, audit, also). ECR User Guide, image-push-iam and logging-using-cloudtrail.
_OCI: tuple[tuple[str, str, On, Audit, tuple[str, ...]], ...] = (
    ("Ping", "", On.NOBODY, _READ, ()),
    ("ListRepositories", "ecr:DescribeRepositories", On.REPOSITORY, _LIST, ()),
    ("ListTags", "ecr:ListImages", On.REPOSITORY, _LIST, ()),
    ("HeadManifest", "ecr:BatchGetImage", On.REPOSITORY, _READ, ()),
    ("GetManifest", "ecr:BatchGetImage", On.REPOSITORY, _READ, ()),
    ("PutManifest", "ecr:PutImage", On.REPOSITORY, _WRITE, ()),
    ("DeleteManifest", "ecr:BatchDeleteImage", On.REPOSITORY, _WRITE, ()),
    ("HeadBlob", "ecr:BatchCheckLayerAvailability", On.REPOSITORY, _READ, ()),
    ("GetBlob", "ecr:GetDownloadUrlForLayer", On.REPOSITORY, _READ, ()),
    ("DeleteBlob", "ecr:BatchDeleteImage", On.REPOSITORY, _WRITE, ()),
    ("StartUpload", "ecr:InitiateLayerUpload", On.REPOSITORY, _WRITE, ()),
    ("FinishWholeUpload", "ecr:InitiateLayerUpload", On.REPOSITORY, _WRITE, ("ecr:CompleteLayerUpload",)),
    ("MountBlob", "ecr:InitiateLayerUpload", On.REPOSITORY, _WRITE, ()),
    ("MountBlobSource", "ecr:GetDownloadUrlForLayer", On.REPOSITORY, _READ, ()),
    ("GetUpload", "ecr:UploadLayerPart", On.REPOSITORY, _READ, ()),
    ("AppendUpload", "ecr:UploadLayerPart", On.REPOSITORY, _WRITE, ()),
    ("FinishUpload", "ecr:CompleteLayerUpload", On.REPOSITORY, _WRITE, ()),
    ("CancelUpload", "ecr:UploadLayerPart", On.REPOSITORY, _WRITE, ()),
    ("ListReferrers", "ecr:BatchGetImage", On.REPOSITORY, _LIST, ()),
)

# What anybody may do with a public repository; no policy forbids it. ECR Public User Guide, public repository policies.
_PUBLIC_READS = frozenset(
    {
        "Ping",
        "ListTags",
        "HeadManifest",
        "GetManifest",
        "HeadBlob",
        "GetBlob",
        "MountBlobSource",
        "ListReferrers",
    }
)


def _rows() -> list[Operation]:
    rows = [
        Operation(
            front,
            name,
            _ALLOWED_BY.get((front, name), f"{_PREFIXES.get(front, front)}:{name}"),
            on,
            audit,
            _ALSO.get((front, name), ()),
        )
        for front, on, named in (
            ("ecr", On.REPOSITORY, _ECR_ON_REPOSITORY),
            ("ecr", On.REGISTRY, _ECR_ON_REGISTRY),
            ("ecr-public", On.REPOSITORY, _PUBLIC_ON_REPOSITORY),
            ("ecr-public", On.REGISTRY, _PUBLIC_ON_REGISTRY),
            ("homeport", On.REPOSITORY, _OWN_ON_REPOSITORY),
            ("homeport", On.REGISTRY, _OWN_ON_REGISTRY),
        )
        for audit, names in named.items()
        for name in names
    ]
    rows.extend(
        Operation(front, name, f"{front}:{name}", On.IDENTITY, audit, _ALSO.get((front, name), ()))
        for front, named in (("iam", _IAM), ("secretsmanager", _SECRETS))
        for audit, names in named.items()
        for name in names
    )
    rows.extend(
        # Whoever brings a token of a provider that the role trusts is nobody yet; a user may always narrow themselves.
        Operation("sts", name, f"sts:{name}", on, audit)
        for name, on, audit in (
            ("AssumeRole", On.IDENTITY, _WRITE),
            ("AssumeRoleWithWebIdentity", On.NOBODY, _WRITE),
            ("GetCallerIdentity", On.NOBODY, _READ),
            ("GetSessionToken", On.NOBODY, _READ),
        )
    )
    rows.extend(Operation("oci", name, action, on, audit, also) for name, action, on, audit, also in _OCI)
    return rows


OPERATIONS = MappingProxyType({(row.front, row.name): row for row in _rows()})
"""Every operation by (front, name)."""

PUBLIC_ROUTES = MappingProxyType(
    {
        row.name: replace(row, on=On.NOBODY)
        if row.name in _PUBLIC_READS
        else replace(
            row,
            action=row.action.replace("ecr:", "ecr-public:"),
            also=tuple(each.replace("ecr:", "ecr-public:") for each in row.also),
        )
        for row in OPERATIONS.values()
        if row.front == "oci"
    }
)
"""The routes of /v2/ by name, as they are decided for a public repository."""
