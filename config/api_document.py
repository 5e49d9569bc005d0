"""The OpenAPI document of the API: made once for each process, and served as bytes.

drf-spectacular takes a quarter of a second of processor time, and is not thread-safe: it loads its extensions during
the first run, and a second thread fails. So gunicorn makes the document before it forks (deploy/gunicorn.conf.py).
Under other servers the first request makes it and the others wait. Workers, the sweeper and commands never make it.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.views import APIView

from rest.document_answers import Document, answer

#: Documents by format, as in `?format=`.
_made: dict[str, Document] = {}
_making: Final = threading.Lock()


def make() -> dict[str, Document]:
    """Return the document in each format. The first caller makes it; other threads wait."""
    with _making:
        if not _made:
            generator: Any = SchemaGenerator
            schema = generator().get_schema(request=None, public=True)
            _made.update(
                {
                    renderer.format: Document.of(renderer().render(schema, renderer_context={}))
                    for renderer in (OpenApiYamlRenderer, OpenApiJsonRenderer)
                }
            )
    return _made


def is_made() -> bool:
    """Tell whether a request would find the document ready."""
    return bool(_made)


class APIDocumentView(APIView):
    """The document, in the format that the request prefers: YAML or JSON, by the usual names of each."""

    http_method_names = ["get", "head"]
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()
    content_negotiation_class = DefaultContentNegotiation
    renderer_classes = (OpenApiYamlRenderer, OpenApiYamlRenderer2, OpenApiJsonRenderer, OpenApiJsonRenderer2)
    # The API does not describe its own description.
    schema = None

    def get(self, request: Request) -> HttpResponse:
        chosen: Any = request.accepted_renderer
        content_type = f"{chosen.media_type}; charset={chosen.charset}" if chosen.charset else chosen.media_type
        response = answer(request, make()[chosen.format], content_type=content_type)
        response.headers["Content-Disposition"] = f'inline; filename="Payouts API.{chosen.format}"'
        return response
