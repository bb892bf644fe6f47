"""Refusals of operations on a registry as a whole: a scenario for each listed error."""

from __future__ import annotations

import uuid

from tests.api.listed_errors_base import Refused, Side, behind_the_back, new_prefix, now, refuses
from tests.api.listed_errors_registry import (
    ELSEWHERE,
    principal,
    replicating,
    running_backfill,
    secret,
    with_rule,
)

NO_BACKFILL = "00000000-0000-4000-8000-000000000000"

# --- Policy and signing ---


@refuses("RegistryPolicyNotFound", "ecr:GetRegistryPolicy", "ecr:DeleteRegistryPolicy")
def _no_policy(side: Side) -> Refused:
    owner = side.elsewhere()
    return owner.is_refused(f"Registry policy does not exist in the registry with id '{owner.account}'")


@refuses("SigningConfigurationNotFound", "ecr:GetSigningConfiguration", "ecr:DeleteSigningConfiguration")
def _no_signing(side: Side) -> Refused:
    owner = side.elsewhere()
    return owner.is_refused(f"Signing configuration does not exist in the registry with id '{owner.account}'")


# --- Replication ---


@refuses(
    "ReplicationBackfillNotFound",
    "ecr:DescribeReplicationBackfillResults",
    "ecr:StopReplicationBackfill",
)
def _no_backfill(side: Side) -> Refused:
    return side.is_refused(
        f"The replication backfill with id '{NO_BACKFILL}' does not exist in the registry with id "
        f"'{side.account}'",
        replicationBackfillId=NO_BACKFILL,
    )


@refuses("ReplicationBackfillInvalidStatus", "ecr:StopReplicationBackfill")
def _backfill_that_is_over(side: Side) -> Refused:
    owner = replicating(side)
    begun = owner.client.start_replication_backfill(destination=ELSEWHERE)["replicationBackfillId"]
    return owner.is_refused(
        f"The replication backfill with id '{begun}' in the registry with id '{owner.account}' cannot be stopped "
        "because its status is FAILED",
        replicationBackfillId=begun,
    )


@refuses("ReplicationBackfillInProgress", "ecr:StartReplicationBackfill")
def _backfill_twice(side: Side) -> Refused:
    owner = replicating(side)
    running_backfill(owner)
    return owner.is_refused(
        "A replication backfill to the region 'eu-north-1' is already in progress in the registry with id "
        f"'{owner.account}'",
        destination=ELSEWHERE,
    )


@refuses("LimitExceeded", "ecr:StartReplicationBackfill")
def _too_many_backfills(side: Side) -> Refused:
    owner = replicating(side)
    for number in range(10):
        running_backfill(owner, f"eu-west-{number}")
    return owner.is_refused(
        "A registry can have at most 10 replication backfills in progress", destination=ELSEWHERE
    )


# --- Principals whose pulls leave no trace ---


@refuses("ExclusionAlreadyExists", "ecr:RegisterPullTimeUpdateExclusion")
def _excluded_twice(side: Side) -> Refused:
    arn = principal(side)
    side.client.register_pull_time_update_exclusion(principalArn=arn)
    return side.is_refused(
        f"The pull time update exclusion for '{arn}' already exists in the registry with id '{side.account}'",
        principalArn=arn,
    )


@refuses("ExclusionNotFound", "ecr:DeregisterPullTimeUpdateExclusion")
def _not_excluded(side: Side) -> Refused:
    arn = principal(side)
    return side.is_refused(
        f"The pull time update exclusion for '{arn}' does not exist in the registry with id '{side.account}'",
        principalArn=arn,
    )


@refuses("LimitExceeded", "ecr:RegisterPullTimeUpdateExclusion")
def _too_many_excluded(side: Side) -> Refused:
    owner = side.elsewhere()
    for _ in range(100):
        owner.client.register_pull_time_update_exclusion(principalArn=principal(owner))
    return owner.is_refused(
        "A registry can have at most 100 pull time update exclusions", principalArn=principal(owner)
    )


# --- Creation templates ---


@refuses("TemplateAlreadyExists", "ecr:CreateRepositoryCreationTemplate")
def _template_twice(side: Side) -> Refused:
    params = {"prefix": new_prefix(), "appliedFor": ["CREATE_ON_PUSH"]}
    side.client.create_repository_creation_template(**params)
    return side.is_refused(
        f"The repository creation template with prefix '{params['prefix']}' already exists in the registry with "
        f"id '{side.account}'",
        **params,
    )


@refuses("TemplateNotFound", "ecr:UpdateRepositoryCreationTemplate", "ecr:DeleteRepositoryCreationTemplate")
def _no_template(side: Side) -> Refused:
    prefix = new_prefix()
    return side.is_refused(
        f"The repository creation template with prefix '{prefix}' does not exist in the registry with id "
        f"'{side.account}'",
        prefix=prefix,
    )


