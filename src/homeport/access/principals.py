"""Who is calling: everything that is read about users and roles when a request is decided.

A `Principal` is read afresh for every request and composed once between two commits, so a changed policy, boundary or
membership, a removed key or a deleted role takes effect on whatever is out already. The same principal is the same
object until a commit. What changes identities is in the room `iam`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import and_, bindparam, literal, null, select, union_all

from homeport.access import policies
from homeport.access.evaluate import Ask, Caller, trusted
from homeport.access.grants import RoleSession, SessionScope
from homeport.access.managed import AWS_MANAGED
from homeport.access.policies import Policy
from homeport.access.sealing import SealBroken, Sealer, Secret
from homeport.database.engine import Database, Row, Statement
from homeport.database.tables import (
    access_key,
    iam_attachment,
    iam_inline_policy,
    iam_membership,
    iam_oidc_provider,
    iam_policy,
    iam_policy_version,
    iam_role,
    iam_tag,
    iam_user,
)

KEY_SECRET = "access key secret"  # noqa: S105 (the purpose of a seal, not a secret)
"""What secrets of access keys are sealed for, wherever they are made."""
_UNKNOWN = object()

_key = Statement(
    select(
        access_key.c.account_id, access_key.c.user_name, access_key.c.secret_sealed, access_key.c.active
    ).where(access_key.c.id == bindparam("id"))
)
_any_key = Statement(select(access_key.c.id).limit(1))
_holder = Statement(
    select(access_key.c.account_id, access_key.c.user_name).where(
        access_key.c.id == bindparam("id"), access_key.c.active == 1
    )
)
_user = Statement(
    select(iam_user.c.path, iam_user.c.user_id, iam_user.c.boundary).where(
        iam_user.c.account_id == bindparam("account"), iam_user.c.name == bindparam("name")
    )
)
_groups = Statement(
    select(iam_membership.c.group_name)
    .where(
        iam_membership.c.account_id == bindparam("account"), iam_membership.c.user_name == bindparam("name")
    )
    .order_by(iam_membership.c.group_name)
)
_role = Statement(
    select(
        iam_role.c.account_id,
        iam_role.c.name,
        iam_role.c.path,
        iam_role.c.role_id,
        iam_role.c.boundary,
        iam_role.c.trust_policy,
        iam_role.c.max_session_seconds,
    ).where(iam_role.c.account_id == bindparam("account"), iam_role.c.name == bindparam("name"))
)
_managed = Statement(
    select(iam_policy.c.path, iam_policy_version.c.document)
    .join(
        iam_policy_version,
        and_(
            iam_policy_version.c.account_id == iam_policy.c.account_id,
            iam_policy_version.c.policy_name == iam_policy.c.name,
            iam_policy_version.c.version == iam_policy.c.default_version,
        ),
    )
    .where(iam_policy.c.account_id == bindparam("account"), iam_policy.c.name == bindparam("name"))
)
_provider = Statement(
    select(iam_oidc_provider.c.client_ids, iam_oidc_provider.c.jwks).where(
        iam_oidc_provider.c.account_id == bindparam("account"), iam_oidc_provider.c.url == bindparam("url")
    )
)
_DOCUMENT, _ATTACHED, _TAG = "document", "attached", "tag"
# All that belongs to one user, group or role: (what, key, value). Simple queries only: SQLite prepares one that joins
# anew for other values, which costs ten times as much.
_belongings = Statement(
    union_all(
        select(
            literal(_DOCUMENT).label("what"), iam_inline_policy.c.name, iam_inline_policy.c.document
        ).where(
            iam_inline_policy.c.account_id == bindparam("account"),
            iam_inline_policy.c.kind == bindparam("kind"),
            iam_inline_policy.c.owner == bindparam("name"),
        ),
        select(literal(_ATTACHED).label("what"), iam_attachment.c.policy_arn, null()).where(
            iam_attachment.c.account_id == bindparam("account"),
            iam_attachment.c.kind == bindparam("kind"),
            iam_attachment.c.owner == bindparam("name"),
        ),
        select(literal(_TAG).label("what"), iam_tag.c.key, iam_tag.c.value).where(
            iam_tag.c.account_id == bindparam("account"),
            iam_tag.c.kind == bindparam("kind"),
            iam_tag.c.owner == bindparam("name"),
        ),
    )
)


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who proved who they are, with everything a decision needs to know about them.

    `session_policies` and `boundary` are None where there are none; an empty tuple allows nothing.
    """

    caller: Caller
    access_key_id: str
    policies: tuple[Policy, ...]
    session_policies: tuple[Policy, ...] | None = None
    boundary: tuple[Policy, ...] | None = None

    @property
    def arn(self) -> str:
        """The principal's resource name; for a role, the session's."""
        return self.caller.arn

    @property
    def identity_arn(self) -> str:
        """The resource name of the user or role, whichever session of it this is."""
        return self.caller.role or self.caller.arn


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A stored access key with its secret opened, for verifying a signature."""

    id: str
    account: str
    user: str
    secret: Secret
    active: bool


@dataclass(frozen=True, slots=True)
class Role:
    """A role as it is now."""

    account: str
    name: str
    path: str
    role_id: str
    boundary: str | None
    trust_policy: str = field(repr=False)
    max_session_seconds: int

    @property
    def arn(self) -> str:
        """The role's resource name."""
        return f"arn:aws:iam::{self.account}:role{self.path}{self.name}"

    def session_arn(self, name: str) -> str:
        """The resource name of a session of that name; the role's path is not in it."""
        return f"arn:aws:sts::{self.account}:assumed-role/{self.name}/{name}"


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider that an account trusts. `url` is without https://, `jwks` pinned keys as JSON text."""

    account: str
    url: str
    client_ids: tuple[str, ...]
    jwks: str | None = field(repr=False)

    @property
    def arn(self) -> str:
        """The provider's resource name."""
        return provider_arn(self.account, self.url)


