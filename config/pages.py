"""Which paths are pages for people. A redirect leads a browser on; a program gets a refusal that says what to do."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest
from django.urls import is_valid_path, reverse
from django.utils.http import escape_leading_slashes

#: What an orchestrator or a collector asks, inside the installation.
HEALTH_PATHS: Final = frozenset({"/livez", "/readyz", "/metrics"})
#: Names of the URLs under /api/ that people open in a browser.
DOCUMENTATION: Final = ("swagger-ui", "redoc", "bank-redoc")
#: A redirect of any other method would lose the body, or the method, or both.
REDIRECTED_METHODS: Final = frozenset({"GET", "HEAD"})


def is_for_people(path: str) -> bool:
    """Tell whether the path is a page that people open, with or without its last slash."""
    path = f"{path.rstrip('/')}/"
    return not path.startswith("/api/") or path in {reverse(name) for name in DOCUMENTATION}


def is_redirected(request: HttpRequest) -> bool:
    """Tell whether a redirect answers the request well: a browser reads a page for people."""
    return request.method in REDIRECTED_METHODS and is_for_people(request.path)


def lacks_slash(request: HttpRequest) -> bool:
    """Tell whether the path would lead somewhere if it ended with a slash."""
    return not request.path_info.endswith("/") and bool(is_valid_path(f"{request.path_info}/"))


def address_with_slash(request: HttpRequest) -> str:
    """Return the path with its slash, and the query as it was."""
    return escape_leading_slashes(request.get_full_path(force_append_slash=True))
