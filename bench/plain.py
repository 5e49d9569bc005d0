"""What a list looks like that is built by the book of REST framework: the baseline of ours."""

from __future__ import annotations

import uuid
from typing import Any

from django.urls import path
from rest_framework import pagination, serializers, viewsets

from config import urls
from payouts.models import Payout

URL = "/plain/"


class PlainSerializer(serializers.ModelSerializer[Payout]):
    class Meta:
        model = Payout
        fields = [
            "id", "status", "mode", "amount", "currency", "recipient_details", "comment", "reference", "metadata",
            "idempotency_key", "failure_code", "failure_message", "created_at", "updated_at",
            "provider", "provider_reference", "completed_at", "expires_at",
        ]  # fmt: skip


class PlainPagination(pagination.LimitOffsetPagination):
    default_limit = 50


def install(merchant_id: uuid.UUID) -> None:
    """Serve this merchant's payouts at URL/<id>/, without an API key."""

    class PlainViewSet(viewsets.ModelViewSet[Any]):
        queryset = Payout.objects.filter(merchant_id=merchant_id, mode="live").order_by("-created_at", "-id")
        serializer_class = PlainSerializer
        pagination_class = PlainPagination
        authentication_classes = ()
        permission_classes = ()
        throttle_classes = ()

    urls.urlpatterns.append(path(f"{URL.lstrip('/')}{merchant_id}/", PlainViewSet.as_view({"get": "list"})))