@refuses("LimitExceeded", "ecr:CreateRepositoryCreationTemplate")
def _too_many_templates(side: Side) -> Refused:
    owner = side.elsewhere()
    owner.client.create_repository_creation_template(prefix="first", appliedFor=["CREATE_ON_PUSH"])
    with behind_the_back(side.server) as rows:  # the other 999 would take seconds
        rows.executemany(
            "INSERT INTO creation_template (account_id, prefix, resource_tags, mutability_filters, applied_for,"
            " created_at, updated_at) VALUES (?, ?, '{}', '[]', '[]', ?, ?)",
            [(owner.account, f"other-{number}", now(), now()) for number in range(999)],
        )
    return owner.is_refused(
        "A registry can have at most 1000 repository creation templates",
        prefix="last",
        appliedFor=["CREATE_ON_PUSH"],
    )


# --- Pull-through cache rules ---


@refuses("PullThroughCacheRuleAlreadyExists", "ecr:CreatePullThroughCacheRule")
def _rule_twice(side: Side) -> Refused:
    prefix = with_rule(side).params["ecrRepositoryPrefix"]
    return side.is_refused(
        f"A pull through cache rule with repository prefix '{prefix}' already exists in the registry with id "
        f"'{side.account}'",
        ecrRepositoryPrefix=prefix,
        upstreamRegistryUrl="quay.io",
    )


def _no_rule_text(side: Side, prefix: str) -> str:
    return (
        f"Pull through cache rule with repository prefix '{prefix}' does not exist in the registry with id "
        f"'{side.account}'"
    )


@refuses(
    "PullThroughCacheRuleNotFound",
    "ecr:DeletePullThroughCacheRule",
    "ecr:UpdatePullThroughCacheRule",
    "ecr:ValidatePullThroughCacheRule",
)
def _no_rule(side: Side) -> Refused:
    prefix = new_prefix()
    return side.is_refused(_no_rule_text(side, prefix), ecrRepositoryPrefix=prefix)


@refuses("PullThroughCacheRuleNotFound", "ecr:DescribePullThroughCacheRules")
def _no_rule_to_describe(side: Side) -> Refused:
    prefix = new_prefix()
    return side.is_refused(_no_rule_text(side, prefix), ecrRepositoryPrefixes=[prefix])


@refuses("UnsupportedUpstreamRegistry", "ecr:CreatePullThroughCacheRule")
def _unknown_upstream(side: Side) -> Refused:
    return side.is_refused(
        "The specified upstream registry 'registry.example.com' isn't supported",
        ecrRepositoryPrefix=new_prefix(),
        upstreamRegistryUrl="registry.example.com",
    )


@refuses("LimitExceeded", "ecr:CreatePullThroughCacheRule")
def _too_many_rules(side: Side) -> Refused:
    owner = side.elsewhere()
    for _ in range(50):
        owner.client.create_pull_through_cache_rule(
            ecrRepositoryPrefix=new_prefix(), upstreamRegistryUrl="quay.io"
        )
    return owner.is_refused(
        "A registry can have at most 50 pull through cache rules",
        ecrRepositoryPrefix=new_prefix(),
        upstreamRegistryUrl="quay.io",
    )


_WRITES = ("ecr:CreatePullThroughCacheRule", "ecr:UpdatePullThroughCacheRule")


def _with_secret(side: Side, operation: str, arn: str, text: str) -> Refused:
    """The call with that secret: of a new rule, or of one that is there."""
    if operation == "ecr:UpdatePullThroughCacheRule":
        return Refused(with_rule(side).but(credentialArn=arn), text)
    return side.is_refused(
        text,
        ecrRepositoryPrefix=new_prefix(),
        upstreamRegistryUrl="registry-1.docker.io",
        credentialArn=arn,
    )


def _secrets(operation: str) -> None:
    """Enter the scenarios of the three things that can be wrong with a secret."""

    @refuses("SecretNotFound", operation)
    def missing(side: Side) -> Refused:
        name = f"ecr-pullthroughcache/absent-{uuid.uuid4().hex[:6]}"
        arn = f"arn:aws:secretsmanager:{side.who.region}:{side.account}:secret:{name}"
        text = (
            "The ARN of the secret specified in the pull through cache rule was not found. Update the secret ARN "
            "and try again."
        )
        return _with_secret(side, operation, arn, text)

    @refuses("UnableToAccessSecret", operation)
    def about_to_go(side: Side) -> Refused:
        arn = secret(side)
        side.of("secretsmanager").client.delete_secret(SecretId=arn)
        text = "The secret is unable to be accessed. Verify the resource permissions for the secret and try again."
        return _with_secret(side, operation, arn, text)

    @refuses("UnableToDecryptSecretValue", operation)
    def no_credentials(side: Side) -> Refused:
        text = "The secret is accessible but is unable to be decrypted. Verify the resource permissions and try again."
        return _with_secret(side, operation, secret(side, "not the expected JSON"), text)


for _operation in _WRITES:
    _secrets(_operation)
