"""Receipts: the id and status of a payout, for an API key that may create and change payouts but not read them.

The whole answer is stored with the Idempotency-Key. It is reduced here, on its way to an API key that may not read. So
an API key that may read is replayed the whole answer, byte for byte, even if the other one sent the first request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from payouts.states import PayoutStatus

FIELDS: Final = ("id", "status")
#: Statuses of answers to a change or creation of a payout.
_WITH_PAYOUT: Final = frozenset({200, 201})


class PayoutReceiptSerializer(serializers.Serializer[Any]):
    """What is answered to an API key without the scope payouts:read."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=PayoutStatus.choices)


def shows_payout(request: Request, response: HttpResponseBase) -> bool:
    """Tell whether this is an answer to a change, with the payout. A caller that may send a GET may read payouts."""
    return request.method not in SAFE_METHODS and response.status_code in _WITH_PAYOUT


def reduced(response: HttpResponseBase) -> HttpResponseBase:
    """Return the answer with a receipt instead of the payout."""
    if isinstance(response, Response):
        response.data = _receipt(response.data)
    elif isinstance(response, HttpResponse):
        response.content = JSONRenderer().render(_receipt(json.loads(response.content)))
    return response


def _receipt(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in FIELDS if name in document}
