"""Blobs as files of one folder: the store of a single machine, durable in the order of the contract.

Layout: `staging/<xx>/<uuid>` grows, `data/<xx>/<uuid>` is finished; both on one file system, so that a
rename moves one to the other. Everything is opened relative to the two folders held open since the
start, and a second hard link is refused like a symbolic one: a backup must copy or take a snapshot.
The contract is in `port.py`. A failed flush is never retried, because Linux reports it only once.
"""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from homeport.blobs.file_handles import (
    FILE_FLAGS,
    FULL,
    NOT_OURS,
    FileBlobReader,
    FileBlobWriter,
    lock_staged,
    open_ours,
    refusal,
    refusing,
)
from homeport.blobs.port import BlobDamaged, BlobFinished, BlobMissing, Shard, StorageKey, StoredObject
from homeport.kernel.errors import StorageFull, Unavailable

_SHARDS = tuple(f"{number:02x}" for number in range(256))
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _as_listed(shard: Shard, entry: os.DirEntry[str], finished: bool) -> StoredObject | None:
    """What a file of a shard's folder is as an object; None for what is none, or is gone already."""
    try:
        key = StorageKey(shard + entry.name)
        found = entry.stat(follow_symlinks=False)
    except (ValueError, FileNotFoundError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return StoredObject(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC), finished)


