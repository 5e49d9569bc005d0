"""The HTTP edge of summaries."""

from __future__ import annotations

from django.http import HttpResponse
from rest_framework.request import Request

from accounts.permissions import Scopes
from payouts.api import places
from payouts.api.views import REPORT, PayoutsAPIView
from payouts.filters.openapi import FilterParameters
from payouts.summaries import openapi, parameters, rendering, serializers, summarize
from postgres.replica import routing


class PayoutSummaryView(PayoutsAPIView):
    scopes: Scopes = {"GET": REPORT}
    serializer_class = serializers.SummarySerializer
    filter_backends = (FilterParameters,)

    @openapi.payout_summary
    def get(self, request: Request) -> HttpResponse:
        selection = self.selection(known=parameters.PARAMETERS, repeatable=parameters.REPEATABLE)
        asked_for = parameters.grouping_of(request.query_params)
        with places.of_report(self.api_key):
            body = rendering.render(routing.read(lambda: summarize.summarize(selection, asked_for)))
        return HttpResponse(body, content_type="application/json")
