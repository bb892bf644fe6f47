"""Every table. A region is one database, so no row names its region.

Moments are BIGINT microseconds since 1970 (UTC), flags are SMALLINT 0/1, documents are TEXT: the portable subset
that SQLite, PostgreSQL, CockroachDB and YugabyteDB all speak. Migrations live in `migrations/`; a test proves
that they build exactly these tables.
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
    Column("user_id", Text, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
)

iam_user_policy = Table(
    "iam_user_policy",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("user_name", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("document", Text, nullable=False),
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
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("tag_mutability", Text, nullable=False),
    Column("mutability_filters", Text, nullable=False),
    Column("scan_on_push", SmallInteger, nullable=False),
    Column("encryption_type", Text, nullable=False),
    Column("kms_key", Text),
    Column("policy", Text),
    UniqueConstraint("account_id", "name", name="repository_by_name"),
    sqlite_autoincrement=True,
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
    Column("created_at", BigInteger, nullable=False),
)

repository_blob = Table(
    "repository_blob",
    metadata,
    Column("repository_id", BigInteger, ForeignKey("repository.id", ondelete="CASCADE"), primary_key=True),
    Column("digest", Text, ForeignKey("blob.digest"), primary_key=True),
    Column("linked_at", BigInteger, nullable=False),
    Index("repository_blob_by_digest", "digest"),
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
    Column("manifest", LargeBinary, nullable=False),
    Column("manifest_size", BigInteger, nullable=False),
    Column("pushed_at", BigInteger, nullable=False),
    Column("pulled_at", BigInteger),
    UniqueConstraint("repository_id", "digest", name="image_by_digest"),
    Index("image_by_age", "repository_id", "id"),
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
    Index("tombstone_by_time", "delete_after"),
)
