"""OpenID Connect providers over boto3 and on the command line, and who may touch them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.api.calls import policy, refused
from tests.api.iam_calls import fresh, new_user
from tests.harness.server import Credentials, Homeport

THUMBPRINT = "6938fd4d98bab03faadb97b34396831e3780aea1"
KEY = {"kty": "RSA", "kid": "one", "n": "AQAB" * 90, "e": "AQAB"}


@pytest.fixture(scope="session")
def iam(homeport: Homeport) -> Any:
    """The administrator's client."""
    return homeport.client("iam")


def host() -> str:
    """An issuer that nobody has."""
    return f"{fresh()}.example.com"


@pytest.fixture
def arn(iam: Any) -> str:
    """A new provider."""
    answer = iam.create_open_id_connect_provider(Url=f"https://{host()}", ClientIDList=["sts.amazonaws.com"])
    made: str = answer["OpenIDConnectProviderArn"]
    return made


def got(iam: Any, arn: str) -> dict[str, Any]:
    answer: dict[str, Any] = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    return answer


def test_a_provider_is_answered_as_it_was_made(iam: Any, account: str) -> None:
    issuer, tags = host() + "/realms/build", [{"Key": "Team", "Value": "x"}]

    made = iam.create_open_id_connect_provider(
        Url=f"https://{issuer}",
        ClientIDList=["sts.amazonaws.com", "other"],
        ThumbprintList=[THUMBPRINT],
        Tags=tags,
    )
    answer = got(iam, made["OpenIDConnectProviderArn"])

    assert made["OpenIDConnectProviderArn"] == f"arn:aws:iam::{account}:oidc-provider/{issuer}"
    assert made["Tags"] == answer["Tags"] == tags
    assert answer["Url"] == issuer
    assert answer["ClientIDList"] == ["sts.amazonaws.com", "other"]
    assert answer["ThumbprintList"] == [THUMBPRINT]
    assert made["OpenIDConnectProviderArn"] in [
        each["Arn"] for each in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    ]


def test_thumbprints_and_client_ids_are_optional(iam: Any) -> None:
    made = iam.create_open_id_connect_provider(Url=f"https://{host()}")

    answer = got(iam, made["OpenIDConnectProviderArn"])

    assert (answer["ClientIDList"], answer["ThumbprintList"]) == ([], [])


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example.com",
        "issuer.example.com",
        "https://",
        "https://issuer.example.com?a=b",
        "https://issuer.example.com/#part",
        "https://user@issuer.example.com",
        "https://issuer_.example.com",
        "https://issuer.example.com/a b",
    ],
)
def test_a_provider_is_an_https_address_without_a_query(iam: Any, url: str) -> None:
    assert refused(iam.create_open_id_connect_provider, Url=url)[0] == "InvalidInput"


def test_an_issuer_can_be_added_once(iam: Any, arn: str) -> None:
    url = "https://" + arn.partition("oidc-provider/")[2]

    for again in (url, url + "/", url.upper().replace("HTTPS", "https")):
        refusal = refused(iam.create_open_id_connect_provider, Url=again)
        assert refusal == ("EntityAlreadyExists", f"Provider with url {url} already exists.")


def test_client_ids_are_added_and_removed_without_complaint_about_repetition(iam: Any, arn: str) -> None:
    for _ in range(2):
        iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="more")
    assert got(iam, arn)["ClientIDList"] == ["sts.amazonaws.com", "more"]

    for _ in range(2):
        iam.remove_client_id_from_open_id_connect_provider(
            OpenIDConnectProviderArn=arn, ClientID="sts.amazonaws.com"
        )
    assert got(iam, arn)["ClientIDList"] == ["more"]


def test_a_provider_has_at_most_100_client_ids(iam: Any) -> None:
    ids = [f"client-{number}" for number in range(100)]
    made = iam.create_open_id_connect_provider(Url=f"https://{host()}", ClientIDList=ids)

    refusal = refused(
        iam.add_client_id_to_open_id_connect_provider,
        OpenIDConnectProviderArn=made["OpenIDConnectProviderArn"],
        ClientID="one-more",
    )

    assert refusal[0] == "LimitExceeded"


def test_thumbprints_are_replaced_as_a_whole(iam: Any, arn: str) -> None:
    iam.update_open_id_connect_provider_thumbprint(
        OpenIDConnectProviderArn=arn, ThumbprintList=[THUMBPRINT, "0" * 40]
    )
    assert got(iam, arn)["ThumbprintList"] == [THUMBPRINT, "0" * 40]

    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=arn, ThumbprintList=["1" * 40])
    assert got(iam, arn)["ThumbprintList"] == ["1" * 40]


def test_a_thumbprint_is_40_hexadecimal_digits_and_there_are_five_at_most(iam: Any, arn: str) -> None:
    update = iam.update_open_id_connect_provider_thumbprint
    six = [f"{number:040}" for number in range(6)]

    assert refused(update, OpenIDConnectProviderArn=arn, ThumbprintList=["z" * 40])[0] == "InvalidInput"
    assert refused(update, OpenIDConnectProviderArn=arn, ThumbprintList=six)[0] == "LimitExceeded"


def test_tags_of_a_provider_can_be_added_changed_and_removed(iam: Any, arn: str) -> None:
    iam.tag_open_id_connect_provider(
        OpenIDConnectProviderArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    )
    iam.untag_open_id_connect_provider(OpenIDConnectProviderArn=arn, TagKeys=["a"])

    expected = [{"Key": "b", "Value": "2"}]
    assert iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)["Tags"] == expected
    assert got(iam, arn)["Tags"] == expected


