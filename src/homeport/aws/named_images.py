"""Which images a request names, as condition keys: `ecr:ImageTag` and `ecr:ImageDigest`, an extension of ours.

ECR has no condition key for image tags, its users' oldest wish. A batch is decided image by image, so that a condition
on one value means what it says and nobody smuggles a forbidden tag in beside an allowed one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KEYS = {"imageTag": "ecr:ImageTag", "imageDigest": "ecr:ImageDigest"}


def named_images(params: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the condition keys of each image that `params` names; one empty mapping when it names none."""
    stated = params.get("imageIds")
    named = stated if isinstance(stated, list) and stated else [params.get("imageId") or params]
    if params.get("imageTags"):  # RestoreDeletedImage
        named = [{**params, "imageTag": tag} for tag in params["imageTags"]]
    found = [{key: each[member] for member, key in _KEYS.items() if member in each} for each in named]
    subject = params.get("subjectId")  # ListImageReferrers
    if isinstance(subject, Mapping) and "imageDigest" in subject:
        found = [{"ecr:ImageDigest": subject["imageDigest"]}]
    return found
