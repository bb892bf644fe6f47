"""Every limit in one place, each with its source. Sizes are bytes unless the name says otherwise.

"ECR" is the service quotas page of the Amazon ECR User Guide or the botocore model; "ours" is a bound that
keeps memory and time finite where ECR publishes none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MIB = 1024 * 1024

MANIFEST_BYTES = 4 * MIB  # ECR: ImageManifest 1-4,194,304; OCI asks for at least 4 MiB
MANIFEST_DEPTH = 32  # ours: nesting of JSON
MANIFEST_LAYERS = 4096  # ours
INDEX_CHILDREN = 1000  # ours
LAYER_BYTES = 52_000 * MIB  # ECR: layer size
PUBLIC_LAYER_BYTES = 10_000 * MIB  # ECR Public: layer size
LAYER_PART_MIN_BYTES = 5 * MIB  # ECR: every part but the last
LAYER_PART_MAX_BYTES = 20_971_520  # ECR model: LayerPartBlob
LAYER_PART_SIZE = 10_485_760  # ECR: the partSize that InitiateLayerUpload proposes
PUBLIC_LOGO_PIXELS = (60, 2048)  # ECR Public: least and most of each side of a repository's logo
LIFECYCLE_RULES = 50  # ECR: rules of one lifecycle policy
RESOURCE_TAGS = 50  # ECR: tags on one repository
RESOURCE_TAG_KEY_CHARS = 128  # ECR
RESOURCE_TAG_VALUE_CHARS = 256  # ECR
POLICY_CHARS = 10_240  # ECR: RepositoryPolicyText
REPLICATION_BACKFILLS = 10  # ECR model: in progress at a time in one registry
BACKFILL_DAYS = 90  # ECR model: how long a backfill that is over can be seen
PULL_EXCLUSIONS = 100  # ECR model: PullTimeUpdateExclusionList
CREATION_TEMPLATES = 1_000  # ours: ECR publishes none; a page of them stays small
DEFAULT_LIFECYCLE_POLICIES = 1_000  # ours: inherited policies of one registry
PINNED_TAGS = 1_000  # ours: of one repository
RESTORED_TOGETHER = (
    1_000  # ours: deleted images that come back with the one that was asked for, in one transaction
)
SECRETS = 10_000  # ours: of one account; Secrets Manager has 500,000 and every list reads them all here
PAGE_MAX = 1_000  # ECR: maxResults; also caps `n` on /v2/
PAGE_DEFAULT = 100  # ECR
REFERRERS_PAGE = 50  # ECR: ListImageReferrers
REFERRERS_PAGE_BYTES = 4 * MIB  # ours: one page of the referrers index stays a legal manifest
UPLOADS_PER_PRINCIPAL = 1_000  # ours: open sessions; a push of a large image opens a few dozen
UPLOAD_AGE_SECONDS = 24 * 3600  # ours: an upload idle for longer is removed
API_BODY_BYTES = 29 * MIB  # ours: a 20 MiB part in base64, with room for the other members
HEADER_LINE_BYTES = 32 * 1024  # ours: one header line
TOKEN_SECONDS = 12 * 3600  # ECR: GetAuthorizationToken
DOWNLOAD_SECONDS = 900  # ours: life of a GetDownloadUrlForLayer address; ECR's live for about an hour
COLLECTED_BYTES_SECONDS = 3600  # ours: how long bytes outlive their last row; longer than any address lives
SIGNATURE_SKEW_SECONDS = 15 * 60  # AWS Signature Version 4
BODY_MIN_BYTES_PER_WINDOW = 16 * 1024  # ours: a body that comes more slowly is cut off
BODY_WINDOW_SECONDS = 60  # ours


@dataclass(frozen=True, slots=True)
class Quotas:
    """How much one registry takes. The defaults are ECR's; the setting `quotas` changes them for a whole region.

    Amazon ECR service quotas and Amazon ECR Public service quotas, of their User Guides. What is full refuses more of
    it; what was there before a quota was lowered stays.
    """

    repositories: int = 100_000
    """Repositories of one private registry."""
    images_per_repository: int = 100_000
    """Also of a public one. Archived images do not count."""
    tags_per_image: int = 1_000
    """Also in the public registry."""
    layer_bytes: int = LAYER_BYTES
    """Size of one layer."""
    layer_parts: int = 4_200
    """Parts of one layer upload through the API."""
    layer_part_min_bytes: int = LAYER_PART_MIN_BYTES
    """Size of every part but the last, also in the public registry."""
    lifecycle_rules: int = LIFECYCLE_RULES
    """Rules of one lifecycle policy."""
    pull_through_rules: int = 50
    """Pull-through cache rules of one registry."""
    replication_rules: int = 25
    """Replication rules of one registry."""
    replication_destinations: int = 25
    """Destinations of one registry, each counted once over all its replication rules."""
    replication_filters: int = 100
    """Repository filters of one replication rule."""
    signing_rules: int = 10
    """Rules of one signing configuration."""
    public_repositories: int = 10_000
    """Repositories of one public registry."""
    public_layer_bytes: int = PUBLIC_LAYER_BYTES
    """Size of one layer in a public repository."""
    public_layer_parts: int = 1_000


ECR_QUOTAS = Quotas()

QUOTA_BOUNDS: Final[Mapping[str, int]] = {
    "layer_part_min_bytes": LAYER_PART_SIZE,  # else the size of parts that we propose would be refused
    "replication_rules": 25,
    "replication_filters": 100,
    "signing_rules": 10,
}
"""How far a quota can be raised: where the botocore model states a length, clients can send no more than that."""
