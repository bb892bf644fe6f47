"""Section "Authorisation and policies": cases P1 to P13 over the network; P8 is the operation matrix."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.calls import policy, put, refused
from tests.api.signing import Signer, call, fault
from tests.harness.images import OCI_MANIFEST, random_image, sha256
from tests.harness.server import Credentials, Homeport
from tests.oci.raw import Site


def user(homeport: Homeport, document: dict[str, Any]) -> Credentials:
    """A new user with one policy."""
    return homeport.user(f"case-{uuid.uuid4().hex[:10]}", document)


def test_p1_a_layer_upload_or_image_of_another_repository_is_not_reached_by_its_id(
    homeport: Homeport, new_repository: Callable[[], str]
) -> None:
    ecr: Any = homeport.client()
    mine, other = new_repository(), new_repository()
    image = random_image()
    put(ecr, other, image, "v1")
    upload = ecr.initiate_layer_upload(repositoryName=other)["uploadId"]

    code, _ = refused(
        ecr.upload_layer_part,
        repositoryName=mine,
        uploadId=upload,
        partFirstByte=0,
        partLastByte=0,
        layerPartBlob=b"x",
    )
    layer = refused(ecr.get_download_url_for_layer, repositoryName=mine, layerDigest=image.blobs[0].digest)[0]
    described = refused(ecr.describe_images, repositoryName=mine, imageIds=[{"imageDigest": image.digest}])[0]

    assert code == "UploadNotFoundException"
    assert layer == "LayersNotFoundException"
    assert described == "ImageNotFoundException"


def test_p2_a_deny_wins_over_every_allow(homeport: Homeport, repository: str) -> None:
    both = policy("ecr:*")
    both["Statement"].append({"Effect": "Deny", "Action": "ecr:BatchGet*", "Resource": "*"})
    who = user(homeport, both)

    answer = Site.of(homeport.url, homeport.password(who)).ask("GET", f"/v2/{repository}/manifests/v1")

    answer.refused(403, "DENIED")


def test_p2_not_action_allows_all_but_what_it_names(homeport: Homeport, repository: str) -> None:
    document = {"Effect": "Allow", "NotAction": "ecr:DescribeImages", "Resource": "*"}
    theirs: Any = homeport.client(
        credentials=user(homeport, {"Version": "2012-10-17", "Statement": [document]})
    )

    assert refused(theirs.describe_images, repositoryName=repository)[0] == "AccessDeniedException"
    assert theirs.list_images(repositoryName=repository)["imageIds"] == []


def test_p2_a_policy_with_an_unknown_condition_key_is_refused_not_ignored(
    homeport: Homeport, repository: str
) -> None:
    ecr: Any = homeport.client()
    statement = {
        "Sid": "a",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "ecr:BatchGetImage",
        "Condition": {"StringEquals": {"ecr:NoSuchKey": "x"}},
    }

    code, message = refused(
        ecr.set_repository_policy,
        repositoryName=repository,
        policyText=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )

    assert code == "InvalidParameterException"
    assert "Invalid repository policy provided" in message


def test_p3_a_policy_of_pathological_wildcards_takes_no_time(homeport: Homeport) -> None:
    name, iam = "a" * 250, homeport.client("iam")
    slow = policy("ecr:ListImages", resource="arn:aws:ecr:*:*:repository/" + "a*" * 2000 + "b")
    who = homeport.user(f"case-{uuid.uuid4().hex[:10]}", None)
    made = iam.create_policy(PolicyName=who.user_name, PolicyDocument=json.dumps(slow))["Policy"]
    iam.attach_user_policy(UserName=who.user_name, PolicyArn=made["Arn"])
    theirs: Any = homeport.client(credentials=who)
    began = time.perf_counter()

    outcomes = {refused(theirs.list_images, repositoryName=name)[0] for _ in range(20)}

    assert outcomes == {"AccessDeniedException"}
    assert time.perf_counter() - began < 5


def test_p3_a_policy_over_its_size_is_refused(homeport: Homeport, repository: str) -> None:
    ecr: Any = homeport.client()
    statement = {"Effect": "Allow", "Principal": "*", "Action": "ecr:ListImages", "Sid": "x" * 60}
    large = json.dumps({"Version": "2012-10-17", "Statement": [statement] * 100})

    code, _ = refused(ecr.set_repository_policy, repositoryName=repository, policyText=large)

    assert code == "InvalidParameterException"


@pytest.mark.parametrize("pattern", ["(a+)+$", "a" * 129, "[a-z]", ""])
def test_p4_a_tag_filter_is_a_wildcard_and_nothing_else(
    homeport: Homeport, repository: str, pattern: str
) -> None:
    signer = Signer.of(homeport.credentials)
    params = {
        "repositoryName": repository,
        "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
        "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": pattern}],
    }

    answer = call(homeport.url, "PutImageTagMutability", params, signer)

    assert fault(answer)[0] == "InvalidParameterException"


def test_p5_a_policy_that_locks_its_author_out_needs_force(homeport: Homeport, repository: str) -> None:
    ecr: Any = homeport.client()
    text = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "ecr:SetRepositoryPolicy"}],
        }
    )

    code, _ = refused(ecr.set_repository_policy, repositoryName=repository, policyText=text)
    ecr.set_repository_policy(repositoryName=repository, policyText=text, force=True)

    assert code == "InvalidParameterException"
    assert refused(ecr.set_repository_policy, repositoryName=repository, policyText=text)[0] == (
        "AccessDeniedException"
    )


def test_p6_another_account_gets_nothing_without_a_policy_of_the_repository(
    homeport: Homeport, repository: str
) -> None:
    theirs: Any = homeport.client(credentials=homeport.account())

    code, _ = refused(
        theirs.list_images, repositoryName=repository, registryId=homeport.credentials.account_id
    )

    assert code == "AccessDeniedException"


@pytest.mark.parametrize(
    "name", ["BatchImportUpstreamImage", "ReplicateImage", "__class__", "", "Create Repository"]
)
def test_p7_an_action_that_is_no_operation_cannot_be_called(homeport: Homeport, name: str) -> None:
    answer = call(homeport.url, name, {}, Signer.of(homeport.credentials))

    assert fault(answer)[0] == "UnknownOperationException"


def test_p10_an_immutable_tag_stays_by_every_way_that_there_is(homeport: Homeport, repository: str) -> None:
    ecr: Any = homeport.client()
    first, second = random_image(), random_image()
    put(ecr, repository, first, "v1")
    put(ecr, repository, second)
    ecr.put_image_tag_mutability(repositoryName=repository, imageTagMutability="IMMUTABLE")

    by_api, _ = refused(
        ecr.put_image,
        repositoryName=repository,
        imageManifest=second.manifest.text,
        imageManifestMediaType=second.manifest.media_type,
        imageTag="v1",
    )
    by_push = Site.of(homeport.url, homeport.password()).ask(
        "PUT", f"/v2/{repository}/manifests/v1", {"Content-Type": OCI_MANIFEST}, second.manifest.data
    )

    assert by_api == "ImageTagAlreadyExistsException"
    by_push.refused(400, "TAG_INVALID")
    found = ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": "v1"}])
    assert found["imageDetails"][0]["imageDigest"] == first.digest


def test_p11_who_may_not_delete_may_neither_by_tag_nor_by_digest(homeport: Homeport, repository: str) -> None:
    document = policy("ecr:*")
    document["Statement"].append({"Effect": "Deny", "Action": "ecr:BatchDeleteImage", "Resource": "*"})
    who = user(homeport, document)
    theirs: Any = homeport.client(credentials=who)
    image = random_image()
    put(theirs, repository, image, "v1")
    site = Site.of(homeport.url, homeport.password(who))

    for reference in ("v1", image.digest):
        site.ask("DELETE", f"/v2/{repository}/manifests/{reference}").refused(403, "DENIED")
    for one in ({"imageTag": "v1"}, {"imageDigest": image.digest}):
        code, _ = refused(theirs.batch_delete_image, repositoryName=repository, imageIds=[one])
        assert code == "AccessDeniedException"
    assert site.ask("GET", f"/v2/{repository}/manifests/v1").status == 200


def test_p12_rights_that_end_during_an_upload_end_the_upload(homeport: Homeport, repository: str) -> None:
    iam: Any = homeport.client("iam")
    who = user(homeport, policy("ecr:*"))
    site = Site.of(homeport.url, homeport.password(who))
    data = b"half and half"
    upload = site.ask("POST", f"/v2/{repository}/blobs/uploads/", body=b"").headers["location"]
    upload = site.ask("PATCH", upload, body=data).headers["location"]

    iam.delete_user_policy(UserName=who.user_name, PolicyName="default")
    finished = site.ask("PUT", f"{upload}?digest={sha256(data)}", body=b"")

    finished.refused(403, "DENIED")
    admin = Site.of(homeport.url, homeport.password())
    assert admin.ask("HEAD", f"/v2/{repository}/blobs/{sha256(data)}").status == 404


def test_p13_an_ipv4_address_mapped_into_ipv6_meets_the_conditions_for_ipv4(
    fresh_homeport: Callable[..., Homeport],
) -> None:
    # The server listens for both families; IPv4 clients then appear as ::ffff:127.0.0.1.
    homeport = fresh_homeport(options=["--host", "::"])
    document = policy("ecr:*")
    document["Statement"].append(
        {
            "Effect": "Deny",
            "Action": "ecr:DescribeRepositories",
            "Resource": "*",
            "Condition": {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}},
        }
    )
    who = user(homeport, document)
    port = homeport.url.rpartition(":")[2]

    answer = call(f"http://127.0.0.1:{port}", "DescribeRepositories", {}, Signer.of(who))

    assert fault(answer)[0] == "AccessDeniedException"
