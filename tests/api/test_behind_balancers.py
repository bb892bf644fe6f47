"""What a load balancer needs from a node, and what a node believes of it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from tests.harness.cluster import shared_moto
from tests.harness.oci import OciClient
from tests.harness.postgres import Postgres
from tests.harness.server import Homeport

CLIENT = {"X-Forwarded-For": "203.0.113.66, 198.51.100.7, 127.0.0.2", "X-Forwarded-Proto": "https"}


@pytest.fixture(scope="module")
def node() -> Iterator[Homeport]:
    """A node that believes load balancers on this machine."""
    brake = {"HOMEPORT_AUTHENTICATION_THROTTLING": "2/600"}
    with Homeport(options=["--trusted-proxies", "127.0.0.0/8"], environment=brake) as made:
        yield made
        assert made.defects == []


def remote_in_log(node: Homeport, path: str) -> str:
    """Whom the log names as the client of the request to `path`."""
    return node.wait_for_log(
        lambda record: str(record["remote"]) if record.get("path") == path else None, f"a request to {path}"
    )


def test_the_client_is_the_last_address_that_no_trusted_proxy_has(node: Homeport) -> None:
    answer = OciClient(node.url).request("GET", "/v2/first", headers=CLIENT)

    assert remote_in_log(node, "/v2/first") == "198.51.100.7"
    assert 'realm="https://' in answer.header("WWW-Authenticate")


def test_what_strangers_say_about_themselves_is_not_believed(homeport: Homeport) -> None:
    answer = OciClient(homeport.url).request("GET", "/v2/second", headers=CLIENT)

    assert remote_in_log(homeport, "/v2/second") == "127.0.0.1"
    assert 'realm="http://' in answer.header("WWW-Authenticate")


def test_guesses_through_a_load_balancer_count_for_the_guesser_alone(node: Homeport) -> None:
    guesser, other = (OciClient(node.url, name, "wrong") for name in ("guesser", "somebody"))
    seen = [
        guesser.request("GET", "/v2/", headers={"X-Forwarded-For": "203.0.113.1"}).status for _ in range(4)
    ]

    assert seen[:2] == [401, 401]
    assert seen[3] == 429
    assert other.request("GET", "/v2/", headers={"X-Forwarded-For": "203.0.113.2"}).status == 401


def test_a_node_that_is_told_to_stop_says_so_while_it_still_serves_and_hurries_when_told_again() -> None:
    with Homeport(options=["--drain-notice-seconds", "60", "--node", "node-7"]) as node:
        client = OciClient(node.url)
        client.request("GET", "/readyz").expect(200)
        process = node._running()

        process.signal(signal.SIGTERM)
        told = node.wait_for_log(
            lambda record: record if record.get("event") == "draining" else None, "the event 'draining'"
        )

        assert told["node"] == "node-7"
        assert client.request("GET", "/readyz").expect(503).json() == {"status": "draining"}
        client.request("GET", "/v2/").expect(401)
        assert node.password()
        process.signal(signal.SIGTERM)
        assert process.ended(20) == 0


def test_a_node_is_ready_only_while_database_and_store_answer_and_alive_all_the_while() -> None:
    store = shared_moto()
    with Postgres() as database:
        environment = store.environment() | {
            "HOMEPORT_DATABASE": database.new_database(),
            "HOMEPORT_STORAGE": store.url(store.new_bucket()),
        }
        with Homeport(environment=environment) as node:
            client = OciClient(node.url)
            client.request("GET", "/readyz").expect(200)

            database.suspend()
            began = time.monotonic()
            answers: list[int] = []
            asking = threading.Thread(target=lambda: answers.append(client.request("GET", "/readyz").status))
            asking.start()
            client.request("GET", "/healthz").expect(200)
            waited = bool(answers)
            asking.join()
            told = time.monotonic() - began
            database.resume()

            assert answers == [503]
            assert not waited, "whether it runs does not depend on the database"
            assert told < 8, "a connection to a database that is away would take ten seconds"
            until_ready(client)

            database.stop()
            client.request("GET", "/readyz").expect(503)
            client.request("GET", "/healthz").expect(200)
            database.start()
            until_ready(client)


def until_ready(client: OciClient) -> None:
    """Ask as a load balancer does."""
    deadline = time.monotonic() + 20
    while client.request("GET", "/readyz").status != 200:
        assert time.monotonic() < deadline, "not ready again"
        time.sleep(0.2)
