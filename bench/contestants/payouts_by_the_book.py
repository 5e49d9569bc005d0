"""The payout of both contestants, as the tutorials of Django and REST framework write one."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

import django_filters
from django.db import models
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import pagination, serializers, viewsets


class AbstractPayout(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    status = models.CharField(max_length=20, default="pending")
    amount = models.DecimalField(max_digits=16, decimal_places=4)
    currency = models.CharField(max_length=3)
    recipient_details = models.JSONField()
    comment = models.CharField(max_length=500, blank=True)
    reference = models.CharField(max_length=100, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    provider_reference = models.CharField(max_length=100, blank=True)
    failure_code = models.CharField(max_length=50, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[models.Manager[Any]] = models.Manager()

    class Meta:
        abstract = True
        ordering = ("-created_at",)
        indexes: ClassVar = [models.Index(fields=["-created_at"])]

    def __str__(self) -> str:
        return str(self.id)


class Pagination(pagination.PageNumberPagination):
    page_size = 50


def viewset_of(payout: type[AbstractPayout]) -> type[viewsets.ModelViewSet[Any]]:
    """Return a viewset of this model: all of REST framework's actions, pages of 50, four filters."""

    class PayoutSerializer(serializers.ModelSerializer[Any]):
        class Meta:
            model = payout
            fields = "__all__"
            read_only_fields = ("status", "provider_reference", "failure_code")

    class PayoutFilterSet(django_filters.FilterSet):
        amount_min = django_filters.NumberFilter("amount", "gte")
        created_after = django_filters.IsoDateTimeFilter("created_at", "gte")

        class Meta:
            model = payout
            fields = ("status", "currency")

    class PayoutViewSet(viewsets.ModelViewSet[Any]):
        queryset = payout.objects.all()
        serializer_class = PayoutSerializer
        pagination_class = Pagination
        filter_backends = (DjangoFilterBackend,)
        filterset_class = PayoutFilterSet

    return PayoutViewSet
