"""The command line as an operator meets it: what it prints, how it ends, and that it keeps secrets to itself."""

from __future__ import annotations

import base64
import json
import re
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import click
import pytest
from click.testing import CliRunner, Result

from homeport import __version__
from homeport.cli.main import main
from tests.harness.images import random_image
from tests.harness.oci import OciClient
from tests.harness.server import Homeport

ALLOW_ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}

Run = Callable[..., Result]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def run(data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """`run("user", "list")` runs a command on the test's data folder."""
    monkeypatch.chdir(tmp_path)

    def run_(*words: str, stdin: str | None = None, environment: dict[str, str] | None = None) -> Result:
        result = CliRunner().invoke(
            main, [*words, "--data", str(data)], input=stdin, env=environment, catch_exceptions=False
        )
        assert "Traceback" not in result.output
        return result

    return run_


@pytest.fixture
def made(run: Run) -> dict[str, Any]:
    """An initialised folder: what `init` said."""
    said: dict[str, Any] = answer(
        run("init", "--account", "123456789012", "--region", "eu-central-1", "--json")
    )
    return said


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(result: Result, *words: str) -> None:
    """The command ended with status 1 and one message that has the words."""
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("Error: ")
    for word in words:
        assert word in result.stderr


def commands(
    command: click.Command = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands(child, (*path, name))


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(*each, id=" ".join(each[0])) for each in commands()]
)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_explains_itself_and_all_its_options(
    path: tuple[str, ...], command: click.Command, flag: str
) -> None:
    result = CliRunner().invoke(main, [*path, flag])

    assert result.exit_code == 0, result.output
    assert command.help is not None
    assert result.output.startswith("Usage: ")
    silent = [
        parameter.name
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help and not parameter.show_default
    ]
    assert silent == []


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(main, ["--version"]).output.strip().endswith(__version__)


@pytest.mark.parametrize("words", [["nonsense"], ["init", "--nonsense"], ["user", "create"], ["key"]])
def test_a_command_that_was_typed_wrongly_ends_with_status_2(words: list[str]) -> None:
    assert CliRunner().invoke(main, words).exit_code == 2


# --- init ---


def test_init_makes_a_folder_that_only_its_owner_can_read_and_shows_the_key_once(
    run: Run, data: Path
) -> None:
    said = answer(run("init", "--account", "123456789012", "--region", "eu-central-1", "--json"))

    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", said["accessKeyId"])
    assert len(said["secretAccessKey"]) == 40
    assert said["userArn"] == "arn:aws:iam::123456789012:user/administrator"
    assert (said["accountId"], said["region"]) == ("123456789012", "eu-central-1")
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    for path in data.iterdir():
        if path.name in ("master.key", "homeport.lock", "homeport.generation"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert said["secretAccessKey"].encode() not in path.read_bytes(), path


def test_a_second_init_is_refused_and_changes_nothing(run: Run, made: dict[str, Any], data: Path) -> None:
    before = {path: path.read_bytes() for path in data.iterdir() if path.suffix in (".key", ".toml")}

    refused(run("init", "--json"), "holds a registry already")

    assert {path: path.read_bytes() for path in before} == before
    assert len(answer(run("user", "list", "--json"))[0]["accessKeys"]) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("--account", "12"),
        ("--account", "12345678901x"),
        ("--region", 'us"\nport = 1'),
        ("--region", ""),
        ("--region", "../etc"),
    ],
)
def test_init_with_an_impossible_name_makes_nothing(run: Run, data: Path, words: tuple[str, str]) -> None:
    refused(run("init", *words))

    assert not data.exists()
    answer(run("init", "--json"))


def test_an_init_that_died_half_way_is_simply_repeated(run: Run, data: Path, made: dict[str, Any]) -> None:
    (data / "homeport.toml").unlink()  # it is written last

    again = answer(run("init", "--account", "123456789012", "--json"))

    assert again["accessKeyId"] != made["accessKeyId"]
    keys = answer(run("user", "list", "--json"))[0]["accessKeys"]
    assert keys == [{"accessKeyId": again["accessKeyId"], "active": True}]


# --- settings ---


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"HOMEPORT_PORT": "eighty"}, "port"),
        ({"HOMEPORT_WORKERS": "0"}, "workers"),
        ({"HOMEPORT_LOG_FORMAT": "xml"}, "log_format"),
    ],
)
def test_a_bad_setting_is_named(run: Run, environment: dict[str, str], named: str) -> None:
    refused(run("serve", environment=environment), "Settings are not valid", named)


def test_a_settings_file_that_is_no_toml_is_refused(run: Run, made: dict[str, Any], data: Path) -> None:
    (data / "homeport.toml").write_text("account = \n")

    refused(run("user", "list"), "settings file cannot be read")


