"""Use cases of OpenID Connect providers: whose tokens may become roles. IAM User Guide, "Create an OIDC provider"."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from homeport.database.engine import Database, Reader, Transaction
from homeport.iam import holdings, providers_store, tags
from homeport.iam.providers_store import Provider
from homeport.kernel.errors import EntityAlreadyExists, InvalidEntityInput, LimitExceeded, NoSuchEntity

PROVIDERS: Final = 100  # IAM: OIDC providers in an account
CLIENT_IDS: Final = 100  # IAM: client ids of one provider
THUMBPRINTS: Final = 5  # IAM: thumbprints of one provider
KEYS_BYTES: Final = 256 * 1024  # ours: a pinned key set
KEYS: Final = 100  # ours: keys in it
_KIND: Final = "oidc-provider"  # of the tags
_ARN: Final = re.compile(r"arn:aws:iam::([0-9]{12}):oidc-provider/([!-~]{1,255})", re.ASCII)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_URL: Final = re.compile(
    rf"https://({_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?)((?:/[A-Za-z0-9._~%@=+:,-]*)*)",
    re.ASCII | re.IGNORECASE,
)
_THUMBPRINT: Final = re.compile(r"[0-9A-Fa-f]{40}", re.ASCII)


def address_of(url: str) -> str:
    """Return `url` without https:// as the provider's ARN has it. Errors: InvalidEntityInput.

    IAM: the address begins with https://, its path may have parts, and query parameters are not allowed.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise InvalidEntityInput("Invalid Open ID Connect Provider URL")
    return match[1].lower() + match[2].rstrip("/")


def check_thumbprints(given: Sequence[str]) -> tuple[str, ...]:
    """Return the thumbprints, each once. Errors: InvalidEntityInput, LimitExceeded past five."""
    if any(not _THUMBPRINT.fullmatch(each) for each in given):
        raise InvalidEntityInput("Invalid thumbprint: it is 40 hexadecimal digits")
    once = tuple(dict.fromkeys(given))
    if len(once) > THUMBPRINTS:
        raise LimitExceeded(f"Thumbprint list must contain fewer than {THUMBPRINTS} entries.")
    return once


def check_client_ids(given: Sequence[str]) -> tuple[str, ...]:
    """Return the client ids, each once. Errors: LimitExceeded past a hundred."""
    once = tuple(dict.fromkeys(given))
    if len(once) > CLIENT_IDS:
        raise LimitExceeded(f"Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: {CLIENT_IDS}")
    return once


def check_jwks(text: str) -> str:
    """Return a pinned key set in one line. Errors: InvalidEntityInput unless it is a JWKS of public keys."""
    if len(text) > KEYS_BYTES:
        raise InvalidEntityInput(f"A key set has at most {KEYS_BYTES} characters")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidEntityInput("The key set is not JSON") from None
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list) or not 0 < len(keys) <= KEYS:
        raise InvalidEntityInput('The key set is no JWKS: {"keys": [...]}, RFC 7517')
    for key in keys:
        if not isinstance(key, dict) or key.get("kty") not in ("RSA", "EC"):
            raise InvalidEntityInput("The key set has a key that is neither RSA nor EC")
        if "d" in key:
            raise InvalidEntityInput("The key set has a private key; pin the public ones only")
    return json.dumps({"keys": keys}, separators=(",", ":"))


async def find(db: Reader, account: str, arn: str) -> Provider | None:
    """Return the account's provider of that ARN, or None. Errors: InvalidEntityInput for no such ARN."""
    match = _ARN.fullmatch(arn)
    if match is None:
        raise InvalidEntityInput(f"Invalid ARN: {arn[:200]}")
    return await providers_store.find(db, account, match[2]) if match[1] == account else None


async def get(db: Reader, account: str, arn: str) -> Provider:
    """Return the provider of that ARN. Errors: NoSuchEntity, InvalidEntityInput."""
    found = await find(db, account, arn)
    if found is None:
        raise NoSuchEntity(f"OpenIDConnect Provider not found for arn {arn}")
    return found


