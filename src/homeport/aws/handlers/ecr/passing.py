"""What several operations ask for beside their own permission: other actions of ECR, and handing over a role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from homeport.access.authorize import Target, require_action
from homeport.access.operations import OPERATIONS
from homeport.aws.call import Call
from homeport.kernel.errors import RepositoryNotFound
from homeport.kernel.names import RepositoryName
from homeport.registry import templates
from homeport.registry.templates_model import AppliedFor
from homeport.repositories.model import Repository


def require_other(call: Call, operation: str, name: str, tags: Mapping[str, str] | None = None) -> None:
    """Return when the caller may also do the ECR operation `operation` on repositories of that name.

    `name` may be a pattern such as `team/*`: then all of them must be allowed. Errors: AccessDenied.
    """
    other = replace(call, operation=OPERATIONS["ecr", operation])
    other.require_new(str.__new__(RepositoryName, name), tags or {})


def require_pass_role(call: Call, role_arn: str | None) -> None:
    """Return when the caller may hand the role to ECR; without a role always. Errors: AccessDenied.

    IAM User Guide, "Granting a user permissions to pass a role to an AWS service".
    """
    if not role_arn:
        return
    context = {
        **call.exchange.context(call.region.name, call.now),
        "iam:PassedToService": "ecr.amazonaws.com",
    }
    parts = role_arn.split(":")
    owner = parts[4] if len(parts) == 6 else call.principal.caller.account
    target = Target(owner, role_arn)
    require_action(call.principal, "iam:PassRole", target, context)


async def repository_for_push(call: Call) -> Repository:
    """Return the repository of the call, made from a creation template when it does not exist yet.

    What the template gives the repository, its policy and its tags, counts for this very call.
    Errors: AccessDenied, RepositoryNotFound.
    """
    try:
        return await call.repository()
    except RepositoryNotFound:
        if call.operation.front != "ecr":  # ECR Public has no creation templates
            raise
        name = RepositoryName(call.params["repositoryName"])

        async def permit(tags: Mapping[str, str]) -> None:
            require_other(call, "CreateRepository", name, tags)

        await templates.create_missing(
            call.region.db,
            call.now,
            call.account,
            name,
            AppliedFor.CREATE_ON_PUSH,
            permit,
            call.region.quotas,
        )
    return await call.repository()
