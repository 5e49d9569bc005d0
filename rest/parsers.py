"""Strict JSON: a body that two parsers could read differently is refused.

These are refused with the field: a body over the limit, malformed JSON, a name that is twice in one object, NaN and
Infinity, NUL and half surrogate pairs (PostgreSQL cannot store them), deep nesting, a body that is not an object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import ErrorDetail, ParseError, ValidationError
from rest_framework.parsers import BaseParser

from rest import texts

MALFORMED = "The body is not valid JSON"

# What we take has three levels. A limit of ours, far under Python's: beyond that one any step after parsing could fail.
DEPTH_MAX = 32
NESTED_TOO_DEEPLY = f"{MALFORMED}: it is nested more than {DEPTH_MAX} levels deep."


class StrictJSONParser(BaseParser):
    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        del media_type
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        # The web server does not wait for a body that is announced as too large.
        body = b"" if (is_large := _announced_bytes(parser_context) > limit) else stream.read(limit + 1)
        if is_large or len(body) > limit:
            raise invalid("body", "body_too_large", f"The body is over {limit} bytes.")
        data = _load(body)
        if not isinstance(data, dict):
            raise invalid("body", "not_an_object", "The body must be a JSON object.")
        _refuse_unstorable(data, "", depth=1)
        return data


def invalid(field: str, code: str, message: str) -> ValidationError:
    """Return the refusal of one field."""
    return ValidationError({field: [ErrorDetail(message, code=code)]})


def _announced_bytes(parser_context: Mapping[str, Any] | None) -> int:
    """Return the length that the request announces: digits, or the web server would have refused the request."""
    request = (parser_context or {}).get("request")
    length = "" if request is None else str(request.META.get("CONTENT_LENGTH", ""))
    return int(length) if length.isascii() and length.isdigit() else 0


def _load(body: bytes) -> Any:
    try:
        return json.loads(
            # Some clients send a byte order mark. In UTF-8 it has no meaning.
            body.decode("utf-8-sig"),
            object_pairs_hook=_object_without_duplicates,
            parse_constant=_refuse_constant,
        )
    except RecursionError as error:
        raise ParseError(NESTED_TOO_DEEPLY) from error
    except ValueError as error:
        # Not UTF-8, malformed, or a number of more digits than Python converts.
        raise ParseError(f"{MALFORMED}: {error}.") from error


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            # The answer contains the name, and half a surrogate pair cannot be encoded in it.
            field = name if name and texts.is_storable(name) else "body"
            raise invalid(field, "duplicate_key", "This name stands twice in one object.")
        found[name] = value
    return found


def _refuse_constant(name: str) -> Any:
    raise ParseError(f"{MALFORMED}: {name} is not a JSON number.")


def _refuse_unstorable(value: Any, path: str, *, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise ParseError(NESTED_TOO_DEEPLY)
    match value:
        case str() if not texts.is_storable(value):
            raise invalid(path or "body", texts.UNSTORABLE.code, texts.UNSTORABLE.message)
        case dict():
            for name, below in value.items():
                here = f"{path}.{name}".lstrip(".") if texts.is_storable(name) else path
                _refuse_unstorable(name, here, depth=depth)
                _refuse_unstorable(below, here, depth=depth + 1)
        case list():
            for index, below in enumerate(value):
                _refuse_unstorable(below, f"{path}.{index}".lstrip("."), depth=depth + 1)
        case _:
            pass
