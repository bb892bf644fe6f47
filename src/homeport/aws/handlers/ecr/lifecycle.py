"""Lifecycle policies and their previews through the API. Amazon ECR API Reference."""

from __future__ import annotations

from typing import Any

from homeport.aws.call import Answer, Call
from homeport.images.model import ImageId
from homeport.kernel import limits
from homeport.kernel.errors import InvalidParameter
from homeport.lifecycle import plans_store, previews
from homeport.lifecycle import service as lifecycle
from homeport.lifecycle.model import Action, Entry, PreviewStatus
from homeport.registry import service as registries
from homeport.repositories.model import Repository

_TAGGED = {"TAGGED": True, "UNTAGGED": False, "ANY": None}


async def _allowed(call: Call, repository: Repository) -> dict[str, Any]:
    """Return what a policy of the registry may say, as the use cases take it."""
    extended = await registries.lifecycle_extensions(call.region.db, repository.account)
    return {"extended": extended, "most_rules": call.region.quotas.lifecycle_rules}


async def put_lifecycle_policy(call: Call) -> Answer:
    """PutLifecyclePolicy: the text is kept as it came, but for the rules' order, which is that of their priorities."""
    repository = await call.repository()
    text: str = call.params["lifecyclePolicyText"]
    stored = await lifecycle.put(call.region.db, repository, text, **await _allowed(call, repository))
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "lifecyclePolicyText": stored,
    }


async def get_lifecycle_policy(call: Call) -> Answer:
    """GetLifecyclePolicy; `lastEvaluatedAt` is absent for a policy that was never evaluated."""
    repository = await call.repository()
    found = await lifecycle.get(call.region.db, repository)
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "lifecyclePolicyText": found.text,
        "lastEvaluatedAt": found.evaluated_at,
    }


async def delete_lifecycle_policy(call: Call) -> Answer:
    """DeleteLifecyclePolicy: answers what was deleted."""
    repository = await call.repository()
    gone = await lifecycle.delete(call.region.db, repository)
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "lifecyclePolicyText": gone.text,
        "lastEvaluatedAt": gone.evaluated_at,
    }


async def start_lifecycle_policy_preview(call: Call) -> Answer:
    """StartLifecyclePolicyPreview: of the given text, or of the policy that acts on the repository."""
    repository = await call.repository()
    text = call.params.get("lifecyclePolicyText")
    allowed = await _allowed(call, repository)
    started = await previews.start_preview(call.region.db, call.now, repository, text, **allowed)
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "lifecyclePolicyText": started.policy,
        "status": previews.status_at(started, call.now).value,
    }


async def get_lifecycle_policy_preview(call: Call) -> Answer:
    """GetLifecyclePolicyPreview: only one that is complete has results and a summary."""
    repository, region = await call.repository(), call.region
    asked = call.params.get("imageIds")
    if asked is not None:
        call.refuse_paging("imageIds")
    position = call.page_position()
    found = await previews.newest_preview(region.db, repository)
    status = previews.status_at(found, call.now)
    answer: dict[str, Any] = {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "lifecyclePolicyText": found.policy,
        "status": status.value,
        "previewResults": [],
    }
    if status is not PreviewStatus.COMPLETE:
        return answer
    answer["summary"] = {
        "expiringImageTotalCount": found.totals.expiring,
        "transitioningImageTotalCounts": [
            {"targetStorageClass": "ARCHIVE", "imageTotalCount": found.totals.transitioning}
        ]
        if found.totals.transitioning
        else None,
    }
    if asked is not None:
        wanted = [ImageId(each.get("imageDigest"), each.get("imageTag")) for each in asked]
        page = await previews.named(region.db, repository, found, wanted)
        return {**answer, "previewResults": [shown_entry(entry) for entry in page]}
    size = call.page_size(limits.PAGE_DEFAULT)
    if position is not None and position[0] != found.id:
        raise InvalidParameter(
            "nextToken", "The preview that this page belongs to was replaced by a later one"
        )
    after = int(position[1]) if position is not None else 0
    tagged = _TAGGED[(call.params.get("filter") or {}).get("tagStatus") or "ANY"]
    page = await plans_store.entries(region.db, found.id, after, size + 1, tagged)
    more = call.next_token([found.id, page[size - 1].position]) if len(page) > size else None
    return {**answer, "previewResults": [shown_entry(entry) for entry in page[:size]], "nextToken": more}


def shown_entry(entry: Entry) -> dict[str, Any]:
    """Return what previews and runs both show of an entry."""
    target = "ARCHIVE" if entry.action is Action.TRANSITION else None
    return {
        "imageTags": list(entry.tags),
        "imageDigest": entry.digest,
        "imagePushedAt": entry.pushed_at,
        "action": {"type": entry.action.name, "targetStorageClass": target},
        "appliedRulePriority": entry.priority,
        "storageClass": entry.storage_class,
    }
