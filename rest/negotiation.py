"""The API answers JSON for any Accept header: a refusal in another format would help no client.

It accepts only bodies that are marked as JSON. REST framework's own negotiation would accept `*/*`.
"""

from __future__ import annotations

from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from rest import bodies


class AlwaysJSON(DefaultContentNegotiation):
    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        del request, format_suffix
        return renderers[0], renderers[0].media_type

    def select_parser(self, request: Request, parsers: Any) -> BaseParser:
        """Return the one parser. Called for a request with a body; raises what rest/bodies.py refuses."""
        bodies.require_plain(request)
        bodies.require_json(request)
        parser: BaseParser = parsers[0]
        return parser
