"""What an AWS client is told about each failure."""

from __future__ import annotations

import pytest
from botocore.loaders import Loader

from homeport.aws.faults import FAULTS, fault_of, query_fault_of
from homeport.aws.services import MODELS, SERVICE_NAMES
from homeport.kernel import errors

# In no model: common to the JSON protocol, so that every SDK knows them.
COMMON = {
    "AccessDeniedException",
    "ConflictException",
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "RequestEntityTooLargeException",
    "RequestExpiredException",
    "ResourceNotFoundException",
    "ThrottlingException",
    "UnknownOperationException",
    "UnrecognizedClientException",
}


def modelled(service: str) -> set[str]:
    """What the service's clients may read as the type of an error: the code where the model states one."""
    shapes = Loader(extra_search_paths=[str(MODELS)]).load_service_model(service, "service-2")["shapes"]
    return {
        shape.get("error", {}).get("code", name) for name, shape in shapes.items() if shape.get("exception")
    }


def test_every_exception_is_one_of_a_model_or_a_common_one() -> None:
    known = set().union(*map(modelled, SERVICE_NAMES))

    assert {name for name, _ in FAULTS.values()} <= known | COMMON


def test_a_failure_that_the_model_knows_by_name_has_that_name() -> None:
    for name in modelled("ecr") | modelled("homeport"):
        namesake = getattr(errors, name.removesuffix("Exception"), None)
        if namesake is not None:
            assert next(FAULTS[kind][0] for kind in namesake.__mro__ if kind in FAULTS) == name


def test_only_our_own_trouble_is_a_5xx() -> None:
    theirs = {errors.IdpCommunication}  # STS blames the provider that could not be reached, with a 400

    for kind, (_, status) in FAULTS.items():
        assert (status >= 500) is (issubclass(kind, errors.Unavailable) and kind not in theirs)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.InvalidParameter("a", "b"), ("InvalidParameterException", 400)),
        (errors.TagInvalid("x"), ("InvalidParameterException", 400)),
        (errors.ManifestInvalid("x"), ("InvalidParameterException", 400)),
        (errors.RepositoryNotFound("a", "1"), ("RepositoryNotFoundException", 400)),
        (errors.UploadNotFound("x"), ("UploadNotFoundException", 400)),
        (errors.LimitExceeded("x"), ("LimitExceededException", 400)),
        (errors.InvalidClientToken("x"), ("UnrecognizedClientException", 400)),
        (errors.AccessDenied("x"), ("AccessDeniedException", 400)),
        (errors.StorageFull("x"), ("ServerException", 500)),
    ],
)
def test_the_failures_of_daily_life_look_as_sdks_expect(
    error: errors.HomeportError, expected: tuple[str, int]
) -> None:
    assert fault_of(error) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.InvalidClientToken("x"), ("InvalidClientTokenId", 403)),
        (errors.SignatureDoesNotMatch("x"), ("SignatureDoesNotMatch", 403)),
        (errors.ExpiredToken("x"), ("ExpiredToken", 403)),
        (errors.AccessDenied("x"), ("AccessDenied", 403)),
        (errors.UnsupportedOperation("x"), ("InvalidAction", 400)),
        (errors.InvalidParameter("a", "b"), ("ValidationError", 400)),
        (errors.Unavailable("x"), ("InternalFailure", 500)),
        (errors.RepositoryNotFound("a", "1"), ("RepositoryNotFoundException", 400)),
    ],
)
def test_sts_says_the_same_in_the_words_of_the_query_protocol(
    error: errors.HomeportError, expected: tuple[str, int]
) -> None:
    assert query_fault_of(error) == expected


def test_a_failure_without_a_row_is_our_defect() -> None:
    assert fault_of(errors.HomeportError("x"))[1] == 500
