"""Lists of secrets and of the versions of one, page by page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from homeport.aws.call import Answer, Call
from homeport.aws.handlers.secretsmanager import asking
from homeport.kernel.clock import to_micros
from homeport.kernel.errors import (
    InvalidInput,
    InvalidNextToken,
    InvalidParameter,
)
from homeport.secrets import rules
from homeport.secrets.model import SecretRecord

_PAGE = 100


async def list_secret_version_ids(call: Call) -> Answer:
    """ListSecretVersionIds: oldest first; deprecated versions are not kept."""
    found = await asking.secret(call)
    position = _position(call)
    after = position[0] if position is not None else 0
    size: int = call.params.get("MaxResults") or _PAGE
    page = found.versions[after : after + size]
    more = None
    if len(found.versions) > after + size:
        more = _token(call, (after + size, ""))
    listed = [
        {"VersionId": each.id, "VersionStages": list(each.stages), "CreatedDate": each.created_at}
        for each in page
    ]
    return {**asking.named(found), "Versions": listed, "NextToken": more}


async def list_secrets(call: Call) -> Answer:
    """ListSecrets: by pages, filtered and sorted."""
    call.require_on("*")
    params = call.params
    filters = [(each.get("Key") or "all", each.get("Values") or [""]) for each in params.get("Filters") or []]
    kept = [
        record
        for record in await call.region.secrets.every(call.principal.caller.account, call.now)
        if (params.get("IncludePlannedDeletion") or record.delete_after is None)
        and rules.shown(record, filters, call.region.name)
    ]
    key = _sort_key(params.get("SortBy"))
    descending = params.get("SortOrder", "asc" if params.get("SortBy") == "name" else "desc") == "desc"
    ordered = sorted(kept, key=key, reverse=descending)
    position = _position(call)
    if position is not None:
        ordered = [
            record for record in ordered if key(record) != position and (key(record) < position) is descending
        ]
    size: int = params.get("MaxResults") or _PAGE
    page = ordered[:size]
    more = None
    if len(ordered) > size:
        more = _token(call, key(page[-1]))
    listed = [
        {**asking.described(record), "SecretVersionsToStages": asking.stages(record)} for record in page
    ]
    return {"SecretList": listed, "NextToken": more}


def _sort_key(by: str | None) -> Callable[[SecretRecord], tuple[int, str]]:
    """Return what the list is sorted by, with the name to tell equals apart. Errors: InvalidInput."""
    if by == "last-accessed-date":
        raise InvalidInput("SortBy: this registry does not record when a secret was last accessed.")
    if by == "name":
        return lambda record: (0, record.name)
    if by == "last-changed-date":
        return lambda record: (to_micros(record.changed_at), record.name)
    return lambda record: (to_micros(record.created_at), record.name)


def _position(call: Call) -> tuple[int, str] | None:
    """Return the sort key of the last secret of the page before, None at the start. Errors: InvalidNextToken."""
    token = call.params.get("NextToken")
    if token is None:
        return None
    try:
        moment, name = call.region.pages.read(token, call.principal.arn, call.operation.name, _scope(call))
    except InvalidParameter:
        raise InvalidNextToken(
            "The NextToken value is invalid: it was not returned by the same request."
        ) from None
    assert isinstance(moment, int)
    return moment, str(name)


def _token(call: Call, position: tuple[int, str]) -> str:
    return call.region.pages.issue(call.principal.arn, call.operation.name, _scope(call), position)


def _scope(call: Call) -> str:
    asked = {key: value for key, value in call.params.items() if key not in ("NextToken", "MaxResults")}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
