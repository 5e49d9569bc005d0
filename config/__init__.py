"""The glue: settings, URLs, error table, processes. May import every app; no app imports it.

The package loads the Celery application, so that a task that a web process enqueues finds the broker.
"""

from config.celery import app

__all__ = ["app"]
