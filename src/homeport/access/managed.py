"""The managed policies that every account has without making them, as AWS publishes them.

They belong to the account `aws`, nobody can change them, and every account may attach them. Documents, versions and
days are those of the AWS Managed Policy Reference; an action of a service that Homeport does not offer stands here as
published and simply never comes up. Ids that AWS does not publish are ours; only their form means anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class ManagedPolicy:
    """One built-in policy; `version` is its default and only version here."""

    name: str
    policy_id: str
    description: str
    version: str
    created_at: datetime
    updated_at: datetime
    document: str

    @property
    def arn(self) -> str:
        """Its resource name."""
        return f"arn:aws:iam::aws:policy/{self.name}"


def _document(*statements: Mapping[str, object]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)}, indent=4)


def _allow(actions: str | Sequence[str], **more: object) -> dict[str, object]:
    return {
        "Effect": "Allow",
        "Action": actions if isinstance(actions, str) else list(actions),
        "Resource": "*",
        **more,
    }


def _service(prefix: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{prefix}:{name}" for name in names)


_READ = _service(
    "ecr", "GetAuthorizationToken", "BatchCheckLayerAvailability", "GetDownloadUrlForLayer", "GetRepositoryPolicy",
    "DescribeRepositories", "ListImages", "DescribeImages", "BatchGetImage", "GetLifecyclePolicy",
    "GetLifecyclePolicyPreview", "ListTagsForResource", "DescribeImageScanFindings",
)  # fmt: skip
_PUSH = ("InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage")
_PULL = _service(
    "ecr", "GetAuthorizationToken", "BatchGetImage", "GetDownloadUrlForLayer", "BatchImportUpstreamImage"
)
_PUBLIC_READ = (
    "ecr-public:GetAuthorizationToken",
    "sts:GetServiceBearerToken",
    *_service(
        "ecr-public", "BatchCheckLayerAvailability", "GetRepositoryPolicy", "DescribeRepositories",
        "DescribeRegistries", "DescribeImages", "DescribeImageTags", "GetRepositoryCatalogData",
        "GetRegistryCatalogData",
    ),
)  # fmt: skip
_ORGANISATIONS = _service(
    "organizations", "DescribeAccount", "DescribeOrganization", "DescribeOrganizationalUnit", "DescribePolicy",
    "ListChildren", "ListParents", "ListPoliciesForTarget", "ListRoots", "ListPolicies", "ListTargetsForPolicy",
)  # fmt: skip


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


_ALL = (
    ManagedPolicy(
        "AdministratorAccess",
        "ANPAIWMBCKSKIEE64ZLYK",
        "Provides full access to AWS services and resources.",
        "v1",
        _day("2015-02-06T18:39:46"),
        _day("2015-02-06T18:39:46"),
        _document(_allow("*")),
    ),
    ManagedPolicy(
        "AmazonEC2ContainerRegistryFullAccess",
        "ANPAIESRL7KD7IIVF6V4W",
        "Provides administrative access to Amazon ECR resources",
        "v3",
        _day("2015-12-21T17:06:48"),
        _day("2020-12-05T00:04:19"),
        _document(
            _allow(("ecr:*", "cloudtrail:LookupEvents")),
            _allow(
                ("iam:CreateServiceLinkedRole",),
                Condition={"StringEquals": {"iam:AWSServiceName": ["replication.ecr.amazonaws.com"]}},
            ),
        ),
    ),
    ManagedPolicy(
        "AmazonEC2ContainerRegistryPowerUser",
        "ANPAJDNE5PIHROIBGGDDW",
        "Provides full access to Amazon EC2 Container Registry repositories, but does not allow repository "
        "deletion or policy changes.",
        "v3",
        _day("2015-12-21T17:05:33"),
        _day("2019-12-10T20:48:08"),
        _document(_allow((*_READ, *_service("ecr", *_PUSH)))),
    ),
    ManagedPolicy(
        "AmazonEC2ContainerRegistryPullOnly",
        "ANPAZKAPJZG4PULLONLY1",
        "Allows access to pull images from Amazon EC2 Container Registry repositories.",
        "v1",
        _day("2024-10-04T16:58:49"),
        _day("2024-10-04T16:58:49"),
        _document(_allow(_PULL)),
    ),
    ManagedPolicy(
        "AmazonEC2ContainerRegistryReadOnly",
        "ANPAIFYZPA37OOHVIH7KQ",
        "Provides read-only access to Amazon EC2 Container Registry repositories.",
        "v3",
        _day("2015-12-21T17:04:15"),
        _day("2019-12-10T20:56:32"),
        _document(_allow(_READ)),
    ),
    ManagedPolicy(
        "AmazonElasticContainerRegistryPublicFullAccess",
        "ANPAZKAPJZG4PUBLICFUL",
        "Provides administrative access to Amazon ECR Public resources",
        "v1",
        _day("2020-12-01T17:25:52"),
        _day("2020-12-01T17:25:52"),
        _document(_allow(("ecr-public:*", "sts:GetServiceBearerToken"))),
    ),
    ManagedPolicy(
        "AmazonElasticContainerRegistryPublicPowerUser",
        "ANPAZKAPJZG4PUBLICPOW",
        "Provides full access to Amazon ECR Public repositories, but does not allow repository deletion or "
        "policy changes.",
        "v1",
        _day("2020-12-01T16:16:54"),
        _day("2020-12-01T16:16:54"),
        _document(_allow((*_PUBLIC_READ, *_service("ecr-public", *_PUSH)))),
    ),
    ManagedPolicy(
        "AmazonElasticContainerRegistryPublicReadOnly",
        "ANPAZKAPJZG4PUBLICREA",
        "Provides read-only access to Amazon ECR Public repositories.",
        "v1",
        _day("2020-12-01T17:27:04"),
        _day("2020-12-01T17:27:04"),
        _document(_allow(_PUBLIC_READ)),
    ),
    ManagedPolicy(
        "IAMFullAccess",
        "ANPAI7XKCFMBPM3QQRRVQ",
        "Provides full access to IAM via the AWS Management Console.",
        "v2",
        _day("2015-02-06T18:40:38"),
        _day("2019-06-21T19:40:00"),
        _document(_allow(("iam:*", *_ORGANISATIONS))),
    ),
)

MANAGED: Mapping[str, ManagedPolicy] = MappingProxyType({policy.arn: policy for policy in _ALL})
"""Every built-in policy by ARN, in order of name."""

AWS_MANAGED: Mapping[str, str] = MappingProxyType({policy.arn: policy.document for policy in _ALL})
"""The document text of every built-in policy by ARN."""
