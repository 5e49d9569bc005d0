"""The HTTP edge of exports."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from typing import Any, Final

from django.http import HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import APIKeyMixin
from accounts.permissions import Scopes
from idempotency.decorators import idempotent
from payouts import errors
from payouts.api import places
from payouts.api.views import REPORT, PayoutsAPIView
from payouts.exports import downloads, lifecycle, links, openapi, responses, services, streams
from payouts.exports.lifecycle import ExportSpec
from payouts.exports.serializers import ExportSerializer, ExportWriteSerializer, refuse_bom
from payouts.filters import query
from payouts.filters.openapi import FilterParameters
from payouts.filters.selection import Selection
from payouts.models import Export, ExportFormat, ExportQuerySet, ExportStatus
from rest import etags, parameters, ranges
from rest.places import PlacedBody
from rest.serializers import StrictSerializer
from rest.views import ListAPIView, ObjectAPIView

#: Parameters of a streamed export other than filters.
STREAM_PARAMETERS: Final = frozenset({"format", "ordering", "bom"})


class PayoutExportView(PayoutsAPIView):
    scopes: Scopes = {"GET": REPORT}
    filter_backends = (FilterParameters,)
    limits: streams.Limits = streams.LIMITS

    @openapi.export_payouts
    def get(self, request: Request) -> HttpResponseBase:
        selection = self.selection(known=STREAM_PARAMETERS)
        ordering, *_ = query.ordering_of(request.query_params)
        file_format = _chosen("format", request.query_params.get("format", ExportFormat.CSV), ExportFormat.values)
        bom = _chosen("bom", request.query_params.get("bom", "false"), ["true", "false"]) == "true"
        if bom:
            refuse_bom(file_format)
        spec = ExportSpec(file_format, selection.filters, ordering, bom)
        compressed = responses.accepts_gzip(request.headers.get("Accept-Encoding", ""))
        if request.method == "HEAD":
            return self._file_response((), spec, compressed=compressed)
        export, body = self._stream(spec, selection, compressed=compressed)
        response = self._file_response(body, spec, compressed=compressed)
        response.headers["Link"] = f'<{reverse("export", args=[export.pk])}>; rel="describedby"'
        response.headers["Payouts-Export-Id"] = str(export.pk)
        return response

    def _stream(self, spec: ExportSpec, selection: Selection, *, compressed: bool) -> tuple[Export, PlacedBody]:
        """Start the stream. It has a place among the files until its end, and one among the reports for its query."""
        place = places.of_stream()
        with ExitStack() as unless_started:
            unless_started.enter_context(place)
            with places.of_report(self.api_key):
                export, body = services.stream(
                    spec, selection, api_key=self.api_key, compressed=compressed, limits=self.limits
                )
            unless_started.pop_all()
        return export, PlacedBody(body, place)

    def _file_response(self, body: Any, spec: ExportSpec, *, compressed: bool) -> HttpResponseBase:
        response = responses.file_response(
            body, file_format=spec.format, mode=self.api_key.mode, made_at=timezone.now(), compressed=compressed
        )
        return responses.as_stream(response)


class ExportsAPIView(ObjectAPIView[Export], APIKeyMixin):
    """Base of the views of exports. It selects only the exports that the API key may see."""

    queryset = Export.objects.none()
    serializer_class = ExportSerializer
    not_found = errors.ExportNotFound
    scopes: Scopes

    def get_queryset(self) -> ExportQuerySet:
        return Export.objects.visible_to(self.api_key)

    def answer(self, found: Export, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        return Response(self.shown(found), status=status, headers=headers)

    def shown(self, exports: Any, *, many: bool = False) -> Any:
        return ExportSerializer(exports, many=many, context={"link_to": self._link_to}).data

    def _link_to(self, export: Export) -> str | None:
        if not downloads.is_kept(export):
            return None
        path = reverse("export-download", args=[export.pk])
        return self.request.build_absolute_uri(f"{path}?token={links.token_of(export.pk)}")


class ExportListView(ExportsAPIView, ListAPIView[Export]):
    scopes: Scopes = {"GET": REPORT, "POST": REPORT}
    query_parameters = frozenset({"cursor", "page_size", "status"})
    repeatable_parameters = frozenset({"status"})

    @openapi.list_exports
    def get(self, request: Request) -> Response:
        exports = self.get_queryset()
        given = ",".join(request.query_params.getlist("status"))
        if given:
            exports = exports.filter(
                status__in=[_chosen("status", text, ExportStatus.values) for text in given.split(",")]
            )
        return self.get_paginated_response(self.shown(self.paginate_queryset(exports), many=True))

    @openapi.create_export
    @idempotent(resource_type="export")
    def post(self, request: Request, *, idempotency_key: str | None) -> Response:
        del idempotency_key
        spec = ExportSpec(**self.validated(ExportWriteSerializer(data=request.data)))
        export, is_new = services.create_job(spec, api_key=self.api_key)
        return self.answer(
            export, status=202 if is_new else 200, headers={"Location": reverse("export", args=[export.pk])}
        )


class ExportView(ExportsAPIView):
    scopes: Scopes = {"GET": REPORT}

    @openapi.retrieve_export
    def get(self, request: Request, export_id: uuid.UUID) -> Response:
        del request
        return self.answer(self.get_one(export_id))


class ExportCancelView(ExportsAPIView):
    scopes: Scopes = {"POST": REPORT}

    @openapi.cancel_export
    @idempotent(resource_type="export")
    def post(self, request: Request, export_id: uuid.UUID, *, idempotency_key: str | None) -> Response:
        del idempotency_key
        export = self.get_one(export_id)
        self.validated(StrictSerializer(data=request.data))
        return self.answer(lifecycle.cancel(export))


class ExportDownloadView(APIView):
    """The file of an export. The signed link in its URL is the only credential."""

    http_method_names = ["get", "head"]
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    @openapi.download_export
    def get(self, request: Request, export_id: uuid.UUID) -> HttpResponseBase:
        parameters.refuse_misunderstood(request.query_params, known=frozenset({"token"}))
        export = downloads.find(export_id, token=request.query_params.get("token", ""))
        compressed = responses.accepts_gzip(request.headers.get("Accept-Encoding", ""))
        etag = downloads.etag_of(export, compressed=compressed)
        if etags.is_known(etag, if_none_match=request.headers.get("If-None-Match")):
            response: HttpResponseBase = HttpResponseNotModified(headers={"Vary": "Accept-Encoding"})
        else:
            response = self._file(request, export, etag=etag, compressed=compressed)
        response.headers["ETag"] = etag
        return response

    def _file(self, request: Request, export: Export, *, etag: str, compressed: bool) -> HttpResponseBase:
        size = downloads.size_of(export, compressed=compressed)
        part = None
        # If-Range compares strongly, and a time never matches: there is no Last-Modified.
        if request.method == "GET" and request.headers.get("If-Range", etag) == etag:
            part = ranges.part_of(request.headers.get("Range"), size=size)
        response = responses.file_response(
            () if request.method == "HEAD" else self._body(export, part, compressed=compressed),
            file_format=export.format,
            mode=export.mode,
            made_at=export.created_at,
            compressed=compressed,
        )
        response.headers["Accept-Ranges"] = "bytes"
        response.headers["Content-Length"] = str(size if part is None else len(part))
        if part is not None:
            response.status_code = 206
            response.headers["Content-Range"] = ranges.content_range(part, size=size)
        return response

    def _body(self, export: Export, part: range | None, *, compressed: bool) -> PlacedBody:
        place = places.of_download(export.pk)
        if part is None:
            return PlacedBody(downloads.read(export, compressed=compressed), place)
        return PlacedBody(downloads.read_part(export, part, compressed=compressed), place)


def _chosen(name: str, value: str, choices: list[str]) -> str:
    """Return the parameter's value. Raises ParametersRefused unless it is a choice."""
    if value.strip() not in choices:
        raise parameters.refused(name, f"The choices are {', '.join(choices)}.", "invalid_choice")
    return value.strip()
