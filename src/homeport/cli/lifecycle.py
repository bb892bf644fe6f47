"""`homeport lifecycle`: what a lifecycle policy would do and why, what it did, and doing it now.

The commands work on the data folder, with or without a running server. Pulls of the last seconds that a server has not
written yet are unknown to them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TextIO, TypeVar, cast

import click

from homeport.cli.options import (
    CurrentStderr,
    account_option,
    data_option,
    explained,
    json_option,
    settings,
    with_folder,
)
from homeport.config import Settings
from homeport.database.engine import Database
from homeport.folder import OpenFolder
from homeport.images.model import Image, ImageId
from homeport.images.pulls import PullLog
from homeport.kernel.clock import Clock, LaterClock, SystemClock
from homeport.kernel.errors import LifecyclePolicyNotFound
from homeport.lifecycle import defaults, plans, plans_store, savings
from homeport.lifecycle import runs as lifecycle_runs
from homeport.lifecycle.model import (
    EffectivePolicy,
    Entry,
    PlanStatus,
    Reason,
    StoredPlan,
    Totals,
)
from homeport.lifecycle.plans import Judged
from homeport.lifecycle.policies import read_policy
from homeport.registry import service as registries
from homeport.repositories import service as repositories
from homeport.repositories.model import Repository
from homeport.telemetry import configure_logs
from homeport.workers.jobs import LEASE, JobWorker
from homeport.workers.lifecycle import LifecycleJobs

Result = TypeVar("Result")

_PENDING = 3  # exit status of a preview that is not empty
_PAGE = 100
_PROGRESS = timedelta(seconds=2)


@click.group()
def lifecycle() -> None:
    """See what a lifecycle policy would do and why, and let it act now.

    A server lets all policies act by itself, at every lifecycle_interval.
    """


@lifecycle.command("preview")
@click.argument("repository")
@click.option(
    "--policy",
    type=click.File(),
    help="File of a policy to try instead of the one that acts on the repository; - for standard input.",
)
@account_option
@data_option
@json_option
@explained
@click.pass_context
def preview(
    context: click.Context,
    repository: str,
    policy: io.TextIOBase | None,
    account: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Show what the policy would do now; nothing is changed. Exit status 3 when it would do anything."""
    chosen = settings(data=data)
    text = policy.read() if policy is not None else None

    async def work(db: Database, found: Repository) -> tuple[EffectivePolicy, Judged]:
        if text is not None:
            extended = await registries.lifecycle_extensions(db, found.account)
            read_policy(text, extended=extended, most_rules=chosen.quotas.lifecycle_rules)
            acting: EffectivePolicy | None = EffectivePolicy(text, None)
        else:
            acting = await defaults.effective(db, found)
        if acting is None:
            raise LifecyclePolicyNotFound(found.name, found.account)
        now = _judge(chosen).now()
        return acting, await plans.judge(db, now, found.id, acting.text)

    acting, judged = _within(data, account, repository, work)
    micros = savings.monthly_micros(judged.totals, chosen.storage_price)
    if as_json:
        shown = {
            "source": "FILE" if text is not None else _source(acting.prefix),
            "prefix": acting.prefix,
            "totals": _totals(judged.totals),
            "monthlySavings": {"amountMicros": micros, "currency": "USD"},
            "images": [_entry(each) for each in judged.entries],
        }
        click.echo(json.dumps(shown))
    else:
        click.echo(f"{repository}: {'the policy of the file' if text is not None else _whose(acting)}")
        for line in _sums(judged.totals, micros):
            click.echo(line)
        for line in _table(judged.entries):
            click.echo(line)
    context.exit(_PENDING if judged.entries else 0)


