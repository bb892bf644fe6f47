"""Secrets. AWS Secrets Manager API Reference; texts as that service words them.

Everybody uses the secrets of their own account only; there are no keys, replicas and rotations.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from homeport.aws.call import Handler
from homeport.aws.handlers.secretsmanager import listing, secrets, values

HANDLERS: Mapping[str, Handler] = MappingProxyType(
    {
        "CreateSecret": secrets.create_secret,
        "DeleteSecret": secrets.delete_secret,
        "DescribeSecret": secrets.describe_secret,
        "GetResourcePolicy": secrets.get_resource_policy,
        "GetSecretValue": values.get_secret_value,
        "ListSecretVersionIds": listing.list_secret_version_ids,
        "ListSecrets": listing.list_secrets,
        "PutSecretValue": values.put_secret_value,
        "RestoreSecret": secrets.restore_secret,
        "TagResource": secrets.tag_resource,
        "UntagResource": secrets.untag_resource,
        "UpdateSecret": values.update_secret,
        "UpdateSecretVersionStage": values.update_secret_version_stage,
    }
)
"""What each operation does, by its name."""
