"""What a managed policy is called and may hold: pure rules. IAM User Guide, "IAM and AWS STS quotas"."""

from __future__ import annotations

import re
from typing import Final

from homeport.iam import documents
from homeport.kernel.errors import InvalidEntityInput, LimitExceeded

POLICY_CHARS: Final = 6_144  # IAM: a managed policy, white space not counted
POLICIES: Final = 1_500  # IAM: customer managed policies in an account
VERSIONS: Final = 5  # IAM: versions of a managed policy
ATTACHED: Final = 10  # IAM: managed policies attached to one user, group or role
OWNER_AWS: Final = "aws"

_ARN: Final = re.compile(
    r"arn:aws:iam::(aws|[0-9]{12}):policy(/(?:[A-Za-z0-9.,+@=_-]{1,510}/)*)([A-Za-z0-9_+=,.@-]{1,128})",
    re.ASCII,
)


def split_arn(arn: str) -> tuple[str, str, str]:
    """Return (account or `aws`, path, name) of a managed policy's ARN. Errors: InvalidEntityInput."""
    match = _ARN.fullmatch(arn)
    if match is None:
        raise InvalidEntityInput(f"ARN {arn[:200]} is not valid.")
    return match[1], match[2], match[3]


def check_document(text: str) -> None:
    """Return when `text` is an identity policy that keeps its size. Errors: MalformedPolicyDocument, LimitExceeded."""
    if documents.size(text) > POLICY_CHARS:
        raise LimitExceeded(f"Cannot exceed quota for PolicySize: {POLICY_CHARS}")
    documents.check(text)
