"""A client that polls with next_updated_after alone misses no change, in whatever order they commit."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client

from payouts import checks, services
from payouts.api import polling
from payouts.models import Payout
from tests.support import database, racing, rolling
from tests.support.replica import Statements

MakePayout = Callable[..., Payout]

LONG_AGO = "2026-01-01T00:00:00Z"
PATIENCE = 30.0


def parsed(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Poller:
    """Reads all pages of what has changed, and asks next with what it was answered."""

    def __init__(self, client: Client, *, page_size: int = 3) -> None:
        self.client = client
        self.page_size = page_size
        self.following = LONG_AGO
        self.seen: dict[str, dict[str, Any]] = {}

    def poll(self) -> list[dict[str, Any]]:
        query = {"updated_after": self.following, "page_size": str(self.page_size)}
        page: Any = self.client.get("/api/payouts/", query).json()
        following = page["next_updated_after"]
        shown = list(page["results"])
        while page["next"]:
            page = self.client.get(page["next"]).json()
            assert page["next_updated_after"] == following
            shown += page["results"]
        self.following = following
        self.seen |= {payout["id"]: payout for payout in shown}
        return shown


@contextmanager
def open_change(payout: Payout, comment: str) -> Iterator[None]:
    """Change the payout in a transaction that stays open, on another connection, until the block ends."""
    changed, ends = threading.Event(), threading.Event()

    def change() -> None:
        with transaction.atomic():
            services.update_payout(payout, comment=comment)
            changed.set()
            ends.wait(PATIENCE)

    with rolling.others() as other:
        done = other(change)
        try:
            assert changed.wait(PATIENCE)
            yield
        finally:
            ends.set()
            done.result(PATIENCE)


def open_since() -> datetime:
    """Return the start of the oldest transaction of another connection."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(xact_start) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return cursor.fetchone()[0]  # type: ignore[no-any-return]


