"""Issuers of web identities and what trusts them, for tests of AssumeRoleWithWebIdentity."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.api.calls import policy, refused
from tests.api.roles import document, new_role, statement
from tests.harness.issuer import Issuer
from tests.harness.server import Homeport

ACTION = "sts:AssumeRoleWithWebIdentity"


@contextmanager
def trusting(issuer: Issuer, **settings: str) -> Iterator[Homeport]:
    """A server that may connect to loopback and trusts the issuer's certificate; it must end without a defect.

    Args:
        issuer: whom it trusts.
        settings: further environment variables of it.
    """
    environment = settings | {
        "HOMEPORT_OUTBOUND_ALLOW": "127.0.0.0/8",
        "HOMEPORT_OUTBOUND_CA_FILE": str(issuer.certificate),
    }
    with Homeport(environment=environment) as server:
        yield server
        server.terminate()
        assert server.defects == []


class Tenant:
    """One issuer address with its provider and a role that trusts it."""

    def __init__(self, house: Homeport, issuer: Issuer) -> None:
        self.house, self.issuer = house, issuer
        self.path = f"/realms/{uuid.uuid4().hex[:8]}"
        self.url = issuer.host + self.path
        created = house.client("iam").create_open_id_connect_provider(
            Url=f"https://{self.url}", ClientIDList=["sts.amazonaws.com", "other-client"]
        )
        self.provider: str = created["OpenIDConnectProviderArn"]
        text = document(statement({"Federated": self.provider}, ACTION))
        self.role = new_role(house, text, policy("ecr:*"))

    def token(self, **more: Any) -> str:
        """A good token of this issuer."""
        return self.issuer.token(self.path, **more)

    def call(self, token: str, **more: Any) -> Any:
        """AssumeRoleWithWebIdentity, without credentials."""
        return unsigned(self.house).assume_role_with_web_identity(
            **{"RoleArn": self.role, "RoleSessionName": "run", "WebIdentityToken": token} | more
        )

    def refusal(self, token: str, **more: Any) -> tuple[str, str]:
        """The error that a token gets."""
        return refused(self.call, token=token, **more)

    def outcome(self, **claims: Any) -> str:
        """`done` or the error's code for a token with these claims."""
        try:
            self.call(self.token(**claims))
        except ClientError as error:
            return error.response["Error"]["Code"]
        return "done"


def unsigned(house: Homeport) -> Any:
    """An STS client without credentials."""
    config = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1})
    return boto3.client("sts", endpoint_url=house.url, region_name=house.credentials.region, config=config)
