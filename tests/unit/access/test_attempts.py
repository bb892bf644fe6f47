"""The brake for guessers: when it pulls, for whom, how long, and that it forgets and stays small."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from homeport import config
from homeport.access import attempts
from homeport.access.attempts import Attempts, Brake, brake_from_text, key_holder, registry_user
from homeport.access.sigv4_claim import SigningRequest
from homeport.kernel.errors import HomeportError, InvalidClientToken, Throttled
from homeport.telemetry import FAILED_ATTEMPTS

ERROR = InvalidClientToken("no")


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the moment."""
        return self.now


def wait(guard: Attempts, address: str = "192.0.2.1", principal: str = "key:A") -> int:
    """Fail once; return the seconds that one is told to wait, 0 when the failure itself is answered."""
    answer = guard.failed(ERROR, address, principal)
    if isinstance(answer, Throttled):
        return answer.retry_after
    assert answer is ERROR
    return 0


def counted(outcome: str) -> float:
    """How many failures the metric has of that outcome."""
    found = FAILED_ATTEMPTS.labels(outcome)._value.get()
    assert isinstance(found, float)
    return found


def test_a_burst_of_failures_is_answered_and_the_next_one_is_told_to_wait() -> None:
    clock = Clock()
    guard = Attempts(Brake(20, 3), clock=clock)

    assert [wait(guard) for _ in range(22)] == [0] * 20 + [3, 3]
    clock.now += 1
    assert wait(guard) == 2
    clock.now += 2
    assert wait(guard) == 0


def test_each_pause_is_twice_as_long_up_to_a_quarter_of_an_hour() -> None:
    clock = Clock()
    guard = Attempts(Brake(1, 3), clock=clock)
    pauses = []
    wait(guard)
    for _ in range(12):
        pauses.append(wait(guard))
        clock.now += pauses[-1]
        assert wait(guard) == 0  # one more for each pause

    assert pauses == [3, 6, 12, 24, 48, 96, 192, 384, 768, 900, 900, 900]


def test_who_has_not_failed_for_a_while_begins_anew() -> None:
    clock = Clock()
    guard = Attempts(Brake(5, 3), clock=clock)
    for _ in range(6):
        wait(guard)
    clock.now += 3
    for _ in range(2):
        wait(guard)  # the second pause, of six seconds
    clock.now += 6 + 5 * 3

    assert [wait(guard) for _ in range(6)] == [0] * 5 + [3]


def test_sources_are_counted_apart_and_principals_over_all_of_them() -> None:
    guard = Attempts(Brake(3, 3), clock=Clock())

    one = [wait(guard, "192.0.2.1", f"key:{number}") for number in range(4)]
    many = [wait(guard, f"198.51.100.{number}", "key:B") for number in range(4)]
    other = wait(guard, "192.0.2.2", "key:C")

    assert one == many == [0, 0, 0, 3]
    assert other == 0


def test_a_source_in_its_pause_uses_up_nothing_of_the_principals_it_names() -> None:
    guard = Attempts(Brake(3, 3), clock=Clock())
    for number in range(3):
        wait(guard, "192.0.2.1", f"key:{number}")

    for _ in range(50):
        assert wait(guard, "192.0.2.1", "key:victim") == 3

    assert [wait(guard, f"198.51.100.{number}", "key:victim") for number in range(3)] == [0] * 3


def test_neighbours_in_one_network_of_ipv6_are_one_source() -> None:
    guard = Attempts(Brake(2, 3), clock=Clock())

    found = [wait(guard, f"2001:db8::{number:x}", f"key:{number}") for number in range(3)]

    assert found == [0, 0, 3]


def test_every_pause_is_logged_once_and_every_failure_counted() -> None:
    guard = Attempts(Brake(2, 3), clock=Clock())
    refused, throttled = counted("refused"), counted("throttled")

    with capture_logs() as logged:
        for _ in range(10):
            wait(guard)

    assert logged == [
        {
            "event": "authentication_throttled",
            "log_level": "warning",
            "by": "source",
            "source": "192.0.2.1",
            "principal": "key:A",
            "seconds": 3,
            "pauses": 1,
        }
    ]
    assert (counted("refused") - refused, counted("throttled") - throttled) == (2, 8)


def test_without_a_brake_failures_are_counted_and_nothing_else() -> None:
    guard = Attempts(None)
    before = counted("refused")

    assert {wait(guard) for _ in range(100)} == {0}

    assert counted("refused") - before == 100


def test_what_is_remembered_is_bounded_and_made_up_principals_push_no_source_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempts, "_HOLDERS", 10)
    guard = Attempts(Brake(20, 3), clock=Clock())

    flood = [wait(guard, "192.0.2.1", f"key:{number}") for number in range(100)]
    for number in range(100):
        wait(guard, f"198.51.100.{number}", "key:A")

    assert flood == [0] * 20 + [3] * 80
    assert len(guard._sources) == len(guard._principals) == 10


def test_processes_share_a_brake() -> None:
    guard = Attempts(Brake(20, 3), processes=4, clock=Clock())

    assert [wait(guard) for _ in range(6)] == [0] * 5 + [12]
    assert Brake(2, 3).share(4) == Brake(1, 12)


@given(st.lists(st.tuples(st.floats(0, 2000), st.sampled_from("abc")), max_size=200))
def test_a_wait_is_never_longer_than_the_longest_pause_nor_ends_before_it_says(
    steps: list[tuple[float, str]],
) -> None:
    clock = Clock()
    guard = Attempts(Brake(2, 3), clock=clock)
    for seconds, who in steps:
        clock.now += seconds
        told = wait(guard, who, who)
        assert 0 <= told <= 900


# --- The setting ---


def test_the_setting_is_on_unless_it_is_switched_off() -> None:
    assert brake_from_text(config.load().authentication_throttling) == Brake(20, 3)
    assert brake_from_text("off") is None
    assert brake_from_text(" 5 / 0.5 ") == Brake(5, 0.5)


@pytest.mark.parametrize(
    "text", ["", "on", "20", "20/", "/3", "0/3", "20/0", "20/-1", "inf/3", "20/nan", "a/b"]
)
def test_a_setting_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"BURST/SECONDS|could not convert"):
        brake_from_text(text)


# --- Whom an attempt names ---


def basic(text: str) -> str:
    """A Basic header."""
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_a_name_that_may_be_a_secret_is_not_kept_as_text() -> None:
    good = registry_user("1", basic("AWS:secret"))
    others = {
        registry_user("1", header)
        for header in (basic("hunter2:x"), basic("admin:hunter2"), "Basic !hunter2", basic("AWS\n:x"))
    }

    assert good == registry_user("1", basic("AWS:other")) == "registry:1:AWS"
    assert good == registry_user("1", "Bearer hunter2")
    assert good != registry_user("2", basic("AWS:secret"))
    assert len(others) == 4
    assert all("hunter2" not in each and "admin" not in each for each in others)


def test_a_request_with_a_broken_signature_still_names_somebody() -> None:
    broken = SigningRequest("POST", "/", "", [("authorization", "AWS4-HMAC-SHA256 nonsense")])

    assert key_holder(broken).startswith("key:")
    assert key_holder(SigningRequest("POST", "/", "", [])) == key_holder(broken)


def test_only_what_tests_a_secret_is_an_attempt() -> None:
    kinds = {kind.__name__ for kind in attempts.FAILURES}

    assert kinds == {"InvalidClientToken", "SignatureDoesNotMatch", "InvalidIdentityToken"}
    assert all(issubclass(kind, HomeportError) for kind in attempts.FAILURES)
