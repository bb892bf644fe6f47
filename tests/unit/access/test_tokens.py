"""Passwords, session tokens, download addresses and page positions: what they give and what they refuse."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.access.grants import DownloadGrant, SessionGrant
from homeport.access.key_ids import new_access_key_id, new_secret_access_key
from homeport.access.sealing import Sealer, Secret
from homeport.access.tokens import AuthorizationTokens, DownloadTokens, PageTokens, Scalar, SessionTokens
from homeport.kernel import errors

MASTER = bytes.fromhex("8f1c22d7a9b0e64f5507c3119dd8fa3b7e6a0452b1c9e80d33f7265a94eb10cd")
OTHER = bytes.fromhex("0b61d9f0832c5e17aa4490f1c76e285d19b3e70264cf8d3a51ee97b80c2fd446")
NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)
ACCOUNT = "123456789012"
ARN = f"arn:aws:iam::{ACCOUNT}:user/alice"
KEY = "AKIAIOSFODNN7EXAMPLE"
DIGEST = "sha256:" + "ab" * 32
POLICY = '{"Version":"2012-10-17","Statement":[]}'


def passwords(region: str = "eu-west-1", master: bytes = MASTER) -> AuthorizationTokens:
    return AuthorizationTokens(Sealer(master), region)


def sessions(master: bytes = MASTER) -> SessionTokens:
    return SessionTokens(Sealer(master))


def session_grant(seconds: int = 3600, policy: str | None = POLICY) -> SessionGrant:
    made = sessions().issue(ARN, ACCOUNT, KEY, seconds, NOW, policy)
    return sessions().read(made.session_token, made.access_key_id, NOW)


@dataclass(frozen=True)
class Kind:
    """One kind of token: a fresh one, how to read it, and how it is refused."""

    token: str
    read: Callable[[str], object]
    refusal: type[errors.HomeportError]


def kinds(master: bytes = MASTER) -> dict[str, Kind]:
    sealer = Sealer(master)
    session = SessionTokens(sealer).issue(ARN, ACCOUNT, KEY, 900, NOW, None)
    downloads, pages = DownloadTokens(sealer), PageTokens(sealer)
    password, _ = passwords(master=master).issue(ARN, ACCOUNT, KEY, NOW)
    return {
        "password": Kind(
            password, lambda text: passwords(master=master).read(text, NOW), errors.InvalidClientToken
        ),
        "session": Kind(
            session.session_token,
            lambda text: SessionTokens(sealer).read(text, session.access_key_id, NOW),
            errors.InvalidClientToken,
        ),
        "download": Kind(
            downloads.issue(7, DIGEST, NOW, 60), lambda text: downloads.read(text, NOW), errors.AccessDenied
        ),
        "page": Kind(
            pages.issue(ARN, "ListImages", "app", ["a", 1]),
            lambda text: pages.read(text, ARN, "ListImages", "app"),
            errors.InvalidParameter,
        ),
    }


# Every kind


@pytest.mark.parametrize("name", ["password", "session", "download", "page"])
def test_a_token_is_plain_ascii_that_fits_headers_addresses_and_passwords(name: str) -> None:
    token = kinds()[name].token

    assert re.fullmatch(r"[A-Za-z0-9_-]+", token)


@pytest.mark.parametrize("name", ["password", "session", "download", "page"])
def test_no_kind_of_token_is_accepted_as_another_kind(name: str) -> None:
    every = kinds()
    reader = every.pop(name)

    reader.read(reader.token)

    for other in every.values():
        with pytest.raises(reader.refusal):
            reader.read(other.token)


@pytest.mark.parametrize("name", ["password", "session", "download", "page"])
def test_changing_any_character_of_a_token_makes_it_useless(name: str) -> None:
    kind = kinds()[name]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

    for place, character in enumerate(kind.token):
        for bit in range(6):
            changed = alphabet[alphabet.index(character) ^ (1 << bit)]
            with pytest.raises(kind.refusal):
                kind.read(kind.token[:place] + changed + kind.token[place + 1 :])


@pytest.mark.parametrize("name", ["password", "session", "download", "page"])
def test_a_cut_padded_or_oversized_token_is_refused(name: str) -> None:
    kind = kinds()[name]

    for changed in (
        *(kind.token[:length] for length in range(len(kind.token))),
        kind.token + "=",
        kind.token + "==",
        kind.token + "A",
        kind.token + "\n",
        " " + kind.token,
        kind.token[:9] + "\n" + kind.token[9:],
        "A" * 8193,
        "A" * 1_000_000,
        "\u0660" * 80,
        "\udcff" * 80,
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
    ):
        with pytest.raises(kind.refusal):
            kind.read(changed)


@pytest.mark.parametrize("name", ["password", "session", "download", "page"])
def test_a_token_longer_than_the_limit_is_not_even_decrypted(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = kinds()[name]
    kind.read(kind.token)

    monkeypatch.setattr("homeport.access.sealed_fields.MAX_TOKEN_CHARACTERS", len(kind.token) - 1)

    with pytest.raises(kind.refusal):
        kind.read(kind.token)


def test_a_page_position_too_long_to_be_read_again_is_a_mistake_of_the_program() -> None:
    with pytest.raises(ValueError, match="too long"):
        PageTokens(Sealer(MASTER)).issue(ARN, "ListImages", "app", ["x" * 8192])


@given(
    st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode())
)
def test_garbage_is_refused_by_every_kind_with_its_own_error(text: str) -> None:
    for kind in kinds().values():
        with pytest.raises(kind.refusal):
            kind.read(text)


@pytest.mark.parametrize("name", ["password", "session", "download", "page"])
def test_tokens_of_another_installation_are_refused(name: str) -> None:
    kind = kinds()[name]
    foreign = kinds(OTHER)[name]

    with pytest.raises(kind.refusal):
        kind.read(foreign.token)


# Registry passwords


def test_a_registry_password_tells_who_asked_for_it() -> None:
    password, expires_at = passwords().issue(ARN, ACCOUNT, KEY, NOW)

    grant = passwords().read(password, NOW + SECOND)

    assert (grant.account, grant.principal_arn, grant.access_key_id) == (ACCOUNT, ARN, KEY)
    assert (grant.issued_at, grant.expires_at, grant.session) == (NOW, expires_at, None)


def test_a_registry_password_lives_exactly_twelve_hours() -> None:
    password, expires_at = passwords().issue(ARN, ACCOUNT, KEY, NOW)

    assert expires_at == NOW + timedelta(hours=12)
    assert passwords().read(password, expires_at - TICK).access_key_id == KEY
    for late in (expires_at, expires_at + timedelta(days=400)):
        with pytest.raises(errors.AuthorizationTokenExpired, match="Reauthenticate and try again"):
            passwords().read(password, late)


def test_a_registry_password_is_refused_before_its_time_but_for_small_differences_of_clocks() -> None:
    password, _ = passwords().issue(ARN, ACCOUNT, KEY, NOW)

    assert passwords().read(password, NOW - 5 * SECOND)
    with pytest.raises(errors.InvalidClientToken):
        passwords().read(password, NOW - 5 * SECOND - TICK)


def test_a_registry_password_of_one_region_is_refused_in_another() -> None:
    password, _ = passwords("eu-west-1").issue(ARN, ACCOUNT, KEY, NOW)

    with pytest.raises(errors.InvalidClientToken, match=re.escape("security token included in the request")):
        passwords("us-east-1").read(password, NOW)


def test_a_registry_password_ends_with_the_session_that_asked_for_it() -> None:
    session = session_grant(seconds=900)

    password, expires_at = passwords().issue(ARN, ACCOUNT, session.access_key_id, NOW, session)

    assert expires_at == session.expires_at == NOW + timedelta(seconds=900)
    with pytest.raises(errors.AuthorizationTokenExpired):
        passwords().read(password, expires_at)


def test_a_long_session_does_not_lengthen_a_registry_password() -> None:
    _, expires_at = passwords().issue(ARN, ACCOUNT, KEY, NOW, session_grant(seconds=129_600))

    assert expires_at == NOW + timedelta(hours=12)


def test_a_registry_password_keeps_the_limits_of_its_session_and_not_its_secret() -> None:
    session = session_grant()

    password, _ = passwords().issue(ARN, ACCOUNT, session.access_key_id, NOW, session)
    read = passwords().read(password, NOW).session

    assert read is not None
    assert not hasattr(read, "secret")
    for name in (
        "principal_arn",
        "account",
        "access_key_id",
        "parent_key_id",
        "expires_at",
        "session_policy",
    ):
        assert getattr(read, name) == getattr(session, name)


def test_a_session_that_is_over_cannot_ask_for_a_registry_password() -> None:
    session = session_grant(seconds=900)

    with pytest.raises(errors.ExpiredToken):
        passwords().issue(ARN, ACCOUNT, KEY, session.expires_at, session)


@pytest.mark.parametrize("policy", ['"' * 2048, "\u00ff" * 2048, "\t" * 2048])
def test_the_largest_session_policy_still_fits_both_kinds_of_token(policy: str) -> None:
    session = session_grant(policy=policy)

    password, _ = passwords().issue(ARN, ACCOUNT, session.access_key_id, NOW, session)
    read = passwords().read(password, NOW).session

    assert read is not None
    assert read.session_policy == session.session_policy == policy


# Session tokens


def test_temporary_credentials_have_the_shape_that_clients_expect() -> None:
    made = sessions().issue(ARN, ACCOUNT, KEY, 3600, NOW, POLICY)

    assert re.fullmatch(r"ASIA[A-Z2-7]{16}", made.access_key_id)
    assert re.fullmatch(r"[A-Za-z0-9/+]{40}", made.secret_access_key)
    assert made.expires_at == NOW + timedelta(hours=1)


def test_a_session_token_gives_back_owner_secret_and_limits() -> None:
    made = sessions().issue(ARN, ACCOUNT, KEY, 3600, NOW, POLICY)

    grant = sessions().read(made.session_token, made.access_key_id, NOW)

    assert grant == SessionGrant(
        principal_arn=ARN,
        account=ACCOUNT,
        access_key_id=made.access_key_id,
        parent_key_id=KEY,
        secret=Secret(made.secret_access_key),
        expires_at=made.expires_at,
        session_policy=POLICY,
        issued_at=NOW,
    )


def test_a_session_token_is_bound_to_its_access_key() -> None:
    one = sessions().issue(ARN, ACCOUNT, KEY, 3600, NOW, None)
    two = sessions().issue(ARN, ACCOUNT, KEY, 3600, NOW, None)

    for key in (two.access_key_id, KEY, "", one.access_key_id.lower()):
        with pytest.raises(errors.InvalidClientToken) as refusal:
            sessions().read(one.session_token, key, NOW)
        assert refusal.value.message == "The security token included in the request is invalid."


def test_a_session_token_ends_on_time() -> None:
    made = sessions().issue(ARN, ACCOUNT, KEY, 900, NOW, None)

    assert sessions().read(made.session_token, made.access_key_id, made.expires_at - TICK)
    with pytest.raises(errors.ExpiredToken) as refusal:
        sessions().read(made.session_token, made.access_key_id, made.expires_at)
    assert refusal.value.message == "The security token included in the request is expired"
    with pytest.raises(errors.InvalidClientToken):
        sessions().read(made.session_token, made.access_key_id, NOW - timedelta(minutes=1))


@pytest.mark.parametrize(("seconds", "words"), [(899, "greater than or equal to 900"), (129_601, "129600")])
def test_a_session_outside_the_bounds_of_sts_is_refused(seconds: int, words: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=words):
        sessions().issue(ARN, ACCOUNT, KEY, seconds, NOW, None)


@pytest.mark.parametrize("policy", ["", "x" * 2049, "\u0100", "a\x00b", "a\x7f\x1f"])
def test_a_session_policy_outside_the_bounds_of_sts_is_refused(policy: str) -> None:
    with pytest.raises(errors.InvalidParameter, match="policy"):
        sessions().issue(ARN, ACCOUNT, KEY, 900, NOW, policy)


def test_credentials_and_grants_do_not_show_secrets_in_their_text() -> None:
    made = sessions().issue(ARN, ACCOUNT, KEY, 900, NOW, POLICY)
    grant = sessions().read(made.session_token, made.access_key_id, NOW)
    password, _ = passwords().issue(ARN, ACCOUNT, made.access_key_id, NOW, grant)

    texts = [
        repr(made),
        repr(grant),
        str(grant),
        repr(passwords().read(password, NOW)),
        repr(passwords()),
        repr(sessions()),
    ]

    for text in texts:
        for secret in (made.secret_access_key, made.session_token, password, MASTER.hex()):
            assert secret not in text


# Download addresses


def test_a_download_address_names_one_blob_until_it_expires() -> None:
    downloads = DownloadTokens(Sealer(MASTER))
    end = NOW + timedelta(seconds=60)

    token = downloads.issue(7, DIGEST, NOW, 60)

    assert downloads.read(token, end - TICK) == DownloadGrant(7, DIGEST)
    with pytest.raises(errors.AccessDenied, match="expired"):
        downloads.read(token, end)


@pytest.mark.parametrize("seconds", [-1, 0, 59, 43_201])
def test_a_download_address_cannot_be_configured_to_live_too_short_or_too_long(seconds: int) -> None:
    with pytest.raises(ValueError, match="60 to 43200"):
        DownloadTokens(Sealer(MASTER)).issue(7, DIGEST, NOW, seconds)


# Page positions


@given(
    st.lists(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63)
        | st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
        | st.floats(allow_nan=False, allow_infinity=False),
        max_size=6,
    )
)
def test_a_page_token_gives_back_the_position_that_it_was_made_from(position: list[Scalar]) -> None:
    pages = PageTokens(Sealer(MASTER))

    token = pages.issue(ARN, "ListImages", "app", position)

    assert pages.read(token, ARN, "ListImages", "app") == position


def test_a_page_token_of_another_caller_operation_or_filter_is_refused() -> None:
    pages = PageTokens(Sealer(MASTER))
    token = pages.issue("alice", "ListImages", "app", ["latest"])

    for caller, operation, scope in (
        ("bob", "ListImages", "app"),
        ("alice", "DescribeImages", "app"),
        ("alice", "ListImages", "app2"),
        ("aliceList", "Images", "app"),
        ("alice", "ListImagesapp", ""),
    ):
        with pytest.raises(errors.InvalidParameter, match="nextToken"):
            pages.read(token, caller, operation, scope)


# Keys


def test_new_keys_have_the_shapes_of_iam_and_do_not_repeat() -> None:
    made = [(new_access_key_id(), new_secret_access_key()) for _ in range(200)]

    for key_id, secret in made:
        assert re.fullmatch(r"AKIA[A-Z2-7]{16}", key_id)
        assert re.fullmatch(r"[A-Za-z0-9/+]{40}", secret)
    assert len({part for row in made for part in row}) == 400
