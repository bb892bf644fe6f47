"""Token buckets: what they let through, to whom they belong, and what the setting means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.access import rates
from homeport.access.rates import ANONYMOUS_PULL, TABLES, Rate, Rates, rates_from_text, source_of
from homeport.kernel.errors import Throttled

PUT = "ecr:PutImage"


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the moment."""
        return self.now


def granted(buckets: Rates, attempts: int, account: str = "1", action: str = PUT) -> int:
    """Return how many of the attempts were let through."""
    count = 0
    for _ in range(attempts):
        try:
            buckets.spend(account, action)
        except Throttled:
            continue
        count += 1
    return count


# --- Buckets ---


def test_a_burst_passes_at_once_and_then_the_rate_counts() -> None:
    clock = Clock()
    buckets = Rates({PUT: Rate(2, 5)}, clock=clock)

    assert granted(buckets, 9) == 5
    clock.now += 1
    assert granted(buckets, 9) == 2
    clock.now += 1000
    assert granted(buckets, 9) == 5


def test_accounts_and_actions_do_not_share_a_bucket() -> None:
    buckets = Rates({PUT: Rate(1, 1), "ecr:BatchGetImage": Rate(1, 1)}, clock=Clock())

    assert (
        granted(buckets, 2, "1")
        == granted(buckets, 2, "2")
        == granted(buckets, 2, "1", "ecr:BatchGetImage")
        == 1
    )


def test_an_action_without_a_rate_is_never_refused() -> None:
    assert granted(Rates({PUT: Rate(1, 1)}, clock=Clock()), 1000, action="ecr:ListImages") == 1000


def test_a_refusal_says_rate_exceeded_and_when_the_next_request_passes() -> None:
    clock = Clock()
    buckets = Rates({PUT: Rate(0.1, 1)}, clock=clock)
    buckets.spend("1", PUT)

    with pytest.raises(Throttled, match=r"^Rate exceeded$") as refusal:
        buckets.spend("1", PUT)
    assert refusal.value.retry_after == 10
    clock.now += refusal.value.retry_after
    buckets.spend("1", PUT)


def test_refused_requests_do_not_postpone_the_next_one() -> None:
    clock = Clock()
    buckets = Rates({PUT: Rate(1, 1)}, clock=clock)
    granted(buckets, 1)

    outcomes = []
    for _ in range(10):
        clock.now += 0.1001
        outcomes.append(granted(buckets, 1))

    assert outcomes == [0] * 9 + [1]


def test_several_processes_share_a_rate() -> None:
    buckets = [Rates({PUT: Rate(4, 8)}, processes=4, clock=Clock()) for _ in range(4)]

    assert sum(granted(each, 100) for each in buckets) == 8


def test_memory_is_bounded_and_the_busy_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_BUCKETS", 10)
    buckets = Rates({PUT: Rate(1, 1)}, clock=Clock())

    assert granted(buckets, 1, "busy") == 1
    for number in range(100):
        granted(buckets, 1, f"passing-{number}")
        assert granted(buckets, 1, "busy") == 0

    assert len(buckets._buckets) == 10


@given(
    st.floats(0.01, 5000),
    st.integers(1, 50),
    st.lists(st.floats(0, 5), max_size=60),
)
def test_no_more_pass_than_burst_and_rate_allow(per_second: float, burst: int, pauses: list[float]) -> None:
    clock = Clock()
    buckets = Rates({PUT: Rate(per_second, burst)}, clock=clock)
    began, passed = clock.now, 0

    for pause in pauses:
        clock.now += pause
        passed += granted(buckets, 3)

    assert passed <= burst + (clock.now - began) * per_second + 1e-6


# --- Anonymous pulls ---


def test_anonymous_pulls_are_counted_by_source_address() -> None:
    buckets = Rates({ANONYMOUS_PULL: Rate(1, 1)}, clock=Clock())

    buckets.spend_anonymous("192.0.2.1")
    buckets.spend_anonymous("192.0.2.2")

    with pytest.raises(Throttled):
        buckets.spend_anonymous("192.0.2.1")


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("not an address", "not an address"),
        (None, ""),
    ],
)
def test_an_ipv6_customer_is_one_source_with_all_addresses(address: str | None, source: str) -> None:
    assert source_of(address) == source


# --- The setting ---


def test_the_table_of_ecr_is_that_of_its_quotas() -> None:
    found = {action.removeprefix("ecr:"): rate.per_second for action, rate in rates_from_text("ecr").items()}

    assert found == {
        "GetAuthorizationToken": 500,
        "BatchCheckLayerAvailability": 1000,
        "BatchGetImage": 2000,
        "GetDownloadUrlForLayer": 3000,
        "InitiateLayerUpload": 100,
        "CompleteLayerUpload": 100,
        "UploadLayerPart": 500,
        "PutImage": 10,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("off", {}),
        ("PutImage=5", {PUT: Rate(5, 50)}),
        ("ecr:PutImage=0.5/3", {PUT: Rate(0.5, 3)}),
        ("PutImage=0.01", {PUT: Rate(0.01, 1)}),
        ("ecr-public", {ANONYMOUS_PULL: Rate(1, 10)}),
        (
            "anonymous-pull=2/2, sts:AssumeRole=1/1",
            {ANONYMOUS_PULL: Rate(2, 2), "sts:AssumeRole": Rate(1, 1)},
        ),
        ("PutImage=5,PutImage=0", {}),
    ],
)
def test_the_setting_names_tables_and_rates(text: str, expected: dict[str, Rate]) -> None:
    assert rates_from_text(text) == expected


def test_a_later_rate_changes_the_table() -> None:
    assert rates_from_text("ecr,PutImage=20/20") == {**TABLES["ecr"], PUT: Rate(20, 20)}


@pytest.mark.parametrize(
    "text",
    [
        "on",
        "PutImage",
        "PutImages=1",
        "PutImage=",
        "PutImage=-1",
        "PutImage=nan",
        "PutImage=inf",
        "PutImage=1/0.5",
    ],
)
def test_a_setting_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no action|no rate|none of|could not convert"):
        rates_from_text(text)
