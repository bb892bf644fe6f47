"""One authenticated request to a repository: who, which, and whether they may."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime

from homeport.access.authorize import Target, require, require_action
from homeport.access.operations import OPERATIONS
from homeport.access.principals import Principal
from homeport.kernel.errors import AccessDenied, RepositoryNotFound, UnsupportedEncoding
from homeport.kernel.names import AccountId, RepositoryName
from homeport.region import Region
from homeport.registry import service as registries
from homeport.registry import templates
from homeport.registry.templates_model import AppliedFor
from homeport.repositories import service as repositories
from homeport.repositories import store as repository_store
from homeport.repositories.model import Repository, repository_arn
from homeport.uploads.service import Place
from homeport.wire.exchange import Exchange, RequestContext

_UNDECIDED = (None, None)


@dataclass(slots=True)  # not frozen: made for every request
class Visit:
    """A caller of one registry, proven."""

    region: Region
    exchange: Exchange
    principal: Principal
    account: AccountId
    now: datetime

    async def repository(self, operation: str, name: RepositoryName) -> Repository:
        """Return the repository once `operation` on it is allowed.

        Errors: AccessDenied, and RepositoryNotFound only to those who would be allowed.
        """
        self.exchange.operation = operation
        if self.region.rates is not None:
            row = OPERATIONS["oci", operation]
            self.region.rates.spend(self.principal.caller.account, row.action, *row.also)
        decided: dict[Hashable, tuple[Principal, Repository | None]] = self.region.db.derived()
        key = (self.principal.access_key_id, operation, self.account, name)
        holder, found = decided.get(key, _UNDECIDED)
        if holder is not self.principal:
            context = self.exchange.context(self.region.name, self.now)
            found = await self._allowed(operation, name, context)
            if not context.consulted:  # then nothing of this one request went into the decision
                decided[key] = (self.principal, found)
        if found is None:
            raise RepositoryNotFound(name, self.account)
        return found

    async def _allowed(
        self, operation: str, name: RepositoryName, context: RequestContext
    ) -> Repository | None:
        row = OPERATIONS["oci", operation]
        found = await repositories.find(self.region.db, self.account, name)
        tags = await repository_store.tags(self.region.db, found.id) if found else {}
        target = Target(
            self.account,
            repository_arn(self.region.name, self.account, name),
            found.policy if found else None,
            tags,
            await registries.policy_in_force(self.region.db, self.account),
        )
        require(self.principal, row, target, context)
        for action in row.also:
            require_action(self.principal, action, target, context)
        return found

    async def pushed(self, operation: str, name: RepositoryName) -> Repository:
        """Like `repository`, which a creation template makes when it does not exist yet.

        What the template gives the repository, its policy and its tags, counts for this very request.
        """
        try:
            return await self.repository(operation, name)
        except RepositoryNotFound:
            await templates.create_missing(
                self.region.db,
                self.now,
                self.account,
                name,
                AppliedFor.CREATE_ON_PUSH,
                functools.partial(self._may_create, name),
                self.region.quotas,
            )
        return await self.repository(operation, name)

    async def _may_create(self, name: RepositoryName, tags: Mapping[str, str]) -> None:
        row = OPERATIONS["ecr", "CreateRepository"]
        target = Target(
            self.account,
            repository_arn(self.region.name, self.account, name),
            registry=await registries.policy_in_force(self.region.db, self.account),
        )
        asked: dict[str, str | tuple[str, ...]] = {f"aws:RequestTag/{key}": tags[key] for key in tags}
        own = {**asked, "aws:TagKeys": tuple(tags)} if tags else {}
        context = {**self.exchange.context(self.region.name, self.now), **own}
        require(self.principal, row, target, context)
        if tags:
            for action in row.also:
                require_action(self.principal, action, target, context)

    async def readable(self, operation: str, name: RepositoryName) -> Repository | None:
        """Like `repository`, but None where it is absent or refused: the caller must not learn which."""
        mine = self.exchange.operation
        try:
            return await self.repository(operation, name)
        except (AccessDenied, RepositoryNotFound):
            return None
        finally:
            self.exchange.operation = mine

    def refuse_encodings(self) -> None:
        """Refuse a compressed body: bytes are stored exactly as sent and never inflated (case B15).

        Errors: UnsupportedEncoding; the connection then closes.
        """
        request = self.exchange.request
        content = request.headers.getall("Content-Encoding", [])
        transfer = request.headers.getall("Transfer-Encoding", [])
        if any(each.strip().lower() != "identity" for each in content) or any(
            each.strip().lower() != "chunked" for each in transfer
        ):
            request.protocol.close()
            raise UnsupportedEncoding("Bytes are stored exactly as sent; a content encoding is not accepted")

    def name_of(self, repository: Repository) -> str:
        """Return the name of a repository in the paths of this client."""
        return repository.name

    def place(self, repository: Repository) -> Place:
        """Where this caller's uploads to `repository` belong."""
        return Place(repository, self.principal.arn)
