"""What the API documentation says about each operation of payouts."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
)

from idempotency import errors as idempotency_errors
from idempotency.openapi import KEY_ERRORS, KEY_EXAMPLES, KEY_FORM, KEY_SCHEMA, OPTIONAL_KEY, REPLAYED
from payouts import errors
from payouts.api import receipts, serializers
from payouts.filters.selection import ORDERINGS
from rest import pagination, refusals
from rest.openapi import IF_MATCH, IF_NONE_MATCH, operation

PAYOUT_ID: Final = "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f"

#: A recipient in one line comes first, as it is the least that one can send.
REQUEST: Final = {
    "amount": "100.00",
    "currency": "USD",
    "recipient_details": "Card ****1234",
    "comment": "Test payout",
}
STRUCTURED_REQUEST: Final = {
    "amount": "10.50",
    "currency": "EUR",
    "recipient_details": {"name": "Jane Doe", "account": "DE89370400440532013000"},
    "comment": "Refund of order 4711",
    "reference": "order-4711",
    "metadata": {"department": "returns"},
}
PAYOUT: Final[dict[str, Any]] = {
    "id": PAYOUT_ID,
    "status": "pending",
    "mode": "test",
    **REQUEST,
    "reference": "",
    "metadata": {},
    "idempotency_key": "order-4711-refund",
    "failure_code": "",
    "failure_message": "",
    "waiting_reason": "",
    "created_at": "2026-11-23T12:00:00.000000Z",
    "updated_at": "2026-11-23T12:00:00.000000Z",
    "provider": "sandbox",
    "provider_reference": "",
    "completed_at": None,
    "expires_at": None,
}
STRUCTURED_PAYOUT: Final = {**PAYOUT, **STRUCTURED_REQUEST}
_COMPLETED: Final = {"updated_at": "2026-11-23T12:00:01.250000Z", "completed_at": "2026-11-23T12:00:01.250000Z"}
_PAID: Final = {"status": "paid", "provider_reference": f"sandbox-{PAYOUT_ID}", **_COMPLETED}
PAID: Final = {**PAYOUT, **_PAID}
STRUCTURED_PAID: Final = {**STRUCTURED_PAYOUT, **_PAID}
CANCELED: Final = {**PAYOUT, "status": "canceled", **_COMPLETED}
HISTORY: Final = {
    "transitions": [
        {
            "from_status": "",
            "to_status": "pending",
            "actor": "merchant:aB3dE5gH",
            "reason": "created",
            "created_at": "2026-11-23T12:00:00.000000Z",
        },
        {
            "from_status": "pending",
            "to_status": "processing",
            "actor": "worker",
            "reason": "claimed",
            "created_at": "2026-11-23T12:00:00.500000Z",
        },
        {
            "from_status": "processing",
            "to_status": "paid",
            "actor": "worker",
            "reason": "provider: paid",
            "created_at": "2026-11-23T12:00:01.250000Z",
        },
    ],
    "attempts": [
        {
            "number": 1,
            "kind": "send",
            "started_at": "2026-11-23T12:00:00.500000Z",
            "finished_at": "2026-11-23T12:00:01.250000Z",
            "outcome": "paid",
            "code": "",
            "message": "",
        }
    ],
    "next": None,
    "previous": None,
}

HISTORY_CURSOR: Final = OpenApiParameter(
    "cursor",
    {"type": "string", "pattern": "^[A-Za-z0-9_.:-]+$", "maxLength": pagination.CURSOR_BYTES_MAX},
    description="Take it from `next` or `previous`; it holds for the history of this payout only.",
)
HISTORY_PAGE_SIZE: Final = OpenApiParameter(
    "page_size",
    {
        "type": "integer",
        "minimum": 1,
        "maximum": pagination.PAGE_SIZE_MAX,
        "default": pagination.PAGE_SIZE_DEFAULT,
    },
    description="How many changes and how many attempts a page has at most.",
)

IDEMPOTENCY_KEY: Final = OpenApiParameter(
    "Idempotency-Key",
    KEY_SCHEMA,
    OpenApiParameter.HEADER,
    description=(
        "Make one up for each payout, such as a UUID, and send the same one when you try again: at most one payout is "
        f"created for it, for ever. {KEY_FORM}"
    ),
    examples=KEY_EXAMPLES,
)
LOCATION: Final = OpenApiParameter(
    "Location", str, OpenApiParameter.HEADER, response=[200, 201], description="Path of the payout."
)
ETAG: Final = OpenApiParameter(
    "ETag", str, OpenApiParameter.HEADER, response=[200, 201], description="Version of the payout, for If-Match."
)
ETAG_OF_DOCUMENT: Final = OpenApiParameter(
    "ETag",
    str,
    OpenApiParameter.HEADER,
    response=[200, 304],
    description="Version of the payout and of this answer, for If-None-Match and for If-Match.",
)
_RECEIPT: Final = "To an API key without the scope `payouts:read`: its id and status only."
INCLUDE: Final = OpenApiParameter(
    "include",
    str,
    description=(
        "`total` adds the number of all payouts that the filters select. It is null if counting them would take longer "
        "than a quarter of a second."
    ),
    enum=("total",),
)
ORDERING: Final = OpenApiParameter(
    "ordering",
    str,
    description="The order of the payouts: newest first by default.",
    enum=ORDERINGS,
    default=ORDERINGS[0],
)


class ReceiptExtension(OpenApiSerializerExtension):  # type: ignore[no-untyped-call] # It registers its subclasses.
    """A payout has the fields of a receipt as well. So that an answer is one of the two, a receipt has no others."""

    target_class = "payouts.api.receipts.PayoutReceiptSerializer"

    def map_serializer(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        # Extensions of drf-spectacular call this method themselves.
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)  # noqa: SLF001
        return {**schema, "additionalProperties": False}


ANSWER: Final = PolymorphicProxySerializer(
    component_name="PayoutAnswer",
    serializers=[serializers.PayoutSerializer, receipts.PayoutReceiptSerializer],
    resource_type_field_name=None,
)

_KEY_ERRORS: Final = (*KEY_ERRORS, errors.PayoutDeleted)
_CHANGE_ERRORS: Final = (errors.PayoutNotFound, *_KEY_ERRORS, refusals.IfMatchMalformed)


def _answer_to_change(description: str, text: dict[str, Any], structured: dict[str, Any]) -> OpenApiResponse:
    """Describe what a key is answered that may read, in both forms of a recipient, and what one that may not."""
    examples = [
        OpenApiExample("text", text),
        OpenApiExample("structured", structured),
        OpenApiExample("receipt", {name: text[name] for name in receipts.FIELDS}),
    ]
    return OpenApiResponse(ANSWER, f"{description} {_RECEIPT}", examples)


def answer(description: str, example: object, serializer: object = serializers.PayoutSerializer) -> OpenApiResponse:
    return OpenApiResponse(serializer, description, [OpenApiExample("answer", example)])


def _payout(description: str, text: object, structured: object) -> OpenApiResponse:
    """Return an answer with an example of each form of a recipient."""
    examples = [OpenApiExample("text", text), OpenApiExample("structured", structured)]
    return OpenApiResponse(serializers.PayoutSerializer, description, examples)


list_payouts = operation(
    operation_id="list_payouts",
    tags=["payouts"],
    summary="List payouts",
    description=(
        "Your payouts in the key's mode, a page at a time. Follow `next` until it is null. Where the installation "
        "lists from a replica, what has just been created or changed may be missing for a moment; ask for the payout "
        "itself to see it as it is.\n\n"
        "To learn what has changed, ask with `updated_after`, walk through all pages, and ask next time with the "
        "`next_updated_after` of this time: no change is missed, and the last ones are shown twice. Do not take the "
        "greatest `updated_at` that you have seen: a change may become visible later than a newer one. Such lists "
        "never come from a replica."
    ),
    parameters=[ORDERING, INCLUDE],
    responses={
        200: OpenApiResponse(
            serializers.PayoutSerializer(many=True),
            "A page of payouts.",
            [OpenApiExample("text", PAID), OpenApiExample("structured", STRUCTURED_PAID)],
        )
    },
    errors=(errors.SelectionTooSlow,),
)
create_payout = operation(
    operation_id="create_payout",
    tags=["payouts"],
    summary="Create a payout",
    description=(
        "Asks for money to be paid to a recipient. A 201 means that the payout is stored and will reach a final "
        "status or `requires_attention`, whatever happens. It is paid out soon after: ask for it, or list by status. "
        "`recipient_details` is a line of text or an object, and is answered as it was sent. A live payout may need "
        "the object: where its provider cannot pay a text, the answer is 400 `recipient_not_structured`."
    ),
    parameters=[IDEMPOTENCY_KEY, REPLAYED, LOCATION, ETAG],
    request=serializers.PayoutWriteSerializer,
    examples=[
        OpenApiExample("text", REQUEST, request_only=True),
        OpenApiExample("structured", STRUCTURED_REQUEST, request_only=True),
    ],
    responses={
        201: _answer_to_change(
            "The payout, created now or by an earlier request with the key.", PAYOUT, STRUCTURED_PAYOUT
        ),
        200: _answer_to_change(
            "The payout as it is now: an earlier request with the key created it, and its answer is no longer kept.",
            PAID,
            STRUCTURED_PAID,
        ),
    },
    errors=(
        *_KEY_ERRORS,
        idempotency_errors.IdempotencyKeyMissing,
        errors.PayoutExists,
        errors.RecipientNotStructured,
        errors.LiveProviderMissing,
    ),
)
retrieve_payout = operation(
    operation_id="retrieve_payout",
    tags=["payouts"],
    summary="Retrieve a payout",
    description="The payout as it is now.",
    parameters=[IF_NONE_MATCH, ETAG_OF_DOCUMENT],
    responses={
        200: _payout("The payout.", PAID, STRUCTURED_PAID),
        304: OpenApiResponse(description="It is as it was when you got the ETag. There is no body."),
    },
    errors=(errors.PayoutNotFound, refusals.IfNoneMatchMalformed),
)
update_payout = operation(
    operation_id="update_payout",
    tags=["payouts"],
    summary="Change a payout",
    description=(
        "`amount`, `currency`, `recipient_details` (as a whole), `reference` and `expires_at` can be changed while "
        "the payout is `pending`, `comment` and `metadata` (as a whole) always."
    ),
    parameters=[OPTIONAL_KEY, IF_MATCH, ETAG, REPLAYED],
    request=serializers.PayoutUpdateSerializer,
    examples=[
        OpenApiExample("comment", {"comment": "Test payout, second part"}, request_only=True),
        OpenApiExample("recipient", {"recipient_details": STRUCTURED_REQUEST["recipient_details"]}, request_only=True),
    ],
    responses={
        200: _answer_to_change(
            "The payout as this request left it; repeated with its key, the same again.", PAYOUT, STRUCTURED_PAYOUT
        )
    },
    errors=(*_CHANGE_ERRORS, errors.PayoutNotChangeable, errors.PayoutChanged, errors.RecipientNotStructured),
)
delete_payout = operation(
    operation_id="delete_payout",
    tags=["payouts"],
    summary="Delete a payout",
    description=(
        "Takes a `pending` payout (which is canceled), a `failed` or a `canceled` one off your list. The platform "
        "keeps it for audit. Where money may move or has moved the answer is 409."
    ),
    parameters=[IF_MATCH],
    responses={204: OpenApiResponse(description="It is gone from the API.")},
    errors=(errors.PayoutNotFound, refusals.IfMatchMalformed, errors.PayoutNotDeletable, errors.PayoutChanged),
)
cancel_payout = operation(
    operation_id="cancel_payout",
    tags=["payouts"],
    summary="Cancel a payout",
    description="Calls a `pending` payout off. One that is `canceled` already is answered the same; any other is 409.",
    parameters=[OPTIONAL_KEY, IF_MATCH, ETAG, REPLAYED],
    request=None,
    responses={
        200: _answer_to_change(
            "The payout, canceled by this request or before.", CANCELED, {**CANCELED, **STRUCTURED_REQUEST}
        )
    },
    errors=(*_CHANGE_ERRORS, errors.PayoutNotCancelable, errors.PayoutChanged),
)
payout_history = operation(
    operation_id="retrieve_payout_history",
    tags=["payouts"],
    summary="See what happened to a payout",
    description=(
        "Each change of status with who made it and why, and each attempt at the provider, oldest first. A page has at "
        "most `page_size` of each. Few payouts have more than a page; follow `next` until it is null."
    ),
    parameters=[HISTORY_CURSOR, HISTORY_PAGE_SIZE],
    responses={200: answer("The history.", HISTORY, serializers.HistorySerializer)},
    errors=(errors.PayoutNotFound,),
)
