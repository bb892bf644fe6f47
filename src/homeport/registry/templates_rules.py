"""What may stand in a creation template. ECR User Guide, repository creation templates."""

from __future__ import annotations

import re

from homeport.kernel.errors import InvalidParameter
from homeport.registry.templates_model import Wish

_ROLE = re.compile(r"arn:aws(?:-[a-z]+)*:iam::([0-9]{12}):role/[\w+=,.@/-]{1,576}", re.ASCII)


def check_role(arn: str | None, account: str) -> None:
    """Return when ECR could be given that role. Errors: InvalidParameter unless it is a role of `account`."""
    if arn is None:
        return
    match = _ROLE.fullmatch(arn)
    if match is None or match[1] != account:
        raise InvalidParameter("customRoleArn", "Member must be the ARN of an IAM role of this account")


def lacks_role(wish: Wish) -> bool:
    """Whether repositories cannot be made from the template: it sets tags and names no role that may."""
    return bool(wish.resource_tags) and wish.custom_role_arn is None
