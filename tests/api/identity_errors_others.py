"""Scenarios of STS and Secrets Manager."""

from __future__ import annotations

import random
import re
import uuid
from typing import Any

from tests.api.federation import ACTION
from tests.api.iam_calls import fresh
from tests.api.identity_errors_base import Refused, World, listing, refuses, usual
from tests.api.listed_errors_base import behind_the_back
from tests.api.roles import document, new_role, statement
from tests.harness.issuer import DISCOVERY, SigningKey, signed

ASSUME, WITH_TOKEN = "sts:AssumeRole", "sts:AssumeRoleWithWebIdentity"
NO_SECRET = "Secrets Manager can't find the specified secret."
SCHEDULED = "You can't perform this operation on the secret because it was marked for deletion."
SEALED = "The value cannot be opened with the master key of this registry"


# --- STS ---


def _with_token(world: World, token: str, **more: Any) -> dict[str, Any]:
    return {"RoleArn": world.tenant.role, "RoleSessionName": "run", "WebIdentityToken": token, **more}


def _noise() -> dict[str, str]:
    """As many tags as a session takes, of texts that cannot be packed."""
    source = random.Random(0)
    return {f"key{number}": source.randbytes(100).hex() for number in range(50)}


@refuses("MalformedPolicyDocument", ASSUME, WITH_TOKEN)
def narrows_the_session_by_no_policy(world: World, operation: str) -> Refused:
    text = re.compile(r"Invalid session policy: .*not JSON.*")
    if operation == WITH_TOKEN:
        return Refused(text, _with_token(world, world.tenant.token(), Policy="no JSON"), signed=False)
    role = f"arn:aws:iam::{world.who.account_id}:role/{world.role}"
    return Refused(text, {"RoleArn": role, "RoleSessionName": "run", "Policy": "no JSON"})


@refuses("PackedPolicyTooLarge", ASSUME, WITH_TOKEN)
def brings_too_many_tags(world: World, operation: str) -> Refused:
    text = re.compile(
        r"Packed size of session policies and session tags consumes [1-9][0-9]{2}% of allotted space\."
    )
    if operation == WITH_TOKEN:
        trusted = document(statement({"Federated": world.tenant.provider}, ACTION, "sts:TagSession"))
        role = new_role(world.server, trusted)
        tags = {"https://aws.amazon.com/tags": {"principal_tags": _noise()}}
        return Refused(text, _with_token(world, world.tenant.token(**tags), RoleArn=role), signed=False)
    trusted = document(statement(world.who.account_id, "sts:AssumeRole", "sts:TagSession"))
    role = new_role(world.server, trusted, owner=world.who)
    listed = [{"Key": key, "Value": value} for key, value in _noise().items()]
    return Refused(text, {"RoleArn": role, "RoleSessionName": "run", "Tags": listed})


@refuses("IDPRejectedClaim", WITH_TOKEN)
def is_not_valid_yet(world: World, operation: str) -> Refused:
    token = world.tenant.token(nbf=4_000_000_000)
    return Refused("The token is not valid yet", _with_token(world, token), signed=False)


@refuses("IDPCommunicationError", WITH_TOKEN)
def comes_from_an_issuer_that_fails(world: World, operation: str) -> Refused:
    path = f"/realms/{uuid.uuid4().hex[:8]}"
    world.issuer.broken[f"{path}{DISCOVERY}"] = (500, {}, b"")
    address = f"{world.issuer.host}{path}"
    world.server.client("iam").create_open_id_connect_provider(
        Url=f"https://{address}", ClientIDList=["sts.amazonaws.com"]
    )
    token = world.issuer.token(path)
    text = re.compile(rf"The keys of {re.escape(address)} cannot be fetched: .+")
    return Refused(text, _with_token(world, token), signed=False)


@refuses("InvalidIdentityToken", WITH_TOKEN)
def is_signed_by_somebody_else(world: World, operation: str) -> Refused:
    forger = SigningKey(kid=world.issuer.key.kid)
    token = signed(forger, world.issuer.claims(world.tenant.path))
    return Refused("The signature of the token is not valid", _with_token(world, token), signed=False)