def provider_arn(account: str, url: str) -> str:
    """Return the resource name of the identity provider at `url` (without https://)."""
    return f"arn:aws:iam::{account}:oidc-provider/{url}"


def user_arn(account: str, name: str, path: str = "/") -> str:
    """Return the resource name of a user."""
    return f"arn:aws:iam::{account}:user{path}{name}"


class Principals:
    """The principals of one region's database."""

    def __init__(self, db: Database, sealer: Sealer) -> None:
        self._db = db
        self._sealer = sealer

    async def key(self, key_id: str) -> AccessKey | None:
        """Return a key with its secret opened, or None."""
        row = await self._db.first(_key, id=key_id)
        if row is None:
            return None
        secret = self._sealer.open(KEY_SECRET, row[2], key_id.encode()).decode()
        return AccessKey(key_id, row[0], row[1], Secret(secret), bool(row[3]))

    async def are_sealed_by_us(self) -> bool:
        """Whether our master key is the one that sealed the keys in the database, if there is any."""
        row = await self._db.first(_any_key)
        try:
            return row is None or await self.key(row[0]) is not None
        except SealBroken:
            return False

    async def principal(self, key_id: str) -> Principal | None:
        """Return who holds the key as they are now; None when key or user is gone or the key is off."""
        derived = self._db.derived()
        place = (Principal, key_id)
        found = derived.get(place, _UNKNOWN)
        if found is _UNKNOWN:
            found = derived[place] = await self._user(key_id)
        return found  # type: ignore[no-any-return]

    async def session(self, scope: SessionScope) -> Principal | None:
        """Return the holder of temporary credentials as they are now, or None when that is over.

        A user's session has the user's present rights, narrowed by its session policy. A role's session has the role's,
        narrowed by its own, for as long as the role exists and still trusts who took it on. The end of its time is the
        caller's question.
        """
        derived = self._db.derived()
        place = (SessionScope, scope.access_key_id)
        found = derived.get(place, _UNKNOWN)
        if found is _UNKNOWN:
            found = derived[place] = await self._holder_of(scope)
        return found  # type: ignore[no-any-return]

    async def role(self, account: str, name: str) -> Role | None:
        """Return the role, or None."""
        row = await self._db.first(_role, account=account, name=name)
        return Role(*row) if row is not None else None

    async def provider(self, account: str, url: str) -> Provider | None:
        """Return the identity provider that the account trusts under `url` (without https://), or None."""
        row = await self._db.first(_provider, account=account, url=url)
        return Provider(account, url, tuple(json.loads(row[0])), row[1]) if row is not None else None

    async def managed(self, account: str, arn: str) -> str | None:
        """Return the text of a managed policy: a built-in one, or one of `account`; else None."""
        built_in = AWS_MANAGED.get(arn)
        head = f"arn:aws:iam::{account}:policy/"
        if built_in is not None or not arn.startswith(head):
            return built_in
        path, _, name = arn.removeprefix(head).rpartition("/")
        row = await self._db.first(_managed, account=account, name=name)
        if row is None or row[0] != (f"/{path}/" if path else "/"):
            return None
        document: str = row[1]
        return document

    async def session_tags(self, role: Role) -> dict[str, str]:
        """Return the tags of the role itself, which every session of it has unless it brings its own."""
        rows = await self._db.all(_belongings, account=role.account, kind="role", name=role.name)
        return {key: value for what, key, value in rows if what == _TAG}

    async def _user(self, key_id: str) -> Principal | None:
        holder = await self._db.first(_holder, id=key_id)
        if holder is None:
            return None
        account, name = holder
        row = await self._db.first(_user, account=account, name=name)
        if row is None:
            return None
        path, user_id, boundary = row
        rows = await self._db.all(_belongings, account=account, kind="user", name=name)
        for (group,) in await self._db.all(_groups, account=account, name=name):
            of_group = await self._db.all(_belongings, account=account, kind="group", name=group)
            rows += [each for each in of_group if each[0] != _TAG]
        caller = Caller(account, user_arn(account, name, path), user_id, "user", facts=_principal_tags(rows))
        owned = await self._policies(account, rows)
        return Principal(caller, key_id, owned, boundary=await self._boundary(account, boundary))

    async def _holder_of(self, scope: SessionScope) -> Principal | None:
        if scope.role is not None:
            if scope.parent_key_id and not await self._db.first(_holder, id=scope.parent_key_id):
                return None
            return await self._role_session(scope, scope.role)
        parent = await self.principal(scope.parent_key_id)
        if parent is None or parent.arn != scope.principal_arn:
            return None
        caller = replace(parent.caller, facts={**parent.caller.facts, **_temporary(scope)})
        return replace(
            parent,
            caller=caller,
            access_key_id=scope.access_key_id,
            session_policies=None if scope.session_policy is None else _all_compiled([scope.session_policy]),
        )

    async def _role_session(self, scope: SessionScope, taken: RoleSession) -> Principal | None:
        role = await self.role(scope.account, taken.role)
        if role is None or role.role_id != taken.role_id or not await self._still_trusted(role, taken):
            return None
        rows = await self._db.all(_belongings, account=role.account, kind="role", name=role.name)
        facts = {**_principal_tags(rows), **session_facts(taken), **_temporary(scope)}
        caller = Caller(
            role.account,
            role.session_arn(taken.name),
            f"{role.role_id}:{taken.name}",
            "assumed-role",
            role=role.arn,
            facts=facts,
        )
        narrowed: tuple[Policy, ...] | None = None
        if taken.policies or taken.policy_arns:
            texts = list(taken.policies)
            texts += [await self.managed(role.account, arn) or "" for arn in taken.policy_arns]
            narrowed = _all_compiled(texts)
        return Principal(
            caller,
            scope.access_key_id,
            await self._policies(role.account, rows),
            session_policies=narrowed,
            boundary=await self._boundary(role.account, role.boundary),
        )

    async def _still_trusted(self, role: Role, taken: RoleSession) -> bool:
        """Whether the present trust policy lets in who took the role on, as they were then."""
        if taken.provider is not None:
            url = taken.provider.partition(":oidc-provider/")[2]
            if await self.provider(role.account, url) is None:
                return False
        try:
            trust = policies.compiled_role_trust_policy(role.trust_policy)
        except ValueError:
            return False
        account, arn, principal_id, kind, by_role = taken.by
        facts = session_facts(taken) if taken.provider is not None else {}
        by = Caller(account, arn, principal_id, kind, role=by_role, facts=facts)  # type: ignore[arg-type]
        action = "sts:AssumeRoleWithWebIdentity" if taken.provider is not None else "sts:AssumeRole"
        return trusted(by, Ask(action, role.arn, dict(taken.asked)), trust, account=role.account)

    async def _policies(self, account: str, rows: Sequence[Row]) -> tuple[Policy, ...]:
        texts = [value for what, _, value in rows if what == _DOCUMENT]
        attached = sorted({key for what, key, _ in rows if what == _ATTACHED})
        texts += [await self.managed(account, arn) or "" for arn in attached]
        return _all_compiled(texts)

    async def _boundary(self, account: str, arn: str | None) -> tuple[Policy, ...] | None:
        """A boundary whose policy is gone allows nothing."""
        return None if arn is None else _all_compiled([await self.managed(account, arn) or ""])


def _temporary(scope: SessionScope) -> dict[str, tuple[str, ...]]:
    """What only temporary credentials have; ours are made without a second factor."""
    return {
        "aws:multifactorauthpresent": ("false",),
        "aws:tokenissuetime": (scope.issued_at.strftime("%Y-%m-%dT%H:%M:%SZ"),),
    }


def session_facts(taken: RoleSession) -> dict[str, tuple[str, ...]]:
    """Return the context keys of a role's session that no row knows."""
    facts: dict[str, tuple[str, ...]] = {
        f"aws:principaltag/{key.lower()}": (value,) for key, value in taken.tags
    }
    if taken.source_identity is not None:
        facts["aws:sourceidentity"] = (taken.source_identity,)
    if taken.provider is not None:
        facts["aws:federatedprovider"] = (taken.provider,)
        facts.update(taken.claims)
    return facts


def _principal_tags(rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    return {f"aws:principaltag/{key.lower()}": (value,) for what, key, value in rows if what == _TAG}


def _all_compiled(texts: Sequence[str]) -> tuple[Policy, ...]:
    return tuple(policies.compiled_identity_policy(text) for text in texts if text)
