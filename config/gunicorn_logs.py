"""The access log of the web process: one JSON object a line, written by an encoder.

A path comes from a stranger and is logged decoded, so it may have a line feed (`%0a`) or the escape sequences of a
terminal. A format string would write them as they are, and the stranger could write lines of his own.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger


class Logger(GunicornLogger):  # type: ignore[misc] # gunicorn has no types.
    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """Log the path and not the request line: a query may hold the name of a recipient."""
        if not self.access_log_enabled:
            return
        atoms = self.atoms(resp, req, environ, request_time)
        entry = {
            "at": atoms["t"],
            "event": "request.answered",
            "method": atoms["m"],
            # As WSGI wants it, the bytes of the path are characters of Latin-1.
            "path": str(atoms["U"]).encode("latin-1", "replace").decode("utf-8", "replace"),
            "status": str(atoms["s"]),
            "bytes": str(atoms["B"]),
            "seconds": atoms["L"],
            "request_id": atoms.get("{x-request-id}o", "-"),
        }
        # JSON need not escape DEL.
        self.access_log.info("%s", json.dumps(entry).replace("\x7f", "\\u007f"))
