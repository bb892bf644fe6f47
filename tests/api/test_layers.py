"""Layers through the API: availability, upload by parts, download addresses."""

from __future__ import annotations

import os
import random
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from homeport.kernel import limits
from tests.api.calls import MISSING, at_once, put, refused, upload
from tests.harness.images import OCI_LAYER, random_image, sha256
from tests.harness.oci import OciClient
from tests.harness.server import Credentials, Homeport

PART = 5 * 1024 * 1024
NO_UPLOAD = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def upload_id(ecr: Any, repository: str) -> str:
    """A layer upload that has been begun in `repository`."""
    begun: str = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
    return begun


@pytest.fixture
def send(ecr: Any, repository: str, upload_id: str) -> Callable[[int, bytes], Any]:
    """`send(first, data)` uploads a part of that upload."""

    def part(first: int, data: bytes) -> Any:
        return ecr.upload_layer_part(
            repositoryName=repository,
            uploadId=upload_id,
            partFirstByte=first,
            partLastByte=first + len(data) - 1,
            layerPartBlob=data,
        )

    return part


def complete(ecr: Any, repository: str, upload_id: str, digest: str) -> Any:
    return ecr.complete_layer_upload(repositoryName=repository, uploadId=upload_id, layerDigests=[digest])


def test_a_layer_in_three_parts_is_whole_and_available(
    ecr: Any,
    account: str,
    repository: str,
    upload_id: str,
    send: Callable[[int, bytes], Any],
    oci: OciClient,
) -> None:
    data = random.randbytes(2 * PART + 77)

    answers = [send(first, data[first : first + PART]) for first in range(0, len(data), PART)]
    done = complete(ecr, repository, upload_id, sha256(data))

    assert [answer["lastByteReceived"] for answer in answers] == [PART - 1, 2 * PART - 1, len(data) - 1]
    assert {answer["uploadId"] for answer in answers} == {upload_id}
    del done["ResponseMetadata"]
    assert done == {
        "registryId": account,
        "repositoryName": repository,
        "uploadId": upload_id,
        "layerDigest": sha256(data),
    }
    assert oci.pull_blob(repository, sha256(data)) == data


def test_the_proposed_part_size_is_the_one_of_ecr(ecr: Any, repository: str) -> None:
    assert ecr.initiate_layer_upload(repositoryName=repository)["partSize"] == 10_485_760


def test_a_small_part_before_the_last_is_refused_at_completion(
    ecr: Any, repository: str, upload_id: str, send: Callable[[int, bytes], Any]
) -> None:
    send(0, b"too small")
    send(9, b"the rest")

    code, message = refused(complete, ecr=ecr, repository=repository, upload_id=upload_id, digest=MISSING)

    assert code == "LayerPartTooSmallException"
    assert str(PART) in message


@pytest.mark.parametrize("first", [0, 2, 4, 1000])
def test_a_part_elsewhere_than_at_the_end_is_refused_with_the_last_good_byte(
    account: str, repository: str, upload_id: str, send: Callable[[int, bytes], Any], first: int
) -> None:
    send(0, b"abc")

    with pytest.raises(ClientError) as caught:
        send(first, b"defg")
    went_on = send(3, b"defg")

    answer: Any = caught.value.response
    assert answer["Error"]["Code"] == "InvalidLayerPartException"
    assert answer["registryId"] == account
    assert answer["repositoryName"] == repository
    assert answer["uploadId"] == upload_id
    assert answer["lastValidByteReceived"] == 2
    assert went_on["lastByteReceived"] == 6


@pytest.mark.parametrize(("last", "data"), [(1, b"abc"), (3, b"abc"), (0, b"")])
def test_a_part_that_is_not_as_long_as_it_says_is_refused(
    ecr: Any, repository: str, upload_id: str, last: int, data: bytes
) -> None:
    code, _ = refused(
        ecr.upload_layer_part,
        repositoryName=repository,
        uploadId=upload_id,
        partFirstByte=0,
        partLastByte=last,
        layerPartBlob=data,
    )

    assert code == "InvalidLayerPartException"


def test_an_upload_without_parts_is_refused_and_can_go_on(
    ecr: Any, repository: str, upload_id: str, send: Callable[[int, bytes], Any]
) -> None:
    code, _ = refused(complete, ecr=ecr, repository=repository, upload_id=upload_id, digest=MISSING)
    send(0, b"after all")
    done = complete(ecr, repository, upload_id, sha256(b"after all"))

    assert code == "EmptyUploadException"
    assert done["layerDigest"] == sha256(b"after all")


def test_bytes_that_do_not_have_the_digest_are_thrown_away(
    ecr: Any, repository: str, upload_id: str, send: Callable[[int, bytes], Any]
) -> None:
    data = random.randbytes(100)
    send(0, data)

    code, message = refused(complete, ecr=ecr, repository=repository, upload_id=upload_id, digest=MISSING)
    again, _ = refused(complete, ecr=ecr, repository=repository, upload_id=upload_id, digest=sha256(data))

    found = ecr.batch_check_layer_availability(
        repositoryName=repository, layerDigests=[MISSING, sha256(data)]
    )
    assert code == "InvalidLayerException"
    assert sha256(data) in message
    assert again == "UploadNotFoundException"
    assert {each["layerAvailability"] for each in found["layers"]} == {"UNAVAILABLE"}


