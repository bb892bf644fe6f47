"""One verified call of ECR Public: its registry may be named by an alias, its resources belong to no region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import wraps

from homeport.access.authorize import Context, require, require_action
from homeport.aws.call import Answer, Call, Handler
from homeport.kernel.errors import InvalidParameter, RepositoryNotFound
from homeport.kernel.names import AccountId, RepositoryName
from homeport.public import service as public
from homeport.repositories import service as repositories
from homeport.repositories import store as repository_store
from homeport.repositories.model import Repository, public_repository_arn

_ACCOUNT_CHARS = 12


@dataclass(frozen=True, slots=True)
class PublicCall(Call):
    """A call whose signature is good, about the public registry of the account `registry`; nothing is permitted yet.

    What handlers ask of a `Call` is answered for public repositories, so that those of `ecr` serve here too.
    """

    registry: AccountId

    @classmethod
    async def made_of(cls, call: Call) -> PublicCall:
        """Return `call` with its registry resolved. Errors: RegistryNotFound for an unknown alias."""
        stated = call.params.get("registryId")
        if stated is None:
            registry = AccountId(call.principal.caller.account)
        elif len(stated) == _ACCOUNT_CHARS and stated.isdigit():
            registry = AccountId(stated)
        else:
            registry = await public.account_of(call.region.db, stated)
        return cls(**{field.name: getattr(call, field.name) for field in fields(call)}, registry=registry)

    @property
    def account(self) -> AccountId:
        """The registry that the call is about."""
        return self.registry

    def require_registry(self, facts: Context | None = None) -> None:
        """Return when the operation is allowed on the public registry as a whole. Errors: AccessDenied.

        `facts` are condition keys that only this operation has.
        """
        target = self.target(f"arn:aws:ecr-public::{self.registry}:registry/{self.registry}")
        context = {**self._context(), **facts} if facts else self._context()
        require(self.principal, self.operation, target, context)

    def require_token(self, seconds: int) -> None:
        """Return when the caller may have a password for so long. Errors: AccessDenied.

        It is a bearer token of this service as well: IAM User Guide, "Using bearer tokens".
        """
        context, target = self._context(), self.target("*")
        require(self.principal, self.operation, target, context)
        asked = {"sts:AWSServiceName": "ecr-public.amazonaws.com", "sts:DurationSeconds": str(seconds)}
        for action in self.operation.also:
            require_action(self.principal, action, target, {**context, **asked})

    def require_repositories(self) -> None:
        """Return when the operation is allowed on every public repository of the registry. Errors: AccessDenied."""
        target = self.target(public_repository_arn(self.registry, "*"))
        require(self.principal, self.operation, target, self._context())

    def require_new(self, name: RepositoryName, tags: Mapping[str, str]) -> None:
        """Return when a public repository of that name may be created with those tags. Errors: AccessDenied."""
        target = self.target(public_repository_arn(self.registry, name))
        context = self._context(tags)
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
        """Return the public repository of the call (or `name`) once the operation on it is allowed.

        `tags` are those that the request sets, `tag_keys` the keys of those that it removes.
        Errors: AccessDenied, and RepositoryNotFound only to those who would be allowed.
        """
        checked = RepositoryName(name if name is not None else self.params["repositoryName"])
        found = await repositories.find(self.region.db, self.registry, checked, public=True)
        own_tags = await repository_store.tags(self.region.db, found.id) if found else {}
        arn = public_repository_arn(self.registry, checked)
        target = self.target(arn, found.policy if found else None, own_tags)
        require(self.principal, self.operation, target, self._context(tags, tag_keys))
        if found is None:
            raise RepositoryNotFound(checked, self.registry)
        return found

    async def registry_address(self) -> str:
        """Return the address under which this client finds the registry's images. Errors: RegistryNotFound."""
        alias = await public.primary(self.region.db, self.registry)
        return f"{self.region.hosts.public_address(self.exchange.host)}/{alias}"

    def refuse_paging(self, beside: str) -> None:
        """Refuse paging members next to the member `beside`, which names what is wanted. Errors: InvalidParameter."""
        for member in ("nextToken", "maxResults"):
            if self.params.get(member) is not None:
                raise InvalidParameter(member, f"{member} cannot be used with {beside}")


def of_public(handler: Handler) -> Handler:
    """Return a handler of `ecr` as one of `ecr-public`."""

    @wraps(handler)
    async def serve(call: Call) -> Answer:
        return await handler(await PublicCall.made_of(call))

    return serve
