"""Every table. A region is one database, so no row names its region.

Moments are BIGINT microseconds since 1970 (UTC), flags are SMALLINT 0/1, documents are TEXT: the portable subset
that SQLite, PostgreSQL, CockroachDB and YugabyteDB all speak. Migrations live in `migrations/`; a test proves
that they build exactly these tables. What a partial index covers is stated for SQLite alone here: naming PostgreSQL
loads its dialect at every start, and its tables are built by the migrations, which say the same.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

# SQLite gives an automatic 64-bit key only to a column declared INTEGER; PostgreSQL needs BIGINT.
_Key = BigInteger().with_variant(Integer, "sqlite")

account = Table(
    "account",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

iam_user = Table(
    "iam_user",
    metadata,
    Column("account_id", Text, ForeignKey("account.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("path", Text, nullable=False),
    Column("user_id", Text, nullable=False, unique=True),
    Column("boundary", Text),  # ARN of a managed policy
    Column("created_at", BigInteger, nullable=False),
)

iam_group = Table(
    "iam_group",
    metadata,
    Column("account_id", Text, ForeignKey("account.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("path", Text, nullable=False),
    Column("group_id", Text, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
)

iam_membership = Table(
    "iam_membership",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("user_name", Text, primary_key=True),
    Column("group_name", Text, primary_key=True),
    Index("iam_membership_by_group", "account_id", "group_name", "user_name"),
)

iam_role = Table(
    "iam_role",
    metadata,
    Column("account_id", Text, ForeignKey("account.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("path", Text, nullable=False),
    Column("role_id", Text, nullable=False, unique=True),
    Column("trust_policy", Text, nullable=False),
    Column("description", Text),
    Column("max_session_seconds", BigInteger, nullable=False),
    Column("boundary", Text),  # ARN of a managed policy
    Column("created_at", BigInteger, nullable=False),
)

# `kind` is user, group or role; `owner` the name of one.
iam_inline_policy = Table(
    "iam_inline_policy",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("owner", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("document", Text, nullable=False),
)

iam_attachment = Table(
    "iam_attachment",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("owner", Text, primary_key=True),
    Column("policy_arn", Text, primary_key=True),
    Index("iam_attachment_by_policy", "account_id", "policy_arn"),
)

iam_policy = Table(
    "iam_policy",
    metadata,
    Column("account_id", Text, ForeignKey("account.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("path", Text, nullable=False),
    Column("policy_id", Text, nullable=False, unique=True),
    Column("description", Text),
    Column("default_version", BigInteger, nullable=False),
    Column("next_version", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

iam_policy_version = Table(
    "iam_policy_version",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("policy_name", Text, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("document", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

iam_oidc_provider = Table(
    "iam_oidc_provider",
    metadata,
    Column("account_id", Text, ForeignKey("account.id"), primary_key=True),
    Column("url", Text, primary_key=True),  # without https://, as in the ARN
    Column("client_ids", Text, nullable=False),  # JSON list
    Column("thumbprints", Text, nullable=False),  # JSON list
    Column("jwks", Text),  # keys pinned by the operator; else they are discovered
    Column("created_at", BigInteger, nullable=False),
)

# `kind` is user, role, policy or oidc-provider.
iam_tag = Table(
    "iam_tag",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("owner", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

access_key = Table(
    "access_key",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("user_name", Text, nullable=False),
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("active", SmallInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("access_key_by_user", "account_id", "user_name"),
)

repository = Table(
    "repository",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("account_id", Text, ForeignKey("account.id"), nullable=False),
    Column(
        "public", SmallInteger, nullable=False
    ),  # 1: of ECR Public; 2: deleted, its rows are being removed
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("tag_mutability", Text, nullable=False),
    Column("mutability_filters", Text, nullable=False),
    Column("scan_on_push", SmallInteger, nullable=False),
    Column("encryption_type", Text, nullable=False),
    Column("kms_key", Text),
    Column("policy", Text),
    Column("lifecycle_policy", Text),
    Column("lifecycle_evaluated_at", BigInteger),
    UniqueConstraint("account_id", "public", "name", name="repository_by_name"),
    sqlite_autoincrement=True,
)

# Nearly always empty: deleted repositories whose rows are not all gone yet.
Index(
    "repository_by_deletion",
    repository.c.id,
    sqlite_where=repository.c.public == text("2"),
)

repository_tag = Table(
    "repository_tag",
    metadata,
    Column("repository_id", BigInteger, ForeignKey("repository.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

blob = Table(
    "blob",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("storage_key", Text, nullable=False, unique=True),
    Column("storage_class", Text, nullable=False),  # STANDARD or ARCHIVE: where the bytes lie
    Column("created_at", BigInteger, nullable=False),
    Column("verified_at", BigInteger),  # when the stored bytes were last read and had the digest
    Column("damaged_at", BigInteger),  # since when they are known not to
)
# Damage is rare, and only the damaged ones are in the index.
Index(
    "blob_by_damage",
    blob.c.damaged_at,
    sqlite_where=blob.c.damaged_at.is_not(None),
)

repository_blob = Table(
    "repository_blob",
    metadata,
    Column("repository_id", BigInteger, ForeignKey("repository.id", ondelete="CASCADE"), primary_key=True),
    Column("digest", Text, ForeignKey("blob.digest"), primary_key=True),
    Column("linked_at", BigInteger, nullable=False),
    Column(
        "review_since", BigInteger
    ),  # since when no image may refer to it any more, or yet; null: one does
    Index("repository_blob_by_digest", "digest"),
)
# Of all links only those that wait for their review are in the index.
Index(
    "repository_blob_by_review",
    repository_blob.c.review_since,
    sqlite_where=repository_blob.c.review_since.is_not(None),
)

image = Table(
    "image",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("repository_id", BigInteger, ForeignKey("repository.id", ondelete="CASCADE"), nullable=False),
    Column("digest", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("artifact_type", Text),
    Column("subject", Text),
    Column("annotations", Text),
    Column("size", BigInteger, nullable=False),
    Column("manifest_size", BigInteger, nullable=False),
    Column("pushed_at", BigInteger, nullable=False),
    Column("pulled_at", BigInteger),
    Column("status", Text, nullable=False),  # ACTIVE, ARCHIVED or ACTIVATING
    Column("archived_at", BigInteger),
    Column("activated_at", BigInteger),
    Column("manifest", LargeBinary, nullable=False),  # last, so that the rest is read without it
    UniqueConstraint("repository_id", "digest", name="image_by_digest"),
    Index("image_by_age", "repository_id", "id", "status"),
    Index("image_by_subject", "repository_id", "subject", "digest"),
    sqlite_autoincrement=True,
)

image_blob = Table(
    "image_blob",
    metadata,
    Column("image_id", BigInteger, ForeignKey("image.id", ondelete="CASCADE"), primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("repository_id", BigInteger, nullable=False),
    Column("media_type", Text, nullable=False),
    Index("image_blob_by_digest", "repository_id", "digest"),
)

image_child = Table(
    "image_child",
    metadata,
    Column("image_id", BigInteger, ForeignKey("image.id", ondelete="CASCADE"), primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("repository_id", BigInteger, nullable=False),
    Index("image_child_by_digest", "repository_id", "digest"),
)

image_tag = Table(
    "image_tag",
    metadata,
    Column("repository_id", BigInteger, ForeignKey("repository.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("image_id", BigInteger, ForeignKey("image.id"), nullable=False),
    Column("tagged_at", BigInteger, nullable=False),
    Index("image_tag_by_image", "image_id", "name"),
    # A page of tags asks for nothing else, and the rows of one repository lie far apart.
    Index("image_tag_by_name", "repository_id", "name", "image_id"),
)

upload = Table(
    "upload",
    metadata,
    Column("id", Text, primary_key=True),
    Column("repository_id", BigInteger, nullable=False),
    Column("principal", Text, nullable=False),
    Column("storage_key", Text, nullable=False, unique=True),
    Column("offset", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("parts", BigInteger, nullable=False),
    Column("small_parts", SmallInteger, nullable=False),
    Column(
        "state", Text
    ),  # of the acknowledged bytes, where the blob store needs to be told; else empty or null
    Column("created_at", BigInteger, nullable=False),
    Column("touched_at", BigInteger, nullable=False),
    Index("upload_by_age", "touched_at"),
    Index("upload_by_principal", "principal"),
)

tombstone = Table(
    "tombstone",
    metadata,
    Column("storage_key", Text, primary_key=True),
    Column("delete_after", BigInteger, nullable=False),
    Column("size", BigInteger),  # of the blob that nobody holds any more; null for bytes that never were one
    Index("tombstone_by_time", "delete_after"),
)

# While one of these is in force no bytes vanish whose rows somebody has seen: a backup copies rows first, bytes later.
deletion_hold = Table(
    "deletion_hold",
    metadata,
    Column("id", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
)

# Bytes that no row knew of: they stay where they are and are deleted only when somebody says so.
quarantine = Table(
    "quarantine",
    metadata,
    Column("storage_key", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("found_at", BigInteger, nullable=False),
    Index("quarantine_by_time", "found_at"),
)

# How far the verification of stored bytes is. `fence` grows with each lease, as that of a job.
scrub = Table(
    "scrub",
    metadata,
    Column("name", Text, primary_key=True),
    Column("cursor", Text, nullable=False),  # the last digest that was looked at
    Column("resume_after", BigInteger, nullable=False),
    Column("fence", BigInteger, nullable=False),
)

# One document of each kind for a registry: its policy, replication, scanning and signing configuration,
# account settings (kind `setting:<name>`), public display name.
registry_document = Table(
    "registry_document",
    metadata,
    Column("account_id", Text, ForeignKey("account.id"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

pull_exclusion = Table(
    "pull_exclusion",
    metadata,
    Column("account_id", Text, ForeignKey("account.id"), primary_key=True),
    Column("principal_arn", Text, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
)

creation_template = Table(
    "creation_template",
    metadata,
    Column("account_id", Text, ForeignKey("account.id"), primary_key=True),
    Column("prefix", Text, primary_key=True),
    Column("description", Text),
    Column("encryption_type", Text),
    Column("kms_key", Text),
    Column("resource_tags", Text, nullable=False),  # JSON object
    Column("tag_mutability", Text),
    Column("mutability_filters", Text, nullable=False),  # JSON list
    Column("repository_policy", Text),
    Column("lifecycle_policy", Text),
    Column("applied_for", Text, nullable=False),  # JSON list
    Column("custom_role_arn", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

pull_through_rule = Table(
    "pull_through_rule",
    metadata,
    Column("account_id", Text, ForeignKey("account.id"), primary_key=True),
    Column("prefix", Text, primary_key=True),
    Column("upstream_url", Text, nullable=False),
    Column("upstream_registry", Text),
    Column("upstream_prefix", Text),
    Column("credential_arn", Text),
    Column("custom_role_arn", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

secret = Table(
    "secret",
    metadata,
    Column("account_id", Text, ForeignKey("account.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("arn", Text, nullable=False, unique=True),
    Column("description", Text),
    Column("tags", Text, nullable=False),  # JSON object
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("delete_after", BigInteger),  # scheduled for deletion
)

# A version without staging labels is deprecated and not kept.
secret_version = Table(
    "secret_version",
    metadata,
    Column("arn", Text, ForeignKey("secret.arn", ondelete="CASCADE"), primary_key=True),
    Column("version_id", Text, primary_key=True),
    Column("value_sealed", LargeBinary, nullable=False),
    Column("binary", SmallInteger, nullable=False),  # the value came as SecretBinary
    Column("stages", Text, nullable=False),  # JSON list
    Column("created_at", BigInteger, nullable=False),
)

replication_backfill = Table(
    "replication_backfill",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, ForeignKey("account.id"), nullable=False),
    Column("destination_region", Text, nullable=False),
    Column("destination_account", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("failure_code", Text),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Index("replication_backfill_by_account", "account_id", "started_at"),
)

# What a policy would do (a preview), or does (a run), to a repository; `prefix` is null for the repository's own
# policy, else that of the registry's policy which it inherits.
lifecycle_plan = Table(
    "lifecycle_plan",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("repository_id", BigInteger, ForeignKey("repository.id", ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),  # preview or run
    Column("policy", Text, nullable=False),
    Column("prefix", Text),
    Column("status", Text, nullable=False),  # planning, executing, complete or failed
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("totals", Text, nullable=False),  # JSON object
    Column("error", Text),
    Index("lifecycle_plan_by_repository", "repository_id", "kind", "id"),
    Index("lifecycle_plan_by_age", "started_at"),
    sqlite_autoincrement=True,
)

lifecycle_entry = Table(
    "lifecycle_entry",
    metadata,
    Column("plan_id", BigInteger, ForeignKey("lifecycle_plan.id", ondelete="CASCADE"), primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("image_id", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("tags", Text, nullable=False),  # JSON list
    Column("pushed_at", BigInteger, nullable=False),
    Column("storage_class", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("priority", BigInteger, nullable=False),
    Column("action", Text, nullable=False),
    Column("untagged", Text, nullable=False),  # JSON list
    Column("fingerprint", Text, nullable=False),
    Column("outcome", Text),
    Index("lifecycle_entry_by_digest", "plan_id", "digest"),
)

# Policies that repositories without one of their own inherit; the prefix ROOT is that of all.
lifecycle_default = Table(
    "lifecycle_default",
    metadata,
    Column("account_id", Text, ForeignKey("account.id"), primary_key=True),
    Column("prefix", Text, primary_key=True),
    Column("policy", Text, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

# When something that happens at intervals was begun last, by whichever process.
cron = Table(
    "cron",
    metadata,
    Column("name", Text, primary_key=True),
    Column("slot", BigInteger, nullable=False),
)

pinned_tag = Table(
    "pinned_tag",
    metadata,
    Column("repository_id", BigInteger, ForeignKey("repository.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("pinned_at", BigInteger, nullable=False),
    Column("pinned_by", Text, nullable=False),
)

# Images that were deleted and can still be brought back, each once: while an image is there it has no row here.
deleted_image = Table(
    "deleted_image",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("repository_id", BigInteger, ForeignKey("repository.id", ondelete="CASCADE"), nullable=False),
    Column("digest", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("subject", Text),
    Column("size", BigInteger, nullable=False),
    Column("tags", Text, nullable=False),  # JSON list
    Column("pushed_at", BigInteger, nullable=False),
    Column("pulled_at", BigInteger),
    Column("deleted_at", BigInteger, nullable=False),
    Column("deleted_by", Text, nullable=False),
    Column("keep_until", BigInteger, nullable=False),
    Column("manifest", LargeBinary, nullable=False),  # last, so that the rest is read without it
    Index("deleted_image_by_age", "repository_id", "id"),
    Index("deleted_image_by_digest", "repository_id", "digest", unique=True),
    Index("deleted_image_by_subject", "repository_id", "subject", "digest"),
    Index("deleted_image_by_time", "keep_until"),
    sqlite_autoincrement=True,
)

# The bytes that a deleted image needs to be brought back. Whatever collects bytes must keep these like `image_blob`'s.
deleted_image_blob = Table(
    "deleted_image_blob",
    metadata,
    Column("deleted_id", BigInteger, ForeignKey("deleted_image.id", ondelete="CASCADE"), primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("repository_id", BigInteger, nullable=False),
    Index("deleted_image_blob_by_digest", "repository_id", "digest"),
)

public_alias = Table(
    "public_alias",
    metadata,
    Column("name", Text, primary_key=True),
    Column("account_id", Text, ForeignKey("account.id"), nullable=False),
    Column("status", Text, nullable=False),  # ACTIVE, PENDING or REJECTED
    Column("is_primary", SmallInteger, nullable=False),
    Column("is_default", SmallInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("public_alias_by_account", "account_id"),
)

repository_catalog = Table(
    "repository_catalog",
    metadata,
    Column("repository_id", BigInteger, ForeignKey("repository.id", ondelete="CASCADE"), primary_key=True),
    Column("description", Text),
    Column("about", Text),
    Column("usage", Text),
    Column("architectures", Text, nullable=False),  # JSON list
    Column("operating_systems", Text, nullable=False),  # JSON list
    Column("logo", LargeBinary),
)

# Work that outlives its request. A worker leases a due row; `fence` grows with each lease, so a worker that was
# taken for dead cannot finish the work of its successor.
job = Table(
    "job",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),  # what it is about; JSON
    Column("run_after", BigInteger, nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("leased_until", BigInteger),
    Column("error", Text),
    Column("created_at", BigInteger, nullable=False),
    Index("job_by_time", "run_after"),
    sqlite_autoincrement=True,
)
