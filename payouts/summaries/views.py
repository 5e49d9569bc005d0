"""The HTTP edge of summaries."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Scopes
from payouts.api.views import REPORT, PayoutsAPIView
from payouts.filters.openapi import FilterParameters
from payouts.summaries import openapi, parameters, serializers, summarize
from postgres.replica import routing


class PayoutSummaryView(PayoutsAPIView):
    scopes: Scopes = {"GET": REPORT}
    serializer_class = serializers.SummarySerializer
    filter_backends = (FilterParameters,)

    @openapi.payout_summary
    def get(self, request: Request) -> Response:
        selection = self.selection(known=parameters.PARAMETERS, repeatable=parameters.REPEATABLE)
        asked_for = parameters.grouping_of(request.query_params)
        return Response(routing.read(lambda: summarize.summarize(selection, asked_for)))
