"""Public repositories, their catalog data and resource tags. Amazon ECR Public API Reference."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from homeport.aws.call import Answer, Call
from homeport.aws.public_call import PublicCall
from homeport.kernel.errors import InvalidParameter, InvalidTagParameter
from homeport.kernel.names import AccountId, RepositoryName
from homeport.public import service as public
from homeport.public import store as public_store
from homeport.public.model import Catalog
from homeport.repositories import service as repositories
from homeport.repositories.model import Repository

_ARN = re.compile(r"arn:aws:ecr-public::([0-9]{12}):repository/(.{2,205})", re.ASCII)


def _shown(call: PublicCall, found: Repository, address: str) -> dict[str, Any]:
    return {
        "repositoryArn": found.arn(call.region.name),
        "registryId": found.account,
        "repositoryName": found.name,
        "repositoryUri": f"{address}/{found.name}",
        "createdAt": found.created_at,
    }


def _asked_tags(call: Call) -> dict[str, str]:
    """The tags of the request; here a value may be left out. Errors: InvalidTagParameter."""
    asked = call.params.get("tags") or []
    tags = {each.get("Key") or "": each.get("Value") or "" for each in asked}
    if len(tags) != len(asked):
        raise InvalidTagParameter("A tag key appears twice")
    return tags


def _asked_catalog(asked: Mapping[str, Any]) -> Catalog:
    return Catalog(
        description=asked.get("description"),
        about=asked.get("aboutText"),
        usage=asked.get("usageText"),
        architectures=tuple(asked.get("architectures") or ()),
        operating_systems=tuple(asked.get("operatingSystems") or ()),
        logo=asked.get("logoImageBlob") or None,
    )


def _shown_catalog(call: PublicCall, found: Repository, catalog: Catalog) -> dict[str, Any]:
    scheme = "https" if call.exchange.secure else "http"
    return {
        "description": catalog.description,
        "architectures": list(catalog.architectures) or None,
        "operatingSystems": list(catalog.operating_systems) or None,
        "aboutText": catalog.about,
        "usageText": catalog.usage,
        "logoUrl": f"{scheme}://{call.exchange.host}/logos/{found.id}" if catalog.logo else None,
    }


async def create_repository(call: Call) -> Answer:
    """CreateRepository, with catalog data; the first one makes the registry with its default alias."""
    asked = await PublicCall.made_of(call)
    name = RepositoryName(call.params["repositoryName"])
    tags = _asked_tags(call)
    asked.require_new(name, tags)
    stated = call.params.get("catalogData")
    catalog = _asked_catalog(stated or {})
    most = call.region.quotas.public_repositories
    created = await public.create(call.region.db, call.now, asked.registry, name, catalog, tags, most)
    return {
        "repository": _shown(asked, created, await asked.registry_address()),
        "catalogData": _shown_catalog(asked, created, catalog) if stated is not None else None,
    }


async def describe_repositories(call: Call) -> Answer:
    """DescribeRepositories: all by pages, or the named ones."""
    asked = await PublicCall.made_of(call)
    names = call.params.get("repositoryNames")
    if names is not None:
        asked.refuse_paging("repositoryNames")
        named = [await asked.repository(name) for name in names]
        address = await asked.registry_address()
        return {"repositories": [_shown(asked, each, address) for each in named]}
    asked.require_repositories()
    read = partial(repositories.page, call.region.db, asked.registry, public=True)
    page, more = await call.page("", read, lambda repository: repository.name)
    address = await asked.registry_address() if page else ""
    return {"repositories": [_shown(asked, each, address) for each in page], "nextToken": more}


async def delete_repository(call: Call) -> Answer:
    """DeleteRepository, with its images when `force`."""
    asked = await PublicCall.made_of(call)
    found = await asked.repository()
    force = bool(call.params.get("force"))
    gone = await repositories.delete(
        call.region.db, call.now, found.account, found.name, force=force, public=True
    )
    return {"repository": _shown(asked, gone, await asked.registry_address())}


async def put_repository_catalog_data(call: Call) -> Answer:
    """PutRepositoryCatalogData: replaces all of it."""
    asked = await PublicCall.made_of(call)
    found = await asked.repository()
    catalog = _asked_catalog(call.params["catalogData"])
    await public.put_catalog(call.region.db, found, catalog)
    return {"catalogData": _shown_catalog(asked, found, catalog)}


async def get_repository_catalog_data(call: Call) -> Answer:
    """GetRepositoryCatalogData."""
    asked = await PublicCall.made_of(call)
    found = await asked.repository()
    return {"catalogData": _shown_catalog(asked, found, await public.catalog_of(call.region.db, found))}


async def _by_arn(
    call: Call, tags: Mapping[str, str] | None = None, tag_keys: Sequence[str] = ()
) -> Repository:
    match = _ARN.fullmatch(call.params["resourceArn"])
    if match is None:
        raise InvalidParameter("resourceArn", "Invalid ARN")
    asked = replace(await PublicCall.made_of(call), registry=AccountId(match[1]))
    return await asked.repository(match[2], tags, tag_keys)


async def tag_resource(call: Call) -> Answer:
    """TagResource: adds and changes."""
    tags = _asked_tags(call)
    found = await _by_arn(call, tags)
    await repositories.tag(call.region.db, found.account, found.name, tags, public=True)
    return {}


async def untag_resource(call: Call) -> Answer:
    """UntagResource."""
    keys = call.params["tagKeys"]
    found = await _by_arn(call, tag_keys=keys)
    await repositories.untag(call.region.db, found.account, found.name, keys, public=True)
    return {}


async def list_tags_for_resource(call: Call) -> Answer:
    """ListTagsForResource."""
    found = await _by_arn(call)
    tags = await repositories.tags(call.region.db, found.account, found.name, public=True)
    return {"tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


async def describe_image_tags(call: Call) -> Answer:
    """DescribeImageTags: every tag with its image, in order of tag."""
    asked = await PublicCall.made_of(call)
    found = await asked.repository()
    read = partial(public_store.tags, call.region.db, found.id)
    page, more = await call.page("", read, lambda tag: tag.tag)
    return {
        "imageTagDetails": [
            {
                "imageTag": each.tag,
                "createdAt": each.tagged_at,
                "imageDetail": {
                    "imageDigest": each.digest,
                    "imageSizeInBytes": each.size,
                    "imagePushedAt": each.pushed_at,
                    "imageManifestMediaType": each.media_type,
                    "artifactMediaType": each.artifact_type,
                },
            }
            for each in page
        ],
        "nextToken": more,
    }
