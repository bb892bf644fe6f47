"""From credentials to a principal: signed API requests, registry passwords, and nobody.

The fronts hand over what came; every answer is a principal as it is now, or an Unauthenticated error whose text helps
the client and tells a guesser nothing.
"""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass

from homeport.access import sigv4
from homeport.access.evaluate import ANONYMOUS, Caller
from homeport.access.grants import RegistryGrant, SessionScope
from homeport.access.principals import Principal, Principals
from homeport.access.sealing import Secret
from homeport.access.sigv4_claim import Claim, SigningRequest, read_claim
from homeport.access.tokens import AuthorizationTokens, SessionTokens
from homeport.kernel.clock import Clock
from homeport.kernel.errors import (
    AuthorizationTokenExpired,
    ExpiredToken,
    InvalidClientToken,
    MissingAuthentication,
)

WORLDWIDE = "us-east-1"
_CACHED = 4096  # verified passwords kept per process, each for as long as it is valid
_INVALID = "The security token included in the request is invalid."


@dataclass(frozen=True, slots=True)
class Signed:
    """A verified API caller and, for temporary credentials, the session they came with."""

    principal: Principal
    session: SessionScope | None


class Authenticator:
    """Proves callers of one region."""

    def __init__(
        self,
        principals: Principals,
        passwords: AuthorizationTokens,
        sessions: SessionTokens,
        clock: Clock,
        region: str,
    ) -> None:
        self._principals = principals
        self._passwords = passwords
        self._sessions = sessions
        self._clock = clock
        self._region = region
        self._verified: OrderedDict[str, RegistryGrant] = OrderedDict()

    @staticmethod
    def nobody() -> Signed:
        """Return the caller who shows no credentials: for the operations that ask for none."""
        return Signed(Principal(ANONYMOUS, "", ()), None)

    async def signed(
        self,
        request: SigningRequest,
        services: Collection[str],
        body_sha256: str | None,
        *,
        worldwide: bool = False,
    ) -> Signed:
        """Verify a Signature Version 4 request for one of `services` and return its caller.

        A `worldwide` service is one for all regions; AWS clients sign for it in us-east-1.
        Errors: MissingAuthentication when it is not signed, and the other Unauthenticated errors.
        """
        claim = read_claim(request)
        if claim is None:
            raise MissingAuthentication("Missing Authentication Token")
        secret, found, session = await self._claimant(claim)
        now = self._clock.now()
        sigv4.verify(
            claim,
            request,
            secret.reveal(),
            now=now,
            region=WORLDWIDE if worldwide and claim.region == WORLDWIDE else self._region,
            services=services,
            body_sha256=body_sha256,
        )
        if found is None:
            raise InvalidClientToken(_INVALID)
        return Signed(found, session)

    async def recognise(self, request: SigningRequest) -> None:
        """Return when the request names credentials that exist; proves nothing more.

        For use before a large body is read: strangers must not make us hold one. Errors: as `signed`.
        """
        claim = read_claim(request)
        if claim is None:
            raise MissingAuthentication("Missing Authentication Token")
        await self._claimant(claim)

    async def _claimant(self, claim: Claim) -> tuple[Secret, Principal | None, SessionScope | None]:
        """Return the secret that the claim must have been signed with, and whose it is."""
        if claim.session_token is not None:
            grant = self._sessions.read(claim.session_token, claim.access_key_id, self._clock.now())
            return grant.secret, await self._of_session(grant), grant
        key = await self._principals.key(claim.access_key_id)
        if key is None:
            raise InvalidClientToken(_INVALID)
        return key.secret, await self._principals.principal(claim.access_key_id), None

    async def registry(self, authorization: str | None) -> Principal:
        """Return who stands behind a `/v2/` Authorization header: Basic AWS:<password>, or Bearer <password>.

        Errors: MissingAuthentication, InvalidClientToken, AuthorizationTokenExpired.
        """
        if authorization is None:
            raise MissingAuthentication("Not Authorized")
        now = self._clock.now()
        grant = self._verified.get(authorization)
        if grant is None:
            grant = self._passwords.read(_password(authorization), now)
            self._verified[authorization] = grant
            if len(self._verified) > _CACHED:
                self._verified.popitem(last=False)
        elif now >= grant.expires_at:
            raise AuthorizationTokenExpired
        if grant.session is not None:
            try:
                found = await self._of_session(grant.session)
            except ExpiredToken:
                raise AuthorizationTokenExpired from None
        else:
            found = await self._principals.principal(grant.access_key_id)
        if found is None:
            raise InvalidClientToken("Not Authorized")
        return found

    async def _of_session(self, scope: SessionScope) -> Principal | None:
        """The holder of temporary credentials, as they are now. Errors: ExpiredToken."""
        if scope.expires_at <= self._clock.now():
            raise ExpiredToken("The security token included in the request is expired")
        return await self._principals.session(scope)


def caller_name(caller: Caller) -> str:
    """Return the short name of a caller for logs: the part of the ARN after the account."""
    return caller.arn.rsplit(":", 1)[-1]


def _password(authorization: str) -> str:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() != "basic":
        raise MissingAuthentication("Not Authorized")
    try:
        name, _, password = (
            base64.b64decode(credentials.strip(), validate=True).decode("ascii").partition(":")
        )
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidClientToken("Not Authorized") from None
    if name != "AWS":
        raise InvalidClientToken("Not Authorized")
    return password
