"""A client may be as slow as it is, in taking an answer of any size. One that takes nothing is let go."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from accounts.models import Merchant
from payouts.exports import jobs
from payouts.models import Export, Payout
from tests.chaos.crashing_servers import wait_until
from tests.chaos.server.conftest import SEND_TIMEOUT_SECONDS, Raw
from tests.support import database, exporting, factories

pytestmark = pytest.mark.django_db(transaction=True)

#: Each has about 3 kB as JSON, so that an answer is larger than what the kernel holds of it.
PAYOUTS = 1_500
WORDS = {f"word-{number}": "x" * 400 for number in range(5)}
#: A client's speed, and for how long it keeps it up: longer than it may take nothing.
BYTES_PER_SECOND = 20_000
SLOW_SECONDS = 2.5 * SEND_TIMEOUT_SECONDS
#: The kernel doubles it. More would take in a minute of such a client.
RECEIVE_BUFFER_BYTES = 4096


@pytest.fixture
def payouts(acme: Merchant) -> None:
    fields = factories.payout_fields(comment="x" * 500, metadata=WORDS)
    Payout.objects.bulk_create(Payout(merchant=acme, mode="test", provider="sandbox", **fields) for _ in range(PAYOUTS))


def get(raw: Raw, path: str, secret: str, *headers: str) -> None:
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Api-Key {secret}", *headers]
    raw.send(("\r\n".join(lines) + "\r\n\r\n").encode())


def take_slowly(raw: Raw) -> bytes:
    """Read what a slow client reads in the time."""
    data = b""
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < SLOW_SECONDS:
        # By the clock: pauses are longer than asked for on a machine that is busy.
        if len(data) < BYTES_PER_SECOND * elapsed:
            data += raw.socket.recv(BYTES_PER_SECOND // 20)
        else:
            time.sleep(1 / 20)
    return data


def unchunked(data: bytes) -> bytes:
    """Return the body that came in these chunks, which are whole."""
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        body, data = body + data[: int(size, 16)], data[int(size, 16) + 2 :]
        if size == b"0":
            assert data == b""
            return body
    raise AssertionError("The body broke off.")


def ended(export_id: str) -> tuple[str, str]:
    """Wait until the export has ended and return how."""
    export = Export.objects.get(pk=export_id)

    def has_ended() -> bool:
        export.refresh_from_db()
        return export.status != "running"

    wait_until(has_ended, what="the export has ended")
    return export.status, export.error


class Slow:
    """A client that asks for something and takes it slowly, as long as it is to."""

    def __init__(self, connect: Callable[..., Raw], secret: str) -> None:
        self._connect = connect
        self._secret = secret

    def export(self) -> tuple[str, bytes]:
        raw = self._ask("/api/payouts/export/?format=ndjson", "Connection: close")
        _, headers = raw.head()
        return headers["payouts-export-id"], unchunked(take_slowly(raw) + raw.rest())

    def whole(self, path: str) -> bytes:
        raw = self._ask(path)
        _, headers = raw.head()
        data = take_slowly(raw)
        return data + raw.read(int(headers["content-length"]) - len(data))

    def _ask(self, path: str, *headers: str) -> Raw:
        raw = self._connect(receive_buffer_bytes=RECEIVE_BUFFER_BYTES)
        get(raw, path, self._secret, *headers)
        return raw


@pytest.mark.usefixtures("payouts")
def test_takes_whatever_it_asks_for(connect: Callable[..., Raw], secret: str, acme: Merchant) -> None:
    job = exporting.make_job(acme, format="ndjson")
    jobs.run(job.pk)
    asking = connect()
    get(asking, f"/api/exports/{job.pk}/", secret)
    download = asking.answer().document["download_url"].removeprefix("http://127.0.0.1")
    client = Slow(connect, secret)

    # At the same time, for each takes its time.
    with ThreadPoolExecutor(3) as pool:
        exported = pool.submit(client.export)
        listed = pool.submit(client.whole, "/api/payouts/?page_size=200")
        downloaded = pool.submit(client.whole, download)

    export_id, data = exported.result()
    assert data.count(b"\n") == PAYOUTS + 1
    assert ended(export_id) == ("completed", "")
    assert len(json.loads(listed.result())["results"]) == 200
    assert downloaded.result().count(b"\n") == PAYOUTS + 1


class TestNotAtAll:
    @pytest.mark.usefixtures("payouts")
    def test_is_waited_for_and_no_longer(self, connect: Callable[..., Raw], secret: str) -> None:
        raw = connect(receive_buffer_bytes=RECEIVE_BUFFER_BYTES)
        started = time.monotonic()
        get(raw, "/api/payouts/export/?format=ndjson", secret)

        _, headers = raw.head()

        assert ended(headers["payouts-export-id"]) == (
            "canceled",
            f"The client took nothing for {SEND_TIMEOUT_SECONDS} seconds.",
        )
        assert time.monotonic() - started >= SEND_TIMEOUT_SECONDS

    @pytest.mark.usefixtures("payouts")
    def test_is_told_from_one_that_went_away(self, connect: Callable[..., Raw], secret: str) -> None:
        raw = connect(receive_buffer_bytes=RECEIVE_BUFFER_BYTES)
        get(raw, "/api/payouts/export/?format=ndjson", secret)
        _, headers = raw.head()

        raw.close()

        assert ended(headers["payouts-export-id"]) == ("canceled", "The client went away before the end.")

    @pytest.mark.usefixtures("payouts")
    def test_is_told_from_what_fails_here(self, connect: Callable[..., Raw], secret: str) -> None:
        raw = connect(receive_buffer_bytes=RECEIVE_BUFFER_BYTES)
        get(raw, "/api/payouts/export/?format=ndjson", secret, "Connection: close")
        _, headers = raw.head()

        # Those of this database: another process of the tests has a server of its own.
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'served' AND datname = current_database()"
        )
        raw.rest()

        assert ended(headers["payouts-export-id"]) == ("failed", "It could not be read to its end.")


class TestSending:
    """What a client sends is waited for as before, whatever was sent to it before."""

    BODY = json.dumps(factories.payout_body()).encode()

    def post(self, secret: str, *headers: str) -> bytes:
        lines = ["POST /api/payouts/ HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Api-Key {secret}"]
        return ("\r\n".join([*lines, "Content-Type: application/json", *headers]) + "\r\n\r\n").encode()

    @pytest.mark.usefixtures("payouts")
    def test_may_pause_for_longer_than_receiving(self, connect: Callable[..., Raw], secret: str) -> None:
        raw = connect()
        get(raw, "/api/payouts/?page_size=200", secret)
        raw.answer()

        raw.send(self.post(secret, f"Content-Length: {len(self.BODY)}") + self.BODY[:10])
        time.sleep(1.2 * SEND_TIMEOUT_SECONDS)
        raw.send(self.BODY[10:])
        first = raw.answer()
        raw.send(
            self.post(secret, "Transfer-Encoding: chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(self.BODY), self.BODY)
        )
        second = raw.answer()
        get(raw, "/api/payouts/?page_size=200", secret)

        assert (first.status, second.status) == (201, 201), first.body + second.body
        assert first.document["id"] != second.document["id"]
        assert raw.answer().status == 200

    def test_a_body_that_no_view_reads_costs_nothing(self, connect: Callable[..., Raw], secret: str) -> None:
        raw = connect()
        raw.send(b"POST /nothing/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\nhello")
        missing = raw.answer()
        get(raw, "/api/payouts/", secret)

        assert (missing.status, raw.answer().status) == (404, 200)
