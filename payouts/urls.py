from __future__ import annotations

from django.urls import path, register_converter

from payouts.api import callbacks, views
from payouts.exports import views as export_views
from payouts.summaries import views as summary_views
from rest import ids

register_converter(ids.IdConverter, "id")

urlpatterns = [
    path("", views.PayoutListView.as_view(), name="payouts"),
    path("export/", export_views.PayoutExportView.as_view(), name="payout-export"),
    path("summary/", summary_views.PayoutSummaryView.as_view(), name="payout-summary"),
    path("<id:payout_id>/", views.PayoutView.as_view(), name="payout"),
    path("<id:payout_id>/cancel/", views.PayoutCancelView.as_view(), name="payout-cancel"),
    path("<id:payout_id>/history/", views.PayoutHistoryView.as_view(), name="payout-history"),
]

export_urlpatterns = [
    path("", export_views.ExportListView.as_view(), name="exports"),
    path("<id:export_id>/", export_views.ExportView.as_view(), name="export"),
    path("<id:export_id>/cancel/", export_views.ExportCancelView.as_view(), name="export-cancel"),
    path("<id:export_id>/download/", export_views.ExportDownloadView.as_view(), name="export-download"),
]

callback_urlpatterns = [
    path("<str:provider>/", callbacks.CallbackView.as_view(), name="callback"),
]
