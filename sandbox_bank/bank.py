"""The bank, assembled: it serves requests, settles transfers on time and sends callbacks."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from sandbox_bank import callbacks, console, faults, scenarios, signatures, transfers
from sandbox_bank.listener import Listener
from sandbox_bank.router import Router
from sandbox_bank.scheduler import PeriodicTask
from sandbox_bank.service import TransferService
from sandbox_bank.store import Store

_STOP_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The settings of a bank. Port 0 takes a free one."""

    port: int
    book: Path
    credentials: signatures.Credentials
    #: Callbacks need both.
    callback_url: str = ""
    callback_key: bytes = field(default=b"", repr=False)
    timing: scenarios.Timing = field(default_factory=scenarios.Timing)
    backoff: callbacks.Backoff = field(default_factory=callbacks.Backoff)

    @property
    def sends_callbacks(self) -> bool:
        return bool(self.callback_url and self.callback_key)


class Bank:
    """A bank in this process."""

    def __init__(self, configuration: Configuration) -> None:
        """Open the store; raise BankError if it cannot be used."""
        self._sends_callbacks = configuration.sends_callbacks
        self._store = Store(configuration.book)
        self._callbacks = self._make_sender(configuration) if configuration.sends_callbacks else None
        self._settlement = PeriodicTask("settlement", self._settle)
        injector = faults.FaultInjector()
        service = TransferService(
            self._store,
            injector=injector,
            timing=configuration.timing,
            callbacks=self._sends_callbacks,
            changed=self._wake,
        )
        router = Router(credentials=configuration.credentials, service=service, injector=injector, store=self._store)
        self._listener = Listener(configuration.port, router=router)

    @property
    def port(self) -> int:
        return self._listener.port

    def start(self) -> None:
        """Start listening; raise BankError if the port is not available."""
        self._listener.open()
        self._settlement.start()
        if self._callbacks:
            self._callbacks.start()

    def stop(self) -> None:
        """Finish the current requests and close the store. Due work stays due for the next start."""
        self._listener.stop()
        self._settlement.stop(timeout_seconds=_STOP_SECONDS)
        if self._callbacks:
            self._callbacks.stop(timeout_seconds=_STOP_SECONDS)
        self._store.close()

    def _make_sender(self, configuration: Configuration) -> callbacks.CallbackSender:
        return callbacks.CallbackSender(
            self._store, url=configuration.callback_url, key=configuration.callback_key, backoff=configuration.backoff
        )

    def _settle(self) -> float | None:
        """Apply the steps that are due; return the seconds until the next step."""
        now = time.time()
        with self._store.transaction() as connection:
            settled = transfers.settle_due(connection, now=now, callbacks=self._sends_callbacks)
            next_at = transfers.next_step_at(connection)
        for step in settled:
            console.log(f"{step['reference']} is {step['status']}")
        if settled and self._callbacks:
            self._callbacks.wake()
        return None if next_at is None else next_at - time.time()

    def _wake(self) -> None:
        self._settlement.wake()
        if self._callbacks:
            self._callbacks.wake()
