"""What an API key is answered that may create and change payouts and not read them: id and status.

The whole answer is stored with an Idempotency-Key, whichever key asked. It is reduced here on its way out, for the key
that asks. So a key that may read is replayed the whole answer, byte for byte, of a request that another one has sent.
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
#: What a change of a payout, or its creation, is answered with.
_WITH_PAYOUT: Final = frozenset({200, 201})


class PayoutReceiptSerializer(serializers.Serializer[Any]):
    """What is answered to an API key without the scope payouts:read."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=PayoutStatus.choices)


def shows_payout(request: Request, response: HttpResponseBase) -> bool:
    """Tell whether this answers a change with the payout. Who may send a GET for one may read it."""
    return request.method not in SAFE_METHODS and response.status_code in _WITH_PAYOUT


def reduced(response: HttpResponseBase) -> HttpResponseBase:
    """Return such an answer with no more than a receipt of its payout."""
    if isinstance(response, Response):
        response.data = _receipt(response.data)
    elif isinstance(response, HttpResponse):
        response.content = JSONRenderer().render(_receipt(json.loads(response.content)))
    return response


def _receipt(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in FIELDS if name in document}
