"""What lies in the queues of the broker."""

from __future__ import annotations

from typing import Any

import redis

from config.celery import app


class Doorbell:
    """The queues in the broker, as a worker would find them."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.silence()

    def silence(self) -> None:
        self._client.delete("payouts", "callbacks", "exports")

    def rung(self, queue: str = "payouts") -> int:
        length = self._client.llen(queue)
        assert isinstance(length, int)
        return length


def forget_connections() -> None:
    """The pool was made for the address that was there when Celery first rang."""
    amqp: Any = app.amqp
    amqp._producer_pool = None