class FileBlobStore:
    """The `BlobStore` of a local folder. Safe to share between threads and between processes.

    `root` is made when absent and must belong to the user of this process. `writeback_bytes`: start
    writing to the device after that many new bytes (0 = leave it to the kernel). `reserve_bytes`: with
    less free space than that, `check` says full. Raises Unavailable or StorageFull when the folder
    cannot be used.
    """

    def __init__(
        self, root: Path, *, writeback_bytes: int = 16 * 1024 * 1024, reserve_bytes: int = 64 * 1024 * 1024
    ) -> None:
        self.writeback_bytes = writeback_bytes
        self._reserve_bytes = reserve_bytes
        self._root = root.resolve()
        self._flush_failed = False
        self._staging = self._data = -1
        try:
            with refusing("prepare its folders"):
                self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        root = os.open(self._root, _FOLDER)
        try:
            found = os.fstat(root)
            if found.st_uid != os.geteuid() or found.st_mode & stat.S_IWOTH:
                raise Unavailable(
                    "The folder of the blob store must belong to the user that runs the server, "
                    "and others must not be able to write to it"
                )
            self._staging = self._area(root, "staging")
            self._data = self._area(root, "data")
            if os.fstat(self._staging).st_dev != os.fstat(self._data).st_dev:
                raise Unavailable("The staging and data folders of the blob store must be on one file system")
            os.fsync(root)
        finally:
            os.close(root)
        parent = os.open(self._root.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)

    @staticmethod
    def _area(root: int, name: str) -> int:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=root)
        area = os.open(name, _FOLDER, dir_fd=root)
        try:
            present = set(os.listdir(area))
            for shard in _SHARDS:
                if shard not in present:
                    with contextlib.suppress(FileExistsError):  # another worker starts at the same time
                        os.mkdir(shard, 0o700, dir_fd=area)
            os.fsync(area)  # always: an earlier start may have died between making and flushing
        except BaseException:
            os.close(area)
            raise
        return area

    @contextlib.contextmanager
    def _shard(self, area: int, key: StorageKey) -> Iterator[int]:
        """The folder of a key, open; held open over a rename so that its flush sees every error since."""
        try:
            folder = os.open(key.shard, _FOLDER, dir_fd=area)
        except OSError as error:  # a missing folder is a broken volume, not a missing blob
            if error.errno in NOT_OURS:
                raise BlobDamaged(f"the folder of {key} is not a folder") from error
            raise refusal(error, "open the blob") from error
        try:
            yield folder
        finally:
            os.close(folder)

    def _refuse_after_failed_flush(self) -> None:
        if self._flush_failed:
            raise Unavailable(
                "The volume of the blob store failed to store data; check it, then restart the server"
            )

    @property
    def shared(self) -> bool:
        return False

    def writer(self, key: StorageKey, offset: int, state: str | None = None) -> FileBlobWriter:
        key = StorageKey(key)
        if offset < 0:
            raise ValueError("offset must not be negative")
        self._refuse_after_failed_flush()
        with self._shard(self._data, key) as folder:
            self._refuse_finished(key, folder)
        with self._shard(self._staging, key) as folder:
            descriptor = -1
            if offset == 0:
                with contextlib.suppress(FileExistsError):
                    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
                    descriptor, _ = open_ours(key, folder, flags, "create the blob")
            if descriptor < 0:
                descriptor, _ = open_ours(key, folder, os.O_RDWR, "open the blob")
            try:
                size = lock_staged(key, folder, descriptor, "open the blob")
                if size < offset:
                    raise BlobDamaged(f"{key} has {size} bytes staged, {offset} were acknowledged")
            except BaseException:
                os.close(descriptor)
                raise
        return FileBlobWriter(
            key, descriptor, offset, size, self.writeback_bytes, partial(self.finish_held, key)
        )

    @staticmethod
    def _refuse_finished(key: StorageKey, folder: int) -> None:
        try:
            os.stat(key.name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return
        except OSError as error:
            raise refusal(error, "open the blob") from error
        raise BlobFinished(key)

    def _open_reader(self, area: int, key: StorageKey) -> FileBlobReader:
        key = StorageKey(key)
        with self._shard(area, key) as folder:
            descriptor, size = open_ours(key, folder, os.O_RDONLY, "open the blob")
        return FileBlobReader(key, descriptor, size)

    def staged(self, key: StorageKey) -> FileBlobReader:
        return self._open_reader(self._staging, key)

    def reader(self, key: StorageKey) -> FileBlobReader:
        return self._open_reader(self._data, key)

    def finish(self, key: StorageKey, size: int) -> None:
        key = StorageKey(key)
        self._refuse_after_failed_flush()
        with self._shard(self._staging, key) as staging, self._shard(self._data, key) as data:
            if not self._is_finished(key, data, size):
                try:
                    self._promote(key, size, staging, data)
                    return
                except BlobMissing:  # unless another process has finished it this moment
                    if not self._is_finished(key, data, size):
                        raise
            # An earlier attempt may have died between rename and flush. Others may rely on the object by
            # now, so it stays even if this flush fails.
            self._flush(data)

    def _promote(self, key: StorageKey, size: int, staging: int, data: int) -> None:
        descriptor, _ = open_ours(key, staging, os.O_RDWR, "finish the blob")
        try:
            found = lock_staged(key, staging, descriptor, "finish the blob")
            self._promote_held(key, size, found, descriptor, staging, data)
        finally:
            os.close(descriptor)

    def finish_held(self, key: StorageKey, size: int, descriptor: int) -> None:
        """`finish` for the writer that has the staged file open and locked as `descriptor`."""
        self._refuse_after_failed_flush()
        with self._shard(self._staging, key) as staging, self._shard(self._data, key) as data:
            with refusing("finish the blob"):
                found = os.fstat(descriptor).st_size
            self._promote_held(key, size, found, descriptor, staging, data)

    def _promote_held(
        self, key: StorageKey, size: int, found: int, descriptor: int, staging: int, data: int
    ) -> None:
        """Staged to finished: flush the file, rename it, flush its new folder."""
        if found != size:
            raise BlobDamaged(f"{key} has {found} bytes staged, not {size}")
        with self._gone_unless_flushed(key, staging):
            self._flush(descriptor)
        try:
            os.rename(key.name, key.name, src_dir_fd=staging, dst_dir_fd=data)
        except FileNotFoundError:  # discarded meanwhile
            raise BlobMissing(key) from None
        except OSError as error:
            raise refusal(error, "finish the blob") from error
        with self._gone_unless_flushed(key, data):
            self._flush(data)

    @staticmethod
    def _is_finished(key: StorageKey, data: int, size: int) -> bool:
        try:
            descriptor, found = open_ours(key, data, os.O_RDONLY, "finish the blob")
        except BlobMissing:
            return False
        os.close(descriptor)
        if found != size:
            raise BlobDamaged(f"{key} is finished with {found} bytes, not {size}")
        return True

    def _flush(self, descriptor: int) -> None:
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in FULL:
                self._flush_failed = True
            raise refusal(error, "make the blob durable") from error

    @staticmethod
    @contextlib.contextmanager
    def _gone_unless_flushed(key: StorageKey, folder: int) -> Iterator[None]:
        """Remove an object that could not be flushed: the next fsync would report success regardless."""
        try:
            yield
        except Unavailable:
            with contextlib.suppress(OSError):
                os.unlink(key.name, dir_fd=folder)
                os.fsync(folder)
            raise

    def address(self, key: StorageKey) -> str | None:
        return None

    def discard(self, key: StorageKey) -> None:
        key = StorageKey(key)
        for area in (self._staging, self._data):
            with self._shard(area, key) as folder:
                try:
                    os.unlink(key.name, dir_fd=folder)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    raise refusal(error, "discard the blob") from error

    def siblings(self, key: StorageKey) -> list[StorageKey]:
        return []

    def listed(self, shard: Shard) -> Iterator[StoredObject]:
        shard = Shard(shard)
        # Staged ones first: one that is finished meanwhile is then seen once more, not never.
        for area, finished in ((self._staging, False), (self._data, True)):
            with refusing("list the blobs"):
                folder = os.open(shard.name, _FOLDER, dir_fd=area)
            try:
                with refusing("list the blobs"), os.scandir(folder) as entries:
                    for entry in entries:
                        found = _as_listed(shard, entry, finished)
                        if found is not None:
                            yield found
            finally:
                os.close(folder)

    def check(self) -> None:
        self._refuse_after_failed_flush()
        with refusing("reach its folder"):
            held, named = os.fstat(self._staging), os.stat(self._root / "staging", follow_symlinks=False)
            if (held.st_dev, held.st_ino) != (named.st_dev, named.st_ino):
                raise Unavailable("The folder of the blob store was replaced; restart the server")
            room = os.fstatvfs(self._staging)
        if room.f_bavail * room.f_frsize < self._reserve_bytes or (room.f_files and not room.f_favail):
            raise StorageFull("The volume of the blob store is nearly full; free space on it or enlarge it")
        probe = f"probe-{uuid.uuid4()}"
        with refusing("write to its folder"):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | FILE_FLAGS
            os.close(os.open(probe, flags, mode=0o600, dir_fd=self._staging))
            os.unlink(probe, dir_fd=self._staging)

    def close(self) -> None:
        """Let go of the folders, for tests and tools that open many stores; open readers stay usable."""
        staging, self._staging = self._staging, -1
        data, self._data = self._data, -1
        for descriptor in (staging, data):
            if descriptor >= 0:
                os.close(descriptor)
