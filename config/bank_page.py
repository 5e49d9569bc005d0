"""The contract that a bank has to speak, as a page: docs/bank-api.yaml, for whoever puts a gateway behind it."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

DOCUMENT = Path(settings.BASE_DIR, "docs", "bank-api.yaml")


@require_safe
def bank_schema(request: HttpRequest) -> HttpResponse:
    """Answer with the OpenAPI description."""
    del request
    return HttpResponse(DOCUMENT.read_bytes(), content_type="application/vnd.oai.openapi; charset=utf-8")
