from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import api_key_of
from accounts.callers import CallingKey
from accounts.models import Mode, Scope
from accounts.permissions import Scopes
from rest import moments, parameters
from rest.openapi import operation


class MerchantSerializer(serializers.Serializer[Any]):
    """The merchant that the API key speaks for."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    require_idempotency_key = serializers.BooleanField(
        help_text="Whether a request for a payout is refused if it has no Idempotency-Key."
    )


class APIKeySerializer(serializers.Serializer[Any]):
    """The API key in use, without its secret."""

    prefix = serializers.CharField(help_text="The part of the key before the point; not secret.")
    name = serializers.CharField()
    mode = serializers.ChoiceField(choices=Mode.choices)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))
    expires_at = serializers.DateTimeField(source="expiry_date", allow_null=True, help_text="Null: never.")
    allowed_networks = serializers.ListField(
        child=serializers.CharField(),
        help_text="Networks from which the key may be used, in CIDR notation. Empty: any.",
    )


class MeSerializer(serializers.Serializer[Any]):
    """The merchant, and the API key in use."""

    merchant = MerchantSerializer()
    api_key = APIKeySerializer()


EXAMPLE = {
    "merchant": {
        "id": "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f",
        "name": "ACME",
        "require_idempotency_key": False,
    },
    "api_key": {
        "prefix": "aB3dE5gH",
        "name": "web shop",
        "mode": "test",
        "scopes": ["payouts:read", "payouts:write"],
        "expires_at": None,
        "allowed_networks": [],
    },
}


class MeView(APIView):
    http_method_names = ["get", "head"]
    # Any key may read its own rights.
    scopes: Scopes = {"GET": ()}

    @operation(
        operation_id="retrieve_me",
        tags=["account"],
        summary="See who you are",
        description="The merchant that the API key speaks for, and what the key may do.",
        responses={
            200: OpenApiResponse(MeSerializer, "The merchant and the key.", [OpenApiExample("answer", EXAMPLE)])
        },
    )
    def get(self, request: Request) -> Response:
        parameters.refuse_misunderstood(request.query_params, known=frozenset())
        return Response(_document(api_key_of(request)))


# The serializers above describe it for the schema. Rendering through them took a quarter of the request.
def _document(api_key: CallingKey) -> dict[str, Any]:
    merchant = api_key.merchant
    return {
        "merchant": {
            "id": str(merchant.id),
            "name": merchant.name,
            "require_idempotency_key": merchant.require_idempotency_key,
        },
        "api_key": {
            "prefix": api_key.prefix,
            "name": api_key.name,
            "mode": api_key.mode,
            "scopes": api_key.scopes,
            "expires_at": None if api_key.expiry_date is None else moments.written(api_key.expiry_date),
            "allowed_networks": api_key.allowed_networks,
        },
    }
