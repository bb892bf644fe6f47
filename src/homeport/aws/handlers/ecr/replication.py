"""Replication of a registry and its backfills. ECR User Guide, replication and replication-backfill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from homeport.aws.call import Answer, Call
from homeport.images import service as images
from homeport.images.model import ImageId
from homeport.kernel.clock import to_micros
from homeport.replication import rules
from homeport.replication import service as replication
from homeport.replication.model import NOT_AVAILABLE, Backfill, Destination, Rule

_PAGE = 25  # ECR model: ListReplicationBackfills without maxResults


def _read_destination(asked: Mapping[str, str]) -> Destination:
    return Destination(asked["region"], asked["registryId"])


def _read_rule(asked: Mapping[str, Any]) -> Rule:
    filters, deletes = asked.get("repositoryFilters"), asked.get("deleteReplication")
    return Rule(
        tuple(_read_destination(each) for each in asked["destinations"]),
        tuple(each["filter"] for each in filters) if filters is not None else None,
        deletes["enabled"] if deletes is not None else None,
    )


def _shown_destination(destination: Destination) -> dict[str, str]:
    return {"region": destination.region, "registryId": destination.account}


def _shown(configured: Sequence[Rule]) -> dict[str, Any]:
    return {"rules": [_shown_rule(rule) for rule in configured]}


def _shown_rule(rule: Rule) -> dict[str, Any]:
    shown: dict[str, Any] = {"destinations": [_shown_destination(each) for each in rule.destinations]}
    if rule.prefixes is not None:
        shown["repositoryFilters"] = [
            {"filter": each, "filterType": "PREFIX_MATCH"} for each in rule.prefixes
        ]
    if rule.deletes is not None:
        shown["deleteReplication"] = {"enabled": rule.deletes}
    return shown


async def put_replication_configuration(call: Call) -> Answer:
    """PutReplicationConfiguration: replaces the whole."""
    call.require_registry()
    wanted = [_read_rule(rule) for rule in call.params["replicationConfiguration"]["rules"]]
    home = Destination(call.region.name, call.account)
    await replication.configure(call.region.db, call.now, home, wanted, call.region.quotas)
    return {"replicationConfiguration": _shown(wanted)}


async def describe_registry(call: Call) -> Answer:
    """DescribeRegistry."""
    call.require_registry()
    configured = await replication.configuration(call.region.db, call.account)
    return {"registryId": call.account, "replicationConfiguration": _shown(configured)}


async def describe_image_replication_status(call: Call) -> Answer:
    """DescribeImageReplicationStatus: no destination that the rules name for the image has a copy, and why."""
    repository = await call.repository()
    asked = call.params["imageId"]
    wanted = ImageId(asked.get("imageDigest"), asked.get("imageTag"))
    (image,) = await images.describe(call.region.db, repository, [wanted])
    configured = await replication.configuration(call.region.db, repository.account)
    return {
        "repositoryName": repository.name,
        "imageId": {"imageDigest": image.digest, "imageTag": wanted.tag},
        "replicationStatuses": [
            {**_shown_destination(each), "status": "FAILED", "failureCode": NOT_AVAILABLE}
            for each in rules.destinations_of(configured, repository.name)
        ],
    }


def _begun(backfill: Backfill) -> dict[str, Any]:
    return {
        "replicationBackfillId": backfill.id,
        "registryId": backfill.account,
        "destination": _shown_destination(backfill.destination),
        "status": backfill.status.value,
        "startedAt": backfill.started_at,
    }


def _described(backfill: Backfill) -> dict[str, Any]:
    # `progress` stays null until the images are counted, which this version never comes to.
    return {
        "replicationBackfillId": backfill.id,
        "destination": _shown_destination(backfill.destination),
        "status": backfill.status.value,
        "failureCode": backfill.failure_code,
        "startedAt": backfill.started_at,
        "endedAt": backfill.ended_at,
    }


async def start_replication_backfill(call: Call) -> Answer:
    """StartReplicationBackfill."""
    call.require_registry()
    destination = _read_destination(call.params["destination"])
    return _begun(await replication.start_backfill(call.region.db, call.now, call.account, destination))


async def stop_replication_backfill(call: Call) -> Answer:
    """StopReplicationBackfill."""
    call.require_registry()
    wanted = call.params["replicationBackfillId"]
    return _begun(await replication.stop_backfill(call.region.db, call.now, call.account, wanted))


async def describe_replication_backfill_results(call: Call) -> Answer:
    """DescribeReplicationBackfillResults: no image was copied, so there is no result of any."""
    call.require_registry()
    call.page_position()
    wanted = call.params["replicationBackfillId"]
    found = await replication.backfill(call.region.db, call.now, call.account, wanted)
    return {"registryId": found.account, **_described(found), "results": []}


async def list_replication_backfills(call: Call) -> Answer:
    """ListReplicationBackfills: the latest first."""
    call.require_registry()
    position, size = call.page_position(), call.page_size(_PAGE)
    after = (int(position[0]), str(position[1])) if position else None
    found = await replication.backfills(call.region.db, call.now, call.account, after, size + 1)
    more: str | None = None
    if len(found) > size:
        last = found[size - 1]
        more = call.next_token([to_micros(last.started_at), last.id])
    return {
        "registryId": call.account,
        "backfills": [_described(each) for each in found[:size]],
        "nextToken": more,
    }
