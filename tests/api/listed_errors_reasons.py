"""Why some listed errors have no scenario: nothing that anybody can do brings this version to answer them."""

from __future__ import annotations

from tests.api.listed_errors_base import LISTED

CANNOT_OCCUR_YET: dict[tuple[str, str], str] = {}
"""By (operation, error), the reason. Whoever builds what is missing moves the entry to the scenarios."""

NEVER_WORKS: dict[str, str] = {
    "ecr:DescribeImageScanFindings": "ScanNotFoundException",
}
"""Operations that cannot succeed yet, with the error that a right call of them gets: there is no scanner."""


def _because(why: str, error: str, *operations: str) -> None:
    for operation in operations:
        assert (operation, f"{error}Exception") not in CANNOT_OCCUR_YET, (operation, error)
        CANNOT_OCCUR_YET[operation, f"{error}Exception"] = why


# --- Input that cannot be wrong, or is refused with the other of two names ---

_because(
    "the operation takes no parameters, so none can be wrong",
    "InvalidParameter",
    "ecr:DeleteRegistryPolicy",
    "ecr:DescribeRegistry",
    "ecr:GetRegistryPolicy",
    "ecr:GetRegistryScanningConfiguration",
    "ecr:GetSigningConfiguration",
    "ecr-public:GetAuthorizationToken",
)
_because(
    "the operation takes no parameters, so none can be wrong",
    "Validation",
    "ecr:DeleteRegistryPolicy",
    "ecr:DeleteSigningConfiguration",
    "ecr:DescribeRegistry",
    "ecr:GetRegistryPolicy",
    "ecr:GetRegistryScanningConfiguration",
    "ecr:GetSigningConfiguration",
)
_because(
    "the operation lists InvalidParameterException too, with which every wrong parameter is refused; it is not "
    "documented what ECR would rather answer with ValidationException",
    "Validation",
    "ecr:BatchGetRepositoryScanningConfiguration",
    "ecr:CreatePullThroughCacheRule",
    "ecr:CreateRepositoryCreationTemplate",
    "ecr:DeleteLifecyclePolicy",
    "ecr:DeletePullThroughCacheRule",
    "ecr:DeleteRepositoryCreationTemplate",
    "ecr:DeregisterPullTimeUpdateExclusion",
    "ecr:DescribeImageReplicationStatus",
    "ecr:DescribeImageScanFindings",
    "ecr:DescribeImageSigningStatus",
    "ecr:DescribePullThroughCacheRules",
    "ecr:DescribeReplicationBackfillResults",
    "ecr:DescribeRepositoryCreationTemplates",
    "ecr:GetAccountSetting",
    "ecr:GetLifecyclePolicy",
    "ecr:GetLifecyclePolicyPreview",
    "ecr:ListImageReferrers",
    "ecr:ListPullTimeUpdateExclusions",
    "ecr:ListReplicationBackfills",
    "ecr:PutAccountSetting",
    "ecr:PutImageScanningConfiguration",
    "ecr:PutLifecyclePolicy",
    "ecr:PutRegistryPolicy",
    "ecr:PutRegistryScanningConfiguration",
    "ecr:PutReplicationConfiguration",
    "ecr:PutSigningConfiguration",
    "ecr:RegisterPullTimeUpdateExclusion",
    "ecr:StartLifecyclePolicyPreview",
    "ecr:StartReplicationBackfill",
    "ecr:StopReplicationBackfill",
    "ecr:UpdateImageStorageClass",
    "ecr:UpdatePullThroughCacheRule",
    "ecr:UpdateRepositoryCreationTemplate",
    "ecr:ValidatePullThroughCacheRule",
)

# --- What this registry does not have ---

_because(
    "repositories are encrypted with AES256 only, so no key of KMS takes part that could fail; a repository with "
    "another encryption is refused as an invalid parameter",
    "Kms",
    "ecr:CompleteLayerUpload",
    "ecr:CreateRepository",
    "ecr:DeleteRepository",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
)
_because("nothing is pulled through a cache rule yet", "UnableToGetUpstreamImage", "ecr:BatchGetImage")
_because(
    "nothing is pulled through a cache rule yet", "UnableToGetUpstreamLayer", "ecr:GetDownloadUrlForLayer"
)
_because(
    "nothing is pulled through a cache rule yet",
    "UnableToListUpstreamImageReferrers",
    "ecr:ListImageReferrers",
)
_because("there are no organisations", "BlockedByOrganizationPolicy", "ecr:PutRegistryScanningConfiguration")
_because(
    "ECR scans an image once in 24 hours; without a scanner no scan is ever made that a second one could follow",
    "LimitExceeded",
    "ecr:StartImageScan",
)
_because(
    "taking an exclusion away or reading them cannot pass the limit of 100, and no other limit is published",
    "LimitExceeded",
    "ecr:DeregisterPullTimeUpdateExclusion",
    "ecr:ListPullTimeUpdateExclusions",
)
_because(
    "a registry has each of its settings once, so that there is nothing to have too many of",
    "LimitExceeded",
    "ecr:PutAccountSetting",
)
_because(
    "a repository that is not there is one of the failures of the answer, beside those that are",
    "RepositoryNotFound",
    "ecr:BatchGetRepositoryScanningConfiguration",
)
_because(
    "taking tags away never leaves too many", "TooManyTags", "ecr:UntagResource", "ecr-public:UntagResource"
)
_because(
    "ECR Public has no immutable tags: every tag of a public repository may move",
    "ImageTagAlreadyExists",
    "ecr-public:PutImage",
)
_because(
    "a repository without catalog data answers an empty one, as Terraform expects after creating it",
    "RepositoryCatalogDataNotFound",
    "ecr-public:GetRepositoryCatalogData",
)
# AWS: "GetAuthorizationToken command is only supported in us-east-1."
_because(
    "AWS answers it at a regional endpoint that has a part of ECR Public only; here every region has all of it",
    "UnsupportedCommand",
    *(operation for operation, error in LISTED if error == "UnsupportedCommandException"),
)
