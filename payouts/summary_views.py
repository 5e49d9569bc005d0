"""The HTTP edge of summaries."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Scopes
from payouts import (
    filters,
    grouping,
    summaries,
    summary_openapi,
    summary_serializers,
)
from payouts.views import REPORT, PayoutsAPIView
from postgres.replica import routing


class PayoutSummaryView(PayoutsAPIView):
    scopes: Scopes = {"GET": REPORT}
    serializer_class = summary_serializers.SummarySerializer
    filter_backends = (filters.StrictFilterBackend,)
    filterset_class = filters.PayoutFilterSet

    @summary_openapi.payout_summary
    def get(self, request: Request) -> Response:
        selection = self.selection(known=grouping.PARAMETERS)
        asked_for = grouping.grouping_of(request.query_params)
        return Response(routing.read(lambda: summaries.summarize(selection, asked_for)))
