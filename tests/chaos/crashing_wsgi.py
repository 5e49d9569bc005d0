"""config.wsgi:application with places at which the process can be killed. Only tests serve it.

A request names its place in the header X-Crash-At: before_write, before_commit, before_ring or before_answer. Arrived
there, the thread leaves the process's id in a file of that name and goes no further, so that the test decides what
happens meanwhile and when kill -9 comes. All of it is put round the platform from outside, by what Django and WSGI
offer for that, and round the doorbell. The platform itself has no place for such a thing, nothing to switch on and
nothing to pay for.
Without CRASH_MARKERS, the directory of those files, this module cannot even be imported.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from django.db import connection

from config.wsgi import application as platform
from payouts import dispatch

MARKERS: Final = Path(os.environ["CRASH_MARKERS"])

# Less than the 30 s after which PostgreSQL would end the silent transaction (deploy/gunicorn.conf.py).
STOPPED_SECONDS: Final = 25.0
FLUSH_SECONDS: Final = 5.0

# The key with its answer and all else that a POST writes. After it nothing is left but COMMIT.
WRITE: Final = "INSERT INTO idempotency_idempotencyrecord "

_request = threading.local()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """Answer like the platform, and stop where the request says."""
    _request.point = environ.get("HTTP_X_CRASH_AT")
    with connection.execute_wrapper(_watch_statement):
        answer = platform(environ, start_response)
    if _request.point == "before_answer":
        # The message is sent by a thread of its own.
        assert dispatch.flush(seconds=FLUSH_SECONDS)
    # Everything is done, and the server sends nothing before it has been given the answer.
    _arrive("before_answer")
    return answer


def _watch_statement(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 - Django's signature
    if WRITE not in sql:
        return execute(sql, params, many, context)
    _arrive("before_write")
    result = execute(sql, params, many, context)
    _arrive("before_commit")
    return result


_ring = dispatch._doorbell.ring


def _stop_before_ring(task: str, argument: str | int) -> None:
    _arrive("before_ring")
    _ring(task, argument)


dispatch._doorbell.ring = _stop_before_ring  # type: ignore[method-assign] # Put round it from outside: see above.


def _arrive(point: str) -> None:
    """Go no further if this is the point; the file appears whole."""
    if getattr(_request, "point", None) != point:
        return
    unfinished = MARKERS / f"{point}.unfinished"
    unfinished.write_text(str(os.getpid()), encoding="ascii")
    unfinished.rename(MARKERS / point)
    time.sleep(STOPPED_SECONDS)
    # The test has forgotten it. What would happen next is not what anybody asked for.
    os.kill(os.getpid(), signal.SIGKILL)