@pytest.mark.parametrize(
    "words", [["user", "list"], ["account", "list"], ["key", "create", "u"], ["session", "administrator"]]
)
def test_a_folder_without_a_registry_is_refused_with_the_way_to_make_one(run: Run, words: list[str]) -> None:
    refused(run(*words), "homeport init")


def test_a_folder_without_its_master_key_is_refused(run: Run, made: dict[str, Any], data: Path) -> None:
    (data / "master.key").unlink()

    refused(run("user", "list"), "master.key")


def test_a_folder_of_a_newer_program_is_refused(run: Run, made: dict[str, Any], data: Path) -> None:
    connection = apsw.Connection(str(data / "homeport.db"))
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    refused(run("user", "list"), "newer Homeport")


# --- users, keys, accounts, sessions ---


def test_a_user_is_made_listed_given_policies_and_removed(run: Run, made: dict[str, Any]) -> None:
    created = answer(run("user", "create", "ci", "--policy-file", "-", "--json", stdin=json.dumps(ALLOW_ALL)))
    assert created["userArn"] == "arn:aws:iam::123456789012:user/ci"

    assert (
        run("user", "put-policy", "ci", "-", "--policy-name", "more", stdin=json.dumps(ALLOW_ALL)).exit_code
        == 0
    )
    listed = {each["userName"]: each for each in answer(run("user", "list", "--json"))}
    assert listed["ci"]["accessKeys"] == [{"accessKeyId": created["accessKeyId"], "active": True}]
    assert sorted(listed["ci"]["policies"])[-1] == "more"
    assert len(listed["ci"]["policies"]) == 2

    assert run("user", "delete-policy", "ci", "--policy-name", "more").exit_code == 0
    refused(run("user", "delete-policy", "ci", "--policy-name", "more"), "more")
    assert run("user", "delete", "ci").exit_code == 0
    refused(run("user", "delete", "ci"), "ci")
    assert [each["userName"] for each in answer(run("user", "list", "--json"))] == ["administrator"]


@pytest.mark.parametrize("document", ["", "{", "[]", '{"Statement": 1}', '"text"'])
def test_a_policy_that_is_none_is_refused_and_no_user_is_made(
    run: Run, made: dict[str, Any], document: str
) -> None:
    refused(run("user", "create", "ci", "--policy-file", "-", stdin=document))

    assert [each["userName"] for each in answer(run("user", "list", "--json"))] == ["administrator"]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ü", "x" * 65, "administrator"])
def test_a_user_name_that_cannot_be_is_refused(run: Run, made: dict[str, Any], name: str) -> None:
    refused(run("user", "create", name))


def test_keys_are_added_switched_and_removed(run: Run, made: dict[str, Any]) -> None:
    second = answer(run("key", "create", "administrator", "--json"))["accessKeyId"]
    refused(run("key", "create", "administrator"), "two access keys")

    def state() -> dict[str, bool]:
        keys = answer(run("user", "list", "--json"))[0]["accessKeys"]
        return {each["accessKeyId"]: each["active"] for each in keys}

    assert run("key", "deactivate", second).exit_code == 0
    assert state() == {made["accessKeyId"]: True, second: False}
    assert run("key", "activate", second).exit_code == 0
    assert state() == {made["accessKeyId"]: True, second: True}
    assert run("key", "delete", second).exit_code == 0
    assert state() == {made["accessKeyId"]: True}
    for action in ("activate", "deactivate", "delete"):
        refused(run("key", action, second), second)
    refused(run("key", "create", "nobody"), "nobody")


def test_accounts_are_made_and_listed_and_users_belong_to_one(run: Run, made: dict[str, Any]) -> None:
    other = answer(run("account", "create", "210987654321", "--name", "Other", "--json"))
    chosen = answer(run("account", "create", "--json"))

    assert other["userArn"] == "arn:aws:iam::210987654321:user/administrator"
    listed = {each["accountId"]: each["name"] for each in answer(run("account", "list", "--json"))}
    assert listed["210987654321"] == "Other"
    assert set(listed) == {"123456789012", "210987654321", chosen["accountId"]}
    refused(run("account", "create", "210987654321"), "exists already")
    refused(run("account", "create", "abc"))
    ci = answer(run("user", "create", "ci", "--account", "210987654321", "--json"))
    assert ci["accountId"] == "210987654321"
    refused(run("user", "create", "ci", "--account", "111111111111"), "111111111111")
    refused(run("key", "create", "ci"), "ci")


