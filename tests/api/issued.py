"""Credentials of another time: what the server issued earlier, or would have.

A test cannot wait twelve hours for a registry password to end, and the server takes its clock from the
machine. So this one place uses the server's own code, with the keys of its data folder, as the command
`homeport session` does.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from homeport.access.tokens import AuthorizationTokens, SessionTokens
from homeport.folder import sealer
from tests.api.signing import Signer
from tests.harness.server import Credentials, Homeport


def password(homeport: Homeport, who: Credentials, *, age: timedelta = timedelta()) -> str:
    """The registry password that `who` was given `age` ago."""
    tokens = AuthorizationTokens(sealer(homeport.data), who.region)
    issued, _ = tokens.issue(who.user_arn, who.account_id, who.access_key_id, datetime.now(UTC) - age)
    return issued


def expired_session(homeport: Homeport, who: Credentials, service: str = "ecr") -> Signer:
    """Temporary credentials of `who` that ended a minute ago."""
    at = datetime.now(UTC) - timedelta(seconds=960)
    tokens = SessionTokens(sealer(homeport.data))
    issued = tokens.issue(who.user_arn, who.account_id, who.access_key_id, 900, at, None)
    return Signer(issued.access_key_id, issued.secret_access_key, who.region, service, issued.session_token)
