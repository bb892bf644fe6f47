"""For every operation that lists InvalidParameterException one parameter of a working call made wrong."""

from __future__ import annotations

from typing import Any

from tests.api.calls import MISSING
from tests.api.listed_errors_base import TABLES, Refused, Side, both, refuses

NAMES = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
PUBLIC_NAMES = "(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*"
PREFIXES = r"^([a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*\/?|ROOT)$"
IDS = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
PRINCIPALS = r"^arn:aws(-[a-z]+)*:iam::[0-9]{12}:(role|user)/[\w+=,.@-]+(/[\w+=,.@-]+)*$"
ACCOUNTS = "[0-9]{12}"
IMAGES = [{"imageTag": "v1"}]


def invalid(*operations: str, where: str, what: str, **wrong: Any) -> None:
    """Enter the scenario: with these parameters in place of its own, the working call is refused.

    Args:
        operations: that are refused so.
        where: the parameter that the refusal names.
        what: the constraint that it names.
        wrong: the parameters.
    """
    for operation in operations:
        _invalid(operation, f"Invalid parameter at '{where}' failed to satisfy constraint: '{what}'", wrong)


def _invalid(operation: str, text: str, wrong: dict[str, Any]) -> None:
    @refuses("InvalidParameter", operation)
    def scenario(side: Side) -> Refused:
        return Refused(TABLES.success[operation].arrange(side).but(**wrong), text)


def _pattern(pattern: str) -> str:
    return f"Member must satisfy regular expression pattern: {pattern}"


def _at_most(most: int, kind: str = "length") -> str:
    return f"Member must have {kind} less than or equal to {most}"


# --- Repositories ---

invalid(
    "ecr:CreateRepository",
    "ecr:DeleteRepository",
    "ecr:GetRepositoryPolicy",
    "ecr:InitiateLayerUpload",
    where="repositoryName",
    what=f"must satisfy regular expression '{NAMES}'",
    repositoryName="Upper/Case",
)
invalid(
    "ecr-public:CreateRepository",
    "ecr-public:DeleteRepository",
    "ecr-public:GetRepositoryPolicy",
    "ecr-public:InitiateLayerUpload",
    where="repositoryName",
    what=f"must satisfy regular expression '{PUBLIC_NAMES}'",
    repositoryName="Upper/Case",
)
invalid(
    *both("DeleteRepositoryPolicy"),
    "ecr:DeleteLifecyclePolicy",
    "ecr:GetLifecyclePolicy",
    "ecr-public:GetRepositoryCatalogData",
    where="registryId",
    what=_pattern(ACCOUNTS),
    registryId="12345",
)
invalid(
    *both("DescribeRepositories"),
    where="maxResults",
    what="maxResults cannot be used with repositoryNames",
    maxResults=5,
)
invalid(
    *both("ListTagsForResource", "TagResource", "UntagResource"),
    where="resourceArn",
    what="Invalid ARN",
    resourceArn="arn:aws:s3:::bucket",
)
invalid(
    *both("SetRepositoryPolicy"),
    where="PolicyText",
    what="Invalid repository policy provided",
    policyText="not a policy",
)
invalid(
    "ecr:PutImageTagMutability",
    where="imageTagMutabilityExclusionFilters",
    what="ImageTagMutabilityExclusionFilters must be null when imageTagMutability is set as MUTABLE",
    imageTagMutability="MUTABLE",
)
invalid(
    "ecr:BatchGetRepositoryScanningConfiguration",
    where="repositoryNames",
    what=_at_most(25),
    repositoryNames=["some/name"] * 26,
)
invalid(
    "ecr:PutImageScanningConfiguration",
    where="registryId",
    what=_pattern(ACCOUNTS),
    registryId="12345",
)
invalid(
    "ecr-public:PutRepositoryCatalogData",
    where="catalogData.description",
    what=_at_most(1024),
    catalogData={"description": "x" * 1025},
)
invalid(
    "ecr:PutLifecyclePolicy",
    "ecr:StartLifecyclePolicyPreview",
    where="LifecyclePolicyText",
    what="Lifecycle policy validation failure: Could not map policyString into LifecyclePolicy.",
    lifecyclePolicyText="not a policy" * 10,
)
invalid(
    "ecr:GetLifecyclePolicyPreview",
    where="maxResults",
    what="maxResults cannot be used with imageIds",
    imageIds=IMAGES,
    maxResults=5,
)

# --- Images and layers ---

