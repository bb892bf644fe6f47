"""Names, digests and paths: any text is either exactly what the grammar says or refused, never a third thing."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from homeport.kernel.digests import Digest
from homeport.kernel.errors import HomeportError, NameInvalid, RegistryNotFound
from homeport.kernel.hosts import Hosts
from homeport.kernel.names import REPOSITORY_NAME_PATTERN, AccountId, Region, RepositoryName, Tag
from homeport.oci.paths import Resource, parse, query

components = st.from_regex(r"[a-z0-9]{1,4}((\.|_|__|-{1,3})[a-z0-9]{1,3}){0,3}", fullmatch=True)
names = st.lists(components, min_size=1, max_size=6).map("/".join).filter(lambda name: len(name) > 1)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True).filter(str.isascii)
digests = st.from_regex(r"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})", fullmatch=True).filter(str.isascii)
near_names = st.text("ab0._-/A%\\ ", max_size=14)
ENDS = {
    Resource.MANIFEST: "manifests/{}",
    Resource.BLOB: "blobs/{}",
    Resource.REFERRERS: "referrers/{}",
    Resource.UPLOAD: "blobs/uploads/{}",
    Resource.UPLOADS: "blobs/uploads/",
    Resource.TAGS: "tags/list",
}


@settings(max_examples=500)
@given(near_names | st.text(max_size=8))
@example("a\n")
@example("aa\u0661")
def test_a_text_is_a_repository_name_exactly_when_it_fits_the_pattern_of_ecr(text: str) -> None:
    legal = 2 <= len(text) <= 256 and re.fullmatch(REPOSITORY_NAME_PATTERN, text, re.ASCII) is not None

    if legal:
        assert RepositoryName(text) == text
    else:
        with pytest.raises(NameInvalid):
            RepositoryName(text)


@given(st.text())
def test_any_text_is_a_name_or_a_domain_error(text: str) -> None:
    for kind in (RepositoryName, Tag, Digest, AccountId, Region):
        try:
            made = kind(text)
        except HomeportError:
            continue
        assert made == text


@given(names, tags | digests, st.sampled_from(list(ENDS)), st.data())
def test_a_path_leads_to_the_parts_that_it_was_made_of_encoded_or_not(
    name: str, reference: str, resource: Resource, data: st.DataObject
) -> None:
    plain = f"/v2/{name}/{ENDS[resource].format(reference)}"
    written = "".join(
        quote(character, safe="") if data.draw(st.booleans()) else character for character in plain[4:]
    )

    for path in (plain, plain[:4] + written):
        route = parse(path)
        assert (route.resource, route.name) == (resource, name)
        assert route.reference == (reference if "{}" in ENDS[resource] else "")


@settings(max_examples=500)
@given(st.text("ab/.%2e5fF_-AZ:;\\\x00", max_size=24) | st.text(max_size=24))
def test_any_path_is_one_canonical_route_or_refused(rest: str) -> None:
    try:
        route = parse("/v2/" + rest)
    except HomeportError:
        return

    if route.name is not None:
        assert RepositoryName(route.name) == route.name
        assert route.name in unquote(rest)
    assert "%" not in route.reference
    assert "/" not in route.reference


@given(st.text("ab=&%+;0123456789\x00\u00e4", max_size=60) | st.text(max_size=40))
def test_any_query_is_a_mapping_or_refused(raw: str) -> None:
    try:
        found = query(raw)
    except HomeportError:
        return

    assert len(found) <= 32


@settings(max_examples=500)
@given(
    st.text("[]:.%0123456789abcdeflochst", max_size=24) | st.text(max_size=24) | st.ip_addresses().map(str)
)
def test_a_host_that_is_accepted_can_be_repeated_in_an_answer(host: str) -> None:
    hosts = Hosts(Region("eu-west-1"), AccountId("111122223333"), ["localhost"])

    try:
        account = hosts.account_of(host)
    except RegistryNotFound:
        return

    assert account == "111122223333"
    assert re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", hosts.registry_host(host, account), re.ASCII)
