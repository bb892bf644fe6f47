"""Repository policies: their operations, locking oneself out, and access from another account."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.calls import policy, put, refused
from tests.harness.images import random_image
from tests.harness.oci import OciClient, Response
from tests.harness.server import Credentials, Homeport


def document(*statements: dict[str, Any]) -> str:
    """A repository policy as text."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(principal: Any, *actions: str, effect: str = "Allow") -> dict[str, Any]:
    return {"Effect": effect, "Principal": principal, "Action": list(actions)}


# --- The operations ---


def test_a_policy_is_kept_as_text_and_answered_when_deleted(ecr: Any, account: str, repository: str) -> None:
    text = json.dumps(json.loads(document(allow("*", "ecr:BatchGetImage"))), indent=3)

    set_ = ecr.set_repository_policy(repositoryName=repository, policyText=text)
    got = ecr.get_repository_policy(repositoryName=repository)
    deleted = ecr.delete_repository_policy(repositoryName=repository)

    expected = {"registryId": account, "repositoryName": repository, "policyText": text}
    for answer in (set_, got, deleted):
        del answer["ResponseMetadata"]
        assert answer == expected


def test_no_policy_is_a_failure_of_its_own(ecr: Any, account: str, repository: str) -> None:
    expected = (
        "RepositoryPolicyNotFoundException",
        f"Repository policy does not exist for the repository with name '{repository}' "
        f"in the registry with id '{account}'",
    )

    assert refused(ecr.get_repository_policy, repositoryName=repository) == expected
    assert refused(ecr.delete_repository_policy, repositoryName=repository) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "{}",
        document({"Effect": "Allow", "Action": "ecr:*"}),
        document(allow({"AWS": "nonsense"}, "ecr:*")),
        document({**allow("*", "ecr:*"), "Effect": "Perhaps"}),
        document({**allow("*", "ecr:*"), "Condition": {"Invented": {"aws:SourceIp": "1"}}}),
        '{"Version":"1999-01-01","Statement":[]}',
    ],
)
def test_a_policy_that_is_none_is_refused(ecr: Any, repository: str, text: str) -> None:
    code, message = refused(ecr.set_repository_policy, repositoryName=repository, policyText=text)

    assert code == "InvalidParameterException"
    assert message.startswith(
        "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repos"
    )
    assert refused(ecr.get_repository_policy, repositoryName=repository)[0].startswith("RepositoryPolicyNot")


def test_a_policy_that_locks_its_author_out_needs_force(ecr: Any, repository: str) -> None:
    lock = document(allow("*", "ecr:SetRepositoryPolicy", effect="Deny"))

    code, message = refused(ecr.set_repository_policy, repositoryName=repository, policyText=lock)
    unset, _ = refused(ecr.get_repository_policy, repositoryName=repository)
    ecr.set_repository_policy(repositoryName=repository, policyText=lock, force=True)
    locked, why = refused(ecr.set_repository_policy, repositoryName=repository, policyText=lock, force=True)
    ecr.delete_repository_policy(repositoryName=repository)

    assert code == "InvalidParameterException"
    assert "force" in message
    assert unset == "RepositoryPolicyNotFoundException"
    assert locked == "AccessDeniedException"
    assert why.endswith("with an explicit deny in a resource-based policy")


# --- Within one account ---


def test_a_repository_policy_alone_lets_in_a_user_of_the_same_account(
    homeport: Homeport, ecr: Any, repository: str, stranger: Credentials
) -> None:
    put(ecr, repository, random_image(), "v1")
    theirs: Any = homeport.client(credentials=stranger)
    before, _ = refused(theirs.list_images, repositoryName=repository)

    ecr.set_repository_policy(
        repositoryName=repository,
        policyText=document(allow({"AWS": stranger.user_arn}, "ecr:ListImages")),
    )

    assert before == "AccessDeniedException"
    assert len(theirs.list_images(repositoryName=repository)["imageIds"]) == 1
    assert refused(theirs.describe_images, repositoryName=repository)[0] == "AccessDeniedException"


