"""Running hashes: valid for exactly one offset, bounded, and never needed for a right answer."""

from __future__ import annotations

import hashlib

import pytest

from homeport.blobs.memory import MemoryBlobStore
from homeport.blobs.port import BlobMissing, new_storage_key
from homeport.kernel.digests import digest_of
from homeport.uploads.hashing import RunningHashes, digest_of_stored


def test_a_hash_is_given_out_once_and_for_its_own_offset_only() -> None:
    hashes = RunningHashes()
    hashes.keep("u", 5, hashlib.sha256(b"12345"))

    taken = hashes.take("u", 5)

    assert taken is not None
    assert taken.hexdigest() == hashlib.sha256(b"12345").hexdigest()
    assert hashes.take("u", 5) is None
    hashes.keep("u", 5, taken)
    assert hashes.take("u", 4) is None
    assert hashes.take("u", 5) is None  # it belonged to a state that is over


def test_an_upload_that_begins_has_the_hash_of_nothing_whatever_was_kept() -> None:
    hashes = RunningHashes()
    hashes.keep("u", 5, hashlib.sha256(b"12345"))

    begun = hashes.take("u", 0)

    assert begun is not None
    assert begun.hexdigest() == hashlib.sha256().hexdigest()
    assert hashes.take("u", 5) is None


def test_a_dropped_hash_is_forgotten() -> None:
    hashes = RunningHashes()
    hashes.keep("u", 5, hashlib.sha256(b"12345"))

    hashes.drop("u")
    hashes.drop("never-there")

    assert hashes.take("u", 5) is None


def test_hashes_of_the_least_recent_uploads_go_first() -> None:
    hashes = RunningHashes()

    for number in range(5_000):
        hashes.keep(str(number), 1, hashlib.sha256(b"x"))

    assert hashes.take("0", 1) is None
    assert hashes.take("4999", 1) is not None
    assert len(hashes._kept) < 4_200


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 1024 * 1024 + 1])
def test_stored_bytes_are_hashed_whole(algorithm: str, size: int) -> None:
    store, key, data = MemoryBlobStore(), new_storage_key(), b"z" * size
    writer = store.writer(key, 0)
    writer.write([data])
    writer.close()

    assert digest_of_stored(store, key, algorithm) == digest_of(data, algorithm)


def test_bytes_that_are_not_there_have_no_digest() -> None:
    with pytest.raises(BlobMissing):
        digest_of_stored(MemoryBlobStore(), new_storage_key(), "sha256")
