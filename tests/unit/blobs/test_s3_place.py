"""The address of a bucket: what it may say, and that what is wrong is said before anything is stored."""

from __future__ import annotations

import pytest

from homeport.blobs.s3_place import S3Place, checked_url


def test_a_bucket_alone_is_one_of_aws() -> None:
    assert S3Place.from_url("s3://my-bucket") == S3Place("my-bucket")


def test_everything_can_be_said() -> None:
    url = (
        "s3://bucket/registry/one?endpoint=https://store.example:9000&region=eu-west-1"
        "&class=STANDARD_IA&archive_class=GLACIER_IR"
    )

    place = S3Place.from_url(url)

    assert place == S3Place(
        "bucket", "registry/one", "https://store.example:9000", "eu-west-1", True, "STANDARD_IA", "GLACIER_IR"
    )
    assert checked_url(url) == url


def test_the_host_names_the_bucket_where_asked_for() -> None:
    assert not S3Place.from_url("s3://bucket?endpoint=https://store.example&addressing=virtual").path_style


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gs://bucket",
        "az://bucket",
        "/srv/blobs",
        "s3://",
        "s3://Bucket",
        "s3://b",
        "s3://key:secret@bucket",
        "s3://bucket:80",
        "s3://bucket/../other",
        "s3://bucket/a//b",
        "s3://bucket/a b",
        "s3://bucket#x",
        "s3://bucket?endpoint=store.example",
        "s3://bucket?endpoint=file:///etc",
        "s3://bucket?endpoint=http://user@host",
        "s3://bucket?endpoint=http://host/path",
        "s3://bucket?endpoint=http://host:99999",
        "s3://bucket?region=a/b",
        "s3://bucket?addressing=other",
        "s3://bucket?archive_class=DEEP_ARCHIVE",
        "s3://bucket?unknown=1",
    ],
)
def test_what_names_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        S3Place.from_url(url)
