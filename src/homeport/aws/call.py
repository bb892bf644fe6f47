"""One verified API call: who, which operation, on which registry, and whether they may."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from homeport.access.authenticate import Signed
from homeport.access.authorize import Context, RegistryPolicy, Target, require, require_action
from homeport.access.operations import Operation
from homeport.access.principals import Principal
from homeport.aws.named_images import named_images
from homeport.kernel import limits
from homeport.kernel.errors import InvalidParameter, RepositoryNotFound
from homeport.kernel.names import AccountId, RepositoryName
from homeport.region import Region
from homeport.registry import service as registries
from homeport.repositories import service as repositories
from homeport.repositories import store as repository_store
from homeport.repositories.model import Repository, repository_arn
from homeport.wire.exchange import Exchange, RequestContext

Params = Mapping[str, Any]
Answer = Mapping[str, Any]
Item = TypeVar("Item")
Place = TypeVar("Place", str, int)

NEWEST = 2**62
"""An id above every real one: listings that begin with the newest begin below it."""


@dataclass(frozen=True, slots=True)
class Call:
    """An API call whose signature is good; nothing is permitted yet."""

    region: Region
    exchange: Exchange
    signed: Signed
    operation: Operation
    params: Params
    now: datetime
    registry_policy: RegistryPolicy | None
    """The policy of the registry that the call is about, which takes part in every decision on an `ecr:` action."""

    @classmethod
    async def of(
        cls,
        region: Region,
        exchange: Exchange,
        signed: Signed,
        operation: Operation,
        params: Params,
        now: datetime,
    ) -> Call:
        """Return the call together with the policy of its registry."""
        policy: RegistryPolicy | None = None
        if operation.action.startswith("ecr:"):
            account = params.get("registryId") or signed.principal.caller.account
            policy = await registries.policy_in_force(region.db, account)
        return cls(region, exchange, signed, operation, params, now, policy)

    async def in_registry(self, account: str) -> Call:
        """Return the same call about the registry of another account."""
        params = {**self.params, "registryId": account}
        return await Call.of(self.region, self.exchange, self.signed, self.operation, params, self.now)

    @property
    def principal(self) -> Principal:
        """Who calls."""
        return self.signed.principal

    @property
    def account(self) -> AccountId:
        """The registry that the call is about: `registryId`, or the caller's own."""
        return AccountId(self.params.get("registryId") or self.principal.caller.account)

    def target(self, arn: str, policy: str | None = None, tags: Mapping[str, str] | None = None) -> Target:
        """Return what a decision is about in the call's registry: a resource with its policy and its own tags."""
        return Target(self.account, arn, policy, tags or {}, self.registry_policy)

    def require_registry(self, facts: Context | None = None) -> None:
        """Return when the operation is allowed on the registry as a whole. Errors: AccessDenied.

        `facts` are condition keys that only this operation has.
        """
        context = {**self.context(), **facts} if facts else self.context()
        require(self.principal, self.operation, self.target("*"), context)

    def require_on(self, arn: str, tags: Mapping[str, str] | None = None) -> None:
        """Return when the operation is allowed on the resource of that name in the caller's own account.

        `tags` are those that the request sets. Errors: AccessDenied.
        """
        target = Target(self.principal.caller.account, arn)
        require(self.principal, self.operation, target, self.context(tags))

    def require_repositories(self) -> None:
        """Return when the operation is allowed on every repository of the registry. Errors: AccessDenied."""
        require(self.principal, self.operation, self.target(self._arn("*")), self.context())

    def require_new(self, name: RepositoryName, tags: Mapping[str, str]) -> None:
        """Return when a repository of that name may be created with those tags. Errors: AccessDenied."""
        target, context = self.target(self._arn(name)), self.context(tags)
        require(self.principal, self.operation, target, context)
        if tags:
            for action in self.operation.also:
                require_action(self.principal, action, target, context)

    async def repository(
        self,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        tag_keys: Sequence[str] = (),
    ) -> Repository:
        """Return the repository of the call (or `name`) once the operation on it is allowed.

        `tags` are those that the request sets, `tag_keys` the keys of those that it removes.
        Errors: AccessDenied, and RepositoryNotFound only to those who would be allowed.
        """
        checked = RepositoryName(name if name is not None else self.params["repositoryName"])
        found = await self._found(checked)
        own_tags = await repository_store.tags(self.region.db, found.id) if found else {}
        target = self.target(self._arn(checked), found.policy if found else None, own_tags)
        for named in self._named():
            self.exchange.named = named
            context = self.context(tags, tag_keys)
            require(self.principal, self.operation, target, context)
            if isinstance(context, RequestContext) and not context.consulted:
                break  # nobody asks which image it is
        if found is None:
            raise RepositoryNotFound(checked, self.account)
        return found

    def _arn(self, name: str) -> str:
        return repository_arn(self.region.name, self.account, name)

    async def _found(self, name: RepositoryName) -> Repository | None:
        return await repositories.find(self.region.db, self.account, name)

    def _named(self) -> Sequence[Mapping[str, str]]:
        return named_images(self.params)

    def refuse_paging(self, beside: str) -> None:
        """Refuse what chooses a page next to the member `beside`, which names what is wanted.

        Errors: InvalidParameter.
        """
        for member in ("nextToken", "maxResults", "filter"):
            if self.params.get(member) is not None:
                raise InvalidParameter(member, f"{member} cannot be used with {beside}")

    def page_size(self, default: int) -> int:
        """Return `maxResults`, which the model has bounded."""
        size: int = self.params.get("maxResults") or default
        return size

    def page_position(self) -> list[Any] | None:
        """Return where the page begins, None at the start. Errors: InvalidParameter for a foreign token."""
        token = self.params.get("nextToken")
        if token is None:
            return None
        return self.region.pages.read(token, self.principal.arn, self.operation.name, self._scope())

    async def page(
        self,
        start: Place,
        read: Callable[[Place, int], Awaitable[list[Item]]],
        place: Callable[[Item], Place],
    ) -> tuple[list[Item], str | None]:
        """Return the page of a listing that the request asks for, and the token of the next one, None at the end.

        `read` returns up to so many items after a place (at first `start`), `place` tells where an item is.
        Errors: InvalidParameter for a foreign token.
        """
        size, position = self.page_size(limits.PAGE_DEFAULT), self.page_position()
        found = await read(position[0] if position else start, size + 1)
        more = self.next_token([place(found[size - 1])]) if len(found) > size else None
        return found[:size], more

    def next_token(self, position: Sequence[Any]) -> str:
        """Return a sealed token for the page after `position`, good for this caller and these filters only."""
        return self.region.pages.issue(self.principal.arn, self.operation.name, self._scope(), list(position))

    def uri(self, name: str) -> str:
        """Return the address under which this client finds the repository."""
        return f"{self.region.hosts.registry_host(self.exchange.host, self.account)}/{name}"

    def _scope(self) -> str:
        bound = {key: value for key, value in self.params.items() if key not in ("nextToken", "maxResults")}
        return hashlib.sha256(json.dumps(bound, sort_keys=True, default=str).encode()).hexdigest()

    def context(self, tags: Mapping[str, str] | None = None, tag_keys: Sequence[str] = ()) -> Context:
        """Return the condition keys of the request, which sets `tags` or removes the tags of `tag_keys`."""
        context = self.exchange.context(self.region.name, self.now)
        if not tags and not tag_keys:
            return context
        asked = {f"aws:RequestTag/{key}": value for key, value in (tags or {}).items()}
        return {**context, **asked, "aws:TagKeys": tuple(tags or tag_keys)}


Handler = Callable[[Call], Awaitable[Answer]]