@refuses("ExpiredTokenException", WITH_TOKEN)
def is_over(world: World, operation: str) -> Refused:
    moment = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
    text = re.compile(
        rf"Token expired: current date/time {moment} must be before the expiration date/time 2020-09-13T12:26:40Z"
    )
    return Refused(text, _with_token(world, world.tenant.token(exp=1_600_000_000)), signed=False)


# --- Secrets Manager ---


def _of(error: str, *but: str) -> list[str]:
    """The operations that list an error, without some."""
    left_out = {f"secretsmanager:{name}" for name in but}
    return sorted(set(listing(error, "secretsmanager")) - left_out)


@refuses("ResourceNotFoundException", *_of("ResourceNotFoundException", "CreateSecret"))
def names_no_secret(world: World, operation: str) -> Refused:
    return Refused(NO_SECRET, usual(world.missing())[operation])


_BY_VALUE = ("CreateSecret", "ListSecrets", "PutSecretValue", "UpdateSecret")
_OWN_RULE = (*_BY_VALUE, "DeleteSecret", "TagResource", "UpdateSecretVersionStage")


@refuses("InvalidParameterException", *_of("InvalidParameterException", *_OWN_RULE))
def is_named_by_too_much(world: World, operation: str) -> Refused:
    asked = "x" * 2_049
    return Refused(
        "Invalid parameter at 'SecretId' failed to satisfy constraint: "
        "'Member must have length less than or equal to 2048'",
        {**usual(world)[operation], "SecretId": asked},
    )


@refuses(
    "InvalidParameterException", *(f"secretsmanager:{name}" for name in _BY_VALUE if name != "ListSecrets")
)
def has_two_values(world: World, operation: str) -> Refused:
    return Refused(
        "You can't specify both a binary secret value and a string secret value in the same secret.",
        {**usual(world)[operation], "SecretString": "x", "SecretBinary": b"x"},
    )


@refuses("InvalidParameterException", "secretsmanager:ListSecrets")
def sorts_by_what_is_not_recorded(world: World, operation: str) -> Refused:
    return Refused(
        "SortBy: this registry does not record when a secret was last accessed.",
        {"SortBy": "last-accessed-date"},
    )


@refuses("InvalidParameterException", "secretsmanager:DeleteSecret")
def can_be_restored_for_too_short(world: World, operation: str) -> Refused:
    return Refused(
        "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
        {**usual(world)[operation], "RecoveryWindowInDays": 6},
    )


@refuses("InvalidParameterException", "secretsmanager:TagResource")
def has_a_reserved_tag(world: World, operation: str) -> Refused:
    return Refused(
        "Tag keys that start with 'aws:' are reserved.",
        {**usual(world)[operation], "Tags": [{"Key": "aws:x", "Value": "v"}]},
    )


@refuses("InvalidParameterException", "secretsmanager:UpdateSecretVersionStage")
def leaves_nothing_current(world: World, operation: str) -> Refused:
    return Refused(
        "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.",
        {"SecretId": world.secret, "VersionStage": "AWSCURRENT"},
    )


@refuses("InvalidNextTokenException", *_of("InvalidNextTokenException"))
def goes_on_from_nowhere(world: World, operation: str) -> Refused:
    return Refused(
        "The NextToken value is invalid: it was not returned by the same request.",
        {**usual(world)[operation], "NextToken": "made-up"},
    )


_UNSCHEDULED = ("CreateSecret", "DeleteSecret", "ListSecrets", "RestoreSecret")


@refuses("InvalidRequestException", *_of("InvalidRequestException", *_UNSCHEDULED))
def is_scheduled_for_deletion(world: World, operation: str) -> Refused:
    secret = world.new_secret()
    world.secrets.delete_secret(SecretId=secret)
    return Refused(SCHEDULED, {**usual(world)[operation], "SecretId": secret})


@refuses("InvalidRequestException", "secretsmanager:DeleteSecret")
def is_scheduled_already(world: World, operation: str) -> Refused:
    secret = world.new_secret()
    world.secrets.delete_secret(SecretId=secret)
    return Refused(
        "You can't perform this operation on the secret because it was already scheduled for deletion.",
        {"SecretId": secret},
    )


