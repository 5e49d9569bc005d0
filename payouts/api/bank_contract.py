"""The API that a bank must implement, as a page: docs/bank-api.yaml, for developers of a gateway."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from rest.document_answers import Document, answer

FILE: Final = Path(settings.BASE_DIR, "docs", "bank-api.yaml")


@cache
def _document() -> Document:
    return Document.of(FILE.read_bytes())


@require_safe
def bank_schema(request: HttpRequest) -> HttpResponse:
    """Answer with the OpenAPI description."""
    return answer(request, _document(), content_type="application/vnd.oai.openapi; charset=utf-8")
