"""What the API documentation says about each operation of exports."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from accounts.errors import MerchantSuspended
from idempotency.openapi import KEY_ERRORS, OPTIONAL_KEY
from payouts import errors
from payouts.api import openapi
from payouts.exports import serializers
from payouts.filters import openapi as filters_openapi
from payouts.models import ExportFormat, ExportStatus
from rest import refusals
from rest.openapi import operation

EXPORT_ID: Final = "01936f40-1c4a-7d2b-9e1f-3a5b6c7d8e9f"
SHA256: Final = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"

REQUEST: Final = {
    "format": "ndjson",
    "filters": {"status": ["paid", "returned"], "created_after": "2026-11-01T00:00:00Z"},
    "ordering": "created_at",
}
PENDING: Final = {
    "id": EXPORT_ID,
    "status": "pending",
    "kind": "job",
    "mode": "test",
    **REQUEST,
    "bom": False,
    "rows": 0,
    "amounts": {},
    "bytes": 0,
    "sha256": "",
    "error": "",
    "created_at": "2026-11-23T12:00:00.000000Z",
    "started_at": None,
    "finished_at": None,
    "expires_at": None,
    "download_url": None,
}
COMPLETED: Final = {
    **PENDING,
    "status": "completed",
    "rows": 2,
    "amounts": {"EUR": "21.00"},
    "bytes": 1034,
    "sha256": SHA256,
    "started_at": "2026-11-23T12:00:00.250000Z",
    "finished_at": "2026-11-23T12:00:01.500000Z",
    "expires_at": "2026-11-30T12:00:01.500000Z",
    "download_url": f"https://payouts.example.com/api/exports/{EXPORT_ID}/download/?token=1tEXAmple:c2lnbmF0dXJl",
}
CANCELED: Final = {**PENDING, "status": "canceled", "finished_at": "2026-11-23T12:00:01.500000Z"}
CSV: Final = (
    "id,status,mode,amount,currency,recipient_name,recipient_account,recipient_bank_code,recipient_country,"
    "recipient_address,comment,reference,metadata,idempotency_key,failure_code,failure_message,created_at,updated_at,"
    "recipient_text,provider,provider_reference,completed_at,expires_at\r\n"
    f"{openapi.PAYOUT_ID},paid,test,100.00,USD,,,,,,Test payout,,{{}},"
    "order-4711-refund,,,2026-11-23T12:00:00.000000Z,2026-11-23T12:00:01.250000Z,Card ****1234,sandbox,"
    f"sandbox-{openapi.PAYOUT_ID},2026-11-23T12:00:01.250000Z,\r\n"
)
NDJSON: Final = (
    f'{{"id":"{openapi.PAYOUT_ID}","status":"paid","mode":"test","amount":"100.00","currency":"USD","recipient_details":'
    '"Card ****1234","comment":"Test payout","reference":"","metadata":{},'
    '"idempotency_key":null,"failure_code":"","failure_message":"","created_at":"2026-11-23T12:00:00.000000Z",'
    '"updated_at":"2026-11-23T12:00:01.250000Z","provider":"sandbox",'
    f'"provider_reference":"sandbox-{openapi.PAYOUT_ID}","completed_at":"2026-11-23T12:00:01.250000Z",'
    '"expires_at":null}\n'
    f'{{"trailer":{{"rows":1,"amounts":{{"USD":"100.00"}},"sha256":"{SHA256}"}}}}\n'
)

FORMAT: Final = OpenApiParameter(
    "format", str, description="The kind of file.", enum=ExportFormat.values, default=ExportFormat.CSV.value
)
BOM: Final = OpenApiParameter(
    "bom",
    bool,
    default=False,
    description=(
        "With `format=csv`: begin the file with the UTF-8 byte order mark, for spreadsheets that take it for another "
        "encoding otherwise. 400 with `format=ndjson`."
    ),
)
STATUS: Final = OpenApiParameter(
    "status",
    str,
    many=True,
    explode=True,
    enum=ExportStatus.values,
    description="One status or several, repeated or separated by commas.",
)
TOKEN: Final = OpenApiParameter(
    "token",
    # URL-safe base64: the time and the signature.
    {"type": "string", "pattern": "^[A-Za-z0-9_-]+:[A-Za-z0-9_-]+$", "maxLength": 200},
    required=True,
    description="As it stands in `download_url`.",
)
LINK: Final = OpenApiParameter(
    "Link",
    str,
    OpenApiParameter.HEADER,
    response=[200],
    description='With `rel="describedby"`, the path of what the export adds up to: rows, sums, SHA-256 at its end.',
)
EXPORT_ID_HEADER: Final = OpenApiParameter(
    "Payouts-Export-Id", str, OpenApiParameter.HEADER, response=[200], description="Id of the export."
)
LOCATION: Final = OpenApiParameter(
    "Location", str, OpenApiParameter.HEADER, response=[200, 202], description="Path of the export."
)
REPLAYED: Final = OpenApiParameter(
    "Idempotent-Replayed",
    str,
    OpenApiParameter.HEADER,
    response=[200, 202],
    description="`true` if an earlier request with the key did the work.",
)
FILES: Final = {
    # Text: generated clients return it as a string. (With `format: binary` some raise a TypeError.)
    (200, "text/csv"): OpenApiResponse(str, "The file.", [OpenApiExample("csv", CSV)]),
    (200, "application/x-ndjson"): OpenApiResponse(str, "The file.", [OpenApiExample("ndjson", NDJSON)]),
}


class FiltersExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call] # It registers its subclasses.
    """Makes components of the filters, which gives them a name in clients: of those that are sent, and answered.

    config/openapi_requests.py closes the first.
    """

    target_class = serializers.FiltersField

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        name = "ExportFiltersRequest" if direction == "request" else "ExportFilters"
        component: Any = ResolvedComponent
        made = component(name, component.SCHEMA, schema=deepcopy(filters_openapi.OBJECT), object=self.target_class)
        auto_schema.registry.register_on_missing(made)
        reference: dict[str, Any] = made.ref
        return reference


def _answer(description: str, example: object) -> OpenApiResponse:
    return OpenApiResponse(serializers.ExportSerializer, description, [OpenApiExample("answer", example)])


export_payouts = operation(
    operation_id="export_payouts",
    tags=["reports"],
    summary="Export payouts",
    filters=True,
    description=(
        "The payouts that the filters of the list select, all of one moment, as a file that is sent while it is read; "
        "compressed where `Accept-Encoding` asks for gzip. In CSV a cell that a spreadsheet would take for a formula "
        "has an apostrophe in front. NDJSON ends with a line that says how many rows there were, what they add up to "
        "and the SHA-256 of all lines before; for CSV the object that the header `Link` names says so. An answer that "
        "breaks off is not whole. You may have two of them under way. For large ones rather ask for an export in the "
        "background (`POST /api/exports/`)."
    ),
    parameters=[FORMAT, openapi.ORDERING, BOM, LINK, EXPORT_ID_HEADER],
    responses=FILES,
    errors=(errors.ExportTooLarge, errors.TooManyExports, errors.TooManyReports, errors.FilesBusy),
)
list_exports = operation(
    operation_id="list_exports",
    tags=["reports"],
    summary="List exports",
    description="Your exports in the key's mode, newest first, a page at a time; those that were streamed as well.",
    parameters=[STATUS],
    responses={
        200: OpenApiResponse(
            serializers.ExportSerializer(many=True), "A page of exports.", [OpenApiExample("answer", COMPLETED)]
        )
    },
)
create_export = operation(
    operation_id="create_export",
    tags=["reports"],
    summary="Have an export made",
    description=(
        "Has a file made in the background of the payouts that the filters select, all of the moment at which a worker "
        "begins. Ask for the export until it is `completed`, and follow its `download_url`. You may have five of them "
        "under way; each is kept for some days, up to a limit of all together. A request in the same words within ten "
        "minutes gets the export that there is, unless it is over without a file or payouts have been created or "
        "changed since it began."
    ),
    parameters=[OPTIONAL_KEY, REPLAYED, LOCATION],
    request=serializers.ExportWriteSerializer,
    examples=[OpenApiExample("paid", REQUEST, request_only=True)],
    responses={
        202: _answer("It will be made.", PENDING),
        200: _answer(
            "The export that there is: an earlier request in the same words asked for it; or one with the key, whose "
            "answer is no longer kept.",
            COMPLETED,
        ),
    },
    errors=(*KEY_ERRORS, errors.TooManyExports, errors.ExportStorageFull),
)
retrieve_export = operation(
    operation_id="retrieve_export",
    tags=["reports"],
    summary="Retrieve an export",
    description="How far it is, what it adds up to once it is completed, and where to download it.",
    responses={200: _answer("The export.", COMPLETED)},
    errors=(errors.ExportNotFound,),
)
cancel_export = operation(
    operation_id="cancel_export",
    tags=["reports"],
    summary="Cancel an export",
    description=(
        "Calls off one that is `pending` or `running`; one that is being streamed breaks off soon. One that is "
        "`canceled` already is answered the same; any other is 409."
    ),
    parameters=[OPTIONAL_KEY, REPLAYED],
    request=None,
    responses={200: _answer("The export, canceled by this request or before.", CANCELED)},
    errors=(errors.ExportNotFound, *KEY_ERRORS, errors.ExportNotCancelable),
)
download_export = operation(
    operation_id="download_export",
    tags=["reports"],
    summary="Download an export",
    description=(
        "The file of a completed export, by the link from `download_url`, which needs no API key. It is compressed if "
        "`Accept-Encoding` asks for gzip. A download that broke off can be continued: send `Range` with the missing "
        "bytes and `If-Range` with the ETag."
    ),
    auth=[],
    parameters=[TOKEN],
    responses={
        **FILES,
        (206, "text/csv"): OpenApiResponse(str, "The part that `Range` asks for.", [OpenApiExample("part", CSV[:100])]),
        (206, "application/x-ndjson"): OpenApiResponse(
            str, "The part that `Range` asks for.", [OpenApiExample("part", NDJSON[:100])]
        ),
        304: OpenApiResponse(None, "`If-None-Match` names the file: you have it."),
    },
    errors=(
        errors.DownloadLinkInvalid,
        errors.DownloadLinkExpired,
        errors.ExportNotKept,
        MerchantSuspended,
        errors.TooManyDownloads,
        errors.FilesBusy,
        refusals.IfNoneMatchMalformed,
        refusals.RangeNotSatisfiable,
    ),
)
