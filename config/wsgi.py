"""The web process: `gunicorn --config deploy/gunicorn.conf.py config.wsgi:application`.

Here a request is made of what the server read, before any middleware could answer: whatever fails here is a page of the
server's and not a problem document of ours.
"""

from __future__ import annotations

import os
from io import BytesIO
from typing import Any

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils.http import parse_header_parameters

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


class PlatformRequest(WSGIRequest):
    """A request in UTF-8 whose body has a length."""

    def __init__(self, environ: dict[str, Any]) -> None:
        if "HTTP_TRANSFER_ENCODING" in environ and environ.get("wsgi.input_terminated"):
            _measure_body(environ)
        super().__init__(environ)

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        """Read the Content-Type, and do not listen to the charset.

        Django would decode the query string by it, and fail where it is none for texts ("hex"). A header that cannot be
        read at all names no type that we take.
        """
        try:
            self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except ValueError:
            meta["CONTENT_TYPE"] = ""
            self.content_type, self.content_params = "", {}


def _measure_body(environ: dict[str, Any]) -> None:
    """Read a body that comes in chunks: Django takes what has no Content-Length for empty, and so would we."""
    try:
        body = BytesIO(environ["wsgi.input"].read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1))
    except OSError:
        body = BrokenBody(b"?")
    environ |= {"wsgi.input": body, "CONTENT_LENGTH": str(len(body.getbuffer()))}


class BrokenBody(BytesIO):
    """Raises when it is read, where a view can answer it."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Raise what the connection has raised already."""
        raise OSError("the body did not arrive")


class PlatformHandler(WSGIHandler):
    request_class = PlatformRequest


django.setup(set_prefix=False)
application = PlatformHandler()
