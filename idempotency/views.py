"""Look-up of an Idempotency-Key, for a merchant that does not know its outcome."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import api_key_of
from accounts.models import Mode, Scope
from accounts.permissions import Scopes
from idempotency import errors, services
from rest import parameters
from rest.openapi import operation


class IdempotencyRequestSerializer(serializers.Serializer[Any]):
    """The one request that a key is for."""

    method = serializers.CharField()
    path = serializers.CharField()


class IdempotencyResourceSerializer(serializers.Serializer[Any]):
    """What that request created or changed."""

    type = serializers.CharField(source="resource_type", help_text="Such as `payout`.")
    id = serializers.UUIDField(source="resource_id")


class IdempotencyKeySerializer(serializers.Serializer[Any]):
    """An Idempotency-Key that was used."""

    key = serializers.CharField(help_text="Without quotes, however it was written.")
    mode = serializers.ChoiceField(choices=Mode.choices)
    request = IdempotencyRequestSerializer(source="*")
    resource = IdempotencyResourceSerializer(source="*")
    response_status = serializers.IntegerField(help_text="HTTP status of the first answer.")
    response_purged_at = serializers.DateTimeField(
        allow_null=True, help_text="Since when the first answer is no longer kept; null while it is replayed."
    )
    created_at = serializers.DateTimeField(help_text="When the key was first seen with success.")


EXAMPLE = {
    "key": "order-4711-refund",
    "mode": "test",
    "request": {"method": "POST", "path": "/api/payouts/"},
    "resource": {"type": "payout", "id": "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f"},
    "response_status": 201,
    "response_purged_at": None,
    "created_at": "2026-11-23T12:00:00.000000Z",
}


class IdempotencyKeyView(APIView):
    http_method_names = ["get", "head"]
    # The answer says less than a retry with the key, so a key that may retry may ask.
    scopes: Scopes = {"GET": (Scope.PAYOUTS_READ, Scope.PAYOUTS_WRITE)}

    @operation(
        operation_id="retrieve_idempotency_key",
        tags=["idempotency"],
        summary="See what an Idempotency-Key was used for",
        description=(
            "When it was first used, for which request, and what that created or changed. 404 means that no request "
            "with it has been carried out so far: one may still be under way, so this does not replace sending the "
            "same request again."
        ),
        parameters=[
            OpenApiParameter(
                "key",
                {"type": "string", "pattern": "^ *[!-~][ -~]*$", "maxLength": 255},
                OpenApiParameter.PATH,
                description="The key as it is or quoted as in the header, percent-encoded.",
                examples=[OpenApiExample("key", "order-4711-refund")],
            )
        ],
        responses={
            200: OpenApiResponse(IdempotencyKeySerializer, "What is known.", [OpenApiExample("answer", EXAMPLE)])
        },
        errors=(errors.IdempotencyKeyMalformed, errors.IdempotencyKeyNotFound),
    )
    def get(self, request: Request, key: str) -> Response:
        parameters.refuse_misunderstood(request.query_params, known=frozenset())
        record = services.find_record(key, api_key=api_key_of(request))
        return Response(IdempotencyKeySerializer(record).data)
