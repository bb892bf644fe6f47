"""The requests to one bucket: obstore reads, lists, deletes and signs, botocore writes.

obstore costs a quarter of botocore's CPU per range, but cannot continue a multipart upload that another process
began; botocore can (docs/adr/). Nothing here asks the server to check a condition or a checksum for us. Messages name
no endpoint and no key, since they may reach a client. Heavy libraries: import this module only when S3 is configured.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import botocore.session
import obstore
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import BaseError
from obstore.store import S3Store

from homeport.blobs.port import BlobDamaged, BlobMissing
from homeport.blobs.s3_place import S3Place
from homeport.kernel.clock import SystemClock
from homeport.kernel.errors import HomeportError, StorageFull, Unavailable

_CONNECTIONS: Final = 32
_FULL: Final = frozenset({"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "EntityTooLarge"})
_DELETE_AT_ONCE: Final = 1000


class UploadGone(Exception):
    """The multipart upload is not open any more: completed or aborted."""


@dataclass(frozen=True, slots=True)
class Part:
    """One uploaded part: its number, how many bytes it has, and what the server called it."""

    number: int
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Found:
    """An object of a listing; `name` is below the place's prefix."""

    name: str
    size: int
    changed_at: datetime


def _refusal(error: Exception, action: str) -> HomeportError:
    code = ""
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _FULL:
            return StorageFull(
                "No space left to store the blob; raise the quota of the bucket, then push again"
            )
    what = code or type(error).__name__
    return Unavailable(
        f"The object store could not {action} ({what}); if this persists, check it and its settings"
    )


@contextlib.contextmanager
def _refusing(action: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError, BaseError) as error:
        raise _refusal(error, action) from error


