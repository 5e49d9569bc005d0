"""The doorbell: a thread that sends messages to the workers, so that no request waits for the broker.

The work that a message is for is committed and due. So a lost message costs only time (the sweeper finds the work), and
a message may be dropped: if the broker does not take it, and if more wait than fit.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

logger = logging.getLogger(__name__)

#: Messages that may wait, about a megabyte. A broker that is away costs half a second for each try.
WAITING_MAX: Final = 10_000
#: How long a process that ends waits for the last messages. A broker that is well takes milliseconds.
LAST_SECONDS: Final = 1.5

#: A task's name and its argument.
Message = tuple[str, str | int]


class Doorbell:
    """Sends what has gathered since its last turn, in order.

    The thread starts with the first message, so after any fork that came before. `send` must not raise.
    """

    def __init__(self, send: Callable[[Sequence[Message]], None], *, waiting_max: int = WAITING_MAX) -> None:
        self._send = send
        self._waiting_max = waiting_max
        self._forget()
        # A child of a fork has neither the thread nor the right to the parent's messages.
        os.register_at_fork(after_in_child=self._forget)
        atexit.register(self.flush, seconds=LAST_SECONDS)

    def _forget(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Message] = deque()
        self._thread: threading.Thread | None = None
        self._is_sending = False

    def ring(self, task: str, argument: str | int) -> None:
        """Have a message sent soon, or drop it if too many wait. Never waits for the broker, and never raises."""
        with self._changed:
            if len(self._waiting) >= self._waiting_max:
                logger.warning("enqueue.dropped", extra={"task": task, "argument": argument})
                return
            self._waiting.append((task, argument))
            if self._thread is None:
                self._start()
            self._changed.notify_all()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="doorbell", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            # The process has all the threads that it may have, or it is about to end.
            self._thread = None
            self._waiting.clear()
            logger.warning("enqueue.failed", extra={"error": str(error)})

    def flush(self, *, seconds: float) -> bool:
        """Wait until all messages are sent or dropped. Return False if that takes longer than `seconds`."""
        ends_at = time.monotonic() + seconds
        with self._changed:
            return self._changed.wait_for(self._is_idle, timeout=max(0.0, ends_at - time.monotonic()))

    def _is_idle(self) -> bool:
        return not self._waiting and not self._is_sending

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting))
                messages = list(self._waiting)
                self._waiting.clear()
                self._is_sending = True
            try:
                self._send(messages)
            finally:
                with self._changed:
                    self._is_sending = False
                    self._changed.notify_all()
