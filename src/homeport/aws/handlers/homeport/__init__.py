"""What Homeport offers beyond ECR (model `homeport`): one file per noun."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from homeport.aws.call import Handler
from homeport.aws.handlers.homeport import defaults, deleted, pins, runs

HANDLERS: Mapping[str, Handler] = MappingProxyType(
    {
        "DeleteDefaultLifecyclePolicy": defaults.delete_default_lifecycle_policy,
        "DescribeLifecycleRun": runs.describe_lifecycle_run,
        "ExplainLifecyclePolicy": runs.explain_lifecycle_policy,
        "GetEffectiveLifecyclePolicy": defaults.get_effective_lifecycle_policy,
        "GetLifecyclePolicyPreviewSavings": runs.get_lifecycle_policy_preview_savings,
        "ListDefaultLifecyclePolicies": defaults.list_default_lifecycle_policies,
        "ListDeletedImages": deleted.list_deleted_images,
        "ListLifecycleRuns": runs.list_lifecycle_runs,
        "ListPinnedImageTags": pins.list_pinned_image_tags,
        "PinImageTag": pins.pin_image_tag,
        "PutDefaultLifecyclePolicy": defaults.put_default_lifecycle_policy,
        "RestoreDeletedImage": deleted.restore_deleted_image,
        "StartLifecycleRun": runs.start_lifecycle_run,
        "UnpinImageTag": pins.unpin_image_tag,
    }
)
"""What each operation does, by its name."""
