from __future__ import annotations

from django.urls import path

from payouts import callbacks, export_views, views

urlpatterns = [
    path("", views.PayoutListView.as_view(), name="payouts"),
    path("export/", export_views.PayoutExportView.as_view(), name="payout-export"),
    path("summary/", views.PayoutSummaryView.as_view(), name="payout-summary"),
    path("<uuid:payout_id>/", views.PayoutView.as_view(), name="payout"),
    path("<uuid:payout_id>/cancel/", views.PayoutCancelView.as_view(), name="payout-cancel"),
    path("<uuid:payout_id>/history/", views.PayoutHistoryView.as_view(), name="payout-history"),
]

export_urlpatterns = [
    path("", export_views.ExportListView.as_view(), name="exports"),
    path("<uuid:export_id>/", export_views.ExportView.as_view(), name="export"),
    path("<uuid:export_id>/cancel/", export_views.ExportCancelView.as_view(), name="export-cancel"),
    path("<uuid:export_id>/download/", export_views.ExportDownloadView.as_view(), name="export-download"),
]

callback_urlpatterns = [
    path("<str:provider>/", callbacks.CallbackView.as_view(), name="callback"),
]
