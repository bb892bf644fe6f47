"""One verified call of ECR Public: its registry may be named by an alias, its resources belong to no region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import wraps

from homeport.access.authorize import Context, require, require_action
from homeport.aws.call import Answer, Call, Handler
from homeport.kernel.names import AccountId, RepositoryName
from homeport.public import service as public
from homeport.repositories import service as repositories
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
        context = {**self.context(), **facts} if facts else self.context()
        require(self.principal, self.operation, target, context)

    def require_token(self, seconds: int) -> None:
        """Return when the caller may have a password for so long. Errors: AccessDenied.

        It is a bearer token of this service as well: IAM User Guide, "Using bearer tokens".
        """
        context, target = self.context(), self.target("*")
        require(self.principal, self.operation, target, context)
        asked = {"sts:AWSServiceName": "ecr-public.amazonaws.com", "sts:DurationSeconds": str(seconds)}
        for action in self.operation.also:
            require_action(self.principal, action, target, {**context, **asked})

    def _arn(self, name: str) -> str:
        return public_repository_arn(self.registry, name)

    async def _found(self, name: RepositoryName) -> Repository | None:
        return await repositories.find(self.region.db, self.registry, name, public=True)

    def _named(self) -> Sequence[Mapping[str, str]]:
        return ({},)  # the condition keys for images are those of `ecr`

    async def registry_address(self) -> str:
        """Return the address under which this client finds the registry's images. Errors: RegistryNotFound."""
        alias = await public.primary(self.region.db, self.registry)
        return f"{self.region.hosts.public_address(self.exchange.host)}/{alias}"


def of_public(handler: Handler) -> Handler:
    """Return a handler of `ecr` as one of `ecr-public`."""

    @wraps(handler)
    async def serve(call: Call) -> Answer:
        return await handler(await PublicCall.made_of(call))

    return serve
