"""Request rates: off unless the operator sets them, then each account is told to slow down in its own words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.api.calls import new_name, put, refused
from tests.api.public import alias_of, new_public
from tests.api.signing import Signer, query_call
from tests.harness.images import random_image
from tests.harness.oci import OciClient
from tests.harness.server import Homeport

# So slow that no test lives to see a bucket gain a token.
SLOW = (
    "DescribeRepositories=0.001/3, PutImage=0.001/2, BatchGetImage=0.001/4, InitiateLayerUpload=0.001/50, "
    "sts:GetCallerIdentity=0.001/2, anonymous-pull=0.001/2"
)


@pytest.fixture(scope="module")
def slow() -> Iterator[Homeport]:
    """A server with low rates."""
    with Homeport(environment={"HOMEPORT_THROTTLING": SLOW}) as server:
        yield server
        server.terminate()
        assert server.defects == []


def outcomes(call: Any, times: int) -> list[str]:
    """Call so many times; return `done` or the code of each refusal."""
    found = []
    for _ in range(times):
        try:
            call()
            found.append("done")
        except ClientError as error:
            found.append(error.response["Error"]["Code"])
    return found


def test_calls_beyond_the_rate_are_refused_and_other_actions_and_accounts_are_not(slow: Homeport) -> None:
    mine, other = (slow.client(credentials=slow.account()) for _ in range(2))

    found = outcomes(mine.describe_repositories, 5)

    assert found == ["done"] * 3 + ["ThrottlingException"] * 2
    assert refused(mine.describe_repositories) == ("ThrottlingException", "Rate exceeded")
    mine.create_repository(repositoryName=new_name())
    assert other.describe_repositories()["repositories"] == []


def test_users_of_one_account_share_its_rate(slow: Homeport) -> None:
    account = slow.account()
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecr:*", "Resource": "*"}]}
    user = slow.user("colleague", policy, account.account_id)

    outcomes(slow.client(credentials=account).describe_repositories, 3)

    assert outcomes(slow.client(credentials=user).describe_repositories, 1) == ["ThrottlingException"]


def test_a_call_that_is_not_signed_takes_nothing_from_the_account(slow: Homeport) -> None:
    account = slow.account()
    wrong = slow.client(credentials=account, aws_secret_access_key="x" * 40)

    assert set(outcomes(wrong.describe_repositories, 5)) == {"InvalidSignatureException"}

    assert outcomes(slow.client(credentials=account).describe_repositories, 3) == ["done"] * 3


def test_pushes_over_the_registry_protocol_are_told_when_to_come_back(slow: Homeport) -> None:
    name = new_name()
    slow.client().create_repository(repositoryName=name)
    client = OciClient(slow.url, "AWS", slow.password())
    image = random_image()
    for tag in ("one", "two"):
        client.push(name, image, tag)

    answer = client.put_manifest(name, "three", image.manifest.data, image.manifest.media_type)

    assert answer.status == 429
    assert answer.json()["errors"][0] == {"code": "TOOMANYREQUESTS", "message": "Rate exceeded"}
    assert 1 <= int(answer.header("Retry-After") or "0") <= 1000


def test_pulls_and_the_api_take_from_the_same_rate(slow: Homeport) -> None:
    name = new_name()
    mine = slow.account()
    ecr: Any = slow.client(credentials=mine)
    ecr.create_repository(repositoryName=name)
    nothing = [{"imageTag": "none"}]

    found = outcomes(lambda: ecr.batch_get_image(repositoryName=name, imageIds=nothing), 5)

    assert found == ["done"] * 4 + ["ThrottlingException"]


def test_pulls_without_credentials_are_counted_by_source_address(slow: Homeport) -> None:
    public: Any = slow.client("ecr-public")
    name = new_public(public)
    put(public, name, random_image(), "v1")
    path = f"/v2/public.ecr/{alias_of(public)}/{name}/manifests/v1"
    nobody = OciClient(slow.url)

    answers = [nobody.request("GET", path) for _ in range(4)]

    assert [each.status for each in answers] == [200, 200, 429, 429]
    assert answers[3].json()["errors"][0] == {"code": "TOOMANYREQUESTS", "message": "Rate exceeded"}
    assert answers[3].header("Retry-After") is not None
    assert nobody.request("HEAD", path).status == 200


def test_the_query_protocol_refuses_in_its_own_words(slow: Homeport) -> None:
    signer = Signer.of(slow.account(), "sts")

    answers = [query_call(slow.url, {"Action": "GetCallerIdentity"}, signer) for _ in range(3)]

    assert answers[2].status == 400
    assert b"<Code>Throttling</Code>" in answers[2].body
    assert b"<Message>Rate exceeded</Message>" in answers[2].body


def test_botocore_waits_and_tries_again_by_itself(fresh_homeport: Any) -> None:
    server = fresh_homeport(environment={"HOMEPORT_THROTTLING": "DescribeRepositories=4/1"})
    who = server.credentials
    patient = boto3.client(
        "ecr",
        endpoint_url=server.url,
        region_name=who.region,
        aws_access_key_id=who.access_key_id,
        aws_secret_access_key=who.secret_access_key,
        config=Config(retries={"mode": "standard", "total_max_attempts": 8}),
    )

    answers = [patient.describe_repositories() for _ in range(3)]

    assert sum(answer["ResponseMetadata"]["RetryAttempts"] for answer in answers) > 0
    patient.close()


def test_nothing_is_refused_unless_the_operator_sets_a_rate(homeport: Homeport, repository: str) -> None:
    ecr = homeport.client()

    found = outcomes(lambda: ecr.describe_repositories(repositoryNames=[repository]), 150)

    assert set(found) == {"done"}


def test_the_table_of_ecr_lets_a_push_and_a_pull_through(fresh_homeport: Any) -> None:
    server = fresh_homeport(environment={"HOMEPORT_THROTTLING": "ecr"})
    server.client().create_repository(repositoryName="shop/cart")
    client = OciClient(server.url, "AWS", server.password())
    image = random_image()

    client.push("shop/cart", image, "v1")

    assert client.request("GET", "/v2/shop/cart/manifests/v1").status == 200


def test_a_server_does_not_start_with_a_rate_that_means_nothing() -> None:
    server = Homeport(environment={"HOMEPORT_THROTTLING": "PutImages=1"})
    try:
        done = server.here("init")
    finally:
        server.close()

    assert done.code != 0
    assert "PutImages" in done.err