def test_a_deny_of_the_repository_wins_over_an_administrator(ecr: Any, repository: str) -> None:
    ecr.set_repository_policy(
        repositoryName=repository, policyText=document(allow("*", "ecr:PutImage*", effect="Deny"))
    )

    code, message = refused(
        ecr.put_image_tag_mutability, repositoryName=repository, imageTagMutability="MUTABLE"
    )

    assert code == "AccessDeniedException"
    assert message.endswith("with an explicit deny in a resource-based policy")
    assert ecr.list_images(repositoryName=repository)["imageIds"] == []


# --- Across accounts ---

PULL = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:ListImages", "ecr:DescribeImages")


@pytest.fixture(scope="session")
def their_user(homeport: Homeport, neighbour: Credentials) -> Credentials:
    """A user of the other account whose own policy allows pulling from anywhere."""
    return homeport.user("puller", policy(*PULL, "ecr:GetAuthorizationToken"), neighbour.account_id)


@pytest.fixture(scope="session")
def their_idler(homeport: Homeport, neighbour: Credentials) -> Credentials:
    """A user of the other account whose own policy allows a password and nothing else."""
    return homeport.user("idler", policy("ecr:GetAuthorizationToken"), neighbour.account_id)


@pytest.fixture
def at_host(homeport: Homeport) -> Callable[[Credentials, str, str], Response]:
    """`at_host(user, account, path)` GETs a path of the registry of an account by its own host name."""

    def get(who: Credentials, account: str, path: str) -> Response:
        port = homeport.host.rpartition(":")[2]
        host = f"{account}.dkr.ecr.{who.region}.localhost:{port}"
        client = OciClient(homeport.url, password=homeport.password(who))
        return client.request("GET", path, headers={"Host": host, "Accept": "*/*"})

    return get


AtHost = Callable[[Credentials, str, str], Response]


def test_another_account_needs_both_sides_to_allow(
    homeport: Homeport,
    ecr: Any,
    account: str,
    repository: str,
    at_host: AtHost,
    their_user: Credentials,
    their_idler: Credentials,
    neighbour: Credentials,
) -> None:
    image = random_image()
    put(ecr, repository, image, "v1")
    user: Any = homeport.client(credentials=their_user)
    idler: Any = homeport.client(credentials=their_idler)
    asked = {"registryId": account, "repositoryName": repository}
    manifest = f"/v2/{repository}/manifests/v1"

    only_theirs = refused(user.list_images, **asked)
    only_theirs_oci = at_host(their_user, account, manifest)
    ecr.set_repository_policy(
        repositoryName=repository,
        policyText=document(allow({"AWS": f"arn:aws:iam::{neighbour.account_id}:root"}, *PULL)),
    )
    only_ours = refused(idler.list_images, **asked)
    only_ours_oci = at_host(their_idler, account, manifest)
    both = user.list_images(**asked)["imageIds"]
    both_oci = at_host(their_user, account, manifest)

    assert only_theirs[0] == only_ours[0] == "AccessDeniedException"
    assert only_theirs[1].endswith("because no resource-based policy allows the ecr:ListImages action")
    assert only_ours[1].endswith("because no identity-based policy allows the ecr:ListImages action")
    assert only_theirs_oci.status == only_ours_oci.status == 403
    assert only_theirs_oci.error_codes == ["DENIED"]
    assert both == [{"imageDigest": image.digest, "imageTag": "v1"}]
    assert both_oci.expect(200).body == image.manifest.data


