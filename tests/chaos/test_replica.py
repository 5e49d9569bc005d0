"""A real standby that lags, dies, freezes and comes back. Lists are never refused, and never older than they may be."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Self

import pytest

from tests.chaos.crashing_servers import wait_until
from tests.chaos.standby import Standby
from tests.support.backend import body, client_of, wait_for
from tests.support.stack import STOP_SECONDS, Stack, wait_until_gone

LAG_MAX_SECONDS = 4
#: Of a list that meets a frozen standby: until that is known (4 s), to try once more to connect (2 s), and a second for
#: a busy machine.
FREEZE_SECONDS = 7.0
#: Of twenty that come after it.
AFTERWARDS_SECONDS = 3.0

pytestmark = pytest.mark.timeout(240)


class Merchant:
    """acme, and what the platform tells it and its operator."""

    def __init__(self, stack: Stack) -> None:
        self.http = client_of(stack, "acme")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def post(self) -> str:
        """Ask for a payout, see that it is paid, and return its id."""
        answer = self.http.post("/api/payouts/", json=body())
        assert answer.status_code == 201
        assert wait_for(self.http, answer.headers["Location"], "paid")["status"] == "paid"
        return str(answer.json()["id"])

    def listed(self) -> list[str]:
        """Return the ids of the list, oldest first."""
        answer = self.http.get("/api/payouts/", params={"ordering": "created_at"})
        assert answer.status_code == 200, answer.text
        return [payout["id"] for payout in answer.json()["results"]]

    def count(self) -> int:
        """Return how many payouts the summary knows of."""
        answer = self.http.get("/api/payouts/summary/")
        assert answer.status_code == 200, answer.text
        return sum(row["count"] for row in answer.json()["results"])

    def exported(self) -> list[str]:
        """Return the ids of the export, oldest first."""
        answer = self.http.get("/api/payouts/export/", params={"format": "ndjson", "ordering": "created_at"})
        assert answer.status_code == 200, answer.text
        lines = [json.loads(line) for line in answer.text.splitlines()]
        return [line["id"] for line in lines if "id" in line]

    def readyz(self) -> tuple[int, str, float | None]:
        answer = self.http.get("/readyz")
        return answer.status_code, answer.json()["checks"]["replica"], answer.json()["replica_lag_seconds"]

    def figures(self) -> dict[str, float]:
        lines = self.http.get("/metrics").text.splitlines()
        return {
            name: float(value) for name, value in (line.split() for line in lines if line.startswith("payouts_repl"))
        }

    def wait_until_replica_is(self, state: str) -> None:
        wait_until(lambda: self.readyz()[1] == state, what=f"the replica is {state}")


@pytest.fixture
def stack(make_stack: Callable[..., Stack]) -> Stack:
    # One process, so that each question is answered by the one that the test has in mind.
    started = make_stack(PAYOUTS_REPLICA_LAG_MAX_SECONDS=str(LAG_MAX_SECONDS), PAYOUTS_WEB_WORKERS="1")
    started.start("--port", "0", "--replica")
    return started


@pytest.fixture
def standby(stack: Stack) -> Iterator[Standby]:
    standby = Standby(stack)
    yield standby
    standby.destroy()


@pytest.fixture
def acme(stack: Stack) -> Iterator[Merchant]:
    with Merchant(stack) as merchant:
        merchant.wait_until_replica_is("ok")
        yield merchant


def stands_behind(acme: Merchant, standby: Standby, ids: list[str]) -> list[str]:
    """See that lists come from the standby: what is written while it replays nothing is missing there, and only there.

    Return the ids of what the merchant has by then.
    """
    wait_until(lambda: acme.listed() == ids, what="the standby shows everything")
    with standby.replaying_nothing():
        new = acme.post()
        assert acme.listed() == ids
        assert acme.count() == len(ids)
        assert acme.exported() == ids
        # What must be fresh is: the payout itself and its history.
        assert acme.http.get(f"/api/payouts/{new}/").json()["status"] == "paid"
        assert acme.http.get(f"/api/payouts/{new}/history/").json()["transitions"][-1]["to_status"] == "paid"
    wait_until(lambda: acme.listed() == [*ids, new], what="the standby has caught up")
    return [*ids, new]


def test_standby_that_lags(stack: Stack, standby: Standby, acme: Merchant) -> None:
    assert acme.readyz() == (200, "ok", 0.0)
    assert acme.figures() == {"payouts_replica_in_use": 1.0, "payouts_replica_lag_seconds": 0.0}
    assert standby.query("SELECT pg_is_in_recovery()") is True

    ids = stands_behind(acme, standby, [])

    # Those who read there are web processes alone; workers and sweeper write.
    readers = (
        "SELECT array_agg(DISTINCT application_name) FROM pg_stat_activity WHERE application_name LIKE 'payouts-%'"
    )
    assert standby.query(readers) == ["payouts-web"]

    with standby.replaying_nothing():
        ids.append(acme.post())
        wait_until(lambda: acme.figures()["payouts_replica_lag_seconds"] > 1, what="the lag is seen in the metrics")
        assert acme.listed() == ids[:-1]
        # Further behind than it may be.
        acme.wait_until_replica_is("degraded")
        status, _, lag = acme.readyz()
        assert status == 200
        assert lag is not None
        assert LAG_MAX_SECONDS < lag < LAG_MAX_SECONDS + 6
        assert acme.figures()["payouts_replica_in_use"] == 0.0
        assert acme.listed() == ids
        assert acme.count() == len(ids)
        # Writes go on in any case, and nothing of them is lost.
        ids.append(acme.post())
        assert acme.listed() == ids

    acme.wait_until_replica_is("ok")
    stands_behind(acme, standby, ids)
    assert stack.output.count("replica.left") == 1
    assert "reason=lagging" in stack.output
    assert stack.output.count("replica.joined") == 2

    # A follower does not delay the shutdown.
    processes = stack.everything()
    began = time.monotonic()
    assert stack.stop() == 0
    assert time.monotonic() - began < STOP_SECONDS
    assert wait_until_gone(processes, seconds=0.5) == []
    assert not (stack.directory / "replica").exists()


def test_standby_that_dies_and_freezes_and_is_promoted(stack: Stack, standby: Standby, acme: Merchant) -> None:
    ids = stands_behind(acme, standby, [])

    standby.kill()
    # Each of the web process's connections is dead, and nobody is told so.
    told = [acme.listed() for _ in range(20)]
    assert told == [ids] * 20
    assert acme.count() == len(ids)
    assert acme.exported() == ids
    acme.wait_until_replica_is("degraded")
    assert acme.readyz() == (200, "degraded", None)
    assert acme.figures() == {"payouts_replica_in_use": 0.0}
    ids.append(acme.post())
    assert acme.listed() == ids
    assert "reason=unreachable" in stack.output

    standby.start_again()
    acme.wait_until_replica_is("ok")
    ids = stands_behind(acme, standby, ids)

    with standby.frozen():
        began = time.monotonic()
        first = acme.listed()
        first_seconds = time.monotonic() - began
        told = [acme.listed() for _ in range(20)]
        others_seconds = time.monotonic() - began - first_seconds
        ids.append(acme.post())
        fresh = acme.listed()
    assert (first, told, fresh) == (ids[:-1], [ids[:-1]] * 20, ids)
    assert first_seconds < FREEZE_SECONDS
    assert others_seconds < AFTERWARDS_SECONDS

    acme.wait_until_replica_is("ok")
    ids = stands_behind(acme, standby, ids)

    # Somebody makes a primary of it: from now on it would show the same for ever.
    standby.promote()
    acme.wait_until_replica_is("degraded")
    ids.append(acme.post())
    assert acme.listed() == ids
    assert "reason=not_a_replica" in stack.output
    # No request was ever told that something was wrong.
    assert "database.failed" not in stack.output


def test_standby_of_a_cluster_that_had_none(make_stack: Callable[..., Stack]) -> None:
    """A stack that ran without a replica can have one from its next start, and later run without it again."""
    stack = make_stack(PAYOUTS_WEB_WORKERS="1")
    stack.start()
    with Merchant(stack) as acme:
        ids = [acme.post()]
        assert "replica" not in acme.http.get("/readyz").json()["checks"]
    assert stack.stop() == 0

    stack.start("--port", "0", "--replica")
    with Merchant(stack) as acme:
        acme.wait_until_replica_is("ok")
        ids = stands_behind(acme, Standby(stack), ids)
    assert stack.stop() == 0

    stack.start()
    with Merchant(stack) as acme:
        assert acme.listed() == ids
