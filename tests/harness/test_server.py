"""The harness itself: the server that it starts behaves as tests of crashes and upgrades rely on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.harness.images import bytes_of, random_image
from tests.harness.oci import OciClient
from tests.harness.process import ProgramFailed
from tests.harness.server import Homeport


def test_a_killed_server_starts_again_at_the_same_address_with_its_data(
    fresh_homeport: Callable[..., Homeport],
) -> None:
    server = fresh_homeport(account="123456789012", region="eu-central-1")
    server.client().create_repository(repositoryName="shop/cart")
    image = random_image()
    before = OciClient(server.url, "AWS", server.password())
    before.push("shop/cart", image, "v1")
    address, pid = server.url, server.pid

    server.kill()
    server.restart(same_port=True)

    assert server.url == address
    assert server.pid != pid
    assert before.pull("shop/cart", "v1") == bytes_of(image)
    assert server.credentials.account_id == "123456789012"
    assert server.credentials.region == "eu-central-1"


def test_a_server_that_is_told_to_stop_ends_with_success(fresh_homeport: Callable[..., Homeport]) -> None:
    server = fresh_homeport()
    address = server.url

    server.terminate()

    with pytest.raises(ConnectionRefusedError):
        OciClient(address).request("GET", "/healthz")


def test_another_account_has_an_administrator_and_no_repositories_of_the_first(
    homeport: Homeport, repository: str
) -> None:
    other = homeport.account()

    found = homeport.client(credentials=other).describe_repositories()["repositories"]

    assert other.account_id != homeport.credentials.account_id
    assert repository not in [entry["repositoryName"] for entry in found]


def test_a_user_made_by_command_may_do_what_the_policy_says_at_once(
    homeport: Homeport, repository: str
) -> None:
    allow = {"Effect": "Allow", "Action": "ecr:ListImages", "Resource": "*"}
    user = homeport.user(repository.replace("/", "-"), {"Version": "2012-10-17", "Statement": [allow]})

    listed = homeport.client(credentials=user).list_images(repositoryName=repository)

    assert user.account_id == homeport.credentials.account_id
    assert listed["imageIds"] == []


def test_a_server_with_a_wrong_option_fails_with_what_it_said() -> None:
    with pytest.raises(ProgramFailed, match="--no-such-option"), Homeport(options=["--no-such-option"]):
        pytest.fail("it started")


def test_requests_are_found_in_the_log(homeport: Homeport, repository: str, oci: OciClient) -> None:
    oci.push(repository, random_image(), "v1")

    sent = homeport.requests_of_push(repository)

    assert sent == [("POST", 202), ("PUT", 201), ("POST", 202), ("PUT", 201), ("PUT", 201)]
