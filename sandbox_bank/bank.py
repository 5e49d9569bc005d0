"""The bank, put together: it listens, settles by time, and tells what changed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from sandbox_bank import callbacks, console, faults, scenarios, signatures, transfers
from sandbox_bank.listener import Door
from sandbox_bank.router import Desk
from sandbox_bank.scheduler import Ticker
from sandbox_bank.service import Teller
from sandbox_bank.store import Book

_STOP_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What a bank is started with. Port 0: any that is free."""

    port: int
    book: Path
    credentials: signatures.Credentials
    #: Both, or there are no callbacks.
    callback_url: str = ""
    callback_key: bytes = field(default=b"", repr=False)
    timing: scenarios.Timing = field(default_factory=scenarios.Timing)
    backoff: callbacks.Backoff = field(default_factory=callbacks.Backoff)

    @property
    def tells(self) -> bool:
        return bool(self.callback_url and self.callback_key)


class Bank:
    """A bank in this process."""

    def __init__(self, configuration: Configuration) -> None:
        """Open the book; raise BankError when it cannot be used."""
        self._tells = configuration.tells
        self._book = Book(configuration.book)
        self._courier = self._hire_courier(configuration) if configuration.tells else None
        self._settlement = Ticker("settlement", self._settle)
        dice = faults.Dice()
        teller = Teller(
            self._book, dice=dice, timing=configuration.timing, tells=configuration.tells, changed=self._ring
        )
        desk = Desk(credentials=configuration.credentials, teller=teller, dice=dice, book=self._book)
        self._door = Door(configuration.port, desk=desk)

    @property
    def port(self) -> int:
        return self._door.port

    def start(self) -> None:
        """Open the door; raise BankError when the port cannot be had."""
        self._door.open()
        self._settlement.start()
        if self._courier:
            self._courier.start()

    def stop(self) -> None:
        """Answer what is under way and close the book. What is due stays due for the next start."""
        self._door.stop()
        self._settlement.stop(timeout_seconds=_STOP_SECONDS)
        if self._courier:
            self._courier.stop(timeout_seconds=_STOP_SECONDS)
        self._book.close()

    def _hire_courier(self, configuration: Configuration) -> callbacks.Courier:
        return callbacks.Courier(
            self._book, url=configuration.callback_url, key=configuration.callback_key, backoff=configuration.backoff
        )

    def _settle(self) -> float | None:
        """Give transfers the statuses whose time has come; return the seconds until the next."""
        now = time.time()
        with self._book.transaction() as connection:
            settled = transfers.settle_due(connection, now=now, tells=self._tells)
            next_at = transfers.next_step_at(connection)
        for step in settled:
            console.say(f"{step['reference']} is {step['status']}")
        if settled and self._courier:
            self._courier.ring()
        return None if next_at is None else next_at - time.time()

    def _ring(self) -> None:
        self._settlement.ring()
        if self._courier:
            self._courier.ring()
