"""Names and descriptions of the choices in the API documentation: one component for each set of values.

drf-spectacular makes components only for fields of serializers, and describes each value by its label. Without this
module parameters would repeat the values, and generated clients would have further types for them.
"""

from __future__ import annotations

from typing import Any, Final

#: Meaning of each value for integrators, by the name of the component.
MEANINGS: Final[dict[str, dict[str, str]]] = {
    "PayoutStatus": {
        "pending": "accepted, and waiting to be sent",
        "processing": "being sent to the provider",
        "submitted": "taken by the provider, which has not said yet how it ended",
        "unknown": "may have been sent; the provider is being asked",
        "requires_attention": "an operator has to look at it",
        "paid": "money moved",
        "failed": "no money moved, and there is evidence of it",
        "canceled": "called off before anything was sent",
        "returned": "money moved and came back",
    },
    "Mode": {"live": "moves money", "test": "moves none"},
    "Scope": {
        "payouts:read": "read, list, sum and export payouts",
        "payouts:write": "create, change and cancel payouts",
        "reports:read": "list, sum and export payouts only",
    },
    "WaitingReason": {
        "payouts_paused": "an operator has paused all payouts",
        "merchant_paused": "an operator has paused the merchant's payouts",
        "provider_paused": "an operator has paused the provider",
        "under_review": "an operator has to look at the payout",
        "merchant_failing": "the merchant's payouts do not get through, those of others do; they are tried again by "
        "themselves",
        "provider_unavailable": "the provider cannot be reached; it is tried again by itself",
        "provider_missing": "this installation has no such provider",
    },
    "AttemptKind": {
        "send": "the provider was asked to pay",
        "ask": "the provider was asked what became of the payout",
        "callback": "the provider reported by itself",
        "operator": "an operator decided",
    },
    "AttemptOutcome": {
        "paid": "the money was paid",
        "accepted": "the provider took the payout, which is not final yet",
        "rejected": "the provider refused the payout",
        "returned": "the money came back",
        "not_found": "the provider does not know the payout",
        "not_sent": "the request cannot have reached the provider",
        "unknown": "the answer does not say what happened",
        "retried": "an operator had the payout sent again",
        "asked": "an operator had the provider asked again",
        "acknowledged": "an operator has looked at a contradiction",
    },
    "ExportStatus": {
        "pending": "waiting for a worker",
        "running": "being made",
        "completed": "made as a whole",
        "failed": "could not be made; `error` says why",
        "canceled": "called off",
        "expired": "made, and no longer kept",
    },
    "ExportKind": {"stream": "sent while it was made", "job": "made in the background, to be downloaded"},
    "ExportFormat": {
        "csv": "comma-separated values with a line of names (RFC 4180)",
        "ndjson": "a JSON document on each line, and a trailer on the last",
    },
    "Ordering": {
        "-created_at": "newest first",
        "created_at": "oldest first",
        "-amount": "greatest amount first",
        "amount": "least amount first",
    },
}
#: Names in generated clients for values that are no identifiers: some generators would number them (VALUE_0).
NAMES: Final[dict[str, dict[str, str]]] = {
    "Scope": {
        "payouts:read": "PAYOUTS_READ",
        "payouts:write": "PAYOUTS_WRITE",
        "reports:read": "REPORTS_READ",
    },
    "Ordering": {
        "-created_at": "NEWEST_FIRST",
        "created_at": "OLDEST_FIRST",
        "-amount": "GREATEST_FIRST",
        "amount": "LEAST_FIRST",
    },
    "Blank": {"": "NONE"},
}


# drf-spectacular describes a nullable choice as one of the choice and this component.
_NULL: Final = "Null"


def share_enums(result: dict[str, Any], generator: Any, **_: Any) -> dict[str, Any]:
    """Describe the components of choices, and refer to them from each copy of their values (a postprocessing hook)."""
    del generator
    schemas = result["components"]["schemas"]
    schemas.pop(_NULL, None)
    components = {frozenset(schema["enum"]): name for name, schema in schemas.items() if "enum" in schema}
    for name in components.values():
        _describe(name, schemas[name])
    for name, schema in schemas.items():
        if name not in components.values():
            _refer(schema, components)
    for operations in result["paths"].values():
        _refer(operations, components)
    return result


def _describe(name: str, schema: dict[str, Any]) -> None:
    schema["type"] = "string"
    meanings = MEANINGS.get(name, {})
    if meanings:
        schema["description"] = "\n".join(f"* `{value}`: {meanings.get(value, value)}" for value in schema["enum"])
    if name == "Blank":
        schema["description"] = "Empty: there is none."
    if name in NAMES:
        schema["x-enum-varnames"] = [NAMES[name][value] for value in schema["enum"]]


def _merge_null(schema: dict[str, Any]) -> None:
    """Mark a nullable choice with `nullable`: a component for null would become a type in generated clients."""
    null = {"$ref": f"#/components/schemas/{_NULL}"}
    if isinstance(alternatives := schema.get("oneOf"), list) and null in alternatives:
        left = [alternative for alternative in alternatives if alternative != null]
        del schema["oneOf"]
        schema |= {"allOf" if len(left) == 1 else "oneOf": left, "nullable": True}


def _refer(value: Any, components: dict[frozenset[str], str]) -> None:
    if isinstance(value, list):
        for below in value:
            _refer(below, components)
    elif isinstance(value, dict):
        _merge_null(value)
        name = components.get(frozenset(value["enum"])) if isinstance(value.get("enum"), list) else None
        if name is not None:
            # OpenAPI 3.0 ignores the siblings of a reference.
            beside = {key: value[key] for key in ("default", "description", "nullable", "readOnly") if key in value}
            value.clear()
            reference = {"$ref": f"#/components/schemas/{name}"}
            value.update({"allOf": [reference], **beside} if beside else reference)
        for below in value.values():
            _refer(below, components)
