"""Each row of the table in docs/http-bank.md, with a real connection that goes wrong in just that way."""

from __future__ import annotations

import contextvars
import gzip
import time

import httpcore
import pytest

from payouts.providers.http_bank import sockets, transport
from tests.integration.providers.calling import call, summary
from tests.integration.providers.scripted_server import (
    Connection,
    Script,
    answering,
    http,
    serving,
)
from tests.unit.payouts.providers import banks
from tests.unit.payouts.providers.banks import as_json

PAID = http(201, as_json(banks.transfer()))
FAST_SECONDS = 1.5


def problem(status: int, code: str, message: str = "That is why.") -> bytes:
    return http(status, as_json({"code": code, "message": message}))


def then_close(data: bytes) -> Script:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(data)

    return script


def then_reset(data: bytes) -> Script:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(data)
        # What was sent has to be read before the reset, which would overtake it.
        time.sleep(0.05)
        connection.reset()

    return script


def then_silence(data: bytes) -> Script:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(data)
        connection.wait_until_closed()

    return script


def then_dribble(data: bytes, *, after: int = 0) -> Script:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(data[:after])
        connection.dribble(data[after:])

    return script


def reset_unread(connection: Connection) -> None:
    # Time for the request to be written; a reset that is there before has kept it from being sent.
    time.sleep(0.05)
    connection.reset()


HEADERS_END = PAID.index(b"\r\n\r\n") + 4
BODY = PAID[HEADERS_END:]
CHUNKS = b"".join(b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in (BODY[:10], BODY[10:])) + b"0\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


LIMIT = sockets.ANSWER_BYTES_MAX


