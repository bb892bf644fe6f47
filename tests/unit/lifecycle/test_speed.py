"""A large repository and a long policy: how long the decision takes and how much memory, in a process of its own."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from homeport.kernel.limits import MIB
from homeport.lifecycle.model import Action, Candidate, CountType, Rule, TagSeen, TagSelection
from homeport.lifecycle.rules import plan
from tests.bench.accounting import peak_memory, reset_peak_memory
from tests.unit.lifecycle.repository import DAY, NOW, digest, rule

IMAGES = 100_000
RULES = 50
YARDSTICK = 400_000
YARDSTICK_QUIET = 0.25
"""Seconds on one of two cores of an AMD EPYC with nothing else running."""
ROOT = Path(__file__).parents[3]


def usual(dice: random.Random, number: int) -> str:
    kind = dice.choice(["main", "dev", "release", "pr", "v1", "feature-x"])
    return f"{kind}-{number:06d}-{dice.choice(['amd64', 'arm64', 'debug'])}"


def hostile(_: random.Random, number: int) -> str:
    return f"{'a' * 120}-{number:07d}"


def repository(name: str) -> list[Candidate]:
    """Images of up to three tags; a tenth is archived, a tenth listed by an index."""
    dice, made, total = random.Random(1), [], 0
    for number in range(IMAGES):
        pushed = NOW - dice.randrange(400 * DAY)
        archived = dice.random() < 0.1
        tags: list[TagSeen] = []
        for _ in range(dice.randrange(4)):
            total += 1
            tags.append(TagSeen((usual if name == "usual" else hostile)(dice, total), pushed))
        made.append(
            Candidate(
                number, digest(number), tuple(tags), 1000, pushed, pushed + DAY if dice.random() < 0.5 else None,
                archived, pushed + DAY if archived else None, None, listed=dice.random() < 0.1,
            )
        )  # fmt: skip
    return made


def policy(name: str) -> list[Rule]:
    """All sorts of rules on tags, then one on untagged images and one on any."""
    made: list[Rule] = []
    for number in range(1, RULES - 1):
        if name == "usual":
            patterns = [(f"main-{number:02d}*",), (f"*-*{number}*", "*amd64"), (f"r*0*{number}*64",)][
                number % 3
            ]
        else:
            patterns = [("*a*a*a*b", f"{number}*"), ("a*a*a*a" + "a" * number,), (f"*a*{'a' * number}b*",)][
                number % 3
            ]
        made.append(
            rule(number, *patterns, more_than=100) if number % 2 else rule(number, *patterns, days=30)
        )
    made.append(rule(RULES - 1, tags=TagSelection.UNTAGGED, days=7))
    made.append(rule(RULES, days=90, since=CountType.SINCE_PULLED, action=Action.TRANSITION))
    return made


def yardstick() -> float:
    """Return the seconds of processor time of a fixed piece of work, like that of a decision but not of it."""
    began = time.process_time()
    found: dict[str, list[int]] = {}
    for number in range(YARDSTICK):
        text = f"main-{number:06d}-amd64"
        if text.startswith("main-") and number % 7:
            found.setdefault(text[-10:], []).append(number)
    sorted(found, key=lambda text: (len(found[text]), text))
    return time.process_time() - began


def measure(name: str) -> None:
    """Print how many decisions there were, the seconds of processor time, the MiB that the peak grew by and the
    seconds of the yardstick just before and after."""
    images, rules = repository(name), policy(name)
    sticks = [yardstick()]
    reset_peak_memory(os.getpid())  # a new process starts with the peak of the one that made it
    before = peak_memory(os.getpid())
    began = time.process_time()
    decisions = plan(rules, images, NOW)
    seconds = time.process_time() - began
    grown = peak_memory(os.getpid()) - before
    sticks.append(yardstick())
    print(len(decisions), f"{seconds:.2f}", grown // MIB, f"{sum(sticks) / 2:.3f}")


def measured(name: str) -> list[str]:
    """Return what `measure` prints, in a process of its own."""
    command = [sys.executable, "-c", f"from {__name__} import measure; measure({name!r})"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["usual", "hostile"])
def test_a_hundred_thousand_images_and_fifty_rules_take_two_seconds_and_little_memory(name: str) -> None:
    # Processor time grows, too, while others use the other half of a core: what a fixed piece of work takes
    # at that moment, against what it takes when nothing else runs, says by how much.
    decisions, seconds, grown, stick = measured(name)
    busy = max(1.0, float(stick) / YARDSTICK_QUIET)

    print(
        f"{name}: {decisions} decisions, {seconds} s of processor time, peak + {grown} MiB, busy x{busy:.2f}"
    )
    assert int(decisions) > 10_000
    assert float(seconds) < 2 * busy
    assert int(grown) < 300
