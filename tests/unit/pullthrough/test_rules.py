"""Which upstream registries a rule can have and what it reads from a secret."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.kernel.errors import (
    InvalidParameter,
    UnableToDecryptSecretValue,
    UnsupportedUpstreamRegistry,
)
from homeport.pullthrough import rules
from homeport.pullthrough.model import Upstream

ACCOUNT, REGION = "111122223333", "eu-central-1"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("public.ecr.aws", Upstream.ECR_PUBLIC),
        ("quay.io", Upstream.QUAY),
        ("registry.k8s.io", Upstream.K8S),
        ("registry-1.docker.io", Upstream.DOCKER_HUB),
        ("ghcr.io", Upstream.GITHUB),
        ("registry.gitlab.com", Upstream.GITLAB),
        ("cart.azurecr.io", Upstream.AZURE),
        ("cgr.dev", Upstream.CHAINGUARD),
        (f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com", Upstream.ECR),
    ],
)
def test_the_address_tells_the_kind(url: str, kind: Upstream) -> None:
    assert rules.upstream_of(url, None) is kind
    assert rules.upstream_of(url, kind.value) is kind


def test_every_kind_can_be_had() -> None:
    assert len(Upstream) == 9


@given(st.text(max_size=60))
def test_no_other_address_is_taken(text: str) -> None:
    try:
        found = rules.upstream_of(text, None)
    except UnsupportedUpstreamRegistry:
        return
    assert found in Upstream


@pytest.mark.parametrize(
    "url",
    [
        "quay.io.",
        "quay.io\n",
        "QUAY.IO",
        "xquay.io",
        "cart.azurecr.io.evil.test",
        "1.dkr.ecr.r1.amazonaws.com",
    ],
)
def test_an_address_that_only_looks_alike_is_unsupported(url: str) -> None:
    with pytest.raises(UnsupportedUpstreamRegistry):
        rules.upstream_of(url, None)


def test_a_kind_that_is_not_that_of_the_address_is_refused() -> None:
    with pytest.raises(InvalidParameter):
        rules.upstream_of("quay.io", "k8s")


@pytest.mark.parametrize(
    ("prefix", "upstream", "expected"),
    [
        ("ROOT", None, None),
        ("ROOT", "ROOT", "ROOT"),
        ("team", None, None),
        ("team", "library/x", "library/x"),
    ],
)
def test_the_upstream_prefix_is_what_was_stated(
    prefix: str, upstream: str | None, expected: str | None
) -> None:
    assert rules.check_prefixes(prefix, upstream) == expected


def test_root_holds_no_part_of_an_upstream() -> None:
    with pytest.raises(InvalidParameter):
        rules.check_prefixes("ROOT", "library/x")


def test_a_credential_has_a_user_and_a_token_that_does_not_show_itself() -> None:
    read = rules.read_credential(b'{"username": "cart", "accessToken": "hunter2", "more": 1}')

    assert (read.username, read.token.reveal()) == ("cart", "hunter2")
    assert "hunter2" not in repr(read)


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["username", "accessToken"]), inner),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_secret_is_a_credential_or_refused(data: bytes) -> None:
    try:
        read = rules.read_credential(data)
    except UnableToDecryptSecretValue:
        return
    assert read.username
    assert read.token.reveal()