invalid(
    "ecr:BatchGetImage",
    *both("BatchDeleteImage"),
    where="imageIds",
    what=_at_most(100),
    imageIds=IMAGES * 101,
)
invalid(
    *both("DescribeImages"),
    where="maxResults",
    what="maxResults cannot be used with imageIds",
    maxResults=5,
)
invalid("ecr:ListImages", where="maxResults", what=_at_most(1000, "value"), maxResults=1001)
invalid(
    "ecr-public:DescribeImageTags",
    where="nextToken",
    what="must be a token that the same operation returned for the same request",
    nextToken="made-up",
)
invalid(
    "ecr:ListImageReferrers",
    where="subjectId.imageDigest",
    what="Member must be a sha256 or sha512 digest",
    subjectId={"imageDigest": "md5:abc"},
)
invalid(
    *both("PutImage"), where="ImageManifest", what="Invalid JSON syntax", imageManifest="this is no manifest"
)
invalid(
    *both("BatchCheckLayerAvailability"),
    where="layerDigests",
    what=_at_most(100),
    layerDigests=[MISSING] * 101,
)
invalid(
    *both("UploadLayerPart", "CompleteLayerUpload"), where="uploadId", what=_pattern(IDS), uploadId="no-uuid"
)
invalid(
    "ecr:GetDownloadUrlForLayer",
    where="layerDigest",
    what=_pattern("[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+"),
    layerDigest="no-digest",
)
for _operation in (
    "ecr:DescribeImageReplicationStatus",
    "ecr:DescribeImageScanFindings",
    "ecr:DescribeImageSigningStatus",
    "ecr:StartImageScan",
    "ecr:UpdateImageStorageClass",
):
    _invalid(_operation, "Invalid request parameters: both tag and digest cannot be null", {"imageId": {}})

# --- The registry ---

invalid(
    "ecr:GetAuthorizationToken",
    where="registryIds",
    what=f"Member must satisfy constraint: [{_pattern(ACCOUNTS)}]",
    registryIds=["12345"],
)
invalid(
    "ecr:GetAccountSetting",
    "ecr:PutAccountSetting",
    where="name",
    what="Member must satisfy enum value set: [BASIC_SCAN_TYPE_VERSION, REGISTRY_POLICY_SCOPE, BLOB_MOUNTING]",
    name="COLOUR",
)
invalid("ecr:PutRegistryPolicy", where="PolicyText", what="Invalid registry policy provided", policyText="{}")
invalid(
    "ecr:PutRegistryScanningConfiguration",
    where="scanFrequency",
    what="CONTINUOUS_SCAN is not supported with scanType BASIC",
    rules=[{"scanFrequency": "CONTINUOUS_SCAN", "repositoryFilters": []}],
)
invalid(
    "ecr:PutSigningConfiguration",
    where="signingProfileArn",
    what="The signing profile must be in the region of the registry, us-east-1",
    signingConfiguration={
        "rules": [{"signingProfileArn": "arn:aws:signer:eu-west-1:111122223333:/signing-profiles/releases"}]
    },
)
invalid(
    "ecr:PutReplicationConfiguration",
    where="replicationConfiguration",
    what="Replication configuration cannot have more than 25 unique destinations across all rules",
    replicationConfiguration={
        "rules": [
            {
                "destinations": [
                    {"region": "eu-north-1", "registryId": f"{number:012}"} for number in range(26)
                ]
            }
        ]
    },
)
invalid(
    "ecr:StartReplicationBackfill",
    where="destination",
    what="The destination must be part of the replication configuration of the registry",
    destination={"region": "eu-south-1", "registryId": "111122223333"},
)
invalid(
    "ecr:DescribeReplicationBackfillResults",
    "ecr:StopReplicationBackfill",
    where="replicationBackfillId",
    what=_pattern(IDS),
    replicationBackfillId="no-uuid",
)
invalid("ecr:ListReplicationBackfills", where="maxResults", what=_at_most(50, "value"), maxResults=51)
invalid(
    "ecr:RegisterPullTimeUpdateExclusion",
    "ecr:DeregisterPullTimeUpdateExclusion",
    where="principalArn",
    what=_pattern(PRINCIPALS),
    principalArn="arn:aws:iam::111122223333:group/all",
)
invalid(
    "ecr:DescribePullThroughCacheRules",
    "ecr:DescribeRepositoryCreationTemplates",
    "ecr:ListPullTimeUpdateExclusions",
    "ecr-public:DescribeRegistries",
    where="maxResults",
    what=_at_most(1000, "value"),
    maxResults=1001,
)
invalid("ecr-public:PutRegistryCatalogData", where="displayName", what=_at_most(100), displayName="x" * 101)

# --- Creation templates and pull-through cache rules ---

invalid(
    "ecr:CreateRepositoryCreationTemplate",
    "ecr:UpdateRepositoryCreationTemplate",
    where="encryptionConfiguration",
    what="Only encryptionType AES256 is supported by this registry",
    encryptionConfiguration={"encryptionType": "KMS"},
)
invalid("ecr:DeleteRepositoryCreationTemplate", where="prefix", what=_pattern(PREFIXES), prefix="Upper/Case")
invalid(
    "ecr:CreatePullThroughCacheRule",
    where="upstreamRegistry",
    what="The registry at 'registry-1.docker.io' is of kind 'docker-hub'",
    upstreamRegistry="quay",
)
invalid(
    "ecr:UpdatePullThroughCacheRule",
    where="customRoleArn",
    what=_at_most(2048),
    customRoleArn="x" * 2049,
)
invalid(
    "ecr:DeletePullThroughCacheRule",
    "ecr:ValidatePullThroughCacheRule",
    where="ecrRepositoryPrefix",
    what=_pattern(PREFIXES),
    ecrRepositoryPrefix="Upper/Case",
)