def test_a_layer_that_is_there_already_is_reported(
    ecr: Any, account: str, repository: str, upload_id: str, send: Callable[[int, bytes], Any]
) -> None:
    data = random.randbytes(100)
    upload(ecr, repository, data)
    send(0, data)

    refusal = refused(complete, ecr=ecr, repository=repository, upload_id=upload_id, digest=sha256(data))

    assert refusal == (
        "LayerAlreadyExistsException",
        f"The layer with digest '{sha256(data)}' already exists in the repository with name '{repository}' "
        f"in registry with id '{account}'",
    )


def test_a_completion_whose_answer_was_lost_is_told_at_the_next_try_that_the_layer_is_there(
    ecr: Any, account: str, repository: str, upload_id: str, send: Callable[[int, bytes], Any], oci: OciClient
) -> None:
    data = random.randbytes(100)
    send(0, data)
    complete(ecr, repository, upload_id, sha256(data))

    again = [
        refused(complete, ecr=ecr, repository=repository, upload_id=upload_id, digest=digest)
        for digest in (sha256(data), MISSING)
    ]

    assert again == [
        (
            "LayerAlreadyExistsException",
            f"The layer with digest '{sha256(data)}' already exists in the repository with name "
            f"'{repository}' in registry with id '{account}'",
        ),
        (
            "UploadNotFoundException",
            f"The upload with id '{upload_id}' does not exist in the repository with name '{repository}' "
            f"in the registry with id '{account}'",
        ),
    ]
    assert oci.pull_blob(repository, sha256(data)) == data


def test_a_layer_of_another_repository_does_not_answer_for_an_upload_that_is_gone(
    ecr: Any, repository: str, upload_id: str, new_repository: Callable[[], str]
) -> None:
    digest = upload(ecr, repository, random.randbytes(100))
    other = new_repository()

    code, _ = refused(complete, ecr=ecr, repository=other, upload_id=upload_id, digest=digest)

    assert code == "UploadNotFoundException"


def nearly_full(homeport: Homeport, upload_id: str, room: int) -> Path:
    """Make an upload as if all but `room` bytes of the largest layer had come; return its staged file, a sparse one."""
    size = limits.LAYER_BYTES - room
    with closing(sqlite3.connect(homeport.data / "homeport.db", timeout=30)) as db, db:
        (key,) = db.execute("SELECT storage_key FROM upload WHERE id = ?", (upload_id,)).fetchone()
        db.execute("UPDATE upload SET offset = ? WHERE id = ?", (size, upload_id))
    staged = homeport.data / "blobs" / "staging" / str(key).removeprefix("data/")
    os.truncate(staged, size)
    return staged


def test_a_layer_may_be_as_large_as_the_limit_and_one_byte_more_ends_the_upload(
    homeport: Homeport, upload_id: str, send: Callable[[int, bytes], Any]
) -> None:
    send(0, b"begun")
    staged = nearly_full(homeport, upload_id, room=4)

    filled = send(limits.LAYER_BYTES - 4, b"last")
    code, message = refused(send, first=limits.LAYER_BYTES, data=b"x")

    assert filled["lastByteReceived"] == limits.LAYER_BYTES - 1
    assert code == "LimitExceededException"
    assert str(limits.LAYER_BYTES) in message
    assert refused(send, first=limits.LAYER_BYTES, data=b"x")[0] == "UploadNotFoundException"
    assert not staged.exists()


@pytest.mark.parametrize("upload_id", [NO_UPLOAD])
def test_an_unknown_upload_is_refused(
    ecr: Any, account: str, repository: str, send: Callable[[int, bytes], Any], upload_id: str
) -> None:
    part = refused(send, first=0, data=b"abc")
    done = refused(complete, ecr=ecr, repository=repository, upload_id=upload_id, digest=MISSING)

    assert part == done
    assert part == (
        "UploadNotFoundException",
        f"The upload with id '{upload_id}' does not exist in the repository with name '{repository}' "
        f"in the registry with id '{account}'",
    )


def test_an_upload_belongs_to_its_repository(
    ecr: Any, upload_id: str, new_repository: Callable[[], str]
) -> None:
    other = new_repository()

    code, _ = refused(
        ecr.upload_layer_part,
        repositoryName=other,
        uploadId=upload_id,
        partFirstByte=0,
        partLastByte=0,
        layerPartBlob=b"x",
    )

    assert code == "UploadNotFoundException"


def test_a_finished_upload_is_over(
    ecr: Any, repository: str, upload_id: str, send: Callable[[int, bytes], Any]
) -> None:
    data = random.randbytes(50)
    send(0, data)
    complete(ecr, repository, upload_id, sha256(data))

    assert refused(send, first=50, data=b"more")[0] == "UploadNotFoundException"


