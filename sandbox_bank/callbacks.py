"""Send callbacks to the platform until it accepts them.

The transaction that changes a transfer also stores the callback. So each callback is delivered at least once, even if
either process is killed.
"""

from __future__ import annotations

import http.client
import queue
import sqlite3
import threading
import time
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from sandbox_bank import console, signatures, transfers
from sandbox_bank.scheduler import PeriodicTask
from sandbox_bank.store import Store

_SENDERS = 4
# Enough to keep the senders busy, few enough that most callbacks are still due, not queued, if the platform restarts.
_QUEUED_MAX = 4 * _SENDERS
_TIMEOUT_SECONDS = 5.0
_PAUSE_AFTER_FAILURE_SECONDS = 1.0


@dataclass(frozen=True)
class Backoff:
    """The delays between attempts to deliver a callback."""

    first_seconds: float = 0.2
    max_seconds: float = 10.0

    def delay_seconds(self, attempts: int) -> float:
        """Return the delay after this many attempts, from 1."""
        doubled: float = self.first_seconds * 2 ** min(attempts - 1, 30)
        return min(self.max_seconds, doubled)


class CallbackSender:
    """Delivers the stored callbacks with a few threads."""

    def __init__(self, store: Store, *, url: str, key: bytes, backoff: Backoff) -> None:
        self._store = store
        self._url = urlsplit(url)
        self._key = key
        self._backoff = backoff
        self._lock = threading.Lock()
        self._under_way: set[str] = set()
        self._queue: queue.SimpleQueue[transfers.Event | None] = queue.SimpleQueue()
        self._stopped = False
        self._task = PeriodicTask("callbacks", self._dispatch)

    def start(self) -> None:
        for number in range(_SENDERS):
            # Daemons: a slow platform must not delay the end of the bank.
            threading.Thread(target=self._send, name=f"sender-{number}", daemon=True).start()
        self._task.start()

    def wake(self) -> None:
        """Look for due callbacks now."""
        self._task.wake()

    def stop(self, *, timeout_seconds: float) -> None:
        """Send nothing more. A callback in progress may be sent again after the next start."""
        self._stopped = True
        self._task.stop(timeout_seconds=timeout_seconds)
        for _ in range(_SENDERS):
            self._queue.put(None)

    def _dispatch(self) -> float | None:
        """Queue the due callbacks for the senders; return the seconds until more are due."""
        with self._lock:
            under_way = set(self._under_way)
        now = time.time()
        with self._store.transaction() as connection:
            due = transfers.due_events(connection, now=now, limit=_QUEUED_MAX)
            next_at = transfers.next_event_at(connection, now=now)
        for event in due:
            if event.id not in under_way:
                with self._lock:
                    self._under_way.add(event.id)
                self._queue.put(event)
        return None if next_at is None else next_at - now

    def _send(self) -> None:
        while event := self._queue.get():
            try:
                self._deliver(event)
            except sqlite3.Error as error:
                if self._stopped:
                    return  # The store was closed during the request.
                # The callback is sent again: a duplicate is better than a loss.
                console.log(f"callback {event.id} cannot be noted as told: {error}")
                time.sleep(_PAUSE_AFTER_FAILURE_SECONDS)
            with self._lock:
                self._under_way.discard(event.id)
            self._task.wake()

    def _deliver(self, event: transfers.Event) -> None:
        problem = _post(self._url, event, self._key)
        if not problem:
            with self._store.transaction() as connection:
                transfers.mark_delivered(connection, event.id)
            return
        delay = self._backoff.delay_seconds(event.attempts + 1)
        console.log(f"callback {event.id} was not taken ({problem}), again in {delay:g} s")
        with self._store.transaction() as connection:
            transfers.postpone(connection, event.id, due_at=time.time() + delay)


def _post(url: SplitResult, event: transfers.Event, key: bytes) -> str:
    """Return why the callback was not accepted, or an empty string if it was."""
    signature = signatures.sign_webhook(key, event_id=event.id, timestamp=int(time.time()), body=event.body)
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request(
            "POST",
            url.path + (f"?{url.query}" if url.query else ""),
            event.body,
            {**signature, "Content-Type": "application/json", "Connection": "close"},
        )
        status = connection.getresponse().status
    # UnicodeError: a host name that has no DNS form.
    except (OSError, UnicodeError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()
    return "" if 200 <= status < 300 else f"answered {status}"
