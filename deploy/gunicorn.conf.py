"""gunicorn for the web process. Every number that an installation may want to change comes from the environment."""

from typing import Any

from config import env, startup
from postgres import time_outs

# A request must not wait for a lock or a query for longer than its caller would. libpq reads this for the web process
# alone: migrations may take their time. Behind a pooler that refuses start-up options, set it to an empty string.
# Sums are never compiled by PostgreSQL (jit): that takes longer than they do.
time_outs.ask_for("-c jit=off -c lock_timeout=2s -c statement_timeout=15s -c idle_in_transaction_session_timeout=30s")

wsgi_app = "config.wsgi:application"
try:
    bind = env.text("PAYOUTS_WEB_BIND", "0.0.0.0:8000")
    # A request waits for PostgreSQL most of its time, so a few threads each keep a processor busy.
    workers = env.integer("PAYOUTS_WEB_WORKERS", default=2, minimum=1, maximum=128)
    threads = env.integer("PAYOUTS_WEB_THREADS", default=4, minimum=1, maximum=128)
    accesslog = "-" if env.boolean("PAYOUTS_ACCESS_LOG", default=False) else None
except env.SettingError as error:
    startup.refuse(str(error))
logger_class = "config.gunicorn_logs.Logger"
# gthread, and how long it waits for clients.
worker_class = "config.gunicorn_worker.Worker"
# Seconds without a sign of life of the process, after which it is replaced. What a single request may wait for is
# bounded above, and for its client in config/client_sockets.py.
timeout = 30
graceful_timeout = 20
keepalive = 75
# Memory that fragments is given back now and then, not in all workers at once.
max_requests = 50_000
max_requests_jitter = 5_000
# gunicorn takes no more. RFC 9112 asks for 8,000 bytes at least; the links of our lists have at most so many.
limit_request_line = 8190
# One accepted header is at most this long; a long Authorization header is refused, not stored.
limit_request_field_size = 8190
# Refused with 400: a header with an underscore, which WSGI cannot tell from the one with a hyphen. gunicorn would drop
# it, and with `Idempotency_Key` what keeps a payout from being made twice.
header_map = "refuse"
# No path prefix by a header: a proxy on the same machine would hand on that of any caller.
forwarder_headers = ""
# gunicorn 27 would open a control socket in the home directory, which a container may not have.
control_socket_disable = True


def on_starting(server: Any) -> None:
    """Refuse to start with a sentence where the environment is wrong or the database cannot be reached."""
    del server
    startup.require_settings()
    startup.require_checks()
    startup.require_database()
    # Here once, and not in each process that is forked: 0.3 s of processor time.
    from config import api_document  # noqa: PLC0415 - Django is set up by require_checks

    api_document.make()


def pre_fork(server: Any, worker: Any) -> None:
    """A connection must not be shared by the processes that inherit it."""
    del server, worker
    from django.db import connections  # noqa: PLC0415 - Django is set up by on_starting

    connections.close_all()
