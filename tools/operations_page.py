"""Writes docs/reference/operations.md: what AWS clients and OCI clients can ask for, and whether it works.

Nothing on the page is written by hand: the operations come from the service models, what is needed for them from
`access/operations.py`, and what works from `aws/handlers`. `python tools/operations_page.py --check` changes nothing
and ends with status 1 when the page is not what it would be.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from homeport.access.operations import OPERATIONS, On, Operation  # noqa: E402
from homeport.access.rates import TABLES  # noqa: E402
from homeport.aws.handlers import HANDLERS  # noqa: E402
from homeport.aws.services import SERVICE_NAMES, load_services  # noqa: E402
from homeport.kernel import limits  # noqa: E402
from homeport.kernel.limits import ECR_QUOTAS  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "operations.md"
TITLES = {
    "ecr": "Amazon ECR (`ecr`)",
    "ecr-public": "Amazon ECR Public (`ecr-public`)",
    "sts": "AWS Security Token Service (`sts`)",
    "iam": "AWS Identity and Access Management (`iam`)",
    "secretsmanager": "AWS Secrets Manager (`secretsmanager`)",
    "homeport": "Homeport's own operations (`homeport`)",
}
ABOUT = {
    "homeport": (
        "What ECR does not have, as a service model of its own: `homeport model` prints it for the AWS CLI and boto3.",
        "Requests are signed for the service `homeport`. How to use it: [lifecycle policies](../how-to/lifecycle.md).",
        "",
    ),
}
# All of what these offer is shown; of the others what an account of a registry needs, which is what the table has.
WHOLE = ("ecr", "ecr-public", "homeport")
RESOURCES = {
    On.REPOSITORY: "repository",
    On.REGISTRY: '`"*"`',
    On.IDENTITY: 'its ARN; `"*"` for lists',
    On.NOBODY: "none needed",
}
LATER = "in a later version"
_PUSH = (
    f"{ECR_QUOTAS.images_per_repository:,} images a repository, {ECR_QUOTAS.tags_per_image:,} tags an image"
)
_LEAST = f"{ECR_QUOTAS.layer_part_min_bytes // limits.MIB} MiB or more"
_PUBLIC_PARTS = (
    f"{ECR_QUOTAS.public_layer_parts:,} parts of {_LEAST}, "
    f"{ECR_QUOTAS.public_layer_bytes // limits.MIB:,} MiB a layer"
)
_PARTS = f"{ECR_QUOTAS.layer_parts:,} parts of {_LEAST}, {ECR_QUOTAS.layer_bytes // limits.MIB:,} MiB a layer"
_TEMPLATE = (
    "also `ecr:CreateRepository`, `ecr:PutLifecyclePolicy` and `ecr:SetRepositoryPolicy` where it gives a policy, "
    "`iam:PassRole` where it names a role"
)
NOTES = {
    ("ecr", "CreateRepository"): (
        f"also `ecr:TagResource` when it sets tags; encryption `AES256` only; {ECR_QUOTAS.repositories:,} a registry"
    ),
    ("ecr", "BatchGetImage"): "stored bytes; never converts between formats",
    ("ecr", "DescribeRepositories"): "on all repositories (`repository/*`) unless the request names some",
    ("ecr", "PutImage"): _PUSH,
    ("ecr", "UploadLayerPart"): _PARTS,
    ("ecr", "PutAccountSetting"): "condition key `ecr:AccountSetting`",
    ("ecr", "PutRegistryPolicy"): "counts in every decision about the registry",
    ("ecr", "PutLifecyclePolicy"): "evaluated at every `lifecycle_interval`, an hour; 50 rules",
    ("ecr", "StartLifecyclePolicyPreview"): "without a text, of the policy that acts, also an inherited one",
    ("ecr", "GetLifecyclePolicyPreview"): "kept for 24 hours",
    ("ecr", "StartImageScan"): f"answers `FAILED`: images are scanned {LATER}",
    ("ecr", "DescribeImageScanFindings"): f"`ScanNotFoundException`: images are scanned {LATER}",
    ("ecr", "PutImageScanningConfiguration"): f"kept; images are scanned {LATER}",
    ("ecr", "PutRegistryScanningConfiguration"): f"kept; images are scanned {LATER}",
    ("ecr", "PutReplicationConfiguration"): (
        f"validated and kept; images are replicated {LATER}; {ECR_QUOTAS.replication_rules} rules, "
        f"{ECR_QUOTAS.replication_destinations} destinations, {ECR_QUOTAS.replication_filters} filters a rule"
    ),
    (
        "ecr",
        "DescribeImageReplicationStatus",
    ): f"`FAILED` for each destination: images are replicated {LATER}",
    ("ecr", "StartReplicationBackfill"): f"the backfill is `FAILED`: images are replicated {LATER}",
    ("ecr", "CreatePullThroughCacheRule"): (
        f"validated and kept with its credential; upstreams are pulled from {LATER}; "
        f"also `iam:PassRole` for a custom role; {ECR_QUOTAS.pull_through_rules} a registry"
    ),
    ("ecr", "UpdatePullThroughCacheRule"): "also `iam:PassRole` for a custom role",
    ("ecr", "ValidatePullThroughCacheRule"): f"answers `isValid` false: upstreams are pulled from {LATER}",
    ("ecr", "PutSigningConfiguration"): (
        f"validated and kept; images are signed {LATER}; {ECR_QUOTAS.signing_rules} rules"
    ),
    ("ecr", "DescribeImageSigningStatus"): f"`FAILED`: images are signed {LATER}",
    ("ecr", "CreateRepositoryCreationTemplate"): _TEMPLATE,
    ("ecr", "UpdateRepositoryCreationTemplate"): _TEMPLATE,
    ("ecr-public", "CreateRepository"): (
        f"also `ecr-public:TagResource` when it sets tags; {ECR_QUOTAS.public_repositories:,} a registry"
    ),
    ("ecr-public", "GetAuthorizationToken"): "and `sts:GetServiceBearerToken`",
    ("ecr-public", "PutImage"): _PUSH,
    ("ecr-public", "UploadLayerPart"): _PUBLIC_PARTS,
    ("homeport", "ListDeletedImages"): "while the account setting `IMAGE_RECOVERY` is on",
    ("homeport", "PinImageTag"): f"{limits.PINNED_TAGS:,} a repository",
    ("homeport", "PutDefaultLifecyclePolicy"): (
        f"acts on every repository below the prefix; {limits.DEFAULT_LIFECYCLE_POLICIES:,} a registry"
    ),
    ("homeport", "RestoreDeletedImage"): "also decided for each tag that comes back (`ecr:ImageTag`)",
    ("sts", "AssumeRole"): "and the role's trust policy",
    ("sts", "AssumeRoleWithWebIdentity"): "the role's trust policy decides about the token; unsigned",
    ("sts", "GetSessionToken"): "users only",
}
# What a client sends, and the row of the table that it needs.
ROUTES = (
    ("GET /v2/", "Ping"),
    ("GET /v2/_catalog", "ListRepositories"),
    ("GET /v2/NAME/tags/list", "ListTags"),
    ("HEAD /v2/NAME/manifests/REFERENCE", "HeadManifest"),
    ("GET /v2/NAME/manifests/REFERENCE", "GetManifest"),
    ("PUT /v2/NAME/manifests/REFERENCE", "PutManifest"),
    ("DELETE /v2/NAME/manifests/REFERENCE", "DeleteManifest"),
    ("GET /v2/NAME/referrers/DIGEST", "ListReferrers"),
    ("HEAD /v2/NAME/blobs/DIGEST", "HeadBlob"),
    ("GET /v2/NAME/blobs/DIGEST", "GetBlob"),
    ("DELETE /v2/NAME/blobs/DIGEST", "DeleteBlob"),
    ("POST /v2/NAME/blobs/uploads/", "StartUpload"),
    ("POST /v2/NAME/blobs/uploads/?digest=", "FinishWholeUpload"),
    ("POST /v2/NAME/blobs/uploads/?mount=&from=", "MountBlob"),
    ("the repository named by `from`", "MountBlobSource"),
    ("GET /v2/NAME/blobs/uploads/ID", "GetUpload"),
    ("PATCH /v2/NAME/blobs/uploads/ID", "AppendUpload"),
    ("PUT /v2/NAME/blobs/uploads/ID?digest=", "FinishUpload"),
    ("DELETE /v2/NAME/blobs/uploads/ID", "CancelUpload"),
)
ROUTE_NOTES = {
    "ListRepositories": "on all repositories (`repository/*`)",
    "DeleteBlob": "refused with UNSUPPORTED: blobs go when no image needs them",
    "MountBlobSource": "without it the mount becomes an ordinary upload",
}

INTRODUCTION = """\
# Operations

