from __future__ import annotations

from functools import partial
from typing import Any

from celery import Celery
from django.db import transaction
from django.urls import include, path
from rest_framework import routers
from rest_framework.serializers import BaseSerializer

from bench.contestants import payouts_by_the_book
from bench.contestants.diy.models import Payout

app = Celery("diy")
app.config_from_object("django.conf:settings", namespace="CELERY")


@app.task(ignore_result=True)
def process_payout(payout_id: str) -> None:
    """Be enqueued: no worker runs beside the requests that are measured."""
    del payout_id


class PayoutViewSet(payouts_by_the_book.viewset_of(Payout)):  # type: ignore[misc] # Made by a function.
    def perform_create(self, serializer: BaseSerializer[Any]) -> None:
        with transaction.atomic():
            payout = serializer.save()
            transaction.on_commit(partial(process_payout.delay, str(payout.pk)))


router = routers.DefaultRouter()
router.register("payouts", PayoutViewSet)
urlpatterns = [path("api/", include(router.urls))]