def padded(length: int) -> bytes:
    """Return an answer with so many bytes."""
    bare = http(200, as_json(banks.transfer(padding="x" * (length // 2))))
    return http(200, as_json(banks.transfer(padding="x" * (length - len(bare) + length // 2))))


# What comes over the connection, what it means for a PUT and what for a GET.
ANSWERS: dict[str, tuple[Script, str, str]] = {
    "created": (answering(PAID), "paid", "OutcomeUnknown: http_201"),
    "was there": (answering(http(200, BODY)), "paid", "paid"),
    "in chunks": (then_close(CHUNKED + CHUNKS), "paid", "paid"),
    "until the end of the connection": (then_close(b"HTTP/1.1 200 OK\r\n\r\n" + BODY), "paid", "paid"),
    "by an old server": (then_close(b"HTTP/1.0 200 OK\r\n\r\n" + BODY), "paid", "paid"),
    "after a word in between": (then_close(b"HTTP/1.1 103 Early\r\n\r\n" + http(200, BODY)), "paid", "paid"),
    "as long as may be": (then_close(padded(LIMIT)), "paid", "paid"),
    "refused": (
        answering(http(422, as_json(banks.refusal()))),
        "Rejected: account_closed",
        "OutcomeUnknown: http_422",
    ),
    "refused, but another": (
        answering(http(422, as_json(banks.refusal(reference="r-2")))),
        "OutcomeUnknown: answer_mismatch",
        "OutcomeUnknown: http_422",
    ),
    "refused, but nobody knows what": (
        answering(problem(422, "no")),
        "OutcomeUnknown: unreadable_answer",
        "OutcomeUnknown: http_422",
    ),
    "malformed": (answering(problem(400, "malformed_request")), "OutcomeUnknown: http_400", "OutcomeUnknown: http_400"),
    "too many": (answering(http(429)), "Unavailable: rate_limited", "Unavailable: rate_limited"),
    "too many, and the rest lost": (
        then_close(http(429, b"x" * 100)[:-50]),
        "Unavailable: rate_limited",
        "Unavailable: rate_limited",
    ),
    "who are you": (
        answering(problem(401, "unauthorized")),
        "Unavailable: unauthorized",
        "Unavailable: unauthorized",
    ),
    "other terms": (
        answering(problem(409, "reference_conflict")),
        "OutcomeUnknown: reference_conflict",
        "OutcomeUnknown: http_409",
    ),
    "never heard of it": (answering(problem(404, "transfer_not_found")), "OutcomeUnknown: http_404", "not_found"),
    "not found by a proxy": (answering(http(404)), "OutcomeUnknown: http_404", "OutcomeUnknown: http_404"),
    "closed before the answer": (then_close(b""), "OutcomeUnknown: connection_lost", "OutcomeUnknown: connection_lost"),
    "reset before the answer": (then_reset(b""), "OutcomeUnknown: connection_lost", "OutcomeUnknown: connection_lost"),
    "reset without reading": (reset_unread, "OutcomeUnknown: connection_lost", "OutcomeUnknown: connection_lost"),
    "closed in the headers": (
        then_close(PAID[: HEADERS_END - 10]),
        "OutcomeUnknown: connection_lost",
        "OutcomeUnknown: connection_lost",
    ),
    "closed in the body": (
        then_close(PAID[:-10]),
        "OutcomeUnknown: connection_lost",
        "OutcomeUnknown: connection_lost",
    ),
    "reset in the body": (
        then_reset(PAID[:-10]),
        "OutcomeUnknown: connection_lost",
        "OutcomeUnknown: connection_lost",
    ),
    "closed in a chunk": (
        then_close(CHUNKED + CHUNKS[:20]),
        "OutcomeUnknown: connection_lost",
        "OutcomeUnknown: connection_lost",
    ),
    "closed after half a document": (
        then_close(b"HTTP/1.1 200 OK\r\n\r\n" + BODY[:-1]),
        "OutcomeUnknown: unreadable_answer",
        "OutcomeUnknown: unreadable_answer",
    ),
    "no answer": (then_silence(b""), "OutcomeUnknown: read_timeout", "OutcomeUnknown: read_timeout"),
    "no answer after the headers": (
        then_silence(PAID[:HEADERS_END]),
        "OutcomeUnknown: read_timeout",
        "OutcomeUnknown: read_timeout",
    ),
    "headers byte by byte": (
        then_dribble(PAID),
        "OutcomeUnknown: total_timeout",
        "OutcomeUnknown: total_timeout",
    ),
    "body byte by byte": (
        then_dribble(PAID, after=HEADERS_END),
        "OutcomeUnknown: total_timeout",
        "OutcomeUnknown: total_timeout",
    ),
    "words in between for ever": (
        then_dribble(b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        "OutcomeUnknown: total_timeout",
        "OutcomeUnknown: total_timeout",
    ),
    "too large": (
        then_close(padded(LIMIT + 1)),
        "OutcomeUnknown: answer_too_large",
        "OutcomeUnknown: answer_too_large",
    ),
    "too large for its head": (
        then_close(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000),
        "OutcomeUnknown: answer_too_large",
        "OutcomeUnknown: answer_too_large",
    ),
    "endless": (
        then_close(CHUNKED + (b"64\r\n" + b" " * 100 + b"\r\n") * 10_000),
        "OutcomeUnknown: answer_too_large",
        "OutcomeUnknown: answer_too_large",
    ),
    "compressed": (
        then_close(http(200, gzip.compress(BODY), "Content-Encoding: gzip")),
        "OutcomeUnknown: unreadable_answer",
        "OutcomeUnknown: unreadable_answer",
    ),
    "a bomb": (
        then_close(http(200, gzip.compress(b" " * 50_000_000), "Content-Encoding: gzip")),
        "OutcomeUnknown: unreadable_answer",
        "OutcomeUnknown: unreadable_answer",
    ),
    "not HTTP": (
        then_close(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"),
        "OutcomeUnknown: unreadable_answer",
        "OutcomeUnknown: unreadable_answer",
    ),
    "two lengths": (
        then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"),
        "OutcomeUnknown: unreadable_answer",
        "OutcomeUnknown: unreadable_answer",
    ),
    "another protocol": (
        then_close(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"),
        "OutcomeUnknown: unreadable_answer",
        "OutcomeUnknown: unreadable_answer",
    ),
    "about another": (
        then_close(http(200, as_json(banks.transfer(reference="r-2")))),
        "OutcomeUnknown: answer_mismatch",
        "OutcomeUnknown: answer_mismatch",
    ),
}


class TestAnswers:
    @pytest.mark.parametrize(("script", "sent", "asked"), ANSWERS.values(), ids=ANSWERS.keys())
    @pytest.mark.parametrize("kind", ["send", "ask"])
    def test_mean_what_the_table_says(self, kind: str, script: Script, sent: str, asked: str) -> None:
        with serving(script) as server:
            # What is no matter of time is given enough of it, however busy the machine is.
            timeout_seconds = FAST_SECONDS if "timeout" in sent else 10.0
            answer = call(kind, server.url, timeout_seconds=timeout_seconds)

        assert summary(answer) == (sent if kind == "send" else asked)
        # Never a second time by itself, whatever happened.
        assert len(server.requests) <= 1
        assert server.connections_count == 1

    @pytest.mark.parametrize("status", [202, 203, 204, 206, 300, 301, 302, 303, 304, 307, 308, 400, 402, 403, 405])
    @pytest.mark.parametrize("kind", ["send", "ask"])
    def test_are_unknown_with_other_statuses(self, kind: str, status: int) -> None:
        assert self._answer_to(kind, status) == f"OutcomeUnknown: http_{status}"

    @pytest.mark.parametrize("status", [406, 408, 410, 412, 413, 415, 418, 423, 425, 431, 451, 500, 502, 503, 504, 599])
    @pytest.mark.parametrize("kind", ["send", "ask"])
    def test_are_unknown_with_other_errors(self, kind: str, status: int) -> None:
        assert self._answer_to(kind, status) == f"OutcomeUnknown: http_{status}"

    def _answer_to(self, kind: str, status: int) -> str:
        """Ask a server that shows the document of the payment whatever its status is."""
        body = b"" if status in {204, 304} else BODY
        with serving(answering(http(status, body, "Location: /v1/transfers/elsewhere")), answering(PAID)) as server:
            answer = call(kind, server.url)

        # A redirect is not followed: it would be a second request.
        assert len(server.requests) == 1
        return summary(answer)


class TestEarlyAnswer:
    # Too large for the buffers of both sides, so that there is something left to write.
    LARGE = banks.instruction(recipient_details={"name": "x" * 8_000_000, "account": "1"})

    @pytest.mark.parametrize(
        ("answer", "outcome"),
        [(http(429), "Unavailable: rate_limited"), (b"", "OutcomeUnknown: connection_lost")],
        ids=["said", "not said"],
    )
    def test_is_read_though_the_request_was_not(self, answer: bytes, outcome: str) -> None:
        """A bank may refuse before it has read the whole, and close: what it says counts."""

        def refuse(connection: Connection) -> None:
            connection.send(answer)
            time.sleep(0.1)
            connection.reset()

        with serving(refuse) as server:
            assert summary(call("send", server.url, told=self.LARGE)) == outcome


class TestDeadline:
    @pytest.mark.parametrize("after", [0, HEADERS_END])
    def test_holds_against_a_server_that_dribbles(self, after: int) -> None:
        with serving(then_dribble(PAID, after=after)) as server:
            started_at = time.monotonic()
            answer = call("send", server.url, timeout_seconds=FAST_SECONDS)
            seconds = time.monotonic() - started_at

        assert summary(answer) == "OutcomeUnknown: total_timeout"
        assert FAST_SECONDS <= seconds < FAST_SECONDS + 0.5

    def test_is_not_put_off_by_what_came_before(self) -> None:
        def answer_late_and_in_part(connection: Connection) -> None:
            connection.read_request()
            time.sleep(FAST_SECONDS / 2)
            connection.send(PAID[:-10])
            connection.wait_until_closed()

        with serving(answer_late_and_in_part) as server:
            started_at = time.monotonic()
            answer = call("send", server.url, timeout_seconds=FAST_SECONDS)
            seconds = time.monotonic() - started_at

        assert summary(answer) == "OutcomeUnknown: total_timeout"
        assert FAST_SECONDS <= seconds < FAST_SECONDS + 0.5

    def test_is_looked_at_while_one_read_is_taken_apart(self) -> None:
        """Thousands of tiny pieces come with one read: the time that they take counts."""
        now = time.monotonic()
        answered = httpcore.Response(200, content=[b"a", b"b"])

        def read() -> bytes:
            sockets.CURRENT.set(sockets.Call(now, now, has_sent=True))
            return b"".join(transport.Body(answered))

        with pytest.raises(TimeoutError):
            contextvars.copy_context().run(read)

    def test_is_two_thirds_for_one_wait(self) -> None:
        with serving(then_silence(b"")) as server:
            started_at = time.monotonic()
            answer = call("send", server.url, timeout_seconds=FAST_SECONDS)
            seconds = time.monotonic() - started_at

        assert summary(answer) == "OutcomeUnknown: read_timeout"
        assert FAST_SECONDS * 2 / 3 <= seconds < FAST_SECONDS * 2 / 3 + 0.3

    def test_ends_a_request_that_is_not_taken(self) -> None:
        with serving(lambda _: time.sleep(2 * FAST_SECONDS)) as server:
            answer = call("send", server.url, told=TestEarlyAnswer.LARGE, timeout_seconds=FAST_SECONDS)

        assert summary(answer) == "OutcomeUnknown: write_timeout"

    def test_holds_against_a_server_that_takes_the_request_bit_by_bit(self) -> None:
        def sip(connection: Connection) -> None:
            ends_at = time.monotonic() + 3 * FAST_SECONDS
            while time.monotonic() < ends_at and connection._socket.recv(20_000):
                time.sleep(0.01)

        with serving(sip) as server:
            started_at = time.monotonic()
            answer = call("send", server.url, told=TestEarlyAnswer.LARGE, timeout_seconds=FAST_SECONDS)
            seconds = time.monotonic() - started_at

        assert summary(answer) in {"OutcomeUnknown: total_timeout", "OutcomeUnknown: write_timeout"}
        assert seconds < FAST_SECONDS + 0.5


class TestWords:
    def test_of_the_bank_reach_the_operator(self) -> None:
        with serving(answering(problem(503, "maintenance", "Back\r\nat\x00 six."))) as server:
            answer = call("send", server.url)

        assert str(answer) == "The bank answered 503: maintenance: Back at six."

    def test_of_the_bank_never_carry_secrets(self) -> None:
        echo = f"{banks.TOKEN} may not pay JANE DOE at DE89 3704 0044 0532 0130 00"
        with serving(answering(http(422, as_json(banks.refusal(message=echo))))) as server:
            answer = call("send", server.url)

        assert str(answer) == "*** may not pay *** at ***"
