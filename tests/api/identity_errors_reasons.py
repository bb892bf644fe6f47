"""Why some listed errors have no scenario: nothing that anybody can ask for brings this registry to answer them."""

from __future__ import annotations

from tests.api.identity_errors_base import LISTED, OPERATIONS, listing

CANNOT_OCCUR: dict[tuple[str, str], str] = {}
"""By (operation, error), the reason. Whoever builds what is missing moves the entry to the scenarios."""

OUR_TROUBLE = {"iam": "ServiceFailure", "secretsmanager": "InternalServiceError"}
"""What each service calls a failure of its own; STS models none."""

_CHANGES = (
    "Add",
    "Attach",
    "Create",
    "Delete",
    "Detach",
    "Put",
    "Remove",
    "Restore",
    "Set",
    "Tag",
    "Untag",
    "Update",
)
_NOTHING_TO_CHANGE = {"iam:DeleteLoginProfile"}  # there never is one, so nothing is written
WRITES = sorted(
    operation
    for operation in OPERATIONS
    if operation.partition(":")[2].startswith(_CHANGES)
    and operation.partition(":")[0] in OUR_TROUBLE
    and operation not in _NOTHING_TO_CHANGE
)
"""The operations that change something: they fail on a server whose database takes no write."""


def _because(why: str, error: str, *operations: str) -> None:
    for operation in operations:
        assert (operation, error) in LISTED, (operation, error)
        assert (operation, error) not in CANNOT_OCCUR, (operation, error)
        CANNOT_OCCUR[operation, error] = why


def _iam(*names: str) -> list[str]:
    return [f"iam:{name}" for name in names]


for _service, _error in OUR_TROUBLE.items():
    _because(
        "the operation only reads, and no request makes a read fail; that a failing database would be answered so is "
        "tested for each operation without a server",
        _error,
        *sorted(set(listing(_error, _service)) - set(WRITES)),
    )

# --- STS ---

_because(
    "a server serves one region, which cannot be switched off for an account",
    "RegionDisabledException",
    *listing("RegionDisabledException", "sts"),
)
_because(
    "it is about an assertion in ProvidedContexts, which are refused; temporary credentials that are over are the "
    "common error ExpiredToken",
    "ExpiredTokenException",
    "sts:AssumeRole",
)

# --- IAM ---

_because(
    "changes are made one after the other, each on what the one before left: two never meet",
    "ConcurrentModification",
    *listing("ConcurrentModification"),
)
_because(
    "it is about service-linked roles, which only a service makes; none does here",
    "UnmodifiableEntity",
    *listing("UnmodifiableEntity"),
)
_because(
    "a change counts as soon as it is made, so nothing is ever locked for a while after one",
    "EntityTemporarilyUnmodifiable",
    *listing("EntityTemporarilyUnmodifiable"),
)
_because(
    "it is about policies for service-linked roles; every built-in policy here can be attached to everybody",
    "PolicyNotAttachable",
    *listing("PolicyNotAttachable"),
)
_because(
    "nothing is fetched from the issuer when a provider is made: connections are verified by certificate authorities, "
    "and keys are fetched with the first token",
    "OpenIdIdpCommunicationError",
    "iam:CreateOpenIDConnectProvider",
)
_because(
    "a policy is either refused as InvalidInput when it is read, or can be evaluated",
    "PolicyEvaluation",
    *listing("PolicyEvaluation"),
)
_because("a new group names nothing that must exist", "NoSuchEntity", "iam:CreateGroup")
_because(
    "whatever the model's constraints let through is a right value; a Marker of another list is refused with "
    "ValidationError, as by the lists that do not have this error",
    "InvalidInput",
    *_iam("ListAttachedGroupPolicies", "ListAttachedRolePolicies", "ListAttachedUserPolicies"),
)
_because(
    "it takes something away or changes it in place, and no quota counts how often",
    "LimitExceeded",
    *_iam(
        "DeleteAccessKey",
        "DeleteGroup",
        "DeleteGroupPolicy",
        "DeleteLoginProfile",
        "DeletePolicy",
        "DeletePolicyVersion",
        "DeleteRole",
        "DeleteRolePolicy",
        "DeleteUser",
        "DeleteUserPolicy",
        "DetachGroupPolicy",
        "DetachRolePolicy",
        "DetachUserPolicy",
        "RemoveUserFromGroup",
        "SetDefaultPolicyVersion",
        "UpdateAccessKey",
        "UpdateGroup",
        "UpdateUser",
    ),
)

# --- Secrets Manager ---

_because(
    "a new secret names nothing that must exist: keys other than the service's own are an EncryptionFailure, and "
    "replicas are refused",
    "ResourceNotFoundException",
    "secretsmanager:CreateSecret",
)
_because(
    "neither operation takes a policy",
    "MalformedPolicyDocumentException",
    "secretsmanager:CreateSecret",
    "secretsmanager:UpdateSecret",
)
_because(
    "it is about secrets that another service manages or that are replicated; neither exists here",
    "PreconditionNotMetException",
    "secretsmanager:CreateSecret",
    "secretsmanager:UpdateSecret",
)
_because(
    "values are sealed with the master key, without which the server does not start, and a version names no other key",
    "EncryptionFailure",
    "secretsmanager:PutSecretValue",
)
_because("a list is of secrets in every state", "InvalidRequestException", "secretsmanager:ListSecrets")
_because(
    "to restore a secret that is in use changes nothing and succeeds",
    "InvalidRequestException",
    "secretsmanager:RestoreSecret",
)