@pytest.mark.django_db(transaction=True)
class TestPoller:
    def test_sees_a_change_that_commits_after_newer_ones(
        self, api: Client, make_payout: MakePayout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With a time between two polls in which a transaction stays open."""
        monkeypatch.setattr(polling, "MARGIN", timedelta(0))
        late, soon = make_payout(), make_payout()
        poller = Poller(api)
        with open_change(late, "late"):
            services.update_payout(soon, comment="soon")
            began = open_since()

            first = {payout["id"]: payout for payout in poller.poll()}
            after_first = parsed(poller.following)
            poller.poll()
            after_second = parsed(poller.following)

        shown = {payout["id"]: payout["comment"] for payout in poller.poll()}

        assert first[str(soon.id)]["comment"] == "soon"
        assert first[str(late.id)]["comment"] == ""
        late.refresh_from_db()
        # Asked for what is newer than the newest that it had seen, it would never have been told.
        assert late.updated_at < max(parsed(payout["updated_at"]) for payout in first.values())
        assert after_first == after_second == began
        assert shown[str(late.id)] == "late"

    def test_is_shown_what_changed_at_the_very_time(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()

        page: Any = api.get("/api/payouts/", {"updated_after": payout.updated_at.isoformat()}).json()

        assert [shown["id"] for shown in page["results"]] == [str(payout.id)]

    def test_gets_on_when_nothing_is_open(self, api: Client, make_payout: MakePayout) -> None:
        make_payout()
        poller = Poller(api)
        poller.poll()
        before = parsed(poller.following)

        poller.poll()

        behind = datetime.now(UTC) - parsed(poller.following)
        assert parsed(poller.following) > before
        assert polling.MARGIN <= behind < polling.MARGIN + timedelta(seconds=PATIENCE)

    def test_misses_nothing_of_writers_that_commit_in_any_order(
        self, api: Client, make_payout: MakePayout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each transaction is open for up to three times the margin, so that the margin alone would not do."""
        monkeypatch.setattr(polling, "MARGIN", timedelta(seconds=0.3))
        payouts = [make_payout() for _ in range(12)]
        stops_at = time.monotonic() + 6
        is_over = threading.Event()

        def write(seed: int) -> int:
            chance = random.Random(seed)
            written = 0
            while time.monotonic() < stops_at:
                with transaction.atomic():
                    # Its own three, so that no writer waits for another.
                    for payout in chance.sample(payouts[seed::4], k=chance.randint(1, 2)):
                        services.update_payout(payout, comment=f"{seed}-{written}")
                        time.sleep(chance.uniform(0, 0.45))
                written += 1
            return written

        poller = Poller(api)

        def poll() -> int:
            polls = 0
            while not is_over.is_set():
                poller.poll()
                polls += 1
                time.sleep(0.02)
            return polls

        with rolling.others() as other:
            polls = other(poll)
            try:
                written = racing.run_together(*[lambda seed=seed: write(seed) for seed in range(4)])
            finally:
                is_over.set()
            assert polls.result(PATIENCE) > 10
        assert all(count > 3 for count in written), written

        poller.poll()

        last = {str(payout.id): payout.comment for payout in Payout.objects.all()}
        assert {payout_id: payout["comment"] for payout_id, payout in poller.seen.items()} == last


@pytest.mark.django_db(transaction=True)
class TestAnswer:
    def test_says_it_on_lists_of_what_has_changed_alone(self, api: Client, make_payout: MakePayout) -> None:
        make_payout()

        for query in ({}, {"updated_before": "2100-01-01T00:00:00Z"}, {"created_after": LONG_AGO}):
            assert "next_updated_after" not in api.get("/api/payouts/", query).json()
        assert "next_updated_after" in api.get("/api/payouts/", {"updated_after": LONG_AGO}).json()

    def test_of_a_list_that_ends_before_is_no_later_than_its_end(self, api: Client, make_payout: MakePayout) -> None:
        """What has changed since `updated_before` is not in it, however long ago that is."""
        make_payout()
        query = {"updated_after": LONG_AGO, "updated_before": "2026-02-01T00:00:00Z"}

        page: Any = api.get("/api/payouts/", query).json()

        assert (page["results"], page["next_updated_after"]) == ([], "2026-02-01T00:00:00Z")

    @pytest.mark.parametrize(
        ("after", "before", "in_utc"),
        [
            # In UTC they are outside of the calendar: the nearest moment stands for them.
            ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:01+14:00", "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.5-14:00", "9999-12-31T23:59:59.999999Z"),
        ],
    )
    def test_of_times_at_the_edge_of_the_calendar(self, api: Client, after: str, before: str, in_utc: str) -> None:
        for query in ({"updated_after": after}, {"updated_after": after, "updated_before": before}):
            assert api.get("/api/payouts/", query).status_code == 200
        with server_that_shows(UNTRACKED):
            page: Any = api.get("/api/payouts/", {"updated_after": after}).json()
        assert page["next_updated_after"] == in_utc

    def test_is_that_of_the_first_page_on_each_page_in_both_directions(
        self, api: Client, make_payout: MakePayout
    ) -> None:
        for _ in range(5):
            make_payout()
        first: Any = api.get("/api/payouts/", {"updated_after": LONG_AGO, "page_size": "2"}).json()
        second: Any = api.get(first["next"]).json()
        third: Any = api.get(second["next"]).json()
        back: Any = api.get(third["previous"]).json()

        assert back["results"] == second["results"]
        assert {page["next_updated_after"] for page in (second, third, back)} == {first["next_updated_after"]}

    def test_comes_with_the_total(self, api: Client, make_payout: MakePayout) -> None:
        make_payout()

        page: Any = api.get("/api/payouts/", {"updated_after": LONG_AGO, "include": "total"}).json()

        assert (page["total"], page.keys()) == (1, {"results", "next", "previous", "total", "next_updated_after"})

    def test_comes_from_the_primary(
        self,
        api: Client,
        make_payout: MakePayout,
        of_replica: Statements,
    ) -> None:
        make_payout()

        page: Any = api.get("/api/payouts/", {"updated_after": LONG_AGO, "include": "total"}).json()

        assert (len(page["results"]), page["total"], of_replica.count) == (1, 1, 0)
        api.get("/api/payouts/")
        assert of_replica.count > 0


@contextmanager
def another_connection() -> Iterator[None]:
    """Let another connection be there, which is in no transaction."""
    ready, ends = threading.Event(), threading.Event()

    def be_there() -> None:
        database.execute("SELECT 1")
        ready.set()
        ends.wait(PATIENCE)

    with rolling.others() as other:
        done = other(be_there)
        try:
            assert ready.wait(PATIENCE)
            yield
        finally:
            ends.set()
            done.result(PATIENCE)


#: What PostgreSQL shows of a connection of another role to a role that may not see it, ...
HIDDEN = """
CREATE TEMP VIEW pg_stat_activity AS
SELECT datname, pid, 10::oid AS usesysid, NULL::timestamptz AS xact_start, NULL::text AS state,
    NULL::text AS backend_type
FROM pg_catalog.pg_stat_activity
"""
#: ... of a process of its own, ...
OF_THE_SERVER = HIDDEN.replace("10::oid", "NULL::oid")
#: ... and of one that does not keep track.
UNTRACKED = """
CREATE TEMP VIEW pg_stat_activity AS
SELECT datname, pid, usesysid, NULL::timestamptz AS xact_start, 'disabled' AS state, backend_type
FROM pg_catalog.pg_stat_activity
"""
PREPARED = "CREATE TEMP VIEW pg_prepared_xacts AS SELECT current_database() AS database"
PREPARED_ELSEWHERE = "CREATE TEMP VIEW pg_prepared_xacts AS SELECT 'another'::name AS database"


@contextmanager
def server_that_shows(view: str) -> Iterator[None]:
    """Let PostgreSQL show this, which takes roles and settings of the server that a test cannot have."""
    name = view.split()[3]
    database.execute(view)
    database.execute("SET search_path = pg_temp, pg_catalog, public")
    try:
        with another_connection():
            yield
    finally:
        database.execute("RESET search_path")
        database.execute(f"DROP VIEW pg_temp.{name}")


@pytest.mark.django_db(transaction=True)
class TestHiddenTransactions:
    @pytest.mark.parametrize("view", [HIDDEN, UNTRACKED, PREPARED], ids=["hidden", "untracked", "prepared"])
    def test_make_it_unknown(self, view: str, caplog: pytest.LogCaptureFixture) -> None:
        with server_that_shows(view):
            assert polling.horizon() is None

        assert caplog.messages.count("polling.horizon.unknown") == 1

    @pytest.mark.parametrize("view", [OF_THE_SERVER, PREPARED_ELSEWHERE], ids=["server", "elsewhere"])
    def test_that_can_be_no_change_do_not_matter(self, view: str) -> None:
        with server_that_shows(view):
            assert polling.horizon() is not None

    def test_look_like_that(self) -> None:
        """The server's own processes with a role are of another than ours, which may or may not see them."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FILTER (WHERE (backend_type IS NULL) <> (query = '<insufficient privilege>')), "
                "count(*) FROM pg_stat_activity WHERE usesysid IS NOT NULL"
            )
            contrary, shown = cursor.fetchone()
        assert contrary == 0
        assert shown > 0

    def test_let_a_poller_stay_where_it_is(self, api: Client, make_payout: MakePayout) -> None:
        make_payout()
        query = {"updated_after": "2026-01-01T01:00:00+01:00"}

        with server_that_shows(HIDDEN):
            page: Any = api.get("/api/payouts/", query).json()

        assert (len(page["results"]), page["next_updated_after"]) == (1, LONG_AGO)

    def test_are_told_of_by_a_check(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')")
            (sees_all,) = cursor.fetchone()

        told = [warning.id for warning in checks.check_polling(None, databases=["default"])]

        assert told == ([] if sees_all else ["payouts.W005"])
        # Checks that need no database are run without one.
        assert checks.check_polling(None) == []
