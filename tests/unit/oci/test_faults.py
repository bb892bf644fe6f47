"""What an OCI client is told about each failure."""

from __future__ import annotations

import json

import pytest

from homeport.kernel import errors
from homeport.oci.faults import FAULTS, body_of, fault_of

SPECIFIED = {
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
}
OF_DOCKER_AND_ECR = {"TAG_INVALID", "UNAVAILABLE"}


def test_every_code_is_one_that_clients_know() -> None:
    assert {code for _, code in FAULTS.values()} <= SPECIFIED | OF_DOCKER_AND_ECR


def test_only_our_own_trouble_is_a_5xx() -> None:
    for kind, (status, _) in FAULTS.items():
        assert (status >= 500) is issubclass(kind, errors.Unavailable)
        assert 400 <= status <= 503


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.NameInvalid("x"), (400, "NAME_INVALID")),
        (errors.DigestInvalid("x"), (400, "DIGEST_INVALID")),
        (errors.ManifestInvalid("x"), (400, "MANIFEST_INVALID")),
        (errors.TooLarge("x"), (413, "SIZE_INVALID")),
        (errors.RangeInvalid("x", 0), (416, "BLOB_UPLOAD_INVALID")),
        (errors.RepositoryNotFound("a", "1"), (404, "NAME_UNKNOWN")),
        (errors.ImageNotFound("x"), (404, "MANIFEST_UNKNOWN")),
        (errors.BlobUnknown("x"), (404, "BLOB_UNKNOWN")),
        (errors.UploadNotFound("x"), (404, "BLOB_UPLOAD_UNKNOWN")),
        (errors.ImageTagAlreadyExists("v1", "a"), (400, "TAG_INVALID")),
        (errors.SignatureDoesNotMatch("x"), (401, "UNAUTHORIZED")),
        (errors.AuthorizationTokenExpired(), (403, "DENIED")),
        (errors.AccessDenied("x"), (403, "DENIED")),
        (errors.StorageFull("x"), (503, "UNAVAILABLE")),
    ],
)
def test_the_failures_of_daily_life_look_as_clients_expect(
    error: errors.HomeportError, expected: tuple[int, str]
) -> None:
    assert fault_of(error) == expected


def test_a_failure_without_a_row_is_our_defect() -> None:
    assert fault_of(errors.HomeportError("x"))[0] == 500


def test_an_error_body_is_the_json_of_the_specification_whatever_the_message_holds() -> None:
    body = json.loads(body_of("NAME_INVALID", 'a "quoted" \n \u202e name'))

    assert body == {"errors": [{"code": "NAME_INVALID", "message": 'a "quoted" \n \u202e name'}]}
