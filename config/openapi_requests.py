"""Closed request bodies in the API documentation: the API refuses a field that the schema does not name.

Answers stay open: a release may add fields to them, and clients have to ignore fields that they do not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

_PREFIX: Final = "#/components/schemas/"
_EMPTY_TEXT: Final = {"type": "string", "maxLength": 0}


def close_requests(result: dict[str, Any], generator: Any, **_: Any) -> dict[str, Any]:
    """Add `additionalProperties: false` to each object of a request body (a postprocessing hook of drf-spectacular)."""
    del generator
    schemas = result["components"]["schemas"]
    bodies = [
        content["schema"]
        for operations in result["paths"].values()
        for operation in operations.values()
        for content in operation.get("requestBody", {}).get("content", {}).values()
    ]
    for schema in _reachable(bodies, schemas):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        _merge_empty_text(schema)
    return result


def _merge_empty_text(schema: dict[str, Any]) -> None:
    """Undo the `oneOf` that drf-spectacular makes of a text with a pattern and of the empty text.

    Our patterns match the empty text if it is allowed. So the empty text would match both alternatives, and `oneOf`
    would refuse it.
    """
    if isinstance(alternatives := schema.get("oneOf"), list) and _EMPTY_TEXT in alternatives:
        (text,) = (alternative for alternative in alternatives if alternative != _EMPTY_TEXT)
        del schema["oneOf"]
        schema.update(text)


def _reachable(start: list[Any], schemas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each schema that these consist of, once."""
    waiting, seen = list(start), set[int]()
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict) and id(value) not in seen:
            seen.add(id(value))
            yield value
            waiting += [below for name, below in value.items() if name not in {"example", "examples", "default"}]
            if str(value.get("$ref", "")).startswith(_PREFIX):
                waiting.append(schemas[value["$ref"].removeprefix(_PREFIX)])
