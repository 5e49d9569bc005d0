"""Where a request ends, so that a thread is given only what has arrived whole.

This is no parser: gunicorn's is, and refuses what is wrong. If a head is one that gunicorn refuses, it ends the request
here as well. Pure.
"""

from __future__ import annotations

import re
from typing import Final

#: No head that gunicorn takes is larger in practice: a line has 8,190 bytes at most, and a proxy sends four of them.
HEAD_BYTES_MAX: Final = 64 * 1024
#: The largest body that is waited for. The application refuses a larger one unread (DATA_UPLOAD_MAX_MEMORY_SIZE).
BODY_BYTES_MAX: Final = 64 * 1024
#: The same for a body in chunks, with the sizes of the chunks.
CHUNKED_BYTES_MAX: Final = 2 * BODY_BYTES_MAX

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*(?=\r\n)", re.IGNORECASE)
_CODING: Final = re.compile(rb"\r\ntransfer-encoding:([^\r]*)", re.IGNORECASE)
_EXPECTATION: Final = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")


class Framing:
    """One request: `look` at its bytes as they arrive. It looks at each byte about once."""

    def __init__(self) -> None:
        self.has_head = False
        #: The head and the whole body are there, or what is there is enough for a refusal.
        self.is_whole = False
        #: The rest is not waited for: the head or the body is too large.
        self.is_cut = False
        #: The client waits for `100 Continue` before it sends the body.
        self.expects_continue = False
        self._searched = 0
        self._body_at = 0
        self._length = 0
        # In a body in chunks: where the next line with a size is, and the bytes of the chunks so far.
        self._chunk_at: int | None = None
        self._decoded = 0
        self._enough_at = 0

    def look(self, data: bytearray) -> None:
        """Look at all bytes of the request so far."""
        if not self.has_head:
            self._look_for_head(data)
        if self.has_head and not self.is_whole:
            self._look_for_body(data)

    def _look_for_head(self, data: bytearray) -> None:
        end = data.find(_HEAD_END, max(0, self._searched - len(_HEAD_END)))
        self._searched = len(data)
        if end < 0:
            self.is_whole = self.is_cut = len(data) > HEAD_BYTES_MAX
            return
        self.has_head = True
        self._body_at = end + len(_HEAD_END)
        head = bytes(data[: end + 2])
        codings, lengths = _CODING.findall(head), _LENGTH.findall(head)
        # With both, or with two lengths, gunicorn refuses the head.
        if len(codings) + len(lengths) == 1:
            if lengths:
                self._length = int(lengths[0])
            elif b"chunked" in codings[0].lower():
                self._chunk_at = self._body_at
        self.expects_continue = self._length <= BODY_BYTES_MAX and _EXPECTATION.search(head) is not None

    def _look_for_body(self, data: bytearray) -> None:
        if self._chunk_at is not None:
            self._look_for_chunks(data)
        elif self._length > BODY_BYTES_MAX:
            self.is_whole = self.is_cut = True
        else:
            self.is_whole = len(data) - self._body_at >= self._length

    def _look_for_chunks(self, data: bytearray) -> None:
        if len(data) - self._body_at > CHUNKED_BYTES_MAX:
            self.is_whole = self.is_cut = True
        while not self.is_whole and (at := self._chunk_at) is not None and max(at, self._enough_at - 1) < len(data):
            end = data.find(b"\r\n", at)
            if end < 0:
                return
            size = _CHUNK_SIZE.fullmatch(data, at, end)
            if size is None:
                # gunicorn refuses it.
                self.is_whole = True
            elif int(size[1], 16) == 0:
                # Behind the last chunk come trailers, if any, and an empty line.
                self.is_whole = data.find(_HEAD_END, end) >= 0
                return
            else:
                self._take_chunk(at=end + 2, size=int(size[1], 16), data=data)

    def _take_chunk(self, *, at: int, size: int, data: bytearray) -> None:
        """Go on behind this chunk, or end the body once one byte too many of it is there."""
        missing = BODY_BYTES_MAX + 1 - self._decoded
        if size < missing:
            self._decoded += size
            self._chunk_at = at + size + 2
        elif len(data) >= at + missing:
            self.is_whole = self.is_cut = True
        else:
            self._enough_at = at + missing
