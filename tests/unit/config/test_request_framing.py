"""Where a request ends, whatever the pieces in which it arrives."""

from __future__ import annotations

import pytest

from config.request_framing import BODY_BYTES_MAX, CHUNKED_BYTES_MAX, HEAD_BYTES_MAX, Framing

HEAD = b"POST /api/payouts/ HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

WHOLE = {
    "no body": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "an empty line in front": b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a length": HEAD + b"Content-Length: 5\r\n\r\nhello",
    "a length in other letters": HEAD + b"CONTENT-length:\t5 \r\n\r\nhello",
    "no length": HEAD + b"Content-Length: 0\r\n\r\n",
    "chunks": CHUNKED + b"2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n",
    "chunks with a line feed inside": CHUNKED + b"4\r\n\r\n0\r\r\n0\r\n\r\n",
    "chunks and trailers": CHUNKED + b"A\r\n0123456789\r\n0\r\nDigest: x\r\n\r\n",
}
REFUSED = {
    "no HTTP": b"hello\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 9\r\n\r\n",
    "a length that is none": HEAD + b"Content-Length: -5\r\n\r\n",
    "a length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "another coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
    "a chunk without a size": CHUNKED + b"zz\r\n",
}


def look(data: bytes, *, step: int) -> tuple[Framing, int]:
    """Show the bytes piece by piece, and return after how many of them the request was whole."""
    framing, shown = Framing(), bytearray()
    for start in range(0, len(data), step):
        shown += data[start : start + step]
        framing.look(shown)
        if framing.is_whole:
            break
    return framing, len(shown)


@pytest.mark.parametrize("step", [1, 2, 7, 10_000])
@pytest.mark.parametrize("name", WHOLE)
def test_is_whole_with_its_last_byte(name: str, step: int) -> None:
    data = WHOLE[name]

    framing, seen = look(data, step=step)

    assert (framing.is_whole, framing.is_cut) == (True, False)
    assert seen == len(data)


@pytest.mark.parametrize("name", REFUSED)
def test_that_gunicorn_refuses_is_not_waited_for(name: str) -> None:
    framing, _ = look(REFUSED[name], step=1)

    assert (framing.is_whole, framing.is_cut) == (True, False)


@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("name", WHOLE)
def test_that_lacks_bytes_is_not_whole(name: str, missing: int) -> None:
    framing, _ = look(WHOLE[name][:-missing], step=3)

    assert not framing.is_whole


class TestTooLarge:
    def test_head_is_cut(self) -> None:
        framing, seen = look(b"GET / HTTP/1.1\r\n" + b"A: x\r\n" * HEAD_BYTES_MAX, step=1000)

        assert (framing.is_whole, framing.is_cut, framing.has_head) == (True, True, False)
        assert seen - HEAD_BYTES_MAX <= 1000

    def test_body_is_not_waited_for(self) -> None:
        framing, _ = look(HEAD + b"Content-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1), step=7)

        assert (framing.is_whole, framing.is_cut) == (True, True)

    def test_largest_body_is(self) -> None:
        framing, _ = look(HEAD + b"Content-Length: %d\r\n\r\n" % BODY_BYTES_MAX, step=7)

        assert not framing.is_whole

    @pytest.mark.parametrize("size", [BODY_BYTES_MAX + 1, 10 * BODY_BYTES_MAX])
    def test_chunk_is_waited_for_until_a_byte_too_many_is_there(self, size: int) -> None:
        line = CHUNKED + b"%x\r\n" % size

        enough, too_few = (look(line + b"x" * count, step=5000)[0] for count in (BODY_BYTES_MAX + 1, BODY_BYTES_MAX))

        assert (enough.is_whole, enough.is_cut) == (True, True)
        assert not too_few.is_whole

    def test_frames_of_chunks_are_cut(self) -> None:
        framing, seen = look(CHUNKED + b"1\r\nx\r\n" * BODY_BYTES_MAX, step=1000)

        assert (framing.is_whole, framing.is_cut) == (True, True)
        assert seen - len(CHUNKED) - CHUNKED_BYTES_MAX <= 1000


class TestExpectation:
    def test_of_a_body_that_is_waited_for(self) -> None:
        framing, _ = look(HEAD + b"Content-Length: 5\r\nExpect: 100-Continue\r\n\r\n", step=5)

        assert (framing.expects_continue, framing.is_whole) == (True, False)

    def test_of_one_that_is_not(self) -> None:
        framing, _ = look(HEAD + b"Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n", step=5)

        assert framing.expects_continue is False
