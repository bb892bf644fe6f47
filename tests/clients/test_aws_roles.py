"""The aws command line as other identities: profiles with a role, and a token file as CI jobs and clusters have it."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest

from tests.api.calls import policy
from tests.api.federation import ACTION
from tests.api.roles import document, name_of, new_role, root, statement, trust
from tests.harness.issuer import SigningKey, signed
from tests.harness.sandbox import Sandbox, needs
from tests.harness.server import Homeport

pytestmark = [pytest.mark.clients, needs("aws", "awscli"), pytest.mark.timeout(120)]


def configured(sandbox: Sandbox, homeport: Homeport, **profiles: dict[str, str]) -> None:
    """Give the sandbox profiles and the server's address."""
    who = homeport.credentials
    keys = {"aws_access_key_id": who.access_key_id, "aws_secret_access_key": who.secret_access_key}
    everything = {"base": keys, **profiles}
    text = "".join(
        f"[profile {name}]\nregion = {who.region}\n"
        + "".join(f"{key} = {value}\n" for key, value in settings.items())
        for name, settings in everything.items()
    )
    path = sandbox.folder / "aws-config"
    path.write_text(text)
    sandbox.environment.update(AWS_CONFIG_FILE=str(path), AWS_ENDPOINT_URL=homeport.url)


def asked(sandbox: Sandbox, *words: str) -> Any:
    """What a command answers, as JSON."""
    return json.loads(sandbox.run("aws", "--output", "json", *words).out)


def test_a_profile_with_a_role_is_the_role(sandbox: Sandbox, homeport: Homeport) -> None:
    role = new_role(homeport, trust(root(homeport.credentials)), policy("ecr:DescribeRegistry"))
    configured(
        sandbox,
        homeport,
        ci={"role_arn": role, "source_profile": "base", "role_session_name": "from-a-profile"},
    )

    identity = asked(sandbox, "sts", "get-caller-identity", "--profile", "ci")
    registry = asked(sandbox, "ecr", "describe-registry", "--profile", "ci")
    refusal = sandbox.refused("aws", "ecr", "describe-repositories", "--profile", "ci")

    assert identity["Arn"].endswith(f":assumed-role/{name_of(role)}/from-a-profile")
    assert registry["registryId"] == homeport.credentials.account_id
    assert "AccessDeniedException" in refusal


def test_a_chain_of_profiles_goes_from_role_to_role(sandbox: Sandbox, homeport: Homeport) -> None:
    first = new_role(homeport, trust(root(homeport.credentials)))
    last = new_role(homeport, trust(first), policy("ecr:*"))
    configured(
        sandbox,
        homeport,
        middle={"role_arn": first, "source_profile": "base"},
        end={"role_arn": last, "source_profile": "middle"},
    )

    assert f"/{name_of(last)}/" in asked(sandbox, "sts", "get-caller-identity", "--profile", "end")["Arn"]


def test_a_token_file_is_enough_for_a_job_without_credentials(sandbox: Sandbox, homeport: Homeport) -> None:
    key, url = SigningKey(), f"ci.example.com/{uuid.uuid4().hex[:8]}"
    done = homeport.command(
        *("provider", "add", f"https://{url}", "--client-id", "sts.amazonaws.com", "--jwks", "-"),
        stdin=json.dumps({"keys": [key.public()]}),
    )
    assert done.code == 0, str(done)
    provider = f"arn:aws:iam::{homeport.credentials.account_id}:oidc-provider/{url}"
    condition = {"StringLike": {f"{url}:sub": "repo:octo/app:*"}}
    role = new_role(
        homeport,
        document(statement({"Federated": provider}, ACTION, Condition=condition)),
        policy("ecr:GetAuthorizationToken"),
    )
    now = int(time.time())
    claims = {"iss": f"https://{url}", "aud": "sts.amazonaws.com", "iat": now, "exp": now + 300}
    token = sandbox.folder / "token"
    token.write_text(signed(key, {**claims, "sub": "repo:octo/app:ref:refs/heads/main"}))
    sandbox.environment.update(
        AWS_ENDPOINT_URL=homeport.url,
        AWS_REGION=homeport.credentials.region,
        AWS_DEFAULT_REGION=homeport.credentials.region,
        AWS_ROLE_ARN=role,
        AWS_ROLE_SESSION_NAME="job-1",
        AWS_WEB_IDENTITY_TOKEN_FILE=str(token),
    )

    identity = asked(sandbox, "sts", "get-caller-identity")
    password = sandbox.run("aws", "ecr", "get-login-password").out.strip()
    token.write_text(signed(key, {**claims, "sub": "repo:evil/app:ref:refs/heads/main"}))
    sandbox.environment["AWS_ROLE_SESSION_NAME"] = "job-2"  # the client keeps the credentials of the first
    refusal = sandbox.refused("aws", "sts", "get-caller-identity")

    assert identity["Arn"].endswith(f":assumed-role/{name_of(role)}/job-1")
    assert len(password) > 100
    assert "AccessDenied" in refusal
