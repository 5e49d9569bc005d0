"""Which Host headers are answered: those of DJANGO_ALLOWED_HOSTS, and any for the pages of health.

An orchestrator probes a process by its address, which no list of hosts can name in advance.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware

from config import pages


class HostMiddleware(CommonMiddleware):
    """Django's own, which looks at the Host header, except for the pages of health."""

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        if request.path in pages.HEALTH_PATHS:
            return None
        return super().process_request(request)
