"""Celery's application: the limits of publishing and of consuming.

By the settings, publishing gives up early: a broker that is silent or gone must not delay a web process. The main
process of a worker has to wait for its broker, so it replaces these limits. Its child processes run the tasks, which
publish as well, so they restore the limits.
"""

from __future__ import annotations

import logging.config
import os
from typing import Any

from billiard import pool
from celery import Celery
from celery.signals import celeryd_init, setup_logging, worker_init, worker_process_init
from django.conf import settings

from config import startup
from postgres import time_outs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("payouts")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@app.on_configure.connect
def _require_settings(**_: Any) -> None:
    startup.require_settings()


# A worker waits for its broker without limit, in many short waits. With one endless wait, SIGTERM would not end a
# worker whose broker is frozen. With these limits that takes 10 s with Redis and 17 s with RabbitMQ.
_PATIENT = {"socket_timeout": 4.0, "socket_connect_timeout": 4.0, "read_timeout": 2.0, "write_timeout": 2.0}


@celeryd_init.connect
def _wait_for_the_broker(conf: Any, **_: Any) -> None:
    conf.broker_transport_options = _PATIENT
    conf.broker_connection_timeout = 4.0
    # No limit: by default a worker gives up after 100 attempts, which take 50 minutes.
    conf.broker_connection_max_retries = None


@worker_process_init.connect
def _do_not_wait_for_the_broker(**_: Any) -> None:
    """Restore the limits: a task enqueues the next payout, and a frozen broker would block it until it is killed."""
    app.conf.broker_transport_options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    app.conf.broker_connection_timeout = settings.CELERY_BROKER_CONNECTION_TIMEOUT


@setup_logging.connect
def _use_django_logging(**_: Any) -> None:
    """Configure logging by the settings. Without a receiver of this signal, Celery replaces that configuration."""
    logging.config.dictConfig(settings.LOGGING)


@worker_init.connect
def _end_soon(**_: Any) -> None:
    """Let a child process end soon. It waits up to 30 s for the main process to read its last result.

    During a shutdown that may never happen: the main process waits for its children by then. A result is of no use
    here. A message that was not acknowledged for lack of it comes again, and finds nothing to do.
    """
    pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = round(1 / pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_INTERVAL)


@worker_init.connect
def _require_working_set_up(**_: Any) -> None:
    time_outs.ask_for(settings.WORKER_PGOPTIONS)
    startup.require_checks()
    startup.require_database()
