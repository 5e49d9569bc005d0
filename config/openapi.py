"""What the operations have in common in the API documentation: the API key, and how errors are shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from gunicorn.http import errors as gunicorn_errors
from rest_framework import exceptions

from accounts import errors as accounts_errors
from config import api_errors, server_problems
from payouts import limits
from payouts.api import openapi_fields, serializers
from rest import openapi, refusals

OperationErrors = tuple[type[Exception], ...]

#: Of each operation that asks for an API key.
KEY_ERRORS: Final[OperationErrors] = (
    accounts_errors.APIKeyMissing,
    accounts_errors.APIKeyInvalid,
    accounts_errors.APIKeyExpired,
    accounts_errors.APIKeyRevoked,
    accounts_errors.MerchantSuspended,
    accounts_errors.NetworkNotAllowed,
    accounts_errors.ScopeMissing,
    exceptions.Throttled,
)
#: Of each operation that takes a body.
BODY_ERRORS: Final[OperationErrors] = (
    exceptions.ParseError,
    refusals.MediaTypeUnsupported,
    refusals.ContentEncodingUnsupported,
)

PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A problem document (RFC 9457).",
    # A refusal by the web server has no `instance`: the server has not read the whole request.
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "Always `about:blank`: the `code` says which problem it is."},
        "title": {"type": "string", "description": "The kind of problem, for people."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599, "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What went wrong and what to do."},
        "instance": {"type": "string", "description": "The path that was asked for."},
        "code": {"type": "string", "description": "The kind of problem, for programs."},
        "request_id": {
            "type": "string",
            "pattern": "^[A-Za-z0-9._-]{1,128}$",
            "description": "Quote it when you report a problem.",
        },
        "errors": {
            "type": "array",
            "description": "For 400: a row for each thing that is wrong.",
            "items": {
                "type": "object",
                "required": ["field", "code", "message"],
                "properties": {
                    "field": {"type": "string", "description": "Dotted path of the field, parameter or header."},
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                },
            },
        },
    },
}
EXAMPLE_REQUEST_ID: Final = "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f"
EXAMPLE_FIELD_ERRORS: Final = [
    {"field": "amount", "code": "too_many_decimals", "message": "JPY has 0 decimals; the amount has more."}
]


class APIKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # It registers its subclasses.
    target_class = "accounts.authentication.APIKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        del auto_schema
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "The word Api-Key, a space, and the key: `Api-Key <prefix>.<secret>`.",
        }


class RecipientDetailsSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call] # Likewise.
    target_class = "payouts.api.serializers.RecipientDetailsField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        text = {"type": "string", "minLength": 1, "maxLength": limits.RECIPIENT_TEXT_LENGTH_MAX}
        if direction == "request":
            text["pattern"] = openapi_fields.ONE_LINE_NOT_BLANK
        structured = auto_schema.resolve_serializer(serializers.RecipientDetailsSerializer, direction)
        return {"oneOf": [text, structured.ref]}


def add_errors(result: dict[str, Any], generator: Any, **_: Any) -> dict[str, Any]:
    """Add each operation's error answers, with an example for each code (a postprocessing hook of drf-spectacular)."""
    del generator
    result["components"].setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            classes = _errors_of(operation, path, method)
            operation["responses"] |= dict(_responses(classes, path=path, safe=method == "get"))
            operation["responses"] |= dict(_responses_of_server(with_query=method == "get"))
    return result


def _errors_of(operation: dict[str, Any], path: str, method: str) -> OperationErrors:
    """Take the operation's own errors out of its description, and return them among those of its kind."""
    # Every operation refuses a query parameter that it does not know.
    own: OperationErrors = (exceptions.ValidationError, *operation.pop(openapi.ERRORS))
    # A malformed id matches no route.
    address: OperationErrors = (exceptions.NotFound,) if "{" in path else ()
    body = BODY_ERRORS if method in {"post", "patch"} else ()
    key = KEY_ERRORS if operation.get("security") else ()
    return (*own, *address, *body, refusals.HTTPSRequired, *key)


def _responses(classes: OperationErrors, *, path: str, safe: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    rows = [(api_errors.problem_of_class(cls), _detail(cls)) for cls in classes]
    lost = api_errors.DATABASE_UNAVAILABLE if safe else api_errors.OUTCOME_UNKNOWN
    always = (lost, api_errors.DATABASE_BUSY, api_errors.INTERNAL_ERROR)
    rows += [(problem, api_errors.DETAILS[problem]) for problem in always]
    for status in sorted({problem.status for problem, _ in rows}):
        of_status = [_example(problem, detail, path) for problem, detail in rows if problem.status == status]
        yield str(status), _answer(of_status)


def _responses_of_server(*, with_query: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the refusals of the web server, which the application does not see (config/server_problems.py)."""
    found: list[tuple[int, Exception]] = [(431, gunicorn_errors.LimitRequestHeaders("too long"))]
    if with_query:
        found.append((414, gunicorn_errors.LimitRequestLine(0, 0)))
    for status, error in found:
        yield str(status), _answer([server_problems.document(error, status=status, request_id=EXAMPLE_REQUEST_ID)])


def _answer(examples: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the description of an answer that is one of these problem documents."""
    return {
        "description": "; ".join(dict.fromkeys(f"`{example['code']}`: {example['title']}" for example in examples)),
        "content": {
            api_errors.CONTENT_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {example["code"]: {"value": example} for example in examples},
            }
        },
    }


def _detail(cls: type[Exception]) -> str:
    if issubclass(cls, refusals.Refusal):
        return cls().message
    problem = api_errors.problem_of_class(cls)
    return api_errors.DETAILS.get(problem, f"{problem.title}.")


def _example(problem: api_errors.Problem, detail: str, path: str) -> dict[str, Any]:
    field_errors = EXAMPLE_FIELD_ERRORS if problem is api_errors.INVALID_REQUEST else None
    example = api_errors.document(problem, detail=detail, instance=path, field_errors=field_errors)
    return {**example, "request_id": EXAMPLE_REQUEST_ID}