class Bucket:
    """One place, open. Safe to share between threads, not over a fork.

    `access_key_id` and `secret_access_key`: by default they are found as every AWS program finds them.
    Raises Unavailable without credentials.
    """

    def __init__(
        self, place: S3Place, access_key_id: str | None = None, secret_access_key: str | None = None
    ) -> None:
        self._place = place
        self._root = f"{place.prefix}/" if place.prefix else ""
        session = botocore.session.Session()
        if access_key_id and secret_access_key:
            session.set_credentials(access_key_id, secret_access_key)
        with _refusing("find credentials"):
            self._credentials = session.get_credentials()
        if self._credentials is None:
            raise Unavailable(
                "There are no credentials for the object store; set AWS_ACCESS_KEY_ID and its secret"
            )
        # Its methods are made from the service's description when it is opened.
        self._writes: Any = session.create_client(
            "s3",
            region_name=place.region,
            endpoint_url=place.endpoint,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path" if place.path_style else "virtual"},
                retries={"mode": "standard", "total_max_attempts": 5},
                connect_timeout=5,
                read_timeout=60,
                max_pool_connections=_CONNECTIONS,
                # Older servers refuse the trailing checksums that newer clients send by themselves.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        self._reads = self._reading(place)

    def _reading(self, place: S3Place) -> S3Store:
        plain = place.endpoint is not None and place.endpoint.startswith("http://")
        return S3Store(
            place.bucket,
            prefix=place.prefix or None,
            region=place.region,
            virtual_hosted_style_request=not place.path_style,
            client_options={"allow_http": plain, "connect_timeout": "5s", "timeout": "60s"},
            retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=60)},
            credential_provider=self._credential,
            config={"endpoint": place.endpoint} if place.endpoint else {},
        )

    def _credential(self) -> Any:
        """What obstore asks for; it asks again when the time is up, and botocore renews what has to be renewed."""
        assert self._credentials is not None
        frozen = self._credentials.get_frozen_credentials()
        until = SystemClock().now() + timedelta(minutes=5)
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": until if hasattr(self._credentials, "refresh_needed") else None,
        }

    def _named(self, name: str) -> dict[str, str]:
        return {"Bucket": self._place.bucket, "Key": self._root + name}

    # --- Reading ---

    def size(self, name: str) -> int | None:
        """Return the size of an object in bytes, None when there is none. Raises Unavailable."""
        try:
            with _refusing("look at a blob"):
                return int(obstore.head(self._reads, name)["size"])
        except FileNotFoundError:
            return None

    def etag(self, name: str) -> str:
        """Return what the server calls an object; empty when there is none. Raises Unavailable."""
        try:
            with _refusing("look at a blob"):
                return str(obstore.head(self._reads, name)["e_tag"] or "").strip('"')
        except FileNotFoundError:
            return ""

    def get(self, name: str, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`, fewer where the object ends. Raises BlobMissing, Unavailable."""
        try:
            with _refusing("read a blob"):
                return bytes(obstore.get_range(self._reads, name, start=start, length=length))
        except FileNotFoundError:
            raise BlobMissing(name) from None

    def get_whole(self, name: str) -> bytes:
        """Return all of a small object. Raises BlobMissing, Unavailable."""
        try:
            with _refusing("read a blob"):
                return bytes(obstore.get(self._reads, name).bytes())
        except FileNotFoundError:
            raise BlobMissing(name) from None

    def listed(self, folder: str) -> Iterator[Found]:
        """Yield what lies below `folder`, in the order of names. Raises Unavailable."""
        with _refusing("list the blobs"):
            for page in obstore.list(self._reads, folder, chunk_size=1000):
                for each in page:
                    yield Found(each["path"], int(each["size"]), each["last_modified"])

    def beginning(self, prefix: str) -> list[str]:
        """Return the names of the few objects that begin with `prefix`, at most a thousand. Raises Unavailable."""
        with _refusing("list the blobs"):
            answer = self._writes.list_objects_v2(Bucket=self._place.bucket, Prefix=self._root + prefix)
        return [each["Key"].removeprefix(self._root) for each in answer.get("Contents", [])]

    def sign(self, name: str, seconds: int) -> str:
        """Return an address that reads the object for so long, whoever has it. Sends nothing. Raises Unavailable."""
        with _refusing("sign an address"):
            return str(obstore.sign(self._reads, "GET", name, timedelta(seconds=seconds)))

    # --- Writing ---

    def put(self, name: str, content: bytes, storage_class: str | None = None) -> None:
        """Write a small object whole. Raises StorageFull, Unavailable."""
        more = {"StorageClass": storage_class} if storage_class else {}
        with _refusing("write the blob"):
            self._writes.put_object(**self._named(name), Body=content, **more)

    def delete(self, names: Sequence[str]) -> None:
        """Remove objects, silent about absent ones. Raises Unavailable."""
        for first in range(0, len(names), _DELETE_AT_ONCE):
            some = list(names[first : first + _DELETE_AT_ONCE])
            with contextlib.suppress(FileNotFoundError), _refusing("discard the blob"):
                obstore.delete(self._reads, some[0] if len(some) == 1 else some)

    def begin(self, name: str, storage_class: str | None = None) -> str:
        """Open a multipart upload and return its id. Raises StorageFull, Unavailable."""
        more = {"StorageClass": storage_class} if storage_class else {}
        with _refusing("begin the blob"):
            return str(self._writes.create_multipart_upload(**self._named(name), **more)["UploadId"])

    def upload(self, name: str, upload: str, number: int, content: bytes) -> Part:
        """Store one part; one of the same number is replaced. Raises UploadGone, StorageFull, Unavailable."""
        with _refusing("write the blob"):
            try:
                answer = self._writes.upload_part(
                    **self._named(name), UploadId=upload, PartNumber=number, Body=content
                )
            except ClientError as error:
                if _code(error) == "NoSuchUpload":
                    raise UploadGone from error
                raise
        return Part(number, len(content), str(answer["ETag"]).strip('"'))

    def complete(self, name: str, upload: str, parts: Sequence[Part]) -> str:
        """Make the object of exactly these parts; return what the server calls it, empty where it does not say.

        Raises UploadGone, BlobDamaged when a part is not there as it was stored, StorageFull, Unavailable.
        """
        listed = [{"PartNumber": part.number, "ETag": f'"{part.etag}"'} for part in parts]
        with _refusing("finish the blob"):
            try:
                answer = self._writes.complete_multipart_upload(
                    **self._named(name), UploadId=upload, MultipartUpload={"Parts": listed}
                )
            except ClientError as error:
                if _code(error) == "NoSuchUpload":
                    raise UploadGone from error
                if _code(error) in ("InvalidPart", "InvalidPartOrder", "EntityTooSmall"):
                    raise BlobDamaged(f"{name}: {_code(error)}") from error
                raise
        return str(answer.get("ETag", "")).strip('"')

    def parts(self, name: str, upload: str) -> list[Part]:
        """Return all parts of a multipart upload, in the order of numbers. Raises Unavailable."""
        with _refusing("finish the blob"):
            pages = self._writes.get_paginator("list_parts").paginate(**self._named(name), UploadId=upload)
            found = [each for page in pages for each in page.get("Parts", [])]
        return [Part(each["PartNumber"], each["Size"], each["ETag"].strip('"')) for each in found]

    def copy(self, source: str, start: int, size: int, name: str, upload: str, number: int) -> Part:
        """Let bytes of an object be a part, without moving them through here. Raises StorageFull, Unavailable."""
        with _refusing("finish the blob"):
            answer = self._writes.upload_part_copy(
                **self._named(name),
                UploadId=upload,
                PartNumber=number,
                CopySource={"Bucket": self._place.bucket, "Key": self._root + source},
                CopySourceRange=f"bytes={start}-{start + size - 1}",
            )
        return Part(number, size, str(answer["CopyPartResult"]["ETag"]).strip('"'))

    def abort_all(self, prefix: str) -> None:
        """Abort every multipart upload whose object's name begins with `prefix`. Raises Unavailable."""
        with _refusing("discard the blob"):
            pages = self._writes.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._place.bucket, Prefix=self._root + prefix
            )
            found = [each for page in pages for each in page.get("Uploads", [])]
            for each in found:
                if not each["Key"].startswith(self._root + prefix):  # not every server looks at the prefix
                    continue
                with contextlib.suppress(self._writes.exceptions.NoSuchUpload):
                    self._writes.abort_multipart_upload(
                        Bucket=self._place.bucket, Key=each["Key"], UploadId=each["UploadId"]
                    )

    def reach(self) -> None:
        """Return when the bucket answers. Raises Unavailable."""
        with _refusing("reach its bucket"):
            self._writes.head_bucket(Bucket=self._place.bucket)

    def close(self) -> None:
        """Let go of connections."""
        self._writes.close()


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