def test_an_upload_begun_by_the_api_is_finished_over_oci(
    repository: str, upload_id: str, send: Callable[[int, bytes], Any], oci: OciClient
) -> None:
    data = random.randbytes(100)
    send(0, data[:60])
    location = f"/v2/{repository}/blobs/uploads/{upload_id}"

    told = oci.request("GET", location).expect(204)
    oci.request("PUT", location, body=data[60:], query={"digest": sha256(data)}).expect(201)

    assert told.header("Range") == "0-59"
    assert oci.pull_blob(repository, sha256(data)) == data


def test_of_many_who_send_the_same_part_one_succeeds(
    ecr: Any, repository: str, upload_id: str, send: Callable[[int, bytes], Any]
) -> None:
    parts = [bytes([number]) * 1000 for number in range(8)]

    outcomes = at_once(lambda part: send(0, part), parts)

    winner = parts[outcomes.index("done")]
    assert sorted(outcomes) == ["InvalidLayerPartException"] * 7 + ["done"]
    assert complete(ecr, repository, upload_id, sha256(winner))["layerDigest"] == sha256(winner)


# --- BatchCheckLayerAvailability ---


def test_layers_are_reported_one_by_one(ecr: Any, repository: str) -> None:
    image = random_image()
    put(ecr, repository, image, "v1")
    loose = upload(ecr, repository, random.randbytes(33))
    layer = image.layers[0]
    asked = [layer.digest, loose, MISSING, "", "sha256:short", "md5:" + "0" * 32]

    found = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=asked)

    assert found["layers"] == [
        {
            "layerDigest": layer.digest,
            "layerAvailability": "AVAILABLE",
            "layerSize": layer.size,
            "mediaType": OCI_LAYER,
        },
        {"layerDigest": loose, "layerAvailability": "AVAILABLE", "layerSize": 33},
        {"layerDigest": MISSING, "layerAvailability": "UNAVAILABLE"},
    ]
    assert [(each["layerDigest"], each["failureCode"]) for each in found["failures"]] == [
        ("", "MissingLayerDigest"),
        ("sha256:short", "InvalidLayerDigest"),
        ("md5:" + "0" * 32, "InvalidLayerDigest"),
    ]


# --- GetDownloadUrlForLayer ---


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as body:
        data: bytes = body.read()
    return data


def test_a_download_address_yields_the_layer_without_credentials(
    homeport: Homeport, ecr: Any, repository: str
) -> None:
    image = random_image(layer_bytes=300_000)
    put(ecr, repository, image, "v1")
    layer = image.layers[0]

    answer = ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=layer.digest)

    assert answer["layerDigest"] == layer.digest
    assert answer["downloadUrl"].startswith(f"{homeport.url}/")
    assert fetch(answer["downloadUrl"]) == layer.data


def test_a_changed_download_address_yields_nothing(ecr: Any, repository: str) -> None:
    image = random_image()
    put(ecr, repository, image, "v1")
    url = ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=image.layers[0].digest)[
        "downloadUrl"
    ]
    place = len(url) - 20
    changed = url[:place] + ("A" if url[place] != "A" else "B") + url[place + 1 :]

    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(changed)

    assert caught.value.code == 403
    caught.value.close()


def test_a_download_address_ends_with_its_repository(ecr: Any, repository: str) -> None:
    image = random_image()
    put(ecr, repository, image, "v1")
    url = ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=image.layers[0].digest)[
        "downloadUrl"
    ]
    ecr.delete_repository(repositoryName=repository, force=True)
    ecr.create_repository(repositoryName=repository)

    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(url)

    assert caught.value.code == 404
    caught.value.close()


def test_a_layer_without_an_image_has_no_download_address(ecr: Any, repository: str) -> None:
    digest = upload(ecr, repository, random.randbytes(10))

    code, message = refused(ecr.get_download_url_for_layer, repositoryName=repository, layerDigest=digest)

    assert code == "LayerInaccessibleException"
    assert digest in message


def test_an_unknown_layer_has_no_download_address(ecr: Any, account: str, repository: str) -> None:
    refusal = refused(ecr.get_download_url_for_layer, repositoryName=repository, layerDigest=MISSING)

    assert refusal == (
        "LayersNotFoundException",
        f"The layer with digest '{MISSING}' does not exist in the repository with name '{repository}' "
        f"in the registry with id '{account}'",
    )


def test_a_text_that_is_no_digest_is_refused(ecr: Any, repository: str) -> None:
    code, _ = refused(ecr.get_download_url_for_layer, repositoryName=repository, layerDigest="latest")

    assert code == "InvalidParameterException"


def test_another_user_cannot_continue_an_upload(
    homeport: Homeport, repository: str, upload_id: str, pusher: Credentials
) -> None:
    theirs: Any = homeport.client(credentials=pusher)

    code, _ = refused(
        theirs.upload_layer_part,
        repositoryName=repository,
        uploadId=upload_id,
        partFirstByte=0,
        partLastByte=0,
        layerPartBlob=b"x",
    )

    assert code == "UploadNotFoundException"
