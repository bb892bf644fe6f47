"""What only files can get wrong: permissions, planted links, flush order, full disks, crashes."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from homeport.blobs import file_handles, files, writeback
from homeport.blobs.files import FileBlobStore
from homeport.blobs.port import BlobBusy, BlobDamaged, BlobMissing, StorageKey, new_storage_key
from homeport.kernel.errors import StorageFull, Unavailable


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def store(root: Path) -> Iterator[FileBlobStore]:
    with closing(FileBlobStore(root, reserve_bytes=0)) as opened:
        yield opened


def append(store: FileBlobStore, key: StorageKey, offset: int, content: bytes) -> int:
    with closing(store.writer(key, offset)) as writer:
        writer.write([content])
        return writer.offset


def finished(store: FileBlobStore, content: bytes) -> StorageKey:
    key = new_storage_key()
    store.finish(key, append(store, key, 0, content))
    return key


def file_of(root: Path, area: str, key: StorageKey) -> Path:
    return root / area / key.shard / key.name


def read(store: FileBlobStore, key: StorageKey) -> bytes:
    with closing(store.reader(key)) as reader:
        return reader.read(0, reader.size)


def failing(number: int) -> Callable[..., int]:
    def call(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number), "/secret/place")

    return call


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_other_users_of_the_machine_cannot_read_blobs(root: Path) -> None:
    before = os.umask(0)
    try:
        with closing(FileBlobStore(root, reserve_bytes=0)) as store:
            key = finished(store, b"private layer")
            other = new_storage_key()
            append(store, other, 0, b"private upload")
    finally:
        os.umask(before)

    folders = [path for path in (root, *root.rglob("*")) if path.is_dir()]
    assert len(folders) == 1 + 2 + 512
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    for path in (file_of(root, "data", key), file_of(root, "staging", other)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_folder_that_others_may_write_to_is_refused(root: Path) -> None:
    root.mkdir()
    root.chmod(0o777)

    with pytest.raises(Unavailable, match="belong to the user"):
        FileBlobStore(root)


def test_a_folder_of_another_user_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: root.stat().st_uid + 1)

    with pytest.raises(Unavailable, match="belong to the user"):
        FileBlobStore(root)


def test_an_area_that_is_a_link_elsewhere_is_refused_at_the_start(root: Path, tmp_path: Path) -> None:
    root.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (root / "data").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(Unavailable):
        FileBlobStore(root)


@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "pipe", "folder", "dangling link"])
def test_what_was_planted_in_place_of_a_blob_is_never_read_or_written(
    store: FileBlobStore, root: Path, tmp_path: Path, kind: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    key = new_storage_key()
    before = open_descriptors()

    for area in ("staging", "data"):
        path = file_of(root, area, key)
        match kind:
            case "symbolic link":
                path.symlink_to(secret)
            case "dangling link":
                path.symlink_to(tmp_path / "would be created")
            case "hard link":
                os.link(secret, path)
            case "pipe":
                os.mkfifo(path)
            case _:
                path.mkdir()

    for call in (lambda: store.reader(key), lambda: store.staged(key), lambda: store.finish(key, 6)):
        with pytest.raises(BlobDamaged):
            call()
    with contextlib.suppress(OSError):
        file_of(root, "data", key).unlink()
    if kind == "folder":
        file_of(root, "data", key).rmdir()
    for offset in (0, 6):
        with pytest.raises(BlobDamaged):
            store.writer(key, offset)
    with pytest.raises(BlobDamaged):
        store.finish(key, 6)
    assert secret.read_bytes() == b"secret"
    assert not (tmp_path / "would be created").exists()
    assert open_descriptors() == before


def test_a_folder_replaced_by_a_link_is_not_followed(
    store: FileBlobStore, root: Path, tmp_path: Path
) -> None:
    key = finished(store, b"mine")
    folder = root / "data" / key.shard
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")

    for call in (lambda: store.reader(key), lambda: store.discard(key), lambda: store.finish(key, 4)):
        with pytest.raises(BlobDamaged):
            call()

    assert (tmp_path / "moved" / key.name).read_bytes() == b"mine"


def test_a_lost_folder_makes_a_blob_unavailable_rather_than_unknown(store: FileBlobStore, root: Path) -> None:
    key = finished(store, b"mine")
    (root / "data" / key.shard).rename(root / "lost")

    with pytest.raises(Unavailable):
        store.reader(key)


def test_a_blob_is_flushed_before_it_is_visible_and_its_folder_afterwards(
    store: FileBlobStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[str, Path]] = []
    fsync, rename = os.fsync, os.rename

    def place(descriptor: int) -> Path:
        return Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(root)

    def recording_fsync(descriptor: int) -> None:
        fsync(descriptor)
        steps.append(("flush", place(descriptor)))

    def recording_rename(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        steps.append(("rename", place(dst_dir_fd) / target))

    key = new_storage_key()
    append(store, key, 0, b"layer")
    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "rename", recording_rename)

    store.finish(key, 5)
    first, steps[:] = list(steps), []
    store.finish(key, 5)

    assert first == [
        ("flush", Path("staging", key.shard, key.name)),
        ("rename", Path("data", key.shard, key.name)),
        ("flush", Path("data", key.shard)),
    ]
    assert steps == [("flush", Path("data", key.shard))]  # the first may have died before its last flush


def test_a_fresh_store_flushes_its_folders(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda fd: flushed.append(Path(f"/proc/self/fd/{fd}").readlink()))

    FileBlobStore(root).close()

    assert flushed == [root / "staging", root / "data", root, root.parent]


@pytest.mark.parametrize("failing_flush", ["file", "folder"])
def test_a_blob_whose_flush_failed_is_never_reported_durable(
    store: FileBlobStore, root: Path, monkeypatch: pytest.MonkeyPatch, failing_flush: str
) -> None:
    key, earlier = new_storage_key(), finished(store, b"earlier")
    append(store, key, 0, b"layer")
    fsync = os.fsync
    wanted = stat.S_ISREG if failing_flush == "file" else stat.S_ISDIR
    failures = 0

    def failing_once(descriptor: int) -> None:
        nonlocal failures
        if wanted(os.fstat(descriptor).st_mode) and not failures:
            failures += 1
            failing(errno.EIO)()
        fsync(descriptor)  # and success ever after, as Linux does

    monkeypatch.setattr(os, "fsync", failing_once)

    with pytest.raises(Unavailable, match="EIO"):
        store.finish(key, 5)

    with pytest.raises(Unavailable):
        store.finish(key, 5)
    with pytest.raises(Unavailable):
        store.writer(new_storage_key(), 0)
    with pytest.raises(Unavailable):
        store.check()
    assert read(store, earlier) == b"earlier"
    with closing(FileBlobStore(root, reserve_bytes=0)) as restarted:
        with pytest.raises(BlobMissing):
            restarted.finish(key, 5)
        restarted.check()


def test_a_disk_found_full_at_the_flush_costs_the_upload_and_not_the_server(
    store: FileBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_storage_key()
    append(store, key, 0, b"layer")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(errno.EDQUOT))
        with pytest.raises(StorageFull):
            store.finish(key, 5)

    with pytest.raises(BlobMissing):
        store.finish(key, 5)
    assert read(store, finished(store, b"another")) == b"another"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_reported_as_full_and_leaves_the_upload_resumable(
    store: FileBlobStore, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    key = new_storage_key()
    append(store, key, 0, b"acknowledged")
    with monkeypatch.context() as patch, closing(store.writer(key, 12)) as writer:
        patch.setattr(os, "pwritev", failing(number))
        with pytest.raises(StorageFull, match="free space") as refused:
            writer.write([b"more"])
        patch.undo()
        with pytest.raises(Unavailable):
            writer.write([b"more"])
        writer.cut(12)

    assert "/secret" not in refused.value.message
    assert append(store, key, 12, b" later") == 18


def test_a_tail_that_cannot_be_cut_keeps_the_upload_from_going_on_over_it(
    store: FileBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_storage_key()
    append(store, key, 0, b"acknowledged and a long tail")

    with closing(store.writer(key, 12)) as writer, monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", failing(errno.EIO))
        for use in (writer.cut, lambda: writer.write([b" later"])):
            with pytest.raises(Unavailable, match="EIO") as refused:
                use()
            assert "/secret" not in refused.value.message

    assert append(store, key, 12, b" later") == 18
    with closing(store.staged(key)) as reader:
        assert reader.read(0, 99) == b"acknowledged later"


def test_a_failing_device_is_reported_without_a_path(
    store: FileBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = finished(store, b"layer")

    with closing(store.reader(key)) as reader, monkeypatch.context() as patch:
        patch.setattr(os, "pread", failing(errno.EIO))
        with pytest.raises(Unavailable, match="EIO") as refused:
            reader.read(0, 5)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing(errno.EMFILE))
        with pytest.raises(Unavailable, match="EMFILE") as exhausted:
            store.writer(new_storage_key(), 0)

    for message in (refused.value.message, exhausted.value.message):
        assert "/secret" not in message


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB of its own."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        done = False
    if not done:
        pytest.skip("mounting a small file system needs root; the monkeypatched tests cover the mapping")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_on_a_disk_that_really_fills_the_upload_resumes_once_there_is_room(small_disk: Path) -> None:
    with closing(FileBlobStore(small_disk / "blobs", reserve_bytes=0)) as store:
        (small_disk / "ballast").write_bytes(bytes(512 * 1024))
        key = new_storage_key()
        append(store, key, 0, b"acknowledged")

        with closing(store.writer(key, 12)) as writer, pytest.raises(StorageFull):
            writer.write([bytes(300 * 1024), bytes(700 * 1024)])
        (small_disk / "ballast").unlink()

        assert append(store, key, 12, b" and more") == 21
        store.finish(key, 21)
        assert read(store, key) == b"acknowledged and more"


def test_readiness_says_full_before_the_disk_is(root: Path) -> None:
    with (
        closing(FileBlobStore(root, reserve_bytes=2**62)) as store,
        pytest.raises(StorageFull, match="nearly full"),
    ):
        store.check()


def test_readiness_notices_that_the_folder_was_replaced(store: FileBlobStore, root: Path) -> None:
    store.check()
    root.rename(root.with_name("old"))

    with pytest.raises(Unavailable):
        store.check()
    FileBlobStore(root).close()
    with pytest.raises(Unavailable, match="replaced"):
        store.check()


def test_readiness_leaves_nothing_behind_and_notices_a_read_only_disk(
    store: FileBlobStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.check()

    assert [path for path in root.rglob("*") if path.is_file()] == []
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing(errno.EROFS))
        with pytest.raises(Unavailable, match="EROFS"):
            store.check()


def test_a_short_write_is_carried_on_to_the_last_byte(
    store: FileBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_storage_key()
    pwritev = os.pwritev

    def at_most_seven(descriptor: int, parts: list[memoryview], offset: int) -> int:
        return pwritev(descriptor, [memoryview(b"".join(parts))[:7]], offset)

    monkeypatch.setattr(os, "pwritev", at_most_seven)
    parts = [b"abc", b"", b"defghijklmnopqrs", b"t", b"uvwxyz"]

    with closing(store.writer(key, 0)) as writer:
        assert writer.write(parts) == 26
    store.finish(key, 26)

    assert read(store, key) == b"abcdefghijklmnopqrstuvwxyz"


def test_a_pull_that_has_begun_ends_well_though_the_blob_is_discarded(store: FileBlobStore) -> None:
    key = finished(store, b"still being pulled")

    with closing(store.reader(key)) as reader:
        store.discard(key)

        assert reader.read(0, 99) == b"still being pulled"


def test_a_blob_truncated_on_disk_is_never_read_as_if_it_ended_there(
    store: FileBlobStore, root: Path
) -> None:
    key = finished(store, b"0123456789")

    with closing(store.reader(key)) as reader:
        os.truncate(file_of(root, "data", key), 4)

        with pytest.raises(BlobDamaged):
            reader.read(2, 8)
    with pytest.raises(BlobDamaged):
        store.finish(key, 10)


def test_two_stores_of_one_folder_share_uploads_but_not_a_writer(store: FileBlobStore, root: Path) -> None:
    key = new_storage_key()

    with closing(FileBlobStore(root, reserve_bytes=0)) as other:
        with closing(store.writer(key, 0)) as writer:
            writer.write([b"first"])
            for offset in (0, 5):
                with pytest.raises(BlobBusy):
                    other.writer(key, offset)
            with pytest.raises(Unavailable):
                other.finish(key, 5)
        assert append(other, key, 5, b" second") == 12
        other.finish(key, 12)

    assert read(store, key) == b"first second"


def test_a_finish_or_writer_overtaken_by_another_finish_changes_nothing(
    store: FileBlobStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, other_key = new_storage_key(), new_storage_key()
    for each in (key, other_key):
        append(store, each, 0, b"layer")
    lock = file_handles.lock_staged

    with closing(FileBlobStore(root, reserve_bytes=0)) as other:

        def overtaken(wanted: StorageKey, folder: int, descriptor: int, action: str) -> int:
            monkeypatch.setattr(files, "lock_staged", lock)
            other.finish(wanted, 5)
            return lock(wanted, folder, descriptor, action)

        monkeypatch.setattr(files, "lock_staged", overtaken)
        store.finish(key, 5)
        monkeypatch.setattr(files, "lock_staged", overtaken)
        with pytest.raises(BlobMissing):
            store.writer(other_key, 0)

    assert [read(store, key), read(store, other_key)] == [b"layer", b"layer"]


def test_an_upload_discarded_and_begun_anew_meanwhile_is_not_mistaken_for_the_old_one(
    store: FileBlobStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_storage_key()
    append(store, key, 0, b"older")
    lock = file_handles.lock_staged

    with closing(FileBlobStore(root, reserve_bytes=0)) as other:

        def overtaken(wanted: StorageKey, folder: int, descriptor: int, action: str) -> int:
            monkeypatch.setattr(files, "lock_staged", lock)
            other.discard(wanted)
            append(other, wanted, 0, b"newer")
            return lock(wanted, folder, descriptor, action)

        monkeypatch.setattr(files, "lock_staged", overtaken)
        with pytest.raises(BlobMissing):
            store.writer(key, 5)
        monkeypatch.setattr(files, "lock_staged", overtaken)
        with pytest.raises(BlobMissing):
            store.finish(key, 5)

    with closing(store.staged(key)) as reader:
        assert reader.read(0, 99) == b"newer"


def test_a_repeated_finish_that_cannot_flush_keeps_the_blob_that_others_rely_on(
    store: FileBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = finished(store, b"layer")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(errno.EIO))
        with pytest.raises(Unavailable):
            store.finish(key, 5)

    assert read(store, key) == b"layer"


@pytest.mark.parametrize("fault", ["write:2:kill-half", "write:2:kill-after", "finish:1:kill-before"])
def test_a_crash_before_the_finish_leaves_nothing_to_pull_and_the_upload_resumable(
    store: FileBlobStore, root: Path, fault: str
) -> None:
    key = new_storage_key()

    assert crashed_push(root, key, fault) == -signal.SIGKILL

    with pytest.raises(BlobMissing):
        store.reader(key)
    assert append(store, key, 5, b" again") == 11
    store.finish(key, 11)
    assert read(store, key) == b"first again"


def test_a_crash_after_the_finish_is_settled_by_finishing_again(store: FileBlobStore, root: Path) -> None:
    key = new_storage_key()

    assert crashed_push(root, key, "finish:1:kill-after") == -signal.SIGKILL

    store.finish(key, 12)
    assert read(store, key) == b"first second"


def crashed_push(root: Path, key: StorageKey, fault: str) -> int:
    """The exit status of a process that pushes "first second" under a plan of faults."""
    program = (
        "import os, pathlib, sys\n"
        "from homeport.blobs.faulty import with_faults_from\n"
        "from homeport.blobs.files import FileBlobStore\n"
        "from homeport.blobs.port import StorageKey\n"
        "store = with_faults_from(os.environ, FileBlobStore(pathlib.Path(sys.argv[1]), reserve_bytes=0))\n"
        "key = StorageKey(sys.argv[2])\n"
        "writer = store.writer(key, 0)\n"
        "writer.write([b'first'])\n"
        "writer.write([b' second'])\n"
        "writer.close()\n"
        "store.finish(key, 12)\n"
    )
    environment = {**os.environ, "HOMEPORT_BLOB_FAULTS": fault, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(root), key]
    return subprocess.run(command, env=environment, check=False, timeout=60).returncode


@pytest.mark.skipif(not writeback.available(), reason="this C library has no sync_file_range")
@pytest.mark.parametrize(("step", "expected"), [(100, [(50, 120), (170, 100)]), (0, [])])
def test_written_bytes_are_handed_to_the_device_early_once_and_in_order(
    root: Path, monkeypatch: pytest.MonkeyPatch, step: int, expected: list[tuple[int, int]]
) -> None:
    handed: list[tuple[int, int]] = []
    start = writeback.start

    def recording(descriptor: int, offset: int, length: int) -> None:
        start(descriptor, offset, length)
        handed.append((offset, length))

    monkeypatch.setattr(writeback, "start", recording)
    key = new_storage_key()
    with closing(FileBlobStore(root, writeback_bytes=step, reserve_bytes=0)) as store:
        append(store, key, 0, bytes(50))
        with closing(store.writer(key, 50)) as writer:
            for size in (60, 60, 100, 99):
                writer.write([bytes(size)])
        store.finish(key, 369)

    assert handed == expected
