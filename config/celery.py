"""Celery's application: how the doorbell is rung and heard.

The settings make publishing give up at once, for a web process must never be held up by a broker that is silent or
gone. A worker has nothing better to do than to wait for its broker, so it takes that impatience off again; its
children, which do the tasks and ring from there, put it on once more.
"""

from __future__ import annotations

import logging.config
import os
from typing import Any

from celery import Celery
from celery.signals import celeryd_init, setup_logging, worker_init, worker_process_init
from django.conf import settings

from config import startup

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("payouts")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@app.on_configure.connect
def _require_settings(**_: Any) -> None:
    startup.require_settings()


# A worker waits for its broker as long as it takes, but by trying again: were a single wait endless, SIGTERM would not
# end a worker whose broker is frozen. As it is that takes 10 s with Redis and 17 s with RabbitMQ.
_PATIENT = {"socket_timeout": 4.0, "socket_connect_timeout": 4.0, "read_timeout": 2.0, "write_timeout": 2.0}


@celeryd_init.connect
def _wait_for_the_broker(conf: Any, **_: Any) -> None:
    conf.broker_transport_options = _PATIENT
    conf.broker_connection_timeout = 4.0
    # By default a worker gives up after 100 attempts, which is after 50 minutes.
    conf.broker_connection_max_retries = None


@worker_process_init.connect
def _do_not_wait_for_the_broker(**_: Any) -> None:
    """A task rings for the payout that comes next, and would otherwise wait for a frozen broker until it is killed."""
    app.conf.broker_transport_options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    app.conf.broker_connection_timeout = settings.CELERY_BROKER_CONNECTION_TIMEOUT


@setup_logging.connect
def _use_django_logging(**_: Any) -> None:
    """A receiver here keeps Celery from replacing the logging of settings.py."""
    logging.config.dictConfig(settings.LOGGING)


@worker_init.connect
def _require_working_set_up(**_: Any) -> None:
    os.environ.setdefault("PGOPTIONS", settings.WORKER_PGOPTIONS)
    startup.require_checks()
    startup.require_database()
