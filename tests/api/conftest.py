"""What the API tests share: the administrator's client and other people to be."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.calls import policy
from tests.harness.server import Credentials, Homeport


@pytest.fixture(scope="session")
def ecr(homeport: Homeport) -> Any:
    """The administrator's client of the shared server."""
    return homeport.client()


@pytest.fixture(scope="session")
def iam(homeport: Homeport) -> Any:
    """The administrator's client of IAM."""
    return homeport.client("iam")


@pytest.fixture(scope="session")
def account(homeport: Homeport) -> str:
    """The id of the administrator's registry."""
    return homeport.credentials.account_id


@pytest.fixture(scope="session")
def stranger(homeport: Homeport) -> Credentials:
    """A user of the administrator's account who has no policy at all."""
    return homeport.user("stranger", None)


@pytest.fixture(scope="session")
def neighbour(homeport: Homeport) -> Credentials:
    """The administrator of another account on the same server."""
    return homeport.account()


@pytest.fixture(scope="session")
def pusher(homeport: Homeport) -> Credentials:
    """A user of the administrator's account who may do everything with images, and nothing else."""
    return homeport.user("pusher", policy("ecr:*Image*", "ecr:*Layer*", "ecr:GetAuthorizationToken"))


@pytest.fixture
def owner(homeport: Homeport) -> Credentials:
    """The administrator of an account of the test's own, whose registry settings nobody else minds."""
    return homeport.account()


@pytest.fixture
def own(homeport: Homeport, owner: Credentials) -> Any:
    """The client of `owner`."""
    return homeport.client(credentials=owner)
