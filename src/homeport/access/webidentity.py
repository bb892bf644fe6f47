"""Verifies the tokens of other issuers: OpenID Connect ID tokens that CI systems and clusters bring.

What a token says about its own verification is never believed: which algorithm goes with which key follows from the
issuer's key set alone, keys in the token are ignored, and a key set comes from the operator or from the issuer's own
discovery document. Security cases A1, A2 and A27. Contract: STS AssumeRoleWithWebIdentity; OpenID Connect Core 1.0,
section 3.1.3.7; RFC 7515 to 7519; RFC 8725.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from homeport.access.keysets import KeyRecord, KeySets
from homeport.access.principals import Principals, Provider
from homeport.kernel.errors import ExpiredWebIdentityToken, IdpRejectedClaim, InvalidIdentityToken

TOKEN_CHARS: Final = 20_000  # STS: WebIdentityToken
CLAIMS: Final = 64  # ours: claims that become condition keys
CLAIM_CHARS: Final = 256  # ours: of one value of those
CLAIM_VALUES: Final = 20  # ours: of one claim
SUBJECT_CHARS: Final = 255  # STS: SubjectFromWebIdentityToken
SKEW: Final = timedelta(seconds=60)  # ours: how far the issuer's clock may be ahead
TAGS: Final = 50  # STS
_TAGS: Final = "https://aws.amazon.com/tags"
_SOURCE: Final = "https://aws.amazon.com/source_identity"
_PART: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_NAME: Final = re.compile(r"[a-z0-9_.:/-]{1,128}")
_TAG_KEY: Final = re.compile(r"[\w .:/=+\-@]{1,128}")
_TAG_VALUE: Final = re.compile(r"[\w .:/=+\-@]{0,256}")
_SOURCE_NAME: Final = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MOMENT: Final = 253_402_300_799  # the end of the year 9999


@dataclass(frozen=True, slots=True)
class WebIdentity:
    """Somebody whom a trusted provider vouches for. `claims` are condition keys in lower case."""

    provider: Provider
    subject: str
    audience: str
    claims: Mapping[str, tuple[str, ...]]
    tags: tuple[tuple[str, str], ...]
    transitive: tuple[str, ...]
    source_identity: str | None


class WebIdentities:
    """Verifies tokens against the providers that an account trusts."""

    def __init__(self, principals: Principals, key_sets: KeySets) -> None:
        self._principals = principals
        self._key_sets = key_sets

    async def verify(self, token: str, account: str, now: datetime) -> WebIdentity:
        """Return whom `token` is about, for the providers of `account`.

        Errors: InvalidIdentityToken, ExpiredWebIdentityToken, IdpRejectedClaim, IdpCommunication.
        """
        header, unproven = opened(token)
        issuer = unproven.get("iss")
        if not isinstance(issuer, str) or not issuer:
            _invalid("Missing a required claim: iss")
        url = issuer.removeprefix("https://")
        provider = await self._principals.provider(account, url) if url != issuer else None
        if provider is None:
            _invalid(f"No OpenIDConnect provider found in your account for {issuer[:255]}")
        kid = header.get("kid")
        if "crit" in header or not isinstance(kid, str | None):
            _invalid("The header of the token is not one that can be verified")
        record = await self._key_sets.key(provider, kid, now)
        if header.get("alg") != record.algorithm:
            _invalid("The algorithm of the token is not the one of the provider's key")
        return identity_of(provider, issuer, proven(token, record), now)


def opened(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return header and claims of a token, of which nothing is proven. Errors: InvalidIdentityToken."""
    parts = token.split(".", 3) if len(token) <= TOKEN_CHARS else []
    if len(parts) != 3:
        _invalid(
            "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
        )
    return _json(parts[0]), _json(parts[1])


def proven(token: str, record: KeyRecord) -> Mapping[str, Any]:
    """Return the claims when the token was signed with the key. Errors: InvalidIdentityToken."""
    try:
        registry = JWSRegistry(algorithms=[record.algorithm], strict_check_header=False)
        jws.deserialize_compact(token, record.key, registry=registry)
    except (JoseError, ValueError, TypeError, KeyError):
        _invalid("The signature of the token is not valid")
    return opened(token)[1]


def identity_of(provider: Provider, issuer: str, claims: Mapping[str, Any], now: datetime) -> WebIdentity:
    """Return whom proven claims are about, when they are for us and for now.

    Errors: InvalidIdentityToken, ExpiredWebIdentityToken, IdpRejectedClaim.
    """
    if claims.get("iss") != issuer:
        _invalid("The issuer of the token is not the provider")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        _invalid("Missing a required claim: sub")
    if len(subject) > SUBJECT_CHARS:
        raise IdpRejectedClaim(f"The claim sub is longer than {SUBJECT_CHARS} characters")
    stated = claims.get("aud")
    audiences = [stated] if isinstance(stated, str) else stated
    if (
        not isinstance(audiences, list)
        or not audiences
        or not all(isinstance(each, str) for each in audiences)
    ):
        _invalid("Missing a required claim: aud")
    authorised = claims.get("azp")
    if authorised is not None and not isinstance(authorised, str):
        raise IdpRejectedClaim("The claim azp is not a text")
    # Where the issuer says for which client it made the token, that one counts. IAM User Guide, OIDC condition keys.
    named = [authorised] if authorised is not None else audiences
    audience = next((each for each in named if each in provider.client_ids), None)
    if audience is None:
        _invalid("Incorrect token audience")
    _check_times(claims, now)
    tags, transitive = _tags(claims)
    keys = _condition_keys(provider.url, claims)
    keys[f"{provider.url.lower()}:aud"] = (audience,)
    if authorised is not None:
        keys[f"{provider.url.lower()}:oaud"] = tuple(audiences[:CLAIM_VALUES])
    return WebIdentity(provider, subject, audience, keys, tags, transitive, _source(claims))