def test_a_session_is_given_in_the_form_that_aws_tools_read(run: Run, made: dict[str, Any]) -> None:
    issued = answer(run("session", "administrator", "--seconds", "900", "--json"))

    assert set(issued) == {"Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
    assert issued["Version"] == 1
    assert issued["AccessKeyId"].startswith("ASIA")
    shown = run("session", "administrator")
    assert [line.split("=")[0] for line in shown.stdout.splitlines()] == [
        "export AWS_ACCESS_KEY_ID",
        "export AWS_SECRET_ACCESS_KEY",
        "export AWS_SESSION_TOKEN",
    ]


@pytest.mark.parametrize("seconds", ["0", "899", "129601", "-5"])
def test_a_session_cannot_be_shorter_or_longer_than_aws_allows(
    run: Run, made: dict[str, Any], seconds: str
) -> None:
    refused(run("session", "administrator", "--seconds", seconds))


def test_nobody_without_an_active_key_gets_a_session(run: Run, made: dict[str, Any]) -> None:
    refused(run("session", "nobody"), "nobody")
    run("key", "deactivate", made["accessKeyId"])
    refused(run("session", "administrator"), "active access key")


def test_a_session_policy_that_is_none_is_refused(run: Run, made: dict[str, Any]) -> None:
    refused(run("session", "administrator", "--policy-file", "-", stdin="{"))


# --- serve ---


@pytest.fixture
def idle() -> Iterator[Homeport]:
    """A data folder whose server is not started."""
    server = Homeport()
    try:
        server.init()
        yield server
    finally:
        server.close()


def test_a_port_that_is_taken_is_refused_with_the_way_out(idle: Homeport) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        done = idle.command("serve", "--port", str(taken.getsockname()[1]))

    assert done.code == 1
    assert "Choose another port" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "words",
    [
        ["--tls-certificate", "nowhere.pem"],
        ["--tls-certificate", "nowhere.pem", "--tls-key", "nowhere.key"],
        ["--host", "256.0.0.1"],
    ],
)
def test_a_server_that_cannot_be_set_up_says_why_in_a_line(idle: Homeport, words: list[str]) -> None:
    done = idle.command("serve", "--port", "0", *words)

    assert done.code == 1
    assert len(done.err.strip().splitlines()) == 1, done.err


@pytest.mark.parametrize("variable", ["HOMEPORT_BLOB_FAULTS", "HOMEPORT_DATABASE_FAULTS"])
def test_a_fault_plan_that_is_none_is_refused(idle: Homeport, variable: str) -> None:
    idle.environment[variable] = "nonsense"

    done = idle.command("serve", "--port", "0")

    assert done.code == 1
    assert "Traceback" not in done.err


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_can_never_start_gives_up_and_says_why(idle: Homeport, workers: str) -> None:
    (idle.data / "master.key").unlink()

    done = idle.command("serve", "--port", "0", "--workers", workers)

    assert done.code == 1
    assert "master.key" in done.err


def test_a_first_start_makes_the_folder_and_shows_the_key_on_standard_output_once() -> None:
    server = Homeport()
    try:
        server.start()
        shown = [line for line in server.output if "secret access key" in line]
        server.restart()
        assert len(shown) == 1
        assert [line for line in server.output if "secret access key" in line] == shown
    finally:
        server.close()


def test_no_secret_of_a_whole_push_is_in_the_log(fresh_homeport: Callable[..., Homeport]) -> None:
    server = fresh_homeport()
    ecr = server.client()
    ecr.create_repository(repositoryName="team/app")
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    password = base64.b64decode(token).decode().partition(":")[2]
    client, image = OciClient(server.url, "AWS", password), random_image()
    client.push("team/app", image, "v1")
    client.pull("team/app", "v1")
    address = ecr.get_download_url_for_layer(repositoryName="team/app", layerDigest=image.layers[0].digest)
    client.request("GET", address["downloadUrl"]).expect(200)
    done = server.command("session", "administrator", "--json")
    session = json.loads(done.out)
    temporary = server.client(
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )
    temporary.describe_repositories()
    wrong = base64.b64encode(b"AWS:a-wrong-password-of-somebody").decode()
    client.request("GET", "/v2/", headers={"Authorization": f"Basic {wrong}"}).expect(401)
    client.request("GET", f"/v2/team/app/tags/list?token={password}")
    presigned = server.client("sts").generate_presigned_url("get_caller_identity")
    client.request("GET", presigned, headers={"Authorization": ""})
    signature = re.search(r"X-Amz-Signature=([0-9a-f]+)", presigned)
    assert signature is not None
    server.terminate()

    log = "\n".join(server.output)
    secrets = {
        "the secret key": server.credentials.secret_access_key,
        "the registry password": password,
        "the authorization token": token,
        "the session's secret key": session["SecretAccessKey"],
        "the session token": session["SessionToken"],
        "the token in a layer's address": address["downloadUrl"].rpartition("/")[2],
        "a wrong password": "a-wrong-password-of-somebody",
        "a wrong password as it is sent": wrong,
        "the signature of an address": signature[1],
    }
    assert "PutManifest" in log
    assert [what for what, secret in secrets.items() if secret in log] == []
