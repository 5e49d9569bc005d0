"""The HTTP edge: each method reads the request, calls one function, and writes the answer."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Set
from datetime import datetime
from typing import Any, cast

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django.urls import reverse
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts.authentication import APIKeyMixin
from accounts.models import Scope
from accounts.permissions import Scopes
from idempotency.decorators import Creation, creates_once, idempotent
from idempotency.services import Inserts, Resource
from payouts import errors, services
from payouts.api import documents, openapi, places, polling, receipts, serializers
from payouts.filters import count, query
from payouts.filters.openapi import FilterParameters
from payouts.filters.selection import Selection
from payouts.models import Payout, PayoutQuerySet
from postgres.replica import routing
from rest import etags, histories
from rest.serializers import StrictSerializer
from rest.views import ListAPIView, ObjectAPIView

READ = (Scope.PAYOUTS_READ,)
WRITE = (Scope.PAYOUTS_WRITE,)
REPORT = (Scope.PAYOUTS_READ, Scope.REPORTS_READ)


class PayoutsAPIView(ObjectAPIView[Payout], APIKeyMixin):
    """Base of all views of payouts. It selects only the payouts that the API key may see."""

    queryset = Payout.objects.none()
    serializer_class: type[BaseSerializer[Any]] | None = serializers.PayoutSerializer
    not_found = errors.PayoutNotFound
    scopes: Scopes

    def finalize_response(  # type: ignore[override] # A method with @idempotent answers with bytes.
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        if receipts.shows_payout(request, response) and Scope.PAYOUTS_READ not in self.api_key.scopes:
            response = receipts.reduced(response)
        return super().finalize_response(request, cast("Response", response), *args, **kwargs)

    def get_queryset(self) -> PayoutQuerySet:
        return Payout.objects.visible_to(self.api_key)

    def selection(self, known: Set[str], repeatable: Set[str] = frozenset()) -> Selection:
        """Return the selection of the filters. `known` names the other parameters."""
        filters = query.filters_in(self.request.query_params, known=known, repeatable=repeatable)
        return Selection.of(filters, merchant_id=self.api_key.merchant_id, mode=self.api_key.mode)

    def answer(self, found: Payout, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        etag = etags.of_version(found.version)
        return Response(documents.one(found), status=status, headers={"ETag": etag, **(headers or {})})

    def answer_again(self, object_id: uuid.UUID) -> Response:
        try:
            return super().answer_again(object_id)
        except errors.PayoutNotFound as error:
            # The key is the proof that the merchant had this payout.
            raise errors.PayoutDeleted from error

    @property
    def expected_versions(self) -> frozenset[int] | None:
        return etags.expected_versions(self.request.headers.get("If-Match"))


def _from_primary(function: Callable[[], Any]) -> Any:
    """Call the function outside a `routing.read`, so that it reads from the primary."""
    return function()


# drf-spectacular describes a page of filtered results only for REST framework's mixin.
class PayoutListView(ListModelMixin, PayoutsAPIView, ListAPIView[Payout]):
    scopes: Scopes = {"GET": REPORT, "POST": WRITE}
    filter_backends = (FilterParameters,)
    query_parameters = frozenset({"cursor", "page_size", "ordering", "include"})

    def ordering_of(self, request: Request) -> tuple[str, ...]:
        return query.ordering_of(request.query_params)

    @openapi.list_payouts
    def get(self, request: Request) -> Response:
        selection = self.selection(known=self.query_parameters, repeatable=frozenset({"include"}))
        with_total = query.wants_total(request.query_params)
        if selection.updated_after is not None:
            return self._answer_poll(selection, selection.updated_after, with_total=with_total)
        return self._answer_page(selection.payouts, read=routing.read, with_total=with_total)

    def _answer_page(
        self, payouts: QuerySet[Payout], *, read: Callable[[Callable[[], Any]], Any], with_total: bool
    ) -> Response:
        rows = read(lambda: self.paginate_queryset(payouts))
        response = self.get_paginated_response(documents.many(rows))
        if with_total:
            response.data["total"] = self._total(payouts, read=read)
        return response

    def _total(self, payouts: QuerySet[Payout], *, read: Callable[[Callable[[], Any]], Any]) -> int | None:
        """Return the total. A page does not fail for lack of a total, which it may lack for other reasons as well."""
        try:
            with places.of_report(self.api_key):
                return cast("int | None", read(lambda: count.count(payouts)))
        except errors.TooManyReports:
            return None

    def _answer_poll(self, selection: Selection, updated_after: datetime, *, with_total: bool) -> Response:
        """Answer with the changed payouts and the time to poll from next: the horizon at the first page of the walk.

        Both are read from the primary. A replica may lag behind the primary's horizon.
        """
        pages: Any = self.paginator
        if "cursor" not in self.request.query_params:
            following = polling.next_updated_after(updated_after=updated_after, updated_before=selection.updated_before)
            pages.carried = documents.format_time(following)
        response = self._answer_page(selection.payouts, read=_from_primary, with_total=with_total)
        # A cursor of the previous version carries no time.
        response.data["next_updated_after"] = pages.carried or documents.format_time(polling.in_utc(updated_after))
        return response

    def load(self, page: QuerySet[Payout]) -> list[documents.Row]:
        return documents.Row.of(page)

    def answer_again(self, object_id: uuid.UUID) -> Response:
        response = super().answer_again(object_id)
        # A client that creates a payout reads its address from every answer with success.
        response.headers["Location"] = reverse("payout", args=[object_id])
        return response

    @openapi.create_payout
    @creates_once
    def post(self, request: Request, *, idempotency_key: str | None, now: datetime) -> Creation:
        fields = serializers.NEW_PAYOUT.run_validation(request.data)
        new = services.prepare_payout(api_key=self.api_key, idempotency_key=idempotency_key, now=now, **fields)
        payout = new.payout
        headers = {"ETag": etags.of_version(payout.version), "Location": reverse("payout", args=[payout.id])}
        return Creation(
            response=Response(documents.new(payout), status=201, headers=headers),
            resource=Resource("payout", payout.id),
            inserts=Inserts(new.ctes, new.parameters),
            refusing=services.refusing_second_payout,
            written=new.written,
        )


class PayoutView(PayoutsAPIView):
    scopes: Scopes = {"GET": READ, "PATCH": WRITE, "DELETE": WRITE}

    @openapi.retrieve_payout
    def get(self, request: Request, payout_id: uuid.UUID) -> Response:
        payout = documents.Row.find(payout_id, caller=self.api_key)
        if payout is None:
            raise errors.PayoutNotFound
        document = documents.one(payout)
        etag = etags.of_document(payout.version, document)
        if etags.is_known(etag, if_none_match=request.headers.get("If-None-Match")):
            return Response(status=304, headers={"ETag": etag})
        return Response(document, headers={"ETag": etag})

    @openapi.update_payout
    @idempotent(resource_type="payout")
    def patch(self, request: Request, payout_id: uuid.UUID, *, idempotency_key: str | None) -> Response:
        del idempotency_key
        payout = self.get_one(payout_id)
        fields = self.validated(serializers.PayoutUpdateSerializer(payout, data=request.data))
        return self.answer(services.update_payout(payout, expected_versions=self.expected_versions, **fields))

    @openapi.delete_payout
    def delete(self, request: Request, payout_id: uuid.UUID) -> Response:
        services.delete_payout(
            self.get_one(payout_id),
            actor=services.actor_of(self.api_key),
            expected_versions=self.expected_versions,
        )
        return Response(status=204)


class PayoutCancelView(PayoutsAPIView):
    scopes: Scopes = {"POST": WRITE}

    @openapi.cancel_payout
    @idempotent(resource_type="payout")
    def post(self, request: Request, payout_id: uuid.UUID, *, idempotency_key: str | None) -> Response:
        del idempotency_key
        payout = self.get_one(payout_id)
        self.validated(StrictSerializer(data=request.data))
        actor = services.actor_of(self.api_key)
        return self.answer(services.cancel_payout(payout, actor=actor, expected_versions=self.expected_versions))


class PayoutHistoryView(PayoutsAPIView):
    scopes: Scopes = {"GET": READ}
    serializer_class = serializers.HistorySerializer
    query_parameters = histories.PARAMETERS

    @openapi.payout_history
    def get(self, request: Request, payout_id: uuid.UUID) -> Response:
        payout = self.get_one(payout_id)
        pages = histories.Pages(request)
        history = {
            "transitions": pages.of(payout.transitions.order_by("id")),
            "attempts": pages.of(payout.attempts.order_by("number")),
        }
        return Response(serializers.HistorySerializer({**history, **pages.links}).data)