def test_a_deleted_provider_is_gone(iam: Any, arn: str) -> None:
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)

    assert refused(iam.get_open_id_connect_provider, OpenIDConnectProviderArn=arn)[0] == "NoSuchEntity"


ON_A_PROVIDER: list[tuple[str, dict[str, Any]]] = [
    ("get_open_id_connect_provider", {}),
    ("delete_open_id_connect_provider", {}),
    ("add_client_id_to_open_id_connect_provider", {"ClientID": "x"}),
    ("remove_client_id_from_open_id_connect_provider", {"ClientID": "x"}),
    ("update_open_id_connect_provider_thumbprint", {"ThumbprintList": [THUMBPRINT]}),
    ("tag_open_id_connect_provider", {"Tags": [{"Key": "a", "Value": "b"}]}),
    ("untag_open_id_connect_provider", {"TagKeys": ["a"]}),
    ("list_open_id_connect_provider_tags", {}),
]


@pytest.mark.parametrize(("operation", "more"), ON_A_PROVIDER)
def test_a_provider_that_does_not_exist_is_named_so_only_to_those_who_may(
    iam: Any,
    homeport: Homeport,
    account: str,
    stranger: Credentials,
    operation: str,
    more: Mapping[str, Any],
) -> None:
    who = {"OpenIDConnectProviderArn": f"arn:aws:iam::{account}:oidc-provider/nobody.example.com"}
    denied: Any = homeport.client("iam", credentials=stranger)

    assert refused(getattr(iam, operation), **who, **more) == (
        "NoSuchEntity",
        f"OpenIDConnect Provider not found for arn {who['OpenIDConnectProviderArn']}",
    )
    assert refused(getattr(denied, operation), **who, **more)[0] == "AccessDenied"


@pytest.mark.parametrize(("operation", "more"), ON_A_PROVIDER)
def test_a_provider_of_another_account_does_not_exist_for_us(
    homeport: Homeport, neighbour: Credentials, arn: str, operation: str, more: Mapping[str, Any]
) -> None:
    theirs: Any = homeport.client("iam", credentials=neighbour)

    assert refused(getattr(theirs, operation), OpenIDConnectProviderArn=arn, **more)[0] == "NoSuchEntity"


def test_what_is_no_arn_of_a_provider_is_invalid_input(iam: Any) -> None:
    arn = "arn:aws:iam::123456789012:saml-provider/x"

    assert refused(iam.get_open_id_connect_provider, OpenIDConnectProviderArn=arn)[0] == "InvalidInput"


def test_one_who_may_nothing_may_neither_make_nor_list_providers(
    homeport: Homeport, stranger: Credentials
) -> None:
    denied: Any = homeport.client("iam", credentials=stranger)

    assert refused(denied.create_open_id_connect_provider, Url=f"https://{host()}")[0] == "AccessDenied"
    assert refused(denied.list_open_id_connect_providers)[0] == "AccessDenied"


def test_the_address_decides_who_may_make_which_provider(homeport: Homeport, account: str) -> None:
    ours = f"arn:aws:iam::{account}:oidc-provider/*.example.com"
    who = new_user(homeport, policy("iam:CreateOpenIDConnectProvider", resource=ours))
    limited: Any = homeport.client("iam", credentials=who)

    limited.create_open_id_connect_provider(Url=f"https://{host()}")

    assert refused(limited.create_open_id_connect_provider, Url="https://evil.org")[0] == "AccessDenied"


# --- The command line ---


def command(homeport: Homeport, *words: str, stdin: str = "") -> Any:
    """Run `homeport provider WORDS`; it must succeed."""
    done = homeport.here("provider", *words, stdin=stdin)
    assert done.code == 0, str(done)
    return done


def test_a_provider_of_the_command_line_is_one_of_the_api(homeport: Homeport, iam: Any) -> None:
    issuer = host()
    keys = json.dumps({"keys": [KEY]})

    added = command(
        homeport, "add", f"https://{issuer}", "--client-id", "a", "--jwks", "-", "--json", stdin=keys
    )
    shown = json.loads(added.out)
    answer = got(iam, shown["arn"])
    command(homeport, "unpin", f"https://{issuer}")
    listed = {each["url"]: each for each in json.loads(command(homeport, "list", "--json").out)}

    assert shown["pinnedKeys"] is True
    assert answer["ClientIDList"] == ["a"]
    assert listed[f"https://{issuer}"]["pinnedKeys"] is False
    command(homeport, "delete", f"https://{issuer}")
    assert (
        refused(iam.get_open_id_connect_provider, OpenIDConnectProviderArn=shown["arn"])[0] == "NoSuchEntity"
    )


@pytest.mark.parametrize(
    "keys",
    [
        "nonsense",
        "[]",
        '{"keys": []}',
        json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}),
        json.dumps({"keys": [KEY | {"d": "AQAB"}]}),
    ],
)
def test_only_public_keys_can_be_pinned(homeport: Homeport, keys: str) -> None:
    words = ("provider", "add", f"https://{host()}", "--jwks", "-", "--data", str(homeport.data))

    done = homeport.here(*words, stdin=keys)

    assert done.code == 1
    assert "key set" in done.err
    assert "Traceback" not in done.err
