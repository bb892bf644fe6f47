"""Runs of lifecycle policies, and why they do what they do, through the API (model `homeport`)."""

from __future__ import annotations

from functools import partial
from typing import Any

from homeport.aws.call import NEWEST, Answer, Call
from homeport.aws.handlers.ecr.lifecycle import shown_entry
from homeport.aws.handlers.homeport.defaults import shown_source
from homeport.images.model import ImageId
from homeport.kernel import limits
from homeport.lifecycle import previews, runs, savings
from homeport.lifecycle.model import EffectivePolicy, Entry, PreviewStatus, Reason, StoredPlan, Totals


def _summary(totals: Totals) -> dict[str, int]:
    return {
        "examinedImageTotalCount": totals.examined,
        "expiringImageTotalCount": totals.expiring,
        "expiringBytes": totals.expiring_bytes,
        "transitioningImageTotalCount": totals.transitioning,
        "transitioningBytes": totals.transitioning_bytes,
        "untaggingImageTotalCount": totals.untagging,
    }


def _shown(run: StoredPlan) -> dict[str, Any]:
    return {
        "runId": str(run.id),
        "status": run.status.name,
        **shown_source(EffectivePolicy(run.policy, run.prefix)),
        "startedAt": run.started_at,
        "endedAt": run.ended_at,
        "summary": _summary(run.totals),
        "failureReason": run.error,
    }


def _shown_entry(entry: Entry) -> dict[str, Any]:
    return {
        **shown_entry(entry),
        "imageTags": list(entry.tags) or None,
        "imageSizeInBytes": entry.size,
        "untaggedImageTags": list(entry.untagged) or None,
        "outcome": entry.outcome.name if entry.outcome is not None else "PENDING",
    }


def _shown_reason(reason: Reason) -> dict[str, Any]:
    return {
        "rulePriority": reason.rule.priority,
        "verdict": reason.verdict.name,
        "sentence": reason.sentence,
    }


async def start_lifecycle_run(call: Call) -> Answer:
    """StartLifecycleRun: the run goes on by itself."""
    repository = await call.repository()
    run_id = await runs.start_run(call.region.db, call.now, repository)
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "runId": str(run_id),
    }


async def list_lifecycle_runs(call: Call) -> Answer:
    """ListLifecycleRuns: by pages, newest first."""
    repository = await call.repository()
    read = partial(runs.runs, call.region.db, repository)
    page, more = await call.page(NEWEST, read, lambda run: run.id)
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "lifecycleRuns": [_shown(each) for each in page],
        "nextToken": more,
    }


async def describe_lifecycle_run(call: Call) -> Answer:
    """DescribeLifecycleRun: the run, and by pages what it does with which image, in order of execution."""
    repository = await call.repository()
    size = call.page_size(limits.PAGE_DEFAULT)
    position = call.page_position()
    after = int(position[0]) if position else 0
    db = call.region.db
    found = await runs.run(db, repository, int(call.params["runId"]))
    page = await runs.entries(db, found.id, after, size + 1)
    more = call.next_token([page[size - 1].position]) if len(page) > size else None
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "lifecycleRun": _shown(found),
        "lifecyclePolicyText": found.policy,
        "entries": [_shown_entry(each) for each in page[:size]],
        "nextToken": more,
    }


async def explain_lifecycle_policy(call: Call) -> Answer:
    """ExplainLifecyclePolicy: what each rule says of one image; nothing is changed."""
    repository = await call.repository()
    asked = call.params["imageId"]
    wanted = ImageId(asked.get("imageDigest"), asked.get("imageTag"))
    now = call.region.lifecycle_clock.now()
    policy, image, reasons = await runs.explain(call.region.db, now, repository, wanted)
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "imageId": {"imageDigest": image.digest, "imageTag": wanted.tag},
        **shown_source(policy),
        "reasons": [_shown_reason(each) for each in reasons],
    }


async def get_lifecycle_policy_preview_savings(call: Call) -> Answer:
    """GetLifecyclePolicyPreviewSavings: of the newest preview, once it is complete."""
    repository = await call.repository()
    region = call.region
    found = await previews.newest_preview(region.db, repository)
    status = previews.status_at(found, call.now)
    answer = {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "status": status.value,
    }
    if status is not PreviewStatus.COMPLETE:
        return answer
    amount = savings.monthly_micros(found.totals, region.storage_price)
    return {
        **answer,
        "expiringBytes": found.totals.expiring_bytes,
        "transitioningBytes": found.totals.transitioning_bytes,
        "monthlySavings": {"amountMicros": amount, "currency": "USD"},
    }
