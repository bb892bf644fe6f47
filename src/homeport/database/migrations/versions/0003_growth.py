"""Many machines: bytes are verified, held for a backup, and set aside when nobody knows them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Bring version 0.2 to 0.3."""
    # Stored bytes that are verified, held, or known to nobody.
    op.add_column("blob", sa.Column("verified_at", sa.BigInteger(), nullable=True))
    op.add_column("blob", sa.Column("damaged_at", sa.BigInteger(), nullable=True))
    op.create_index(
        "blob_by_damage",
        "blob",
        ["damaged_at"],
        unique=False,
        sqlite_where=sa.text("damaged_at IS NOT NULL"),
        postgresql_where=sa.text("damaged_at IS NOT NULL"),
    )
    op.create_table(
        "deletion_hold",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "quarantine",
        sa.Column("storage_key", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("storage_key"),
    )
    op.create_index("quarantine_by_time", "quarantine", ["found_at"], unique=False)
    op.create_table(
        "scrub",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=False),
        sa.Column("resume_after", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    # An upload that any node may continue.
    op.add_column("upload", sa.Column("state", sa.Text(), nullable=True))
    # Bytes that nobody refers to are collected.
    op.add_column("repository_blob", sa.Column("review_since", sa.BigInteger(), nullable=True))
    op.create_index(
        "repository_blob_by_review",
        "repository_blob",
        ["review_since"],
        unique=False,
        sqlite_where=sa.text("review_since IS NOT NULL"),
        postgresql_where=sa.text("review_since IS NOT NULL"),
    )
    op.create_index(
        "repository_by_deletion",
        "repository",
        ["id"],
        unique=False,
        sqlite_where=sa.text("public = 2"),
        postgresql_where=sa.text("public = 2"),
    )
    # A page of tags, which else reads a row for each.
    op.create_index("image_tag_by_name", "image_tag", ["repository_id", "name", "image_id"], unique=False)
    op.add_column("tombstone", sa.Column("size", sa.BigInteger(), nullable=True))
    # What is there already is looked at once, in a job: version 0.2 kept no note of what lost its last image.
    op.execute(
        "INSERT INTO job (kind, subject, run_after, attempts, fence, created_at) "
        "SELECT 'review-everything', '{}', 0, 0, 0, 0 WHERE EXISTS (SELECT 1 FROM blob)"
    )
