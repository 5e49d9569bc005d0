"""A client may send as slowly as it likes: it costs the others nothing, and it is refused when its time is over."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import repeat
from threading import Event, Thread

import pytest

from config.client_sockets import BODY_SECONDS, HEAD_SECONDS
from config.request_framing import BODY_BYTES_MAX
from payouts.models import Payout
from tests.chaos.crashing_servers import THREADS
from tests.chaos.server.conftest import Raw
from tests.support import factories

pytestmark = pytest.mark.django_db(transaction=True)

HOST = b"Host: 127.0.0.1\r\n"
JSON = b"Content-Type: application/json\r\n"
BODY = json.dumps(factories.payout_body()).encode()
POST = b"POST /api/payouts/ HTTP/1.1\r\n" + HOST + JSON
CALLBACK = b"POST /api/callbacks/sandbox/ HTTP/1.1\r\n" + HOST

#: What such a client sends at once, what it sends byte by byte after that, and for how long it may.
SLOW = {
    "nothing": (b"", b"", HEAD_SECONDS),
    "a head": (b"", POST, HEAD_SECONDS),
    "a header": (POST, b"X-Slow: " + b"x" * 100, HEAD_SECONDS),
    "a body": (POST + b"Content-Length: 1000\r\n\r\n", b"{" * 100, BODY_SECONDS),
    "chunks": (POST + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n", b"{" * 100, BODY_SECONDS),
    "a size of a chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 100, BODY_SECONDS),
    "a body that is too large": (CALLBACK + b"Content-Length: 100000\r\n\r\n", b"{" * 100, 0.0),
    "a callback": (CALLBACK + b"Content-Length: 1000\r\n\r\n", b"{" * 100, BODY_SECONDS),
}
#: Two more than the server has threads.
CLIENTS = THREADS + 2


@pytest.fixture
def trickle() -> Iterator[Callable[[Raw, bytes], None]]:
    """Send some bytes, one each half second, on a thread of its own."""
    is_over = Event()
    threads: list[Thread] = []

    def run(raw: Raw, data: bytes) -> None:
        with suppress(OSError):
            for byte in data:
                raw.send(bytes([byte]))
                if is_over.wait(0.5):
                    return

    def begin(raw: Raw, data: bytes) -> None:
        threads.append(Thread(target=run, args=(raw, data), daemon=True))
        threads[-1].start()

    yield begin
    is_over.set()
    for thread in threads:
        thread.join()


def post(secret: str, *headers: bytes) -> bytes:
    key = f"Authorization: Api-Key {secret}\r\n".encode()
    return POST + key + b"".join(f"{header}\r\n".encode() for header in map(bytes.decode, headers)) + b"\r\n"


def post_whole(secret: str) -> bytes:
    return post(secret, b"Content-Length: %d" % len(BODY)) + BODY


@pytest.mark.parametrize("kind", SLOW)
def test_costs_the_others_nothing(
    connect: Callable[..., Raw], trickle: Callable[[Raw, bytes], None], secret: str, kind: str
) -> None:
    at_once, slowly, _ = SLOW[kind]
    for raw in [connect() for _ in repeat(None, CLIENTS)]:
        raw.send(at_once)
        trickle(raw, slowly)
    started = time.monotonic()

    # As many as there are threads, one after the other.
    for _ in range(THREADS):
        bystander = connect()
        bystander.send(post_whole(secret))
        assert bystander.answer().status == 201

    # Had they waited for a single slow one, it would have been for so long.
    assert time.monotonic() - started < HEAD_SECONDS
    assert Payout.objects.count() == THREADS


@pytest.mark.parametrize("kind", ["a header", "a body"])
def test_is_refused_when_its_time_is_over(
    connect: Callable[..., Raw], trickle: Callable[[Raw, bytes], None], kind: str
) -> None:
    at_once, slowly, seconds = SLOW[kind]
    raw = connect()
    started = time.monotonic()
    raw.send(at_once)
    trickle(raw, slowly)

    answer = raw.answer()

    assert (answer.status, answer.document["code"]) == (408, "request_too_slow")
    assert answer.headers["connection"] == "close"
    assert time.monotonic() - started >= seconds
    assert not Payout.objects.exists()


def test_that_never_begins_is_no_request(connect: Callable[..., Raw]) -> None:
    assert connect().rest() == b""


class TestWhole:
    """What arrives whole is served, in whatever pieces."""

    def test_on_a_connection_that_was_kept(self, connect: Callable[..., Raw], secret: str) -> None:
        raw = connect()
        raw.send(post_whole(secret))
        first = raw.answer()
        # Longer than the head of a request may take.
        time.sleep(HEAD_SECONDS + 1)
        for byte in post(secret, b"Transfer-Encoding: chunked"):
            raw.send(bytes([byte]))
        raw.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))

        assert (first.status, raw.answer().status) == (201, 201)
        assert Payout.objects.count() == 2

    def test_one_behind_the_other(self, connect: Callable[..., Raw], secret: str) -> None:
        raw = connect()
        raw.send(post_whole(secret) * 3 + b"GET /livez HTTP/1.1\r\n")
        answers = [raw.answer().status for _ in range(3)]
        raw.send(HOST + b"\r\n")

        assert [*answers, raw.answer().status] == [201, 201, 201, 200]
        assert Payout.objects.count() == 3

    def test_once_it_is_asked_to_go_on(self, connect: Callable[..., Raw], secret: str) -> None:
        raw = connect()
        raw.send(post(secret, b"Content-Length: %d" % len(BODY), b"Expect: 100-continue"))
        assert raw.head() == (100, {})
        raw.send(BODY)

        assert raw.answer().status == 201


class TestTooLarge:
    @pytest.mark.parametrize(
        ("headers", "body"),
        [
            ([b"Content-Length: %d" % (BODY_BYTES_MAX + 1)], b""),
            ([b"Transfer-Encoding: chunked"], b"%x\r\n" % (10 * BODY_BYTES_MAX) + b"x" * (BODY_BYTES_MAX + 1)),
        ],
    )
    def test_body_is_refused_and_the_rest_not_waited_for(
        self, connect: Callable[..., Raw], secret: str, headers: list[bytes], body: bytes
    ) -> None:
        raw = connect()
        raw.send(post(secret, *headers) + body)

        answer = raw.answer()

        assert (answer.status, answer.document["errors"][0]["code"]) == (400, "body_too_large")
        assert raw.rest() == b""

    def test_head_is_refused(self, connect: Callable[..., Raw]) -> None:
        raw = connect()
        raw.send(b"GET /livez HTTP/1.1\r\n" + HOST + b"".join(b"A%d: %s\r\n" % (n, b"x" * 900) for n in range(90)))

        answer = raw.answer()

        assert (answer.status, answer.document["code"]) == (431, "headers_too_large")


def test_that_does_not_hang_up_holds_nobody_up(connect: Callable[..., Raw], secret: str) -> None:
    """The server has ended these connections, and their clients have not."""
    for _ in range(CLIENTS):
        raw = connect()
        raw.send(b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        assert raw.answer().status == 200
    started = time.monotonic()
    bystander = connect()
    bystander.send(post_whole(secret))

    assert bystander.answer().status == 201
    # Each would have held up all of them for two seconds.
    assert time.monotonic() - started < 2.0
