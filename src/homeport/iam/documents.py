"""Is this text a policy that IAM takes? The grammar itself is `access/policies.py`; here are IAM's words for it."""

from __future__ import annotations

import re

from homeport.access.policies import parse_identity_policy
from homeport.kernel.errors import InvalidParameter, MalformedPolicyDocument

# What IAM answers to the faults that people make most; every other one is named by our own reason.
_WORDED = (
    (re.compile(r"not JSON|a policy is a JSON object"), "Syntax errors in policy."),
    (re.compile(r"exactly one of Action"), "Policy statement must contain actions."),
    (re.compile(r"exactly one of Resource"), "Policy statement must contain resources."),
    (
        re.compile(r"is not an action such as"),
        "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
    ),
)
_NOT_AN_ARN = re.compile(r"'(.*)' is neither \* nor an ARN")


def size(document: str) -> int:
    """Return the size of a policy as IAM's quotas count it: characters that are not white space."""
    return len("".join(document.split()))


def check(document: str) -> None:
    """Return when the text is a policy for users, groups and roles. Errors: MalformedPolicyDocument."""
    try:
        parse_identity_policy(document)
    except InvalidParameter as error:
        raise MalformedPolicyDocument(_reason(str(error.__cause__))) from error


def _reason(fault: str) -> str:
    for pattern, text in _WORDED:
        if pattern.search(fault):
            return text
    resource = _NOT_AN_ARN.search(fault)
    if resource is not None:
        return f'Resource {resource[1]} must be in ARN format or "*".'
    return f"Syntax errors in policy: {fault}."