async def all_of(db: Reader, account: str) -> list[Provider]:
    """Return the account's providers."""
    return await providers_store.all_of(db, account)


async def tags_of(db: Reader, provider: Provider) -> dict[str, str]:
    """Return the tags of a provider."""
    return await tags.of(db, provider.account, _KIND, provider.url)


async def create(
    db: Database,
    now: datetime,
    account: str,
    url: str,
    client_ids: Sequence[str],
    thumbprints: Sequence[str],
    jwks: str | None,
    asked: Mapping[str, str],
) -> Provider:
    """Make the issuer at `url` known. Errors: EntityAlreadyExists, InvalidEntityInput, LimitExceeded."""
    made = Provider(
        account,
        address_of(url),
        check_client_ids(client_ids),
        check_thumbprints(thumbprints),
        check_jwks(jwks) if jwks is not None else None,
        now,
    )

    async def work(tx: Transaction) -> Provider:
        if await providers_store.find(tx, account, made.url):
            raise EntityAlreadyExists(f"Provider with url https://{made.url} already exists.")
        if len(await providers_store.all_of(tx, account)) >= PROVIDERS:
            raise LimitExceeded(f"Cannot exceed quota for OpenIdConnectProvidersPerAccount: {PROVIDERS}")
        await providers_store.add(tx, made)
        await tags.put(tx, account, _KIND, made.url, asked)
        return made

    return await db.write(work)


async def add_client_id(db: Database, account: str, arn: str, client_id: str) -> None:
    """Accept tokens for a further audience; one that is there is no error. Errors: NoSuchEntity, LimitExceeded."""
    await _change(
        db,
        account,
        arn,
        lambda known: replace(known, client_ids=check_client_ids((*known.client_ids, client_id))),
    )


async def remove_client_id(db: Database, account: str, arn: str, client_id: str) -> None:
    """Accept an audience no longer; one that is not there is no error. Errors: NoSuchEntity."""
    await _change(
        db,
        account,
        arn,
        lambda known: replace(
            known, client_ids=tuple(each for each in known.client_ids if each != client_id)
        ),
    )


async def set_thumbprints(db: Database, account: str, arn: str, thumbprints: Sequence[str]) -> None:
    """Replace the whole list of thumbprints. Errors: NoSuchEntity, InvalidEntityInput, LimitExceeded."""
    checked = check_thumbprints(thumbprints)
    await _change(db, account, arn, lambda known: replace(known, thumbprints=checked))


async def pin_keys(db: Database, account: str, arn: str, jwks: str | None) -> None:
    """Verify tokens with these keys only, or with discovered ones again (None).

    Errors: NoSuchEntity, InvalidEntityInput.
    """
    checked = check_jwks(jwks) if jwks is not None else None
    await _change(db, account, arn, lambda known: replace(known, jwks=checked))


async def delete(db: Database, account: str, arn: str) -> None:
    """Forget a provider; its tokens become nobody any more. Errors: NoSuchEntity."""

    async def work(tx: Transaction) -> None:
        found = await get(tx, account, arn)
        await holdings.clear(tx, account, _KIND, found.url)
        await providers_store.remove(tx, found)

    await db.write(work)


async def tag(db: Database, account: str, arn: str, added: Mapping[str, str]) -> None:
    """Add or change tags. Errors: NoSuchEntity, LimitExceeded."""

    async def work(tx: Transaction) -> None:
        found = await get(tx, account, arn)
        await tags.put(tx, account, _KIND, found.url, added)

    await db.write(work)


async def untag(db: Database, account: str, arn: str, keys: Sequence[str]) -> None:
    """Remove tags; keys that are not there are ignored. Errors: NoSuchEntity."""

    async def work(tx: Transaction) -> None:
        found = await get(tx, account, arn)
        await tags.remove(tx, account, _KIND, found.url, keys)

    await db.write(work)


async def _change(db: Database, account: str, arn: str, changed: Callable[[Provider], Provider]) -> None:
    async def work(tx: Transaction) -> None:
        await providers_store.change(tx, changed(await get(tx, account, arn)))

    await db.write(work)