def _check_times(claims: Mapping[str, Any], now: datetime) -> None:
    until, issued, begins = (_moment(claims, name) for name in ("exp", "iat", "nbf"))
    if until is None:
        _invalid("Missing a required claim: exp")
    if issued is None:
        _invalid("Missing a required claim: iat")
    if now >= until:
        raise ExpiredWebIdentityToken(
            f"Token expired: current date/time {_text(now)} must be before the expiration date/time {_text(until)}"
        )
    if issued > now + SKEW or (begins is not None and begins > now + SKEW):
        raise IdpRejectedClaim("The token is not valid yet")


def _moment(claims: Mapping[str, Any], name: str) -> datetime | None:
    stated = claims.get(name)
    if stated is None:
        return None
    number = isinstance(stated, int | float) and not isinstance(stated, bool)
    if not number or not 0 <= stated <= _LAST_MOMENT:  # also neither NaN nor infinite
        raise IdpRejectedClaim(f"The claim {name} is not a moment")
    return _EPOCH + timedelta(seconds=stated)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _condition_keys(url: str, claims: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Each claim of texts, numbers or booleans as `<provider>:<claim>`; what is too long or nested is left out.

    So is an address that the issuer has not verified (OpenID Connect Core 1.0, section 5.7): policies would take it for
    its owner. Condition keys know no case, so a claim that differs from another one in case alone is left out too:
    `Sub` must not stand in for `sub`.
    """
    keys: dict[str, tuple[str, ...]] = {}
    verified = claims.get("email_verified") is True
    for name, value in claims.items():
        lowered = name.lower()
        if (lowered == "email" and not verified) or (lowered != name and lowered in claims):
            continue
        values = [_scalar(each) for each in (value if isinstance(value, list) else [value])]
        known = tuple(each for each in values if each is not None)
        if (
            len(keys) < CLAIMS
            and known
            and len(known) == len(values) <= CLAIM_VALUES
            and _NAME.fullmatch(lowered)
        ):
            keys[f"{url.lower()}:{lowered}"] = known
    return keys


def _scalar(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return value if isinstance(value, str) and len(value) <= CLAIM_CHARS else None


def _tags(claims: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Session tags of the token, nested or flattened. IAM User Guide, "Pass session tags in AWS STS"."""
    nested = claims.get(_TAGS)
    named = nested.get("principal_tags", {}) if isinstance(nested, dict) else nested or {}
    if not isinstance(nested, dict | None) or not isinstance(named, dict):
        raise IdpRejectedClaim(f"The claim {_TAGS} is not an object with principal_tags")
    stated: dict[str, Any] = dict(named)
    head = f"{_TAGS}/principal_tags/"
    stated |= {name.removeprefix(head): value for name, value in claims.items() if name.startswith(head)}
    transitive = (nested or {}).get("transitive_tag_keys", claims.get(f"{_TAGS}/transitive_tag_keys", []))
    tags: list[tuple[str, str]] = []
    for key, value in stated.items():
        one = value[0] if isinstance(value, list) and len(value) == 1 else value
        if not isinstance(one, str) or not _TAG_KEY.fullmatch(key) or not _TAG_VALUE.fullmatch(one):
            raise IdpRejectedClaim(f"The tag {key[:128]} of the token is not one that a session may have")
        if key.lower().startswith("aws:"):
            raise IdpRejectedClaim("Tag keys that begin with aws: are reserved")
        tags.append((key, one))
    known = {key.lower() for key, _ in tags}
    if len(tags) > TAGS or len(known) != len(tags):
        raise IdpRejectedClaim(f"The token has more than {TAGS} tags, or one twice")
    if not isinstance(transitive, list) or not all(isinstance(each, str) for each in transitive):
        raise IdpRejectedClaim("The transitive tag keys of the token are not a list of texts")
    if any(each.lower() not in known for each in transitive):
        raise IdpRejectedClaim("A transitive tag key of the token is none of its tags")
    return tuple(tags), tuple(transitive)


def _source(claims: Mapping[str, Any]) -> str | None:
    source = claims.get(_SOURCE)
    if source is None:
        return None
    if not isinstance(source, str) or not _SOURCE_NAME.fullmatch(source):
        raise IdpRejectedClaim(f"The claim {_SOURCE} is not a source identity")
    return source


def _json(part: str) -> Mapping[str, Any]:
    try:
        if not _PART.fullmatch(part):
            raise ValueError
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError, binascii.Error):
        found = None
    if not isinstance(found, dict):
        _invalid(
            "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
        )
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers might not take the same one of two members."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member twice")
    return found


def _invalid(why: str) -> NoReturn:
    raise InvalidIdentityToken(why)
