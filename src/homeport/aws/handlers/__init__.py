"""What each API operation does. A folder or file for each service; `HANDLERS` is the list of those that work."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from homeport.aws.call import Handler
from homeport.aws.handlers import ecr, iam, public, secretsmanager, sts
from homeport.aws.handlers import homeport as own

_SERVICES = {
    "ecr": ecr.HANDLERS,
    "ecr-public": public.HANDLERS,
    "homeport": own.HANDLERS,
    "iam": iam.HANDLERS,
    "secretsmanager": secretsmanager.HANDLERS,
    "sts": sts.HANDLERS,
}
HANDLERS: Mapping[tuple[str, str], Handler] = MappingProxyType(
    {(service, name): handler for service, table in _SERVICES.items() for name, handler in table.items()}
)
"""Every operation that works, by (service, name)."""
