"""A real Homeport in its own process, on loopback and a data folder of its own.

With TEST_DATABASE=postgresql in the environment each keeps its metadata in a PostgreSQL database of its own, which runs
any suite on that. Tests see the server as a user does, through its command line, its network port and its log.
`homeport COMMAND --help` is the contract that they lean on.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.loaders import create_loader
from click.testing import CliRunner

from homeport.cli.main import main
from tests.harness import postgres
from tests.harness.process import Background, Finished, ProgramFailed, finish

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "src" / "homeport" / "aws" / "models"
_LOADER = create_loader(str(MODELS))
"""Reads a service's description once for all sessions: reading it makes nine tenths of the cost of a client."""
_STEERING = ("HOMEPORT_", "AWS_")
"""How the names of the variables begin that steer a command of ours."""
START_SECONDS = 30.0
"""How long a server may take to serve, on a busy machine."""

T = TypeVar("T")

LogRecord = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user of one registry, with the key pair that signs its API requests."""

    account_id: str
    region: str
    user_name: str
    user_arn: str
    access_key_id: str
    secret_access_key: str

    def environment(self) -> dict[str, str]:
        """The variables by which AWS programs are told who they are."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment for a child: this one without what would steer it from outside."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HOMEPORT_", "AWS_", "DOCKER_", "BUILDAH_", "CONTAINER", "XDG_"))
        and not name.lower().endswith("_proxy")
    }
    return kept | extra


