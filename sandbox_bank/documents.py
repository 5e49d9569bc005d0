"""Read JSON strictly: refuse what two parsers could read in two ways."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from sandbox_bank import responses


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in this body; raise Refusal (400) for anything else."""
    try:
        document = json.loads(body.decode("utf-8"), object_pairs_hook=_without_repeats, parse_constant=_no_constant)
    except RecursionError as error:
        raise responses.malformed("The body is nested too deeply.") from error
    except ValueError as error:
        raise responses.malformed(f"The body is not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise responses.malformed("The body must be a JSON object.")
    return document


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a name is there twice")
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