This page is generated by `tools/operations_page.py` from the code; `make check` fails when it is not up to date.

An operation of AWS that works has the semantics, limits and error texts of the AWS service. An operation that a table
below does not have is unknown to everybody: `InvalidAction` in STS and IAM, `UnsupportedCommandException` or
`UnknownOperationException` elsewhere.

The quotas named in the notes are those of AWS and can be changed with the setting `quotas`. The rates hold when the
setting `throttling` is `ecr`; without it there is none.

*Resource* is what a policy statement must cover: the repository's ARN, or `"*"` for actions without resource-level
permission.
"""


def _cell(actions: tuple[str, ...]) -> str:
    return ", ".join(f"`{action}`" for action in actions if action) or "none"


def _row(name: str, operation: Operation | None, works: bool, note: str) -> str:
    action = _cell((operation.action if operation.on is not On.NOBODY else "",)) if operation else ""
    resource = RESOURCES[operation.on] if operation else ""
    return f"| {name} | {action} | {resource} | {'works' if works else 'not yet'} | {note} |"


def _note(service: str, name: str) -> str:
    rate = TABLES["ecr"].get(f"{service}:{name}")
    limit = f"{rate.per_second:,.0f} a second" if rate is not None else None
    return "; ".join(filter(None, (NOTES.get((service, name)), limit)))


def _service(name: str) -> Iterator[str]:
    modelled = load_services()[name].operations
    shown = sorted(each for each in modelled if name in WHOLE or (name, each) in OPERATIONS)
    working = [each for each in shown if (name, each) in HANDLERS]
    yield f"## {TITLES[name]}"
    yield ""
    yield from ABOUT.get(name, ())
    yield f"{len(working)} of {len(modelled)} operations work."
    yield ""
    yield "| Operation | IAM action | Resource | Status | Notes |"
    yield "| --- | --- | --- | --- | --- |"
    for each in shown:
        operation = OPERATIONS.get((name, each))
        yield _row(each, operation, (name, each) in HANDLERS, _note(name, each))
    yield ""


def _routes() -> Iterator[str]:
    listed = [name for _, name in ROUTES]
    known = [name for front, name in OPERATIONS if front == "oci"]
    if sorted(listed) != sorted(known):
        raise SystemExit(f"ROUTES and the table differ: {sorted(set(listed) ^ set(known))}")
    yield "## OCI Distribution (`/v2/`)"
    yield ""
    yield "All of them work. Every request needs a registry password, also the first one. Public repositories"
    yield "(`/v2/public.ecr/ALIAS/NAME/...`, or the host `public.ecr.SUFFIX`) are read without one, and what changes"
    yield "them needs the `ecr-public` action of the same name."
    yield ""
    yield "| Request | IAM actions | Resource | Notes |"
    yield "| --- | --- | --- | --- |"
    for request, name in ROUTES:
        row = OPERATIONS["oci", name]
        shown = f"`{request}`" if "/v2/" in request else request
        actions, note = _cell((row.action, *row.also)), ROUTE_NOTES.get(name, "")
        yield f"| {shown} | {actions} | {RESOURCES[row.on]} | {note} |"
    yield ""
    yield "A download address from GetDownloadUrlForLayer (`GET /layers/TOKEN`) is itself the permission and needs no"
    yield "further credentials."


def page() -> str:
    """Return the text of the page."""
    lines = [INTRODUCTION]
    for name in SERVICE_NAMES:
        lines.extend(_service(name))
    lines.extend(_routes())
    return "\n".join(lines) + "\n"


def main(words: list[str]) -> int:
    """Write the page, or compare it when `words` are `--check`. Return the exit status."""
    text = page()
    if words == ["--check"]:
        present = PAGE.read_text() if PAGE.exists() else ""
        for line in difflib.unified_diff(present.splitlines(), text.splitlines(), "committed", "generated"):
            print(line)
        return int(present != text)
    if words:
        print(__doc__)
        return 2
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
