"""`@idempotent` for a method of a view: the same Idempotency-Key with the same request does its work once.

The method gets the key as the keyword argument `idempotency_key` (None where there is none) and returns a REST
framework Response. Whatever it raises, and whatever it answers with 4xx or 5xx, leaves the key free.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, assert_never

from django.db import transaction
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import MerchantAPIKey
from idempotency import errors, fingerprint, services

FIRST_ERROR_STATUS = 400

ViewMethod = Callable[..., Response]

# Headers that belong to the answer's content. All others (Date, X-Request-Id, RateLimit) are fresh on a replay.
STORED_HEADERS = ("Location", "ETag")


def idempotent(method: ViewMethod) -> Callable[..., HttpResponseBase]:
    """Wrap a view method; see the module's docstring."""

    @wraps(method)
    def wrapper(view: APIView, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        api_key = request.auth
        assert isinstance(api_key, MerchantAPIKey)
        key = services.parse_key(request.headers.get("Idempotency-Key"))
        if key is not None:
            return _once(method, view, request, *args, api_key=api_key, idempotency_key=key, **kwargs)
        if api_key.merchant.require_idempotency_key:
            raise errors.IdempotencyKeyMissing(field="Idempotency-Key")
        return method(view, request, *args, idempotency_key=None, **kwargs)

    wrapper.is_idempotent = True  # type: ignore[attr-defined] # A test asks each POST route for it.
    return wrapper


def _once(
    method: ViewMethod,
    view: APIView,
    request: Request,
    *args: Any,
    api_key: MerchantAPIKey,
    idempotency_key: str,
    **kwargs: Any,
) -> HttpResponseBase:
    """Do the method's work, or replay its answer, in one transaction (Note [One transaction for a key])."""
    # The body is parsed here and only parsed: a replay must survive a later change of the rules.
    request_fingerprint = fingerprint.of_request(method=request.method or "", path=request.path, body=request.data)
    with transaction.atomic(durable=True):
        claimed = services.claim(
            merchant=api_key.merchant, mode=api_key.mode, key=idempotency_key, fingerprint=request_fingerprint
        )
        match claimed:
            case services.Replay():
                return _answer(claimed.response, replayed=True)
            case services.Fresh():
                response = method(view, request, *args, idempotency_key=idempotency_key, **kwargs)
                if response.status_code >= FIRST_ERROR_STATUS:
                    # A refusal that is returned and not raised leaves the key free like any other.
                    transaction.set_rollback(True)
                    return response
                stored = _render(response)
                services.complete(claimed, stored)
            case _:
                assert_never(claimed)
    return _answer(stored, replayed=False)


def _render(response: Response) -> services.StoredResponse:
    headers = {name: response.headers[name] for name in STORED_HEADERS if name in response.headers}
    return services.StoredResponse(response.status_code, JSONRenderer().render(response.data), headers)


def _answer(stored: services.StoredResponse, *, replayed: bool) -> HttpResponse:
    response = HttpResponse(stored.body, status=stored.status, content_type="application/json", headers=stored.headers)
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response
