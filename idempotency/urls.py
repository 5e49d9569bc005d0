from __future__ import annotations

from django.urls import path

from idempotency import views

# A key may hold slashes.
urlpatterns = [path("<path:key>/", views.IdempotencyKeyView.as_view(), name="idempotency-key")]
