"""What a secret may look like and which of them a list shows. AWS Secrets Manager API Reference."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from homeport.kernel import limits
from homeport.kernel.errors import InvalidInput, LimitExceeded, SecretNotFound, ValidationError
from homeport.secrets.model import CURRENT, PREVIOUS, SecretRecord

_NAME = re.compile(r"[A-Za-z0-9/_+=.@!-]{1,512}", re.ASCII)
_ARN = re.compile(r"arn:aws:secretsmanager:([0-9a-z-]{2,25}):([0-9]{12}):secret:([A-Za-z0-9/_+=.@!-]{1,520})")
_SUFFIX: Final = string.ascii_letters + string.digits
_WORDS = re.compile(r"[a-z0-9]+")
RECOVERY_DAYS: Final = 30
STAGES: Final = 20  # Secrets Manager: labels attached across all versions of a secret

Stages = Mapping[str, tuple[str, ...]]
"""The staging labels of each version by its id."""


def check_name(name: str) -> None:
    """Return when a secret may be called so. Errors: ValidationError."""
    if not _NAME.fullmatch(name):
        raise ValidationError(
            "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: "
            "-/_+=.@!"
        )


def bare_arn(region: str, account: str, name: str) -> str:
    """Return the resource name of a secret without the random part at its end."""
    return f"arn:aws:secretsmanager:{region}:{account}:secret:{name}"


def new_arn(region: str, account: str, name: str) -> str:
    """Return a resource name that no secret ever had: a deleted one of the same name had another."""
    return f"{bare_arn(region, account, name)}-{''.join(secrets.choice(_SUFFIX) for _ in range(6))}"


def parts_of_arn(arn: str) -> tuple[str, str, str] | None:
    """Return (region, account, name with or without the random part), or None when it is no secret's ARN."""
    match = _ARN.fullmatch(arn)
    return (match[1], match[2], match[3]) if match else None


def check_tags(tags: Mapping[str, str]) -> None:
    """Return when a secret may have those tags. Errors: InvalidInput."""
    if len(tags) > limits.RESOURCE_TAGS:
        raise InvalidInput(f"A secret can have at most {limits.RESOURCE_TAGS} tags.")
    if any(key.lower().startswith("aws:") for key in tags):
        raise InvalidInput("Tag keys that start with 'aws:' are reserved.")


def recovery_window(days: int | None, *, force: bool) -> timedelta | None:
    """Return how long a deleted secret can be restored, None when not at all. Errors: InvalidInput."""
    if force:
        if days is not None:
            raise InvalidInput(
                "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays."
            )
        return None
    if days is not None and not 7 <= days <= 30:
        raise InvalidInput("The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
    return timedelta(days=days if days is not None else RECOVERY_DAYS)


def attach(held: Stages, version_id: str, labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the labels of all versions after `labels` moved to `version_id`, which may be new.

    The version that loses AWSCURRENT gets AWSPREVIOUS, and the first version is current in any case. A version without
    labels is deprecated and missing from the result. Errors: LimitExceeded.
    """
    moved = list(dict.fromkeys(labels))
    if not any(CURRENT in stages for stages in held.values()) and CURRENT not in moved:
        moved.append(CURRENT)
    demoted = next((each for each, stages in held.items() if CURRENT in stages and each != version_id), None)
    result = {each: [label for label in stages if label not in moved] for each, stages in held.items()}
    result[version_id] = result.get(version_id, []) + moved
    if CURRENT in moved and demoted is not None:
        for stages in result.values():
            if PREVIOUS in stages:
                stages.remove(PREVIOUS)
        result[demoted].append(PREVIOUS)
    if sum(len(stages) for stages in result.values()) > STAGES:
        raise LimitExceeded(f"A secret can have at most {STAGES} staging labels.")
    return {each: tuple(stages) for each, stages in result.items() if stages}


def move(held: Stages, label: str, source: str | None, destination: str | None) -> dict[str, tuple[str, ...]]:
    """Return the labels of all versions after `label` went from the version `source` to `destination`.

    Errors: InvalidInput when it is not where the request says, or AWSCURRENT would be nowhere; SecretNotFound;
    LimitExceeded.
    """
    for version_id in (source, destination):
        if version_id is not None and version_id not in held:
            raise SecretNotFound("Secrets Manager can't find the specified secret version.")
    holder = next((each for each, stages in held.items() if label in stages), None)
    if source is not None and source != holder:
        raise InvalidInput(f"The staging label {label} isn't attached to version {source}.")
    if destination is not None and holder not in (None, destination) and source is None:
        raise InvalidInput(
            f"The parameter RemoveFromVersionId can't be empty. Staging label {label} is currently attached to "
            f"version {holder}, so you must explicitly reference that version in RemoveFromVersionId."
        )
    if destination is not None:
        return attach(held, destination, [label])
    if label == CURRENT:
        raise InvalidInput(
            f"You can only move staging label {CURRENT} to a different secret version. It can't be completely "
            "removed."
        )
    kept = {each: tuple(stage for stage in stages if stage != label) for each, stages in held.items()}
    return {each: stages for each, stages in kept.items() if stages}


def shown(record: SecretRecord, filters: Sequence[tuple[str, Sequence[str]]], region: str) -> bool:
    """Whether the secret passes every filter; a filter is passed when one of its values matches."""
    return all(_passes(record, key, values, region) for key, values in filters)


def _passes(record: SecretRecord, key: str, values: Sequence[str], region: str) -> bool:
    if key == "all":
        texts = [record.name, record.description or "", *record.tags, *record.tags.values()]
        held = {word for text in texts for word in _WORDS.findall(text.lower())}
        return any(
            all(any(each.startswith(word) for each in held) for word in _WORDS.findall(value.lower()))
            for value in values
        )
    fold = key == "description"  # the only one of these that is not case-sensitive
    held_texts = {
        "name": [record.name],
        "description": [record.description or ""],
        "tag-key": list(record.tags),
        "tag-value": list(record.tags.values()),
        "primary-region": [region],
        "owning-service": [],
    }[key]
    texts = [text.lower() for text in held_texts] if fold else held_texts
    return any(_matches(texts, value.lower() if fold else value) for value in values)


def _matches(texts: Sequence[str], value: str) -> bool:
    if value.startswith("!"):
        return not any(text.startswith(value[1:]) for text in texts)
    return any(text.startswith(value) for text in texts)
