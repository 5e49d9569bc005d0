from __future__ import annotations

from django.urls import path

from payouts import callbacks, views

urlpatterns = [
    path("", views.PayoutListView.as_view(), name="payouts"),
    path("summary/", views.PayoutSummaryView.as_view(), name="payout-summary"),
    path("<uuid:payout_id>/", views.PayoutView.as_view(), name="payout"),
    path("<uuid:payout_id>/cancel/", views.PayoutCancelView.as_view(), name="payout-cancel"),
    path("<uuid:payout_id>/history/", views.PayoutHistoryView.as_view(), name="payout-history"),
]

callback_urlpatterns = [
    path("<str:provider>/", callbacks.CallbackView.as_view(), name="callback"),
]
