"""The endpoint for providers' callbacks. A provider is not a merchant: its signature authenticates it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from payouts import services
from rest import bodies


class CallbackView(APIView):
    authentication_classes = ()
    permission_classes = ()
    # A callback must not be lost to a limit for merchants.
    throttle_classes = ()

    # It is described where providers look: docs/bank-api.yaml.
    @extend_schema(exclude=True)
    def post(self, request: Request, provider: str) -> Response:
        # The Content-Type is not checked, but a compressed body could only be stored and never applied.
        bodies.require_plain(request)
        headers: dict[str, Any] = {name.lower(): value for name, value in request.headers.items()}
        services.receive_callback(provider, headers=headers, body=request.body)
        return Response({"status": "accepted"}, status=202)