@refuses("InvalidRequestException", "secretsmanager:CreateSecret")
def has_the_name_of_one_that_is_scheduled(world: World, operation: str) -> Refused:
    secret = world.new_secret()
    world.secrets.delete_secret(SecretId=secret)
    return Refused(
        "You can't create this secret because a secret with this name is already scheduled for deletion.",
        {**usual(world)[operation], "Name": secret},
    )


@refuses("ResourceExistsException", "secretsmanager:CreateSecret")
def exists(world: World, operation: str) -> Refused:
    return Refused(
        f"The operation failed because the secret {world.secret} already exists.",
        {**usual(world)[operation], "Name": world.secret},
    )


@refuses("ResourceExistsException", "secretsmanager:PutSecretValue", "secretsmanager:UpdateSecret")
def has_a_token_that_means_another_value(world: World, operation: str) -> Refused:
    token = str(uuid.uuid4())
    made = world.secrets.create_secret(Name=fresh("secret"), SecretString="one", ClientRequestToken=token)
    return Refused(
        f"You can't use ClientRequestToken {token} because that value is already in use for a version of secret "
        f"{made['ARN']}.",
        {"SecretId": made["ARN"], "SecretString": "two", "ClientRequestToken": token},
    )


@refuses("EncryptionFailure", "secretsmanager:CreateSecret", "secretsmanager:UpdateSecret")
def names_a_key_that_is_not_there(world: World, operation: str) -> Refused:
    return Refused(
        "KmsKeyId: this registry has no keys of its own; only alias/aws/secretsmanager can be used.",
        {**usual(world)[operation], "KmsKeyId": "alias/mine"},
    )


@refuses("DecryptionFailure", *_of("DecryptionFailure"))
def was_sealed_with_another_key(world: World, operation: str) -> Refused:
    """Asks for the value, or repeats a request, which can only be told from another one by the value."""
    token, name = str(uuid.uuid4()), fresh("secret")
    made = world.secrets.create_secret(Name=name, SecretString="one", ClientRequestToken=token)
    with behind_the_back(world.server) as database:
        (sealed,) = database.execute(
            "SELECT value_sealed FROM secret_version WHERE arn = ?", (made["ARN"],)
        ).fetchone()
        broken = sealed[:-1] + bytes([sealed[-1] ^ 1])
        database.execute("UPDATE secret_version SET value_sealed = ? WHERE arn = ?", (broken, made["ARN"]))
    if operation == "secretsmanager:GetSecretValue":
        return Refused(SEALED, {"SecretId": name})
    named = {"Name": name} if operation == "secretsmanager:CreateSecret" else {"SecretId": name}
    return Refused(SEALED, {**named, "SecretString": "one", "ClientRequestToken": token})


@refuses("LimitExceededException", "secretsmanager:CreateSecret")
def fills_the_account(world: World, operation: str) -> Refused:
    there = world.elsewhere()
    account = there.who.account_id
    rows = [(account, f"n{number}", f"arn:{account}:{number}") for number in range(10_000)]
    with behind_the_back(world.server) as database:
        database.executemany(
            "INSERT INTO secret (account_id, name, arn, tags, created_at, changed_at) VALUES (?, ?, ?, '{}', 0, 0)",
            rows,
        )
    return Refused("An account can have at most 10000 secrets.", usual(world)[operation], there)


@refuses("LimitExceededException", *_of("LimitExceededException", "CreateSecret"))
def has_all_its_labels(world: World, operation: str) -> Refused:
    """Twenty labels: one on the current version and nineteen on the next; a new current version makes one more."""
    secret = world.new_secret()
    labels = [f"label{number}" for number in range(19)]
    put = world.secrets.put_secret_value(SecretId=secret, SecretString="y", VersionStages=labels)
    params = {
        "secretsmanager:PutSecretValue": {"SecretString": "z"},
        "secretsmanager:UpdateSecret": {"SecretString": "z"},
        "secretsmanager:UpdateSecretVersionStage": {
            "VersionStage": "one-more",
            "MoveToVersionId": put["VersionId"],
        },
    }[operation]
    return Refused("A secret can have at most 20 staging labels.", {"SecretId": secret, **params})
