"""For every operation on a registry as a whole one call that works."""

from __future__ import annotations

import json
import uuid

from tests.api.listed_errors_base import Asked, Side, behind_the_back, new_prefix, now, statement, works

ELSEWHERE = {"region": "eu-north-1", "registryId": "111122223333"}
"""A registry that is not this one."""
LOGIN = json.dumps({"username": "cart", "accessToken": "token-of-the-cart"})
"""What a secret for an upstream registry holds."""


def principal(side: Side) -> str:
    """The resource name of a user whom nobody has excluded."""
    return f"arn:aws:iam::{side.account}:user/{uuid.uuid4().hex}"


def secret(side: Side, value: str = LOGIN) -> str:
    """Keep a secret for an upstream registry; return its resource name."""
    name = f"ecr-pullthroughcache/{uuid.uuid4().hex[:12]}"
    arn: str = side.of("secretsmanager").client.create_secret(Name=name, SecretString=value)["ARN"]
    return arn


def replicating(side: Side) -> Side:
    """A new registry that replicates to another one."""
    owner = side.elsewhere()
    wanted = {"rules": [{"destinations": [ELSEWHERE]}]}
    owner.client.put_replication_configuration(replicationConfiguration=wanted)
    return owner


def running_backfill(side: Side, region: str = ELSEWHERE["region"]) -> str:
    """Let a backfill of the registry be in progress; return its id. No backfill of this version ever is by itself."""
    backfill_id = str(uuid.uuid4())
    with behind_the_back(side.server) as rows:
        rows.execute(
            "INSERT INTO replication_backfill (id, account_id, destination_region, destination_account, status,"
            " started_at) VALUES (?, ?, ?, ?, 'IN_PROGRESS', ?)",
            (backfill_id, side.account, region, ELSEWHERE["registryId"], now()),
        )
    return backfill_id


# --- The registry ---


@works("ecr:DescribeRegistry", "ecr:GetRegistryScanningConfiguration", "ecr:DescribePullThroughCacheRules")
@works("ecr:DescribeRepositoryCreationTemplates", "ecr:ListPullTimeUpdateExclusions")
@works("ecr:ListReplicationBackfills", "ecr:GetAuthorizationToken", "ecr-public:GetAuthorizationToken")
@works("ecr-public:DescribeRegistries", "ecr-public:GetRegistryCatalogData")
def _nothing(side: Side) -> Asked:
    return side.asks()


@works("ecr:PutRegistryPolicy")
def _registry_policy(side: Side) -> Asked:
    return side.elsewhere().asks(policyText=_allowing(side))


def _allowing(side: Side) -> str:
    document = json.loads(statement("ecr:ReplicateImage"))
    document["Statement"][0]["Resource"] = "*"
    return json.dumps(document)


@works("ecr:GetRegistryPolicy", "ecr:DeleteRegistryPolicy")
def _with_registry_policy(side: Side) -> Asked:
    asked = _registry_policy(side)
    asked.side.client.put_registry_policy(**asked.params)
    return asked.side.asks()


@works("ecr:PutRegistryScanningConfiguration")
def _scanning(side: Side) -> Asked:
    return side.elsewhere().asks(scanType="BASIC", rules=[])


@works("ecr:PutSigningConfiguration")
def _signing(side: Side) -> Asked:
    profile = f"arn:aws:signer:{side.who.region}:111122223333:/signing-profiles/releases"
    return side.elsewhere().asks(signingConfiguration={"rules": [{"signingProfileArn": profile}]})


@works("ecr:GetSigningConfiguration", "ecr:DeleteSigningConfiguration")
def _with_signing(side: Side) -> Asked:
    asked = _signing(side)
    asked.side.client.put_signing_configuration(**asked.params)
    return asked.side.asks()


@works("ecr:GetAccountSetting")
def _setting(side: Side) -> Asked:
    return side.asks(name="BLOB_MOUNTING")


@works("ecr:PutAccountSetting")
def _put_setting(side: Side) -> Asked:
    return side.elsewhere().asks(name="BLOB_MOUNTING", value="ENABLED")


@works("ecr-public:PutRegistryCatalogData")
def _display_name(side: Side) -> Asked:
    return side.elsewhere().asks(displayName="Carts")


# --- Replication ---


@works("ecr:PutReplicationConfiguration")
def _replication(side: Side) -> Asked:
    return side.elsewhere().asks(replicationConfiguration={"rules": [{"destinations": [ELSEWHERE]}]})


@works("ecr:StartReplicationBackfill")
def _backfill(side: Side) -> Asked:
    return replicating(side).asks(destination=ELSEWHERE)


@works("ecr:DescribeReplicationBackfillResults", may_lack={"progress", "failureCode", "endedAt"})
def _begun_backfill(side: Side) -> Asked:
    owner = replicating(side)
    begun = owner.client.start_replication_backfill(destination=ELSEWHERE)["replicationBackfillId"]
    return owner.asks(replicationBackfillId=begun)


@works("ecr:StopReplicationBackfill")
def _running_backfill(side: Side) -> Asked:
    owner = replicating(side)
    return owner.asks(replicationBackfillId=running_backfill(owner))


# --- Principals whose pulls leave no trace ---


@works("ecr:RegisterPullTimeUpdateExclusion")
def _exclusion(side: Side) -> Asked:
    return side.asks(principalArn=principal(side))


@works("ecr:DeregisterPullTimeUpdateExclusion")
def _excluded(side: Side) -> Asked:
    asked = _exclusion(side)
    side.client.register_pull_time_update_exclusion(**asked.params)
    return asked


# --- Creation templates ---


@works("ecr:CreateRepositoryCreationTemplate")
def _template(side: Side) -> Asked:
    return side.asks(prefix=new_prefix(), appliedFor=["CREATE_ON_PUSH"])


@works("ecr:UpdateRepositoryCreationTemplate", "ecr:DeleteRepositoryCreationTemplate")
def _with_template(side: Side) -> Asked:
    asked = _template(side)
    side.client.create_repository_creation_template(**asked.params)
    return side.asks(prefix=asked.params["prefix"])


# --- Pull-through cache rules ---


# An upstream takes a secret or a role, never both.
@works("ecr:CreatePullThroughCacheRule", may_lack={"customRoleArn"})
def _rule(side: Side) -> Asked:
    return side.asks(
        ecrRepositoryPrefix=new_prefix(),
        upstreamRegistryUrl="registry-1.docker.io",
        credentialArn=secret(side),
        upstreamRepositoryPrefix="library",
    )


@works("ecr:DeletePullThroughCacheRule", "ecr:ValidatePullThroughCacheRule", may_lack={"customRoleArn"})
def with_rule(side: Side) -> Asked:
    """A call that names a rule which is there."""
    asked = _rule(side)
    side.client.create_pull_through_cache_rule(**asked.params)
    return side.asks(ecrRepositoryPrefix=asked.params["ecrRepositoryPrefix"])


@works("ecr:UpdatePullThroughCacheRule", may_lack={"customRoleArn"})
def _other_secret(side: Side) -> Asked:
    return with_rule(side).but(credentialArn=secret(side))
