from __future__ import annotations

from django.urls import include, path
from rest_framework import routers

from bench.contestants import payouts_by_the_book
from bench.contestants.bare.models import Payout

router = routers.DefaultRouter()
router.register("payouts", payouts_by_the_book.viewset_of(Payout))
urlpatterns = [path("api/", include(router.urls))]