class Homeport:
    """One registry server that a test owns.

    Args:
        data: its data folder; by default a temporary one that goes when the server is closed.
        options: further words for `serve`, such as `"--workers", "2"`.
        environment: further environment variables for every command.
        account: account id that `init` is told to use; by default it chooses.
        region: region that `init` and `serve` are told; by default they choose.
        authority: certificates (PEM) by which boto3 clients trust the server, when it serves TLS.

    Use it as a context manager: entering starts it, leaving stops it, also after a failure.
    """

    def __init__(
        self,
        data: Path | None = None,
        *,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        account: str | None = None,
        region: str | None = None,
        authority: Path | None = None,
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="homeport-"))
        self.data = data if data is not None else self._folder / "data"
        self.options = list(options)
        home = self._folder / "home"
        home.mkdir()
        usual = {
            "HOME": str(home),
            "PYTHONPATH": str(ROOT / "src"),
            "PYTHONUNBUFFERED": "1",
            # All tests come from one address, and many of them show bad credentials on purpose.
            "HOMEPORT_AUTHENTICATION_THROTTLING": "off",
        }
        if os.environ.get("TEST_DATABASE") == "postgresql":
            usual["HOMEPORT_DATABASE"] = postgres.shared().new_database()
        self.environment = clean_environment(**(usual | dict(environment or {})))
        self._account = account
        self._region = region
        self._authority = authority
        self._process: Background | None = None
        self._credentials: Credentials | None = None
        self._url = ""
        self._past: list[str] = []
        self._clients: dict[tuple[str, str], Any] = {}

    def __enter__(self) -> Self:
        try:
            self.init()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- Commands ---

    def command(self, *words: str, stdin: str = "") -> Finished:
        """Run `python -m homeport WORDS... --data DIR` to its end."""
        argv = [sys.executable, "-m", "homeport", *words, "--data", str(self.data)]
        return finish(argv, self.environment, folder=self._folder, stdin=stdin)

    def here(self, *words: str, stdin: str = "") -> Finished:
        """Like `command`, but inside this process, which saves the second that a program needs to start.

        For commands that are means here and not the thing under test.
        """
        steering = {name: value for name, value in self.environment.items() if name.startswith(_STEERING)}
        argv = [*words, "--data", str(self.data)]
        done = CliRunner(env=steering).invoke(main, argv, input=stdin)
        # What came to no exit code of its own is told like the traceback of a program.
        told = (
            f"\n{done.exception!r}" if done.exception and not isinstance(done.exception, SystemExit) else ""
        )
        return Finished(("homeport", *argv), done.exit_code, done.stdout, done.stderr + told)

    def _command_json(self, *words: str, stdin: str = "") -> dict[str, Any]:
        done = self.here(*words, "--json", stdin=stdin)
        if done.code != 0:
            raise ProgramFailed(str(done))
        try:
            answer: dict[str, Any] = json.loads(done.out)
        except ValueError:
            raise ProgramFailed(f"standard output is not one JSON object\n{done}") from None
        return answer

    def init(self) -> Credentials:
        """Create the data folder with an account and its administrator, as `.credentials`."""
        chosen = ["--account", self._account] if self._account else []
        chosen += ["--region", self._region] if self._region else []
        self._credentials = _credentials(self._command_json("init", *chosen), {})
        return self._credentials

    def user(self, name: str, policy: Mapping[str, Any] | None, account: str | None = None) -> Credentials:
        """Create a user with a key and, when given, a policy named `default`.

        A running server is asked through IAM, which is quick; else the command `homeport user create` does it.

        Args:
            name: user name.
            policy: IAM policy document of the user, or None for a user that may do nothing.
            account: its account; by default that of the administrator.
        """
        if self._process is not None and account in (None, self.credentials.account_id):
            return self._user_by_iam(name, policy)
        of_account = ["--account", account] if account else []
        with_policy = ["--policy-file", "-"] if policy is not None else []
        stdin = json.dumps(policy) if policy is not None else ""
        answer = self._command_json("user", "create", name, *of_account, *with_policy, stdin=stdin)
        known = {"accountId": account or self.credentials.account_id, "region": self.credentials.region}
        return _credentials(answer, known)

    def _user_by_iam(self, name: str, policy: Mapping[str, Any] | None) -> Credentials:
        iam = self.client("iam")
        made = iam.create_user(UserName=name)["User"]
        if policy is not None:
            iam.put_user_policy(UserName=name, PolicyName="default", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        mine = self.credentials
        return Credentials(
            mine.account_id, mine.region, name, made["Arn"], key["AccessKeyId"], key["SecretAccessKey"]
        )

    def account(self, account_id: str | None = None) -> Credentials:
        """Create a further account through `homeport account create`; returns its administrator."""
        answer = self._command_json("account", "create", *([account_id] if account_id else []))
        return _credentials(answer, {"region": self.credentials.region})

    # --- Life ---

    def start(self, port: int = 0) -> None:
        """Start `serve` and return when it logs that it serves.

        Args:
            port: TCP port; 0 lets the system choose a free one.

        Raises:
            ProgramFailed: it ended or did not serve in time; the text has its whole log.
        """
        assert self._process is None, "already started"
        serve = ["serve", "--data", str(self.data), "--host", "127.0.0.1", "--port", str(port)]
        region = ["--region", self._region] if self._region else []
        argv = [sys.executable, "-m", "homeport", *serve, "--log-format", "json", *region, *self.options]
        self._process = Background(argv, self.environment, self._folder)
        try:
            self._url = self._process.wait_for(_serving_url, "the event 'serving'", seconds=START_SECONDS)
        except BaseException:
            self._forget(self._process.kill)
            raise

    def _running(self) -> Background:
        assert self._process is not None, "the server is not started"
        return self._process

    def _forget(self, how: Callable[[], object]) -> None:
        process = self._running()
        how()
        self._past += process.lines()
        self._process = None

    @property
    def pid(self) -> int:
        """Process id of the server's main process."""
        return self._running().pid

    def kill(self) -> None:
        """SIGKILL, as a power cut would: the server gets no chance to tidy up."""
        self._forget(self._running().kill)
        self._close_clients()

    def terminate(self, seconds: float = 30) -> None:
        """SIGTERM; asserts that the server ends by itself with exit code 0 within `seconds`."""
        process = self._running()
        process.signal(signal.SIGTERM)
        code = process.ended(seconds)
        self._forget(lambda: None)
        self._close_clients()
        assert code == 0, f"exit code {code} after SIGTERM\n{process.story()}"

    def restart(self, *, same_port: bool = False) -> None:
        """Start again on the same data folder, ending the server first if it still runs.

        Args:
            same_port: keep the URL, for clients that carry on; else the system chooses a port.
        """
        port = urlsplit(self._url).port or 0 if same_port else 0
        if self._process is not None:
            self.terminate()
        self.start(port)

    def close(self) -> None:
        """End the server in any case and remove what is temporary. May be called twice."""
        self._close_clients()
        if self._process is not None:
            self._forget(self._process.stop)
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- What it says and where it is ---

    @property
    def url(self) -> str:
        """Base URL without a final slash, such as `http://127.0.0.1:40123`."""
        return self._url

    @property
    def host(self) -> str:
        """What image names begin with: `127.0.0.1:PORT`."""
        return urlsplit(self._url).netloc

    @property
    def credentials(self) -> Credentials:
        """The administrator that `init` made."""
        assert self._credentials is not None, "init has not run"
        return self._credentials

    @property
    def output(self) -> list[str]:
        """Every line printed since the first start, standard output included."""
        return self._past + (self._process.lines() if self._process is not None else [])

    @property
    def log(self) -> list[LogRecord]:
        """Every JSON line of the log since the first start, as objects."""
        return [record for record in map(_record, self.output) if record is not None]

    @property
    def defects(self) -> list[str]:
        """Lines that no test should cause: errors that the server logged, and whatever is not a log record."""
        records = [(line, _record(line)) for line in self.output]
        return [
            line
            for line, record in records
            if (record is None and line.strip()) or (record and record.get("level") in ("error", "critical"))
        ]

    def wait_for_log(self, find: Callable[[LogRecord], T | None], what: str, seconds: float = 10) -> T:
        """Return the first thing that `find` finds in a log record since the last start, past or to come.

        Args:
            find: given a record, returns what was looked for, or None.
            what: the thing waited for, in words, for the failure text.
        """

        def in_line(line: str) -> T | None:
            record = _record(line)
            return find(record) if record is not None else None

        return self._running().wait_for(in_line, what, seconds=seconds)

    def requests(self, path: str) -> list[tuple[str, int]]:
        """Method and status of every logged request so far whose path begins with `path`, in order."""
        return [
            (record["method"], record["status"])
            for record in self.log
            if record.get("event") == "request" and str(record.get("path")).startswith(path)
        ]

    def requests_of_push(self, repository: str) -> list[tuple[str, int]]:
        """Like `requests` for a repository, once the log has the manifest of a push to it."""
        path = f"/v2/{repository}/"

        def put(record: LogRecord) -> bool | None:
            here = str(record.get("path")).startswith(f"{path}manifests/")
            return True if here and record.get("method") == "PUT" else None

        self.wait_for_log(put, f"the manifest pushed to {repository}")
        return self.requests(path)

    # --- Clients ---

    @overload
    def client(
        self, service: Literal["ecr"] = "ecr", *, credentials: Credentials | None = None, **session: Any
    ) -> ECRClient: ...
    @overload
    def client(self, service: str, *, credentials: Credentials | None = None, **session: Any) -> Any: ...
    def client(self, service: str = "ecr", *, credentials: Credentials | None = None, **session: Any) -> Any:
        """A boto3 client of this server, closed with it.

        It does not retry, so that a test sees the first answer and not a lucky later one.

        Args:
            service: AWS service name, or `homeport`.
            credentials: who asks; by default the administrator.
            session: overrides for the session: aws_access_key_id, aws_secret_access_key,
                aws_session_token, region_name.
        """
        who = credentials if credentials is not None else self.credentials
        settings = {
            "aws_access_key_id": who.access_key_id,
            "aws_secret_access_key": who.secret_access_key,
            "region_name": who.region,
        } | session
        key = (service, json.dumps(settings, sort_keys=True))
        if key not in self._clients:
            own = botocore.session.Session()
            own.register_component("data_loader", _LOADER)
            make: Any = boto3.Session(botocore_session=own, **settings).client
            once = Config(retries={"total_max_attempts": 1, "mode": "standard"}, proxies={})
            trust = str(self._authority) if self._authority is not None else None
            self._clients[key] = make(service, endpoint_url=self.url, config=once, verify=trust)
        return self._clients[key]

    def _close_clients(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def password(self, credentials: Credentials | None = None) -> str:
        """What `docker login --username AWS` is given: the password inside GetAuthorizationToken's answer."""
        answer = self.client(credentials=credentials).get_authorization_token()
        token = answer["authorizationData"][0]["authorizationToken"]
        user, _, password = base64.b64decode(token).decode().partition(":")
        assert user == "AWS", f"authorization token names the user {user!r}"
        return password


def _credentials(answer: Mapping[str, Any], known: Mapping[str, str]) -> Credentials:
    found = {**known, **answer}
    try:
        return Credentials(
            account_id=found["accountId"],
            region=found["region"],
            user_name=found["userName"],
            user_arn=found["userArn"],
            access_key_id=found["accessKeyId"],
            secret_access_key=found["secretAccessKey"],
        )
    except KeyError as missing:
        raise ProgramFailed(f"the command's JSON has no {missing}: {sorted(answer)}") from None


def _record(line: str) -> LogRecord | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _serving_url(line: str) -> str | None:
    record = _record(line)
    if record is None or record.get("event") != "serving":
        return None
    return str(record["url"]).rstrip("/")