@lifecycle.command("run")
@click.argument("repository")
@account_option
@data_option
@json_option
@explained
def run(repository: str, account: str | None, data: Path | None, as_json: bool) -> None:
    """Evaluate the policy that acts on REPOSITORY and execute it at once, in this process.

    What is done to each image is logged to standard error. When the command dies, a server or the next one goes on.
    """
    chosen = settings(data=data)
    configure_logs(chosen.log_format, cast("TextIO", CurrentStderr()))
    clock, progress = SystemClock(), _Progress(SystemClock())

    async def work(db: Database, found: Repository) -> tuple[StoredPlan, dict[str, int]]:
        now = clock.now()
        plan, held = await lifecycle_runs.hold_run(db, now, now + LEASE, found)
        doer = LifecycleJobs(db, clock, _judge(chosen), PullLog(), turn=None, progress=progress)
        await JobWorker(db, clock, doer.doers()).do(held)
        return await lifecycle_runs.run(db, found, plan.id), await _outcomes(db, plan.id)

    plan, outcomes = _within(data, account, repository, work)
    if as_json:
        click.echo(json.dumps({**_run(plan), "outcomes": outcomes}))
    else:
        click.echo(f"run {plan.id}: {plan.status.value}, {plan.totals.examined} images looked at")
        for outcome, count in outcomes.items():
            click.echo(f"  {count} {outcome}")
    if plan.status is PlanStatus.FAILED:
        raise click.ClickException(plan.error or "The run failed")
    if plan.status is not PlanStatus.COMPLETE:
        raise click.ClickException(
            "The run could not be ended; a running server tries again, or this command"
        )


@lifecycle.command("explain")
@click.argument("repository")
@click.argument("image")
@account_option
@data_option
@json_option
@explained
def explain(repository: str, image: str, account: str | None, data: Path | None, as_json: bool) -> None:
    """Say what each rule makes of IMAGE, a tag or a digest."""
    chosen = settings(data=data)
    wanted = ImageId(digest=image) if ":" in image else ImageId(tag=image)

    async def work(db: Database, found: Repository) -> tuple[EffectivePolicy, Image, list[Reason]]:
        return await lifecycle_runs.explain(db, _judge(chosen).now(), found, wanted)

    acting, found, reasons = _within(data, account, repository, work)
    if as_json:
        shown = {
            "source": _source(acting.prefix),
            "prefix": acting.prefix,
            "imageDigest": found.digest,
            "reasons": [
                {
                    "rulePriority": reason.rule.priority,
                    "description": reason.rule.description,
                    "verdict": reason.verdict.name,
                    "sentence": reason.sentence,
                }
                for reason in reasons
            ],
        }
        click.echo(json.dumps(shown))
        return
    click.echo(f"{found.digest} under {_whose(acting)}:")
    if not reasons:
        click.echo("  It is on its way back from the archive: no rule looks at it.")
    for reason in reasons:
        about = f" ({_printable(reason.rule.description)})" if reason.rule.description else ""
        click.echo(f"  rule {reason.rule.priority}{about}: {reason.verdict.value}. {reason.sentence}")


@lifecycle.command("runs")
@click.argument("repository")
@account_option
@data_option
@json_option
@explained
def runs(repository: str, account: str | None, data: Path | None, as_json: bool) -> None:
    """List the runs of the last 30 days, newest first; those that found nothing to do for a day."""

    async def work(db: Database, found: Repository) -> list[tuple[StoredPlan, dict[str, int]]]:
        listed: list[StoredPlan] = []
        while page := await lifecycle_runs.runs(db, found, listed[-1].id if listed else 2**62, _PAGE):
            listed.extend(page)
        return [(plan, await _outcomes(db, plan.id)) for plan in listed]

    listed = _within(data, account, repository, work)
    if as_json:
        click.echo(json.dumps({"runs": [{**_run(plan), "outcomes": outcomes} for plan, outcomes in listed]}))
        return
    for plan, outcomes in listed:
        said = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()) or "nothing to do"
        error = f"; {plan.error}" if plan.error else ""
        click.echo(f"{plan.id}  {_moment(plan.started_at)}  {plan.status.value}  {said}{error}")


# --- What they share ---


