"""STS: who am I, and may I be somebody else? AWS Security Token Service API Reference."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from homeport.access.attempts import FAILURES
from homeport.access.grants import SessionCredentials
from homeport.access.sealed_fields import MAX_TOKEN_CHARACTERS
from homeport.access.sessions import Taken, Wish
from homeport.aws.call import Answer, Call, Handler
from homeport.kernel.errors import AccessDenied, ValidationError

_GET_SESSION_TOKEN_SECONDS = 43_200  # STS: default of GetSessionToken
_ACCOUNT = re.compile(r"arn:aws:iam::([0-9]{12}):role/.+", re.ASCII)


async def get_caller_identity(call: Call) -> Answer:
    """GetCallerIdentity: needs no permission."""
    caller = call.principal.caller
    return {"UserId": caller.principal_id, "Account": caller.account, "Arn": caller.arn}


async def assume_role(call: Call) -> Answer:
    """AssumeRole: temporary credentials of a role that trusts the caller.

    Errors: AccessDenied, ValidationError, MalformedPolicyDocument, PackedPolicyTooLarge.
    """
    _refuse_factors(call)
    if call.params.get("ProvidedContexts"):
        raise ValidationError("ProvidedContexts are not supported by this registry")
    wish = _wish(
        call,
        tags=tuple((tag["Key"], tag["Value"]) for tag in call.params.get("Tags") or []),
        transitive=tuple(call.params.get("TransitiveTagKeys") or []),
        source_identity=call.params.get("SourceIdentity"),
        external_id=call.params.get("ExternalId"),
    )
    taken = await call.region.role_sessions.assume(call.principal, call.signed.session, wish, call.now)
    return _answer(taken)


async def assume_role_with_web_identity(call: Call) -> Answer:
    """AssumeRoleWithWebIdentity: temporary credentials of a role that trusts the issuer of a token.

    Errors: InvalidIdentityToken, ExpiredWebIdentityToken, IdpRejectedClaim, IdpCommunication, and those of AssumeRole.
    """
    if call.params.get("ProviderId"):
        raise ValidationError(
            "ProviderId is for OAuth 2.0 access tokens, which this registry does not accept"
        )
    match = _ACCOUNT.fullmatch(call.params["RoleArn"])
    if match is None:
        raise ValidationError(f"{call.params['RoleArn'][:256]} is invalid")
    try:
        identity = await call.region.web_identities.verify(
            call.params["WebIdentityToken"], match[1], call.now
        )
    except FAILURES as error:
        remote = call.exchange.remote
        raise call.region.attempts.failed(error, remote, f"account:{match[1]}") from None
    taken = await call.region.role_sessions.assume_with(identity, _wish(call), call.now)
    return {
        **_answer(taken),
        "SubjectFromWebIdentityToken": identity.subject,
        "Provider": identity.provider.arn,
        "Audience": identity.audience,
    }


async def get_session_token(call: Call) -> Answer:
    """GetSessionToken: temporary credentials of the calling user, who needs no permission for it.

    Errors: AccessDenied to whoever has temporary credentials already.
    """
    _refuse_factors(call)
    principal = call.principal
    if call.signed.session is not None or principal.caller.kind != "user":
        raise AccessDenied("Cannot call GetSessionToken with session credentials")
    made = call.region.sessions.issue(
        principal.arn,
        principal.caller.account,
        principal.access_key_id,
        call.params.get("DurationSeconds") or _GET_SESSION_TOKEN_SECONDS,
        call.now,
        None,
        least=call.params.get("MinimumSessionTokenSize") or 0,
    )
    return {"Credentials": _credentials(made), **_size(made)}


def _wish(call: Call, **more: Any) -> Wish:
    params = call.params
    named = params.get("PolicyArns") or []
    if not all(each.get("arn") for each in named):
        raise ValidationError("Each member of PolicyArns names the ARN of a policy")
    return Wish(
        role_arn=params["RoleArn"],
        name=params["RoleSessionName"],
        seconds=params.get("DurationSeconds"),
        policy=params.get("Policy"),
        policy_arns=tuple(each["arn"] for each in named),
        least=params.get("MinimumSessionTokenSize") or 0,
        context=dict(call.exchange.context(call.region.name, call.now)),
        **more,
    )


def _answer(taken: Taken) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "Credentials": _credentials(taken.credentials),
        "AssumedRoleUser": {"AssumedRoleId": taken.id, "Arn": taken.arn},
        **_size(taken.credentials),
    }
    if taken.packed_percent is not None:
        answer["PackedPolicySize"] = taken.packed_percent
    if taken.source_identity is not None:
        answer["SourceIdentity"] = taken.source_identity
    return answer


def _credentials(made: SessionCredentials) -> dict[str, Any]:
    return {
        "AccessKeyId": made.access_key_id,
        "SecretAccessKey": made.secret_access_key,
        "SessionToken": made.session_token,
        "Expiration": made.expires_at,
    }


def _size(made: SessionCredentials) -> dict[str, int]:
    size = len(made.session_token)
    return {"SessionTokenSize": size, "SessionTokenUtilization": -(-100 * size // MAX_TOKEN_CHARACTERS)}


def _refuse_factors(call: Call) -> None:
    """Nobody has a second factor here, so no code can be right."""
    if call.params.get("SerialNumber") or call.params.get("TokenCode"):
        raise AccessDenied("MultiFactorAuthentication failed with invalid MFA one time pass code.")


HANDLERS: Mapping[str, Handler] = MappingProxyType(
    {
        "AssumeRole": assume_role,
        "AssumeRoleWithWebIdentity": assume_role_with_web_identity,
        "GetCallerIdentity": get_caller_identity,
        "GetSessionToken": get_session_token,
    }
)
"""What each operation does, by its name."""