def test_another_account_reads_a_whole_image_and_cannot_write(
    homeport: Homeport,
    ecr: Any,
    account: str,
    repository: str,
    at_host: AtHost,
    their_user: Credentials,
    neighbour: Credentials,
) -> None:
    image = random_image()
    put(ecr, repository, image, "v1")
    ecr.set_repository_policy(
        repositoryName=repository, policyText=document(allow({"AWS": neighbour.account_id}, *PULL))
    )
    user: Any = homeport.client(credentials=their_user)
    administrator: Any = homeport.client(credentials=neighbour)
    asked = {"registryId": account, "repositoryName": repository}
    layer = image.layers[0]

    described = user.describe_images(**asked)["imageDetails"][0]
    url = user.get_download_url_for_layer(layerDigest=layer.digest, **asked)["downloadUrl"]
    with urllib.request.urlopen(url, timeout=30) as body:
        data = body.read()
    blob = at_host(their_user, account, f"/v2/{repository}/blobs/{layer.digest}")

    assert described["registryId"] == account
    assert data == blob.expect(200).body == layer.data
    writes: dict[str, dict[str, Any]] = {
        "initiate_layer_upload": {},
        "put_image": {"imageManifest": image.manifest.text, "imageTag": "mine"},
        "batch_delete_image": {"imageIds": [{"imageTag": "v1"}]},
        "delete_repository": {"force": True},
        "set_repository_policy": {"policyText": document(allow("*", "ecr:*"))},
    }
    for client in (user, administrator):
        for operation, more in writes.items():
            code, _ = refused(getattr(client, operation), **asked, **more)
            assert code == "AccessDeniedException", operation


def test_another_account_pushes_where_it_is_let_in(
    homeport: Homeport, ecr: Any, account: str, repository: str, neighbour: Credentials
) -> None:
    ecr.set_repository_policy(
        repositoryName=repository, policyText=document(allow({"AWS": neighbour.user_arn}, "ecr:*"))
    )
    administrator: Any = homeport.client(credentials=neighbour)
    image = random_image()

    put(administrator, repository, image, "theirs", registryId=account)

    assert ecr.list_images(repositoryName=repository)["imageIds"] == [
        {"imageDigest": image.digest, "imageTag": "theirs"}
    ]


def test_registries_of_two_accounts_do_not_share_names(
    homeport: Homeport,
    ecr: Any,
    account: str,
    repository: str,
    at_host: AtHost,
    neighbour: Credentials,
) -> None:
    theirs: Any = homeport.client(credentials=neighbour)
    mine, other = random_image(), random_image()
    put(ecr, repository, mine, "v1")

    created = theirs.create_repository(repositoryName=repository)["repository"]
    put(theirs, repository, other, "v1")

    port = homeport.host.rpartition(":")[2]
    host = f"{neighbour.account_id}.dkr.ecr.{neighbour.region}.localhost:{port}"
    assert created["repositoryUri"] == f"{host}/{repository}"
    manifest = f"/v2/{repository}/manifests/v1"
    assert at_host(neighbour, neighbour.account_id, manifest).expect(200).body == other.manifest.data
    assert at_host(homeport.credentials, account, manifest).expect(200).body == mine.manifest.data
    assert at_host(neighbour, account, manifest).status == 403
    assert at_host(homeport.credentials, neighbour.account_id, manifest).status == 403


def test_a_registry_cannot_be_acted_on_from_another_account(
    homeport: Homeport, account: str, neighbour: Credentials
) -> None:
    theirs: Any = homeport.client(credentials=neighbour)

    for refusal in (
        refused(theirs.describe_repositories, registryId=account),
        refused(theirs.create_repository, registryId=account, repositoryName="from/outside"),
        refused(theirs.describe_repositories, registryId="000000000000"),
    ):
        assert refusal[0] == "AccessDeniedException"


def test_whether_a_repository_exists_is_not_told_to_those_who_may_not_use_it(
    homeport: Homeport, account: str, repository: str, neighbour: Credentials, stranger: Credentials
) -> None:
    for who in (neighbour, stranger):
        theirs: Any = homeport.client(credentials=who)
        code, here = refused(theirs.list_images, registryId=account, repositoryName=repository)
        _, missing = refused(theirs.list_images, registryId=account, repositoryName="not/there")

        assert code == "AccessDeniedException"
        assert here.replace(repository, "not/there") == missing


def test_a_host_of_nobody_is_told_so(homeport: Homeport) -> None:
    client = OciClient(homeport.url, password=homeport.password())

    answer = client.request("GET", "/v2/", headers={"Host": "registry.example.com"})

    assert answer.status == 404
    assert "Could not resolve registry id from host registry.example.com" in str(answer.body)
