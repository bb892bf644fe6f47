"""Authenticated encryption under the one master key, and the type that keeps secrets out of logs.

Everything that leaves the registry and must come back unchanged (passwords, session tokens, page
positions) is sealed here: AES-256-GCM (NIST SP 800-38D) under a key that HKDF-SHA256 (RFC 5869) derives
for one purpose. There is no header that names an algorithm, so nobody can choose one.
This room knows nothing about what it seals; `access/tokens.py` gives the bytes their meaning.
Random 96-bit nonces keep the chance of a repeat below 2^-32 for 2^32 sealings of one purpose.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from homeport.kernel.durable import flush_folder

MASTER_KEY_BYTES: Final = 32
_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_SHORTEST: Final = len(_VERSION) + _NONCE_BYTES + _TAG_BYTES
_MAX_PURPOSES: Final = 64
_MAX_KEY_FILE_BYTES: Final = 1024
# 32 random bytes have fewer different values than this about once in 10^20 keys; placeholders always do.
_FEWEST_DIFFERENT_BYTES: Final = 12
_STARS: Final = "********"


class SealBroken(ValueError):
    """The sealed bytes were not made by this master key for this purpose and context."""

    def __init__(self) -> None:
        super().__init__("the seal is broken")


class MasterKeyError(Exception):
    """The master key cannot be used; `message` says why and what the operator can do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Secret:
    """A string that never shows itself: text, repr, formatting and pickling give stars or refuse.

    Read it with `reveal()`, as late as possible. Comparison takes the same time wherever values differ.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """The secret itself; the caller must not log or store it in the clear."""
        return self.__value

    def __repr__(self) -> str:
        return f"Secret('{_STARS}')"

    def __str__(self) -> str:
        return _STARS

    def __format__(self, spec: str) -> str:
        return format(_STARS, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        mine = self.__value.encode("utf-8", "surrogatepass")
        return hmac.compare_digest(mine, other.reveal().encode("utf-8", "surrogatepass"))

    def __hash__(self) -> int:
        return hash((Secret, self.__value))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")


class Sealer:
    """Seals and opens bytes for a named purpose; a seal made for one purpose never opens for another."""

    __slots__ = ("__ciphers", "__master")

    def __init__(self, master: bytes) -> None:
        """Take the 32 bytes of the master key. Raises MasterKeyError for a wrong size or a placeholder."""
        _refuse_weak(master, "The master key")
        self.__master = bytes(master)
        self.__ciphers: dict[str, AESGCM] = {}

    def __repr__(self) -> str:
        return f"Sealer('{_STARS}')"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a Sealer holds the master key and cannot be pickled")

    def seal(self, purpose: str, plaintext: bytes, context: bytes = b"") -> bytes:
        """Encrypt `plaintext`; `context` is bound to it but not carried along.

        Returns version (1 byte), nonce (12), ciphertext and tag (16): 29 bytes longer than the plaintext.
        """
        nonce = os.urandom(_NONCE_BYTES)
        body = self._cipher(purpose).encrypt(nonce, plaintext, _associated(purpose, context))
        return _VERSION + nonce + body

    def open(self, purpose: str, sealed: bytes, context: bytes = b"") -> bytes:
        """Return what `seal` was given. Raises SealBroken for anything else, without saying why."""
        if len(sealed) < _SHORTEST or sealed[:1] != _VERSION:
            raise SealBroken
        nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher(purpose).decrypt(nonce, body, _associated(purpose, context))
        except InvalidTag:
            raise SealBroken from None

    def _cipher(self, purpose: str) -> AESGCM:
        cipher = self.__ciphers.get(purpose)
        if cipher is None:
            if not purpose:
                raise ValueError("a seal needs a purpose")
            info = b"homeport seal 1:" + purpose.encode()
            cipher = AESGCM(HKDF(SHA256(), MASTER_KEY_BYTES, salt=None, info=info).derive(self.__master))
            # Purposes are constants of the program; the bound only guards against a future mistake.
            if len(self.__ciphers) < _MAX_PURPOSES:
                self.__ciphers[purpose] = cipher
        return cipher


def create_master_key(path: Path, key: bytes | None = None) -> bytes:
    """Make a master key file: 64 hex digits, mode 0600, on disk (file and folder) when this returns.

    `key` is what it holds, random bytes by default.

    Returns the 32 bytes. Raises MasterKeyError when the file exists already or cannot be written.
    """
    key = secrets.token_bytes(MASTER_KEY_BYTES) if key is None else key
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise MasterKeyError(
            f"The master key file {path} exists already; it is never replaced, because everything that it "
            "sealed would be lost. Use it as it is, or choose another data folder."
        ) from None
    except OSError as error:
        raise MasterKeyError(f"The master key file {path} cannot be created: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(key.hex().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        flush_folder(path.parent)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise MasterKeyError(f"The master key file {path} cannot be written: {error.strerror}.") from error
    return key


def load_master_key(path: Path, *, for_group: bool = False) -> bytes:
    """Read the 32 bytes of the master key from a file of 64 hex digits.

    `for_group`: its group may read it, which is how containers are given secrets.

    Raises MasterKeyError, with what to do, when the file is missing, not a regular file, open to other
    users of the machine, empty, of the wrong size or a placeholder (all zeros, a pattern, plain text).
    """
    text = _read_private(path, 0o037 if for_group else 0o077).strip()
    if not text:
        raise MasterKeyError(
            f"The master key file {path} is empty. Restore it from your backup; if this registry has never "
            "run, delete the file and start again to get a new one."
        )
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        raise MasterKeyError(
            f"The master key file {path} must hold 64 hexadecimal digits and nothing else. Restore it from "
            "your backup."
        ) from None
    _refuse_weak(key, f"The master key in {path}")
    return key


def _read_private(path: Path, closed: int) -> bytes:
    try:
        # Non-blocking, so that a pipe in place of the file cannot hold up the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise MasterKeyError(
            f"The master key file {path} does not exist. Restore it from your backup, or initialise a new "
            "data folder."
        ) from None
    except OSError as error:
        raise MasterKeyError(f"The master key file {path} cannot be read: {error.strerror}.") from error
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise MasterKeyError(f"The master key file {path} must be a regular file.")
        if facts.st_mode & closed:
            mode = f"{stat.S_IMODE(facts.st_mode):04o}"
            raise MasterKeyError(
                f"The master key file {path} is open to other users of this machine (mode {mode}). "
                f"Run: chmod 600 {path}"
            )
        return os.read(descriptor, _MAX_KEY_FILE_BYTES)
    except OSError as error:
        raise MasterKeyError(f"The master key file {path} cannot be read: {error.strerror}.") from error
    finally:
        os.close(descriptor)


def _refuse_weak(key: bytes, name: str) -> None:
    if len(key) != MASTER_KEY_BYTES:
        raise MasterKeyError(
            f"{name} has {len(key)} bytes instead of {MASTER_KEY_BYTES}. Restore it from your backup, or "
            "make one with: openssl rand -hex 32"
        )
    steps = {(after - before) % 256 for before, after in pairwise(key)}
    is_text = all(0x20 <= byte < 0x7F for byte in key)
    if len(set(key)) < _FEWEST_DIFFERENT_BYTES or len(steps) == 1 or key[:16] == key[16:] or is_text:
        raise MasterKeyError(
            f"{name} is a placeholder, not random bytes; anyone could guess it. Make one with: "
            "openssl rand -hex 32"
        )


def _associated(purpose: str, context: bytes) -> bytes:
    name = purpose.encode()
    return b"%b%d:%b%b" % (_VERSION, len(name), name, context)
