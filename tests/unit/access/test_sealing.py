"""The sealer, the master key file and the type of secrets."""

from __future__ import annotations

import copy
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.access.sealing import (
    MasterKeyError,
    SealBroken,
    Sealer,
    Secret,
    create_master_key,
    load_master_key,
)

MASTER = bytes.fromhex("8f1c22d7a9b0e64f5507c3119dd8fa3b7e6a0452b1c9e80d33f7265a94eb10cd")
OTHER = bytes.fromhex("0b61d9f0832c5e17aa4490f1c76e285d19b3e70264cf8d3a51ee97b80c2fd446")


def write_key(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@given(st.binary(max_size=300), st.binary(max_size=60), st.text(min_size=1, max_size=20))
def test_what_was_sealed_opens_unchanged(plaintext: bytes, context: bytes, purpose: str) -> None:
    sealer = Sealer(MASTER)

    sealed = sealer.seal(purpose, plaintext, context)

    assert Sealer(MASTER).open(purpose, sealed, context) == plaintext
    assert len(sealed) == len(plaintext) + 29


def test_the_same_text_is_sealed_differently_each_time() -> None:
    sealer = Sealer(MASTER)

    sealed = {sealer.seal("page", b"same") for _ in range(50)}

    assert len(sealed) == 50


def test_a_seal_does_not_open_for_another_purpose_context_or_master_key() -> None:
    sealer = Sealer(MASTER)
    sealed = sealer.seal("page", b"text", b"alice")

    for reader, purpose, context in (
        (sealer, "password", b"alice"),
        (sealer, "page", b"bob"),
        (sealer, "page", b""),
        (Sealer(OTHER), "page", b"alice"),
    ):
        with pytest.raises(SealBroken):
            reader.open(purpose, sealed, context)


def test_purpose_and_context_cannot_be_shifted_into_each_other() -> None:
    sealer = Sealer(MASTER)

    sealed = sealer.seal("page", b"text", b"a")

    with pytest.raises(SealBroken):
        sealer.open("pagea", sealed)


def test_every_single_bit_of_a_seal_matters() -> None:
    sealer = Sealer(MASTER)
    sealed = sealer.seal("page", b"position")

    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(SealBroken):
            sealer.open("page", bytes(changed))


def test_a_shortened_or_lengthened_seal_does_not_open() -> None:
    sealer = Sealer(MASTER)
    sealed = sealer.seal("page", b"position")

    for changed in [sealed[:length] for length in range(len(sealed))] + [sealed + b"\0", b"\0" + sealed]:
        with pytest.raises(SealBroken):
            sealer.open("page", changed)


def test_a_seal_without_purpose_is_a_mistake_of_the_program() -> None:
    with pytest.raises(ValueError, match="purpose"):
        Sealer(MASTER).seal("", b"text")


def test_many_purposes_do_not_grow_the_memory_of_the_sealer_without_bound() -> None:
    sealer = Sealer(MASTER)

    for number in range(100):
        assert sealer.open(f"purpose {number}", sealer.seal(f"purpose {number}", b"x")) == b"x"

    assert len(sealer._Sealer__ciphers) <= 64  # type: ignore[attr-defined]


def test_a_new_master_key_file_is_private_and_loads_as_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    before = os.umask(0)
    try:
        key = create_master_key(path)
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_master_key(path) == key
    assert len(key) == 32
    assert path.read_text() == key.hex() + "\n"


def test_an_existing_master_key_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    key = create_master_key(path)

    with pytest.raises(MasterKeyError, match="exists already"):
        create_master_key(path)

    assert load_master_key(path) == key


def test_a_master_key_is_not_created_through_a_dangling_link(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(MasterKeyError):
        create_master_key(path)

    assert not (tmp_path / "elsewhere").exists()


def test_file_and_folder_of_a_new_master_key_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def record(descriptor: int) -> None:
        synced.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    monkeypatch.setattr(os, "fsync", record)

    create_master_key(tmp_path / "master.key")

    assert synced == ["file", "folder"]


def test_a_master_key_that_could_not_be_written_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(MasterKeyError, match="No space left"):
        create_master_key(tmp_path / "master.key")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        (MASTER.hex()[:-2], "31 bytes"),
        (MASTER.hex() + "00", "33 bytes"),
        (MASTER.hex()[:-1], "64 hexadecimal digits"),
        ("change-me", "64 hexadecimal digits"),
        ("\u0660" * 64, "64 hexadecimal digits"),
        ("00" * 32, "placeholder"),
        ("ff" * 32, "placeholder"),
        ("0123456789abcdef" * 4, "placeholder"),
        (bytes(range(32)).hex(), "placeholder"),
        (bytes(range(64, 0, -2)).hex(), "placeholder"),
        (MASTER.hex()[:32] * 2, "placeholder"),
        (b"please-change-this-default-key!!".hex(), "placeholder"),
    ],
)
def test_the_process_refuses_a_missing_short_or_guessable_master_key(
    tmp_path: Path, text: str, words: str
) -> None:
    path = write_key(tmp_path / "master.key", text)

    with pytest.raises(MasterKeyError, match=words) as refusal:
        load_master_key(path)

    assert not text.strip() or text.strip() not in refusal.value.message


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_a_master_key_open_to_others_is_refused_with_the_command_that_closes_it(
    tmp_path: Path, mode: int
) -> None:
    path = write_key(tmp_path / "master.key", MASTER.hex(), mode)

    with pytest.raises(MasterKeyError, match="chmod 600") as refusal:
        load_master_key(path)

    assert f"{mode:04o}" in refusal.value.message
    assert MASTER.hex() not in refusal.value.message


def test_a_read_only_master_key_is_accepted(tmp_path: Path) -> None:
    path = write_key(tmp_path / "master.key", MASTER.hex().upper(), 0o400)

    assert load_master_key(path) == MASTER


def test_a_master_key_that_is_missing_a_folder_or_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)

    for path in (tmp_path / "missing", tmp_path, pipe):
        with pytest.raises(MasterKeyError):
            load_master_key(path)


def test_a_sealer_cannot_be_made_with_a_weak_key() -> None:
    for key in (b"", bytes(32), MASTER[:16], MASTER + b"x"):
        with pytest.raises(MasterKeyError):
            Sealer(key)


def test_neither_sealer_nor_secret_show_what_they_hold() -> None:
    sealer = Sealer(MASTER)
    sealer.seal("page", b"x")
    secret = Secret("hunter2hunter2")

    texts = [f"{secret}", f"{secret!r}", f"{secret:>20}", "%s %r" % (secret, [secret]), str({"a": secret})]  # noqa: UP031
    texts += [repr(sealer), str(sealer), f"{sealer}"]

    for text in texts:
        assert "***" in text
        assert "hunter2" not in text
        assert MASTER.hex() not in text
        assert repr(MASTER)[2:-1] not in text
    assert secret.reveal() == "hunter2hunter2"


def test_secrets_and_sealers_cannot_be_pickled() -> None:
    for thing in (Secret("hunter2"), Sealer(MASTER)):
        with pytest.raises(TypeError, match="pickled"):
            thing.__reduce_ex__(4)


def test_secrets_compare_by_value_and_copy_as_themselves() -> None:
    secret = Secret("hunter2")

    assert secret == Secret("hunter2")
    assert secret != Secret("hunter3")
    assert secret != "hunter2"
    assert len({secret, Secret("hunter2"), Secret("other")}) == 2
    assert copy.deepcopy(secret) is secret
    assert copy.copy(secret) is secret
