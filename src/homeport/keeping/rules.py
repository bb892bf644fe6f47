"""What is wrong with an image and what it refers to. Pure: values in, sentences out."""

from __future__ import annotations

from dataclasses import dataclass, field

from homeport.images.model import Descriptor
from homeport.images.rules import read_manifest
from homeport.keeping.model import Kind, Referring
from homeport.kernel.digests import Digest, digest_of
from homeport.kernel.errors import HomeportError


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong with an image."""

    kind: Kind
    problem: str
    unlinked: Descriptor | None = None
    """The blob that is stored and need only be linked and referred to again."""


@dataclass(slots=True)
class _Judgement:
    owner: Referring
    deleted: bool
    troubles: list[Trouble] = field(default_factory=list)

    def add(self, problem: str, unlinked: Descriptor | None = None) -> None:
        self.troubles.append(Trouble(Kind.REFERENCE, problem, unlinked))


def troubles_of(owner: Referring, *, deleted: bool) -> list[Trouble]:
    """Return what is wrong with an image as it is in the database: its manifest, and the rows for its references."""
    judged = _Judgement(owner, deleted)
    try:
        found = digest_of(owner.manifest, Digest(owner.digest).algorithm)
    except HomeportError:
        return [Trouble(Kind.MANIFEST, "its digest is none")]
    if found != owner.digest:
        return [Trouble(Kind.MANIFEST, f"the stored manifest has the digest {found}")]
    try:
        manifest = read_manifest(owner.manifest, owner.media_type)
    except HomeportError as error:
        return [Trouble(Kind.MANIFEST, f"the stored manifest cannot be read: {error.message}")]
    _judge_blobs(judged, {str(item.digest): item for item in manifest.blobs})
    if not deleted:
        _judge_children(judged, {str(item.digest) for item in manifest.children})
    for each in owner.astray:
        judged.add(f"{each} is of another repository")
    return judged.troubles


def _judge_blobs(judged: _Judgement, wanted: dict[str, Descriptor]) -> None:
    edges = {edge.digest: edge for edge in judged.owner.edges}
    for digest, item in wanted.items():
        edge = edges.get(digest)
        if edge is None:
            # A deleted image remembers what it referred to as rows did; of bytes that live elsewhere there may be none.
            if not (judged.deleted and item.foreign):
                judged.add(f"no row says that it refers to the blob {digest}", item)
        elif edge.repository_id != judged.owner.repository_id:
            judged.add(f"the reference to the blob {digest} is of another repository")
        elif item.foreign:
            continue
        elif not edge.stored:
            judged.add(f"the blob {digest} that it refers to does not exist; push it again")
        elif not edge.linked:
            judged.add(f"the blob {digest} that it refers to is not linked to the repository", item)
    for digest in sorted(edges.keys() - wanted.keys()):
        judged.add(f"a row says that it refers to the blob {digest}, and its manifest does not")


def _judge_children(judged: _Judgement, wanted: set[str]) -> None:
    children = judged.owner.children
    for digest in sorted(wanted - children.keys()):
        judged.add(f"no row says that it refers to the image {digest}")
    for digest, present in sorted(children.items()):
        if digest not in wanted:
            judged.add(f"a row says that it refers to the image {digest}, and its manifest does not")
        elif not present:
            judged.add(f"the image {digest} that it refers to is not in the repository")
