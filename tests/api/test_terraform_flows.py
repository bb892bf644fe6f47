"""What Terraform's AWS provider asks for each of its resources, asked again with boto3.

For every resource: create, read what was created and compare it with what was set, update, read again, delete, and the
reads by which the provider waits until it is gone. Written after the Go sources of the provider, `internal/service/ecr`
and `internal/service/ecrpublic`; `tests/clients/test_terraform.py` does the same with the program itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.calls import new_name, refused
from tests.harness.server import Homeport


@pytest.fixture(scope="module")
def server() -> Iterator[Homeport]:
    """A server whose registries these tests change as a whole."""
    with Homeport() as one:
        yield one
        one.terminate()
        assert one.defects == []


@pytest.fixture
def mine(server: Homeport) -> Any:
    """The administrator of the private registry. Every test deletes what belongs to the registry as a whole."""
    return server.client()


@pytest.fixture
def public(server: Homeport) -> Any:
    """The administrator of the public registry."""
    return server.client("ecr-public")


@pytest.fixture
def name(mine: Any) -> str:
    """A repository in it."""
    made = new_name("tf")
    mine.create_repository(repositoryName=made)
    return made


def only(found: list[Any]) -> Any:
    """The single element."""
    assert len(found) == 1
    return found[0]


def account_of(client: Any) -> str:
    """The registry of a client of `ecr`."""
    registry: str = client.describe_registry()["registryId"]
    return registry


def document(sid: str, principal: str, *actions: str, **more: Any) -> str:
    """A resource policy as the provider writes it: normalised JSON with sorted keys."""
    statement = {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": list(actions),
        **more,
    }
    return json.dumps({"Statement": [statement], "Version": "2012-10-17"}, separators=(",", ":"))


# --- aws_ecr_repository ---


def read_repository(ecr: Any, name: str) -> dict[str, Any]:
    """What the provider keeps of a repository, tags included."""
    found = only(ecr.describe_repositories(repositoryNames=[name])["repositories"])
    tags = ecr.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"]
    return {**found, "tags": {each["Key"]: each["Value"] for each in tags}}


def test_a_repository_is_read_as_it_was_set(mine: Any) -> None:
    name = new_name("tf")
    account = account_of(mine)

    made = mine.create_repository(
        repositoryName=name,
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "latest*"}],
        imageScanningConfiguration={"scanOnPush": True},
        encryptionConfiguration={"encryptionType": "AES256"},
        tags=[{"Key": "team", "Value": "shop"}, {"Key": "stage", "Value": "one"}],
    )["repository"]
    found = read_repository(mine, name)

    assert found == {**made, "tags": {"team": "shop", "stage": "one"}}
    assert (found["repositoryName"], found["registryId"]) == (name, account)
    assert found["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    assert found["imageTagMutabilityExclusionFilters"] == [{"filterType": "WILDCARD", "filter": "latest*"}]
    assert found["imageScanningConfiguration"] == {"scanOnPush": True}
    assert found["encryptionConfiguration"] == {"encryptionType": "AES256"}

    mine.put_image_tag_mutability(repositoryName=name, registryId=account, imageTagMutability="MUTABLE")
    mine.put_image_scanning_configuration(
        repositoryName=name, registryId=account, imageScanningConfiguration={"scanOnPush": False}
    )
    mine.untag_resource(resourceArn=found["repositoryArn"], tagKeys=["team"])
    mine.tag_resource(resourceArn=found["repositoryArn"], tags=[{"Key": "stage", "Value": "two"}])
    found = read_repository(mine, name)

    assert found["imageTagMutability"] == "MUTABLE"
    assert "imageTagMutabilityExclusionFilters" not in found
    assert found["imageScanningConfiguration"] == {"scanOnPush": False}
    assert found["tags"] == {"stage": "two"}

    mine.delete_repository(repositoryName=name, registryId=account, force=False)
    assert refused(mine.describe_repositories, repositoryNames=[name])[0] == "RepositoryNotFoundException"
    assert refused(mine.delete_repository, repositoryName=name)[0] == "RepositoryNotFoundException"


def test_a_repository_with_nothing_set_is_read_with_the_defaults_of_the_provider(mine: Any) -> None:
    name = new_name("tf")

    mine.create_repository(repositoryName=name, imageTagMutability="MUTABLE")

    found = read_repository(mine, name)
    assert found["imageTagMutability"] == "MUTABLE"
    assert found["imageScanningConfiguration"] == {"scanOnPush": False}
    assert found["encryptionConfiguration"] == {"encryptionType": "AES256"}
    assert found["tags"] == {}


# --- aws_ecr_repository_policy, aws_ecr_lifecycle_policy ---


def test_a_repository_policy_is_read_as_it_was_set(mine: Any, name: str) -> None:
    account = account_of(mine)
    root = f"arn:aws:iam::{account}:root"

    for actions in (["ecr:BatchGetImage"], ["ecr:BatchGetImage", "ecr:ListImages"]):
        text = document("Pull", root, *actions)
        mine.set_repository_policy(repositoryName=name, policyText=text)
        found = mine.get_repository_policy(repositoryName=name)
        assert json.loads(found["policyText"]) == json.loads(text)
        assert (found["repositoryName"], found["registryId"]) == (name, account)

    mine.delete_repository_policy(repositoryName=name, registryId=account)
    for call in (mine.get_repository_policy, mine.delete_repository_policy):
        assert refused(call, repositoryName=name)[0] == "RepositoryPolicyNotFoundException"


def test_a_policy_that_is_none_is_refused_in_the_words_on_which_the_provider_tries_again(
    mine: Any, name: str
) -> None:
    code, message = refused(
        mine.set_repository_policy, repositoryName=name, policyText=document("x", "no arn", "ecr:ListImages")
    )

    assert code == "InvalidParameterException"
    assert "Invalid repository policy provided" in message


def lifecycle(days: int) -> str:
    """A lifecycle policy as the provider writes it."""
    selection = {
        "tagStatus": "untagged",
        "countType": "sinceImagePushed",
        "countUnit": "days",
        "countNumber": days,
    }
    rule = {
        "rulePriority": 1,
        "description": "old ones",
        "selection": selection,
        "action": {"type": "expire"},
    }
    return json.dumps({"rules": [rule]}, separators=(",", ":"))


def test_a_lifecycle_policy_is_read_as_it_was_set(mine: Any, name: str) -> None:
    account = account_of(mine)

    for days in (14, 7):
        put = mine.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=lifecycle(days))
        found = mine.get_lifecycle_policy(repositoryName=name)
        assert (put["repositoryName"], put["registryId"]) == (name, account)
        assert json.loads(found["lifecyclePolicyText"]) == json.loads(lifecycle(days))
        assert (found["repositoryName"], found["registryId"]) == (name, account)

    mine.delete_lifecycle_policy(repositoryName=name)
    for call in (mine.get_lifecycle_policy, mine.delete_lifecycle_policy):
        assert refused(call, repositoryName=name)[0] == "LifecyclePolicyNotFoundException"


# --- aws_ecr_account_setting, aws_ecr_registry_policy, ..._scanning_, ..._replication_, ..._signing_configuration ---


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("REGISTRY_POLICY_SCOPE", ["V1", "V2"]),
        ("BASIC_SCAN_TYPE_VERSION", ["AWS_NATIVE"]),
        ("BLOB_MOUNTING", ["ENABLED", "DISABLED"]),
    ],
)
def test_an_account_setting_is_read_as_it_was_set(mine: Any, setting: str, values: list[str]) -> None:
    for value in values:
        mine.put_account_setting(name=setting, value=value)

        found = mine.get_account_setting(name=setting)
        assert (found["name"], found["value"]) == (setting, value)


def test_a_registry_policy_is_read_as_it_was_set(mine: Any) -> None:
    account = account_of(mine)
    everything = {"Resource": [f"arn:aws:ecr:us-east-1:{account}:repository/*"]}

    for actions in (["ecr:ReplicateImage"], ["ecr:ReplicateImage", "ecr:CreateRepository"]):
        text = document("Replicate", f"arn:aws:iam::{account}:root", *actions, **everything)
        mine.put_registry_policy(policyText=text)
        found = mine.get_registry_policy()
        assert json.loads(found["policyText"]) == json.loads(text)
        assert found["registryId"] == account

    mine.delete_registry_policy()
    for call in (mine.get_registry_policy, mine.delete_registry_policy):
        assert refused(call)[0] == "RegistryPolicyNotFoundException"


def test_a_scanning_configuration_is_read_as_it_was_set_and_goes_back_to_basic(mine: Any) -> None:
    account = account_of(mine)
    rules = [
        {
            "scanFrequency": "SCAN_ON_PUSH",
            "repositoryFilters": [{"filter": "shop/*", "filterType": "WILDCARD"}],
        }
    ]

    mine.put_registry_scanning_configuration(scanType="BASIC", rules=rules)
    found = mine.get_registry_scanning_configuration()
    assert found["registryId"] == account
    assert found["scanningConfiguration"] == {"scanType": "BASIC", "rules": rules}

    mine.put_registry_scanning_configuration(scanType="BASIC", rules=[])
    assert mine.get_registry_scanning_configuration()["scanningConfiguration"] == {
        "scanType": "BASIC",
        "rules": [],
    }


def test_a_replication_configuration_is_read_as_it_was_set_and_emptied_to_delete_it(mine: Any) -> None:
    account = account_of(mine)

    for region in ("eu-west-1", "eu-central-1"):
        rules = [
            {
                "destinations": [{"region": region, "registryId": account}],
                "repositoryFilters": [{"filter": "shop/", "filterType": "PREFIX_MATCH"}],
            }
        ]
        mine.put_replication_configuration(replicationConfiguration={"rules": rules})
        found = mine.describe_registry()
        assert found["registryId"] == account
        assert found["replicationConfiguration"] == {"rules": rules}

    mine.put_replication_configuration(replicationConfiguration={"rules": []})
    assert mine.describe_registry()["replicationConfiguration"] == {"rules": []}


def test_a_signing_configuration_is_read_as_it_was_set(mine: Any) -> None:
    account = account_of(mine)
    profile = f"arn:aws:signer:us-east-1:{account}:/signing-profiles/release"

    for pattern in ("*", "shop/*"):
        filters = [{"filter": pattern, "filterType": "WILDCARD_MATCH"}]
        wanted = {"rules": [{"signingProfileArn": profile, "repositoryFilters": filters}]}
        mine.put_signing_configuration(signingConfiguration=wanted)
        found = mine.get_signing_configuration()
        assert (found["registryId"], found["signingConfiguration"]) == (account, wanted)

    mine.delete_signing_configuration()
    for call in (mine.get_signing_configuration, mine.delete_signing_configuration):
        assert refused(call)[0] == "SigningConfigurationNotFoundException"


def test_an_excluded_principal_is_found_in_the_list_until_it_is_deregistered(mine: Any) -> None:
    arn = f"arn:aws:iam::{account_of(mine)}:role/scanner"

    mine.register_pull_time_update_exclusion(principalArn=arn)
    assert arn in mine.list_pull_time_update_exclusions()["pullTimeUpdateExclusions"]

    mine.deregister_pull_time_update_exclusion(principalArn=arn)
    assert arn not in mine.list_pull_time_update_exclusions()["pullTimeUpdateExclusions"]
    assert refused(mine.deregister_pull_time_update_exclusion, principalArn=arn)[0] == (
        "ExclusionNotFoundException"
    )


# --- aws_ecr_pull_through_cache_rule, aws_ecr_repository_creation_template ---


def rule_of(ecr: Any, prefix: str) -> Any:
    """The rule of that prefix."""
    found = ecr.describe_pull_through_cache_rules(ecrRepositoryPrefixes=[prefix])["pullThroughCacheRules"]
    return only(found)


def test_a_pull_through_cache_rule_is_read_as_it_was_set_and_shows_nothing_that_was_not(mine: Any) -> None:
    account = account_of(mine)

    mine.create_pull_through_cache_rule(ecrRepositoryPrefix="quay", upstreamRegistryUrl="quay.io")
    found = rule_of(mine, "quay")
    assert (found["ecrRepositoryPrefix"], found["upstreamRegistryUrl"]) == ("quay", "quay.io")
    assert found["registryId"] == account
    # The provider would take any of these for a change of the configuration, two of them for a new resource.
    assert not {"credentialArn", "customRoleArn", "upstreamRepositoryPrefix"} & set(found)

    mine.delete_pull_through_cache_rule(ecrRepositoryPrefix="quay", registryId=account)
    for call, params in (
        (mine.describe_pull_through_cache_rules, {"ecrRepositoryPrefixes": ["quay"]}),
        (mine.delete_pull_through_cache_rule, {"ecrRepositoryPrefix": "quay"}),
    ):
        assert refused(call, **params)[0] == "PullThroughCacheRuleNotFoundException"


def test_the_credential_of_a_pull_through_cache_rule_is_replaced_in_place(server: Homeport) -> None:
    ecr, secrets = server.client(), server.client("secretsmanager")
    value = json.dumps({"username": "robot", "accessToken": "x"})
    first, second = (
        secrets.create_secret(Name=f"ecr-pullthroughcache/{name}", SecretString=value)["ARN"]
        for name in ("first", "second")
    )

    ecr.create_pull_through_cache_rule(
        ecrRepositoryPrefix="hub", upstreamRegistryUrl="registry-1.docker.io", credentialArn=first
    )
    assert rule_of(ecr, "hub")["credentialArn"] == first
    ecr.update_pull_through_cache_rule(ecrRepositoryPrefix="hub", credentialArn=second)
    assert rule_of(ecr, "hub")["credentialArn"] == second
    ecr.delete_pull_through_cache_rule(ecrRepositoryPrefix="hub")


def test_a_creation_template_is_read_as_it_was_set(mine: Any) -> None:
    account = account_of(mine)
    policy = document("Pull", f"arn:aws:iam::{account}:root", "ecr:BatchGetImage")
    wanted: dict[str, Any] = {
        "prefix": "hub",
        "description": "Docker Hub",
        "encryptionConfiguration": {"encryptionType": "AES256"},
        "resourceTags": [{"Key": "origin", "Value": "hub"}],
        "imageTagMutability": "IMMUTABLE",
        "repositoryPolicy": policy,
        "lifecyclePolicy": lifecycle(14),
        "appliedFor": ["PULL_THROUGH_CACHE"],
        "customRoleArn": f"arn:aws:iam::{account}:role/builder",
    }

    def read() -> Any:
        answer = mine.describe_repository_creation_templates(prefixes=["hub"])
        assert answer["registryId"] == account
        return only(answer["repositoryCreationTemplates"])

    mine.create_repository_creation_template(**wanted)
    found = read()
    assert {key: found[key] for key in wanted} == wanted

    changed = {
        "description": "What comes from Docker Hub",
        "imageTagMutability": "MUTABLE",
        "appliedFor": ["PULL_THROUGH_CACHE", "REPLICATION"],
        "lifecyclePolicy": lifecycle(7),
        "resourceTags": [{"Key": "origin", "Value": "docker-hub"}],
    }
    mine.update_repository_creation_template(prefix="hub", **changed)
    found = read()
    assert {key: found[key] for key in wanted} == {
        **wanted,
        **changed,
        "appliedFor": found["appliedFor"],
    }
    assert set(found["appliedFor"]) == {"PULL_THROUGH_CACHE", "REPLICATION"}

    mine.delete_repository_creation_template(prefix="hub")
    assert refused(mine.delete_repository_creation_template, prefix="hub")[0] == "TemplateNotFoundException"
    # AWS answers an empty list or the error; the provider takes both for an absent template.
    try:
        left = mine.describe_repository_creation_templates(prefixes=["hub"])["repositoryCreationTemplates"]
    except mine.exceptions.TemplateNotFoundException:
        left = []
    assert left == []


# --- aws_ecrpublic_repository, aws_ecrpublic_repository_policy ---


def test_a_public_repository_is_read_as_it_was_set(public: Any) -> None:
    name = new_name("tf")
    data = {
        "aboutText": "# Tools",
        "architectures": ["ARM 64", "x86-64"],
        "description": "Tools",
        "operatingSystems": ["Linux"],
        "usageText": "docker pull",
    }

    made = public.create_repository(
        repositoryName=name, catalogData=data, tags=[{"Key": "stage", "Value": "one"}]
    )["repository"]
    found = only(public.describe_repositories(repositoryNames=[name])["repositories"])
    shown = public.get_repository_catalog_data(repositoryName=name, registryId=found["registryId"])
    tags = public.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"]

    assert found == made
    assert {key: shown["catalogData"][key] for key in data} == data
    assert tags == [{"Key": "stage", "Value": "one"}]

    public.put_repository_catalog_data(
        repositoryName=name, registryId=found["registryId"], catalogData={**data, "description": "Useful"}
    )
    shown = public.get_repository_catalog_data(repositoryName=name)
    assert shown["catalogData"]["description"] == "Useful"

    public.delete_repository(repositoryName=name, registryId=found["registryId"])
    for call in (public.describe_repositories, public.delete_repository):
        params = (
            {"repositoryNames": [name]} if call == public.describe_repositories else {"repositoryName": name}
        )
        assert refused(call, **params)[0] == "RepositoryNotFoundException"


def test_a_public_repository_without_catalog_data_is_read_without_an_error(public: Any) -> None:
    name = new_name("tf")
    public.create_repository(repositoryName=name)

    shown = public.get_repository_catalog_data(repositoryName=name)

    assert not {"aboutText", "description", "usageText"} & set(shown["catalogData"])


def test_a_public_repository_policy_is_read_as_it_was_set(public: Any) -> None:
    name = new_name("tf")
    account = public.create_repository(repositoryName=name)["repository"]["registryId"]

    for actions in (["ecr-public:ListImages"], ["ecr-public:ListImages", "ecr-public:PutImage"]):
        text = document("Push", f"arn:aws:iam::{account}:root", *actions)
        public.set_repository_policy(repositoryName=name, policyText=text)
        found = public.get_repository_policy(repositoryName=name)
        assert json.loads(found["policyText"]) == json.loads(text)
        assert found["registryId"] == account

    public.delete_repository_policy(repositoryName=name, registryId=account)
    for call in (public.get_repository_policy, public.delete_repository_policy):
        assert refused(call, repositoryName=name)[0] == "RepositoryPolicyNotFoundException"


# --- Data sources ---


def test_data_sources_read_tokens_and_repositories(mine: Any, public: Any, name: str) -> None:
    data = only(mine.get_authorization_token(registryIds=[account_of(mine)])["authorizationData"])
    open_data = public.get_authorization_token()["authorizationData"]

    assert {"authorizationToken", "expiresAt", "proxyEndpoint"} <= set(data)
    assert {"authorizationToken", "expiresAt"} <= set(open_data)
    pages = mine.get_paginator("describe_repositories").paginate()
    assert name in [each["repositoryName"] for page in pages for each in page["repositories"]]
