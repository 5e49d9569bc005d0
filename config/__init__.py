"""The glue: settings, URLs, error table, processes. May import every app; no app imports it.

Celery's application is loaded with the package, so that a task that is rung from a web process finds its broker.
"""

from config.celery import app

__all__ = ["app"]
