"""What lies in the queues of the broker."""

from __future__ import annotations

import base64
import json
from typing import Any

import redis

from config.celery import app
from payouts import dispatch

FLUSH_SECONDS = 5.0


class Doorbell:
    """The queues in the broker, as a worker would find them."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.silence()

    def silence(self) -> None:
        dispatch.flush(seconds=FLUSH_SECONDS)
        self._client.delete("payouts", "callbacks", "exports")

    def rung(self, queue: str = "payouts") -> int:
        """Return for how many payouts, callbacks or exports there is a message, or will be one of this process."""
        assert dispatch.flush(seconds=FLUSH_SECONDS)
        return sum(_counted(message) for message in self._client.lrange(queue, 0, -1))

    def messages(self, queue: str = "payouts") -> int:
        assert dispatch.flush(seconds=FLUSH_SECONDS)
        return len(self._client.lrange(queue, 0, -1))


def _counted(message: bytes | str) -> int:
    argument: object = json.loads(base64.b64decode(json.loads(message)["body"]))[0][0]
    return len(argument) if isinstance(argument, list) else 1


def forget_connections() -> None:
    """The pool was made for the address that was there when Celery first rang."""
    dispatch.flush(seconds=FLUSH_SECONDS)
    amqp: Any = app.amqp
    amqp._producer_pool = None
