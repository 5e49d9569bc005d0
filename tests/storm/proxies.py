"""Wires between the processes, which break in the ways that networks do.

Each is a TCP proxy on a port of its own. All of them run in the event loop of one thread; their methods may be called
from any other. They pass on whole chunks as they come, so that they cost little beside what they connect.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import random
import socket
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from devstack.processes import ports
from tests.chaos.database_proxy import Messages, is_commit

Result = TypeVar("Result")

# What PostgreSQL says once a transaction is committed.
_COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"
_NO_FAREWELL = struct.pack("ii", 1, 0)
_REOPEN_ATTEMPTS = 50
_REOPEN_PAUSE_SECONDS = 0.1
_ANSWER_SECONDS = 10.0


class Mode(enum.Enum):
    PASS = "pass"
    #: Nobody listens, and what was connected is cut.
    REFUSE = "refuse"
    #: Connections are taken and nothing comes through. What was said meanwhile arrives when it is over.
    SILENCE = "silence"
    #: The same for some connections, so that a request can arrive after the question what became of it.
    DELAY = "delay"
    #: What is asked arrives; with the answer the connection breaks.
    LOSE_ANSWERS = "lose_answers"
    #: The same for the receipt of a COMMIT alone.
    LOSE_RECEIPTS = "lose_receipts"
    #: The connection breaks with the COMMIT in it.
    LOSE_COMMITS = "lose_commits"


#: How many of the answers (or COMMITs, or connections) it strikes: if it were all, nothing else would happen.
SHARE_STRUCK = 0.5


class Wire:
    """One proxy. `lost` counts what it lost, `cut` the connections that it broke."""

    def __init__(self, name: str, *, upstream_port: int, seed: int) -> None:
        self.name = name
        self.upstream_port = upstream_port
        self.port = 0
        self.mode = Mode.PASS
        self.lost: dict[Mode, int] = dict.fromkeys(Mode, 0)
        self.cut = 0
        self.calls: set[_Call] = set()
        self._chance = random.Random(f"{name} {seed}")
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen, always on the same port; another program may have it for a moment while we did not."""
        for attempt in range(_REOPEN_ATTEMPTS):
            try:
                loop = asyncio.get_running_loop()
                self._server = await loop.create_server(lambda: _Call(self), ports.LOOPBACK, self.port, backlog=256)
            except OSError:
                if attempt == _REOPEN_ATTEMPTS - 1:
                    raise
                await asyncio.sleep(_REOPEN_PAUSE_SECONDS)
            else:
                self.port = int(self._server.sockets[0].getsockname()[1])
                return

    async def set_mode(self, mode: Mode) -> None:
        was, self.mode = self.mode, mode
        if mode is Mode.REFUSE:
            self._close_door()
            self.break_all()
        elif was is Mode.REFUSE:
            await self.open()
        for call in list(self.calls):
            call.set_silent(silent=self.silences())

    def break_all(self) -> None:
        self.cut += len(self.calls)
        for call in list(self.calls):
            call.abort()

    def strikes(self) -> bool:
        """Tell whether it is the turn of this answer (or COMMIT, or connection)."""
        return self._chance.random() < SHARE_STRUCK

    def silences(self) -> bool:
        """Tell whether nothing is to come through a connection for now."""
        return self.mode is Mode.SILENCE or (self.mode is Mode.DELAY and self.strikes())

    def _close_door(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None


class _Call(asyncio.Protocol):
    """A connection through a wire, as the side that was called sees it; `_Upstream` is its other end."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._downstream: asyncio.Transport | None = None
        self._upstream: asyncio.Transport | None = None
        self._waiting = bytearray()
        self._is_over = False
        self._is_silent = False
        #: A COMMIT is under way.
        self._commits = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._downstream = transport
        self._wire.calls.add(self)
        self.set_silent(silent=self._wire.silences())
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            upstream, _ = await loop.create_connection(
                lambda: _Upstream(self), ports.LOOPBACK, self._wire.upstream_port
            )
        except OSError:
            self.abort()
            return
        # A port on which nobody listens may be given to the very connection that looks for it.
        if upstream.get_extra_info("sockname") == upstream.get_extra_info("peername"):
            upstream.abort()
            self.abort()
            return
        self._upstream = upstream
        self.set_silent(silent=self._is_silent)
        upstream.write(bytes(self._waiting))
        if self._is_over:
            upstream.close()

    def data_received(self, data: bytes) -> None:
        if b"COMMIT" in data and any(map(is_commit, Messages(has_startup=False).feed(data))):
            self._commits = True
            if self._wire.mode is Mode.LOSE_COMMITS and self._wire.strikes():
                self._lose(Mode.LOSE_COMMITS)
                return
        if self._upstream is None:
            self._waiting += data
        else:
            self._upstream.write(data)

    def answered(self, data: bytes) -> None:
        """Pass on what came from the other end, or lose it."""
        mode = self._wire.mode
        receipt = self._commits and _COMMITTED in data
        self._commits = self._commits and not receipt
        if (mode is Mode.LOSE_ANSWERS or (mode is Mode.LOSE_RECEIPTS and receipt)) and self._wire.strikes():
            self._lose(mode)
        elif self._downstream is not None:
            self._downstream.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        """Hand the end on, after all that was said before it."""
        del error
        self._is_over = True
        self._wire.calls.discard(self)
        if self._upstream is not None:
            self._upstream.close()

    def upstream_lost(self) -> None:
        if self._downstream is not None:
            self._downstream.close()

    def set_silent(self, *, silent: bool) -> None:
        self._is_silent = silent
        for end in (self._downstream, self._upstream):
            if end is not None and not end.is_closing():
                (end.pause_reading if silent else end.resume_reading)()

    def abort(self) -> None:
        self._is_over = True
        for end in (self._downstream, self._upstream):
            if end is not None:
                # No farewell: both sides get a reset, as from a host that has forgotten them.
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_FAREWELL)
                end.abort()

    def _lose(self, mode: Mode) -> None:
        self._wire.lost[mode] += 1
        self._wire.cut += 1
        self.abort()


class _Upstream(asyncio.Protocol):
    """The end of a call that reaches the server."""

    def __init__(self, call: _Call) -> None:
        self._call = call

    def data_received(self, data: bytes) -> None:
        self._call.answered(data)

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self._call.upstream_lost()


class Wires:
    """All proxies of a storm, by name."""

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._by_name: dict[str, Wire] = {}
        self._given_up: list[Wire] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wires", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(TimeoutError):
            self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ANSWER_SECONDS)
        self._loop.close()

    def add(self, name: str, *, upstream_port: int) -> int:
        """Lay a wire to this port and return the port that stands for it."""
        wire = Wire(name, upstream_port=upstream_port, seed=self._seed)
        self._run(wire.open())
        self._by_name[name] = wire
        return wire.port

    def port_of(self, name: str) -> int:
        return self._by_name[name].port

    def reroute(self, name: str, *, upstream_port: int) -> None:
        """Have what is connected from now on reach another port, and break the rest."""
        self._by_name[name].upstream_port = upstream_port
        self.cut(name)

    def move(self, name: str) -> int:
        """Lay another wire to the same port and return its port. At the old one nothing answers any more."""
        old = self._by_name[name]
        self._run(old.set_mode(Mode.REFUSE))
        self._given_up.append(old)
        return self.add(name, upstream_port=old.upstream_port)

    def set_mode(self, name: str, mode: Mode) -> None:
        self._run(self._by_name[name].set_mode(mode))

    def cut(self, name: str) -> None:
        """Break every connection that there is at this moment."""
        self._loop.call_soon_threadsafe(self._by_name[name].break_all)

    def heal(self) -> None:
        """Have all of them pass everything."""
        for name in self._by_name:
            self.set_mode(name, Mode.PASS)

    @property
    def all(self) -> tuple[Wire, ...]:
        return (*self._by_name.values(), *self._given_up)

    async def _close(self) -> None:
        for wire in self._by_name.values():
            await wire.set_mode(Mode.REFUSE)
        await asyncio.sleep(0)

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_ANSWER_SECONDS)
