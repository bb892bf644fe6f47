"""Which context keys a policy may name, and the fault of a policy text that nobody could obey."""

from __future__ import annotations

import re
from typing import Final

# IAM User Guide, "AWS global condition context keys". A misspelt key (aws:SourcIp) would silently disarm a
# Deny, so aws: and ecr: keys are known one by one; the other services only by their prefix.
_AWS_NAMES: Final = """
    assumedroot calledvia calledviafirst calledvialast chatbotsourcearn currenttime
    ec2instancesourceprivateipv4 ec2instancesourcevpc epochtime federatedprovider ismcpserviceaction
    multifactorauthage multifactorauthpresent principalaccount principalarn principalisawsservice
    principalorgid principalorgpaths principalservicename principalservicenameslist principaltype
    referer requestedregion resourceaccount resourceorgid resourceorgpaths securetransport sourceaccount
    sourcearn sourceidentity sourceip sourceorgid sourceorgpaths sourceowner sourcevpc sourcevpcarn
    sourcevpce tagkeys tokenissuetime useragent userid username viaawsmcpservice viaawsservice
    vpceaccount vpceorgid vpceorgpaths vpcsourceip
"""
_AWS_KEYS: Final = frozenset("aws:" + name for name in _AWS_NAMES.split())
# Service Authorization Reference, Amazon ECR; the tags and digests that a request names are an extension of ours.
_ECR_KEYS: Final = frozenset({"ecr:accountsetting", "ecr:imagetag", "ecr:imagedigest"})
_OPEN_PREFIXES: Final = (
    "aws:principaltag/",
    "aws:requesttag/",
    "aws:resourcetag/",
    "ecr:resourcetag/",
    "ecr-public:resourcetag/",
    "sts:",
    "iam:",
    "kms:",
    "signer:",
    "secretsmanager:",
)
# Claims of an identity provider: its address and the claim, such as token.actions.githubusercontent.com:sub. Only what
# has a dot, a port or `localhost` in its first part is an address, so a misspelt aws: key is still refused.
_CLAIM: Final = re.compile(
    r"(?:localhost|[a-z0-9-]+(?:\.[a-z0-9-]+)+|[a-z0-9-]+(?=:[0-9]{1,5}[:/]))(?::[0-9]{1,5})?"
    r"(?:/[a-z0-9._~@+=-]+)*/?:[a-z0-9_.:/-]{1,128}"
)
_KEY_CHARS: Final = 300  # ours: a prefix and a tag key of 128 characters fit with room


class PolicyFault(ValueError):
    """What exactly is wrong with a policy text; `policies.py` turns it into InvalidParameter."""


def known_key(name: str) -> str:
    """The context key in lower case (IAM: key names are not case-sensitive).

    Raises PolicyFault for a key that no request to this service can carry.
    """
    key = name.lower()
    if key in _AWS_KEYS or key in _ECR_KEYS:
        return key
    if len(key) <= _KEY_CHARS and key.startswith(_OPEN_PREFIXES) and key not in _OPEN_PREFIXES:
        return key
    if len(key) <= _KEY_CHARS and _CLAIM.fullmatch(key):
        return key
    raise PolicyFault(f"unknown condition key {name[:80]!r}")
