"""Lifecycle policies and their previews through the API. Amazon ECR API Reference."""

from __future__ import annotations

from homeport.aws.call import Answer, Call
from homeport.lifecycle import service as lifecycle


async def put_lifecycle_policy(call: Call) -> Answer:
    """PutLifecyclePolicy: the text is kept exactly as it came."""
    repository = await call.repository()
    text: str = call.params["lifecyclePolicyText"]
    await lifecycle.put(call.region.db, repository, text)
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "lifecyclePolicyText": text,
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
    """StartLifecyclePolicyPreview: of the given text, or of the repository's policy."""
    repository = await call.repository()
    text = call.params.get("lifecyclePolicyText")
    started = await lifecycle.start_preview(call.region.db, call.now, repository, text)
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "lifecyclePolicyText": started.policy,
        "status": started.status.value,
    }


async def get_lifecycle_policy_preview(call: Call) -> Answer:
    """GetLifecyclePolicyPreview: a preview that failed has no results and no summary."""
    repository = await call.repository()
    if call.params.get("imageIds") is not None:
        call.refuse_paging("imageIds")
    call.page_position()
    found = await lifecycle.preview(call.region.db, call.now, repository)
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "lifecyclePolicyText": found.policy,
        "status": found.status.value,
        "previewResults": [],
    }
