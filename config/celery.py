"""Celery's application: how the doorbell is rung and heard.

The settings make publishing give up at once, for a web process must never be held up by a broker that is silent or
gone. A worker has nothing better to do than to wait for its broker, so it takes that impatience off again.
"""

from __future__ import annotations

import logging.config
import os
from typing import Any

from celery import Celery
from celery.signals import celeryd_init, setup_logging, worker_init
from django.conf import settings

from config import startup

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("payouts")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@app.on_configure.connect
def _require_settings(**_: Any) -> None:
    startup.require_settings()


@celeryd_init.connect
def _wait_for_the_broker(conf: Any, **_: Any) -> None:
    conf.broker_transport_options = {}
    conf.broker_connection_timeout = 4.0


@setup_logging.connect
def _use_django_logging(**_: Any) -> None:
    """A receiver here keeps Celery from replacing the logging of settings.py."""
    logging.config.dictConfig(settings.LOGGING)


@worker_init.connect
def _require_working_set_up(**_: Any) -> None:
    startup.require_checks()
    startup.require_database()