def _within(
    data: Path | None,
    account: str | None,
    name: str,
    work: Callable[[Database, Repository], Awaitable[Result]],
) -> Result:
    """Run `work` on a repository of an initialised folder."""

    async def found(folder: OpenFolder, chosen: str) -> Result:
        return await work(folder.db, await repositories.get(folder.db, chosen, name))

    return with_folder(data, account, found)


def _judge(chosen: Settings) -> Clock:
    """The clock of lifecycle rules, as a server has it."""
    return LaterClock(SystemClock(), timedelta(seconds=chosen.lifecycle_clock_offset))


class _Progress:
    """Tells how far a run is, every few seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told = clock.now()

    def __call__(self, done: int, of: int) -> None:
        if self._clock.now() - self._told >= _PROGRESS:
            self._told = self._clock.now()
            click.echo(f"  {done} of {of} images", err=True)


async def _outcomes(db: Database, plan_id: int) -> dict[str, int]:
    """How many entries of a run had which outcome, by words for people."""
    counted: dict[str, int] = {}
    done = {"expire": "expired", "transition": "archived", "untag": "untagged"}
    for _, action, outcome, count in await plans_store.outcomes(db, plan_id):
        what = "not looked at yet" if outcome is None else outcome.value
        word = done[action.value] if what == "done" else f"left alone: {what}"
        counted[word] = counted.get(word, 0) + count
    return counted


def _source(prefix: str | None) -> str:
    return "REPOSITORY" if prefix is None else "DEFAULT"


def _whose(policy: EffectivePolicy) -> str:
    if policy.prefix is None:
        return "its own policy"
    return "the registry's policy" if policy.prefix == "ROOT" else f"the policy of the prefix {policy.prefix}"


def _printable(text: str) -> str:
    """What anybody may have put into a policy, without what would command a terminal or cannot be encoded."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _bytes(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    value, units = size / 1024, ["KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.1f} {units[0]}"


def _sums(totals: Totals, micros: int) -> list[str]:
    return [
        f"  {totals.examined} images looked at",
        f"  {totals.expiring} expire and free {_bytes(totals.expiring_bytes)}, ${micros / 1_000_000:,.2f} a month",
        f"  {totals.transitioning} go to the archive with {_bytes(totals.transitioning_bytes)}",
        f"  {totals.untagging} lose tags",
    ]


def _table(entries: Sequence[Entry]) -> list[str]:
    rows = [("action", "rule", "pushed", "size", "digest", "tags")] if entries else []
    for each in entries:
        tags = ", ".join(each.untagged or each.tags) or "-"
        pushed, size = _moment(each.pushed_at), _bytes(each.size)
        rows.append((each.action.value, str(each.priority), pushed, size, each.digest[:19], tags))
    widths = [max(len(row[column]) for row in rows) for column in range(5)] if rows else []
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[5]])
        for row in rows
    ]


def _totals(totals: Totals) -> dict[str, int]:
    return {
        "examined": totals.examined,
        "expiring": totals.expiring,
        "expiringBytes": totals.expiring_bytes,
        "transitioning": totals.transitioning,
        "transitioningBytes": totals.transitioning_bytes,
        "untagging": totals.untagging,
    }


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "imageDigest": entry.digest,
        "imageTags": list(entry.tags),
        "imagePushedAt": _moment(entry.pushed_at),
        "imageSizeInBytes": entry.size,
        "storageClass": entry.storage_class,
        "action": entry.action.name,
        "untaggedImageTags": list(entry.untagged),
        "appliedRulePriority": entry.priority,
    }


def _run(plan: StoredPlan) -> dict[str, Any]:
    return {
        "runId": plan.id,
        "status": plan.status.name,
        "source": _source(plan.prefix),
        "prefix": plan.prefix,
        "startedAt": _moment(plan.started_at),
        "endedAt": _moment(plan.ended_at) if plan.ended_at is not None else None,
        "totals": _totals(plan.totals),
        "error": plan.error,
    }
