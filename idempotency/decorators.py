"""`@idempotent` for a method of a view: the same Idempotency-Key with the same request does its work once.

    class WidgetsView(APIView):
        @idempotent(resource_type="widget")
        def patch(self, request: Request, *, idempotency_key: str | None) -> Response: ...

        def answer_again(self, resource_id: uuid.UUID) -> Response: ...

The method gets the key as the keyword argument `idempotency_key` (None if there is none) and returns a Response of
REST framework whose data has the `id` of the created or changed resource. An exception, or an answer with 4xx or 5xx,
leaves the key free. `answer_again` answers with the current resource, for a retry after the first answer was purged.
Both run in the transaction of the key and call nothing outside the database.

`@creates_once` is for a method that creates a resource. It writes nothing itself: it gets the database's time as `now`
as well, and returns a Creation. Its inserts are one statement with the record and its answer.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, Final, Protocol, assert_never

from django.db import transaction
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import api_key_of
from idempotency import errors, fingerprint, keys, services
from rest import ids

FIRST_ERROR_STATUS: Final = 400

# Headers that belong to the content. A replay sets all others (Date, X-Request-Id, RateLimit) again.
STORED_HEADERS: Final = ("Location", "ETag")
CONTENT_TYPE: Final = "application/json"


class IdempotentView(Protocol):
    """A view with a decorated method."""

    def answer_again(self, resource_id: uuid.UUID) -> Response:
        """Answer with the resource as it is now; see the module's docstring."""


ViewMethod = Callable[..., Response]


@dataclass(frozen=True)
class Creation:
    """A resource that is about to be created, with the answer."""

    response: Response
    resource: services.Resource
    inserts: services.Inserts
    #: Raises the refusal that an error of the inserts means.
    refusing: Callable[[], AbstractContextManager[None]]
    #: Called after the inserts, in their transaction.
    written: Callable[[], None]


CreatingMethod = Callable[..., Creation]


def idempotent(*, resource_type: str) -> Callable[[ViewMethod], Callable[..., HttpResponseBase]]:
    """Decorate a view method; see the module's docstring.

    `resource_type` is the type of the resource in the answer.
    """

    def decorate(method: ViewMethod) -> Callable[..., HttpResponseBase]:
        @wraps(method)
        def wrapper(view: IdempotentView, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
            run = partial(method, view, request, *args, **kwargs)
            key = keys.parse_header(request.headers.get("Idempotency-Key"))
            if key is not None:
                return _once(partial(run, idempotency_key=key), view, request, key=key, resource_type=resource_type)
            return run(idempotency_key=None)

        wrapper.is_idempotent = True  # type: ignore[attr-defined] # A test asks each route for it.
        return wrapper

    return decorate


def creates_once(method: CreatingMethod) -> Callable[..., HttpResponseBase]:
    """Decorate a view method that creates a resource; see the module's docstring.

    A repetition would do harm, so a merchant that must send the header gets 400 without it.
    """

    @wraps(method)
    def wrapper(view: IdempotentView, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        prepare = partial(method, view, request, *args, **kwargs)
        key = keys.parse_header(request.headers.get("Idempotency-Key"))
        if key is None and api_key_of(request).merchant.require_idempotency_key:
            raise errors.IdempotencyKeyMissing(field="Idempotency-Key")
        return _created(partial(prepare, idempotency_key=key), view, request, key=key)

    wrapper.is_idempotent = True  # type: ignore[attr-defined] # A test asks each route for it.
    return wrapper


def _created(
    prepare: Callable[..., Creation], view: IdempotentView, request: Request, *, key: str | None
) -> HttpResponseBase:
    """Create the resource or replay the answer, in one transaction (Note [One transaction for a key])."""
    asked = fingerprint.Request(request.method or "", _target(request), request.data)
    caller = api_key_of(request)
    with transaction.atomic(durable=True):
        found = services.look_up(api_key=caller, key=key, request=asked)
        if isinstance(found, services.Unused):
            creation = prepare(now=found.now)
            stored = _rendered(creation.response)
            with creation.refusing():
                is_written = services.create(
                    creation.inserts, creation.resource, stored, api_key=caller, key=key, request=asked
                )
            if is_written:
                creation.written()
                return _answer(stored, replayed=False)
            # A concurrent request was faster. A new statement sees its record.
            found = services.look_up(api_key=caller, key=key, request=asked)
        return _replayed(found, view)


def _replayed(found: services.Found, view: IdempotentView) -> HttpResponse:
    match found:
        case services.Replay():
            return _answer(found.response, replayed=True)
        case services.Purged():
            return _answer(_rendered(view.answer_again(found.resource_id)), replayed=True)
        case services.Unused():
            # The unique index knows a record that no statement can see.
            raise errors.IdempotencyKeyInProgress(field="Idempotency-Key")
        case _:
            assert_never(found)


def _once(
    run: Callable[[], Response], view: IdempotentView, request: Request, *, key: str, resource_type: str
) -> HttpResponseBase:
    """Run the method or replay its answer, in one transaction (Note [One transaction for a key])."""
    # The body is parsed and not validated: a replay must survive a later change of the rules.
    asked = fingerprint.Request(request.method or "", _target(request), request.data)
    with transaction.atomic(durable=True):
        claimed = services.claim(api_key=api_key_of(request), key=key, request=asked)
        match claimed:
            case services.Replay() | services.Purged():
                return _replayed(claimed, view)
            case services.Fresh():
                response = run()
                if response.status_code >= FIRST_ERROR_STATUS:
                    # A returned refusal leaves the key free, like a raised one.
                    transaction.set_rollback(True)
                    return response
                stored = _rendered(response)
                resource = services.Resource(resource_type, uuid.UUID(str(response.data["id"])))
                services.complete(claimed, stored, resource=resource)
            case _:
                assert_never(claimed)
    return _answer(stored, replayed=False)


def _target(request: Request) -> str:
    """Return the target of the request: the path, and the query if there is one.

    A retry that spells the id in the path differently is the same request.
    """
    path, query = ids.canonical_path(request), request.META.get("QUERY_STRING", "")
    return f"{path}?{query}" if query else path


def _rendered(response: Response) -> services.StoredResponse:
    headers = {name: response.headers[name] for name in STORED_HEADERS if name in response.headers}
    body = JSONRenderer().render(response.data)
    return services.StoredResponse(response.status_code, body, {"Content-Type": CONTENT_TYPE, **headers})


def _answer(stored: services.StoredResponse, *, replayed: bool) -> HttpResponse:
    # Records of version 0.1 have no Content-Type among their headers; all its answers were JSON.
    headers = {"Content-Type": CONTENT_TYPE, **stored.headers}
    response = HttpResponse(stored.body, status=stored.status, headers=headers)
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response
