"""The one table of errors: which exception gets which HTTP status and code, as a problem document (RFC 9457).

Every refused request is answered by a row of this table. The codes are part of the API, and the OpenAPI document has
all of them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponsePermanentRedirect,
    JsonResponse,
    UnreadablePostError,
)
from rest_framework import exceptions
from rest_framework.fields import get_error_detail
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import errors as accounts_errors
from accounts.authentication import SCHEME
from config import pages
from config.logs import current_request_id
from idempotency import errors as idempotency_errors
from payouts import errors as payouts_errors
from rest import bodies, ids, parameters, refusals

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
# Characters that a path may have unencoded (RFC 3986, pchar), besides letters, digits and `-._~`.
PATH_CHARACTERS = "/:@!$&'()*+,;="
# Django keeps a byte that is not UTF-8 encoded in the path, such as %FF. It must not be encoded again.
UNREADABLE_BYTE = re.compile("%25([89A-F][0-9A-F])")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# Errors with which PostgreSQL reports that it gave up the transaction (its appendix A): a timeout of a lock or of a
# statement, a deadlock, a serialization failure, a transaction that was idle (25P03) or took (25P04) too long, a server
# that has become the standby (25006), a statement that was prepared before the schema changed (0A000; Note [Statements
# that were prepared before a change]). So it is certain that nothing was done.
ROLLED_BACK = frozenset({"55P03", "57014", "40P01", "40001", "25P03", "25P04", "25006", "0A000"})


@dataclass(frozen=True)
class Problem:
    """A row of the table: how one kind of error is answered."""

    status: int
    code: str
    title: str
    #: Seconds after which the same request may succeed, for the Retry-After header.
    retry_after_seconds: int | None = None


UNSUPPORTED_MEDIA_TYPE = Problem(415, "unsupported_media_type", "The body is of another type than JSON")
INVALID_REQUEST = Problem(400, "invalid_request", "The request is not valid")
OUTCOME_UNKNOWN = Problem(503, "outcome_unknown", "It is not known whether the request was carried out", 1)
DATABASE_UNAVAILABLE = Problem(503, "database_unavailable", "The database cannot be reached", 1)
DATABASE_BUSY = Problem(503, "database_busy", "The database is busy", 1)
INTERNAL_ERROR = Problem(500, "internal_error", "Something went wrong on our side")

#: What to do, for exceptions without a message of their own.
DETAILS: Final[dict[Problem, str]] = {
    INVALID_REQUEST: "See `errors` for each field.",
    OUTCOME_UNKNOWN: (
        "The database connection was lost. Send the same request again, with the same Idempotency-Key: it is carried "
        "out once. If you sent none, look what became of it first."
    ),
    DATABASE_BUSY: "Nothing was done. Send the request again in a second.",
    DATABASE_UNAVAILABLE: "Send the request again in a second.",
    INTERNAL_ERROR: "Quote the request_id when you report it.",
}

#: A subclass without its own row gets the row of its base.
PROBLEMS: Final[dict[type[Exception], Problem]] = {
    refusals.HTTPSRequired: Problem(403, "https_required", "HTTPS is required"),
    accounts_errors.APIKeyMissing: Problem(401, "api_key_missing", "No API key was sent"),
    accounts_errors.APIKeyInvalid: Problem(401, "api_key_invalid", "The API key is not valid"),
    accounts_errors.APIKeyExpired: Problem(401, "api_key_expired", "The API key has expired"),
    accounts_errors.APIKeyRevoked: Problem(401, "api_key_revoked", "The API key was revoked"),
    accounts_errors.MerchantSuspended: Problem(403, "merchant_suspended", "The merchant is suspended"),
    accounts_errors.NetworkNotAllowed: Problem(403, "network_not_allowed", "The network is not allowed"),
    accounts_errors.ScopeMissing: Problem(403, "scope_missing", "The API key lacks a scope"),
    refusals.MediaTypeUnsupported: UNSUPPORTED_MEDIA_TYPE,
    refusals.ContentEncodingUnsupported: Problem(
        415, "unsupported_content_encoding", "The body is compressed or encoded"
    ),
    idempotency_errors.IdempotencyKeyMalformed: Problem(400, "idempotency_key_malformed", "Malformed Idempotency-Key"),
    idempotency_errors.IdempotencyKeyMissing: Problem(400, "idempotency_key_missing", "No Idempotency-Key was sent"),
    idempotency_errors.IdempotencyKeyInProgress: Problem(
        409, "idempotency_key_in_progress", "The first request is still under way", 1
    ),
    idempotency_errors.IdempotencyKeyReused: Problem(
        422, "idempotency_key_reused", "The Idempotency-Key belongs to another request"
    ),
    idempotency_errors.IdempotencyKeyUnreadable: Problem(
        503, "idempotency_key_unreadable", "The installation is being upgraded", 5
    ),
    idempotency_errors.IdempotencyKeyNotFound: Problem(404, "not_found", "Not found"),
    payouts_errors.PayoutNotFound: Problem(404, "not_found", "Not found"),
    payouts_errors.ProviderNotFound: Problem(404, "not_found", "Not found"),
    payouts_errors.CallbackRefused: Problem(403, "callback_refused", "The callback is not authentic"),
    payouts_errors.PayoutDeleted: Problem(410, "payout_deleted", "The payout has been deleted"),
    payouts_errors.PayoutExists: Problem(409, "payout_exists", "There is such a payout already"),
    payouts_errors.PayoutNotChangeable: Problem(409, "payout_not_changeable", "The payout can no longer be changed"),
    payouts_errors.PayoutNotCancelable: Problem(409, "payout_not_cancelable", "The payout can no longer be canceled"),
    payouts_errors.PayoutNotDeletable: Problem(409, "payout_not_deletable", "The payout cannot be deleted"),
    payouts_errors.PayoutChanged: Problem(412, "payout_changed", "The payout has changed"),
    refusals.IfMatchMalformed: Problem(400, "if_match_malformed", "Malformed If-Match"),
    refusals.IfNoneMatchMalformed: Problem(400, "if_none_match_malformed", "Malformed If-None-Match"),
    refusals.RangeNotSatisfiable: Problem(416, "range_not_satisfiable", "The file has no such bytes"),
    payouts_errors.SummaryTooLarge: Problem(400, "summary_too_large", "The summary would be too large"),
    payouts_errors.TimeZoneUnknown: Problem(400, "time_zone_unknown", "There is no such time zone"),
    payouts_errors.ExportNotFound: Problem(404, "not_found", "Not found"),
    payouts_errors.ExportNotCancelable: Problem(409, "export_not_cancelable", "The export has ended"),
    payouts_errors.ExportTooLarge: Problem(400, "export_too_large", "The export is too large to be streamed"),
    payouts_errors.TooManyExports: Problem(429, "too_many_exports", "Too many exports", 10),
    payouts_errors.ExportStorageFull: Problem(429, "export_storage_full", "The exports take too much room", 3600),
    payouts_errors.TooManyDownloads: Problem(429, "too_many_downloads", "Too many downloads of one export", 5),
    payouts_errors.FilesBusy: Problem(429, "files_busy", "Too many files are being sent", 5),
    payouts_errors.TooManyReports: Problem(429, "too_many_reports", "Too many reports at once", 2),
    payouts_errors.ExportNotKept: Problem(410, "export_not_kept", "The export is not kept"),
    payouts_errors.DownloadLinkInvalid: Problem(403, "download_link_invalid", "The download link is not valid"),
    payouts_errors.DownloadLinkExpired: Problem(410, "download_link_expired", "The download link has expired"),
    payouts_errors.AmountDoesNotFit: INVALID_REQUEST,
    payouts_errors.RecipientNotStructured: Problem(400, "recipient_not_structured", "The recipient needs structure"),
    payouts_errors.SelectionTooSlow: Problem(400, "selection_too_slow", "The selection takes too long to find"),
    payouts_errors.LiveProviderMissing: Problem(503, "live_provider_missing", "There is no provider for live payouts"),
    parameters.ParametersRefused: INVALID_REQUEST,
    exceptions.ValidationError: INVALID_REQUEST,
    exceptions.ParseError: INVALID_REQUEST,
    exceptions.UnsupportedMediaType: UNSUPPORTED_MEDIA_TYPE,
    exceptions.NotFound: Problem(404, "not_found", "Not found"),
    exceptions.MethodNotAllowed: Problem(405, "method_not_allowed", "The method is not allowed here"),
    exceptions.NotAcceptable: Problem(406, "not_acceptable", "There is no such format"),
    exceptions.Throttled: Problem(429, "too_many_requests", "Too many requests"),
    exceptions.PermissionDenied: Problem(403, "permission_denied", "Not allowed"),
    Http404: Problem(404, "not_found", "Not found"),
    DjangoPermissionDenied: Problem(403, "permission_denied", "Not allowed"),
    RequestDataTooBig: INVALID_REQUEST,
    UnreadablePostError: INVALID_REQUEST,
    SuspiciousOperation: INVALID_REQUEST,
}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer an exception of a view by its row of the table. Return None (a logged 500) if it has no row."""
    request: Request = context["request"]
    problem = _problem_of(error, request)
    if problem is None:
        return None
    body = document(
        problem,
        detail=_detail(error, problem),
        instance=instance_of(request),
        field_errors=_field_errors(error) or None,
    )
    headers = _headers(error, problem, context)
    # In any case JSON: the view of the schema renders YAML.
    request.accepted_renderer, request.accepted_media_type = JSONRenderer(), CONTENT_TYPE
    return Response(body, status=problem.status, headers=headers, content_type=CONTENT_TYPE)


def _problem_of(error: Exception, request: Request) -> Problem | None:
    gave_up = getattr(error.__cause__, "sqlstate", None) in ROLLED_BACK
    if gave_up or isinstance(error, OperationalError | InterfaceError):
        # The connection may have broken after the COMMIT arrived. A read changes nothing, so it can be repeated.
        logger.error("database.failed", exc_info=error)
        if gave_up:
            return DATABASE_BUSY
        return DATABASE_UNAVAILABLE if request.method in SAFE_METHODS else OUTCOME_UNKNOWN
    return next((PROBLEMS[cls] for cls in type(error).__mro__ if cls in PROBLEMS), None)


def document(
    problem: Problem, *, detail: str, instance: str, field_errors: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """Return a problem document."""
    body: dict[str, Any] = {
        # There are no pages about errors, so RFC 9457 asks for about:blank. Programs use the `code`.
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        "instance": instance,
        "code": problem.code,
        "request_id": current_request_id.get(),
    }
    return body if field_errors is None else {**body, "errors": field_errors}


def instance_of(request: HttpRequest | Request) -> str:
    """Return the path as a URI reference (RFC 3986), percent-encoded, with its ids in canonical form."""
    return UNREADABLE_BYTE.sub(r"%\1", quote(ids.canonical_path(request), safe=PATH_CHARACTERS))


def _detail(error: Exception, problem: Problem) -> str:
    if isinstance(error, refusals.Refusal):
        return error.message
    if problem in DETAILS:
        return DETAILS[problem]
    return str(getattr(error, "detail", problem.title))


def _headers(error: Exception, problem: Problem, context: dict[str, Any]) -> dict[str, str]:
    headers = {}
    if problem.status == exceptions.AuthenticationFailed.status_code:
        headers["WWW-Authenticate"] = SCHEME
    if problem.retry_after_seconds is not None:
        headers["Retry-After"] = str(problem.retry_after_seconds)
    if isinstance(error, refusals.MediaTypeUnsupported):
        headers[f"Accept-{str(context['request'].method).capitalize()}"] = bodies.MEDIA_TYPE
    if isinstance(error, refusals.ContentEncodingUnsupported):
        headers["Accept-Encoding"] = "identity"
    if isinstance(error, refusals.RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.size}"
    if isinstance(error, exceptions.Throttled):
        seconds = str(max(1, round(getattr(error, "wait", None) or 1)))
        limit = str(settings.THROTTLE_REQUESTS_PER_MINUTE or settings.THROTTLE_MERCHANT_REQUESTS_PER_MINUTE)
        headers |= {"Retry-After": seconds, "RateLimit-Limit": limit}
        headers |= {"RateLimit-Remaining": "0", "RateLimit-Reset": seconds}
    if isinstance(error, exceptions.MethodNotAllowed):
        headers["Allow"] = ", ".join(context["view"].allowed_methods)
    return headers


def _field_errors(error: Exception) -> list[dict[str, str]]:
    """Return a row for each invalid field, with the field's dotted path."""
    match error:
        case exceptions.ValidationError():
            return list(_flatten(error.detail))
        case parameters.ParametersRefused():
            return list(_flatten(get_error_detail(error)))
        case refusals.Refusal():
            return _refused_field(error)
        case exceptions.ParseError():
            row = ("body", "malformed_json", str(error.detail))
        case RequestDataTooBig():
            row = ("body", "body_too_large", "The body is too large.")
        case UnreadablePostError():
            row = ("body", "incomplete_body", "The body did not arrive whole.")
        case SuspiciousOperation():
            row = ("request", "malformed", "The request could not be understood.")
        case _:
            return []
    return [_field_error(*row)]


def _refused_field(error: refusals.Refusal) -> list[dict[str, str]]:
    problem = problem_of_class(type(error))
    if error.field is None or problem.status != INVALID_REQUEST.status:
        return []
    code = "too_many_decimals" if isinstance(error, payouts_errors.AmountDoesNotFit) else problem.code
    return [_field_error(error.field, code, error.message)]


def problem_of_class(cls: type[Exception]) -> Problem:
    """Return the row of this exception or of its nearest base. Raises StopIteration if there is none."""
    return next(PROBLEMS[base] for base in cls.__mro__ if base in PROBLEMS)


def _flatten(detail: Any, path: str = "") -> Iterator[dict[str, str]]:
    if isinstance(detail, Mapping):
        for name, below in detail.items():
            here = path if name == "non_field_errors" else f"{path}.{name}".lstrip(".")
            yield from _flatten(below, here)
    elif isinstance(detail, list | tuple):
        for below in detail:
            yield from _flatten(below, path)
    else:
        yield _field_error(path or "body", getattr(detail, "code", "invalid"), str(detail))


def _field_error(field: str, code: str, message: str) -> dict[str, str]:
    return {"field": field, "code": code, "message": message}


def _outside_views(request: HttpRequest, problem: Problem, detail: str) -> HttpResponse:
    body = document(problem, detail=detail, instance=instance_of(request))
    response = JsonResponse(body, status=problem.status, content_type=CONTENT_TYPE)
    # Django's middleware adds it, but the request may not have reached that middleware.
    response.headers["Content-Length"] = str(len(response.content))
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler400: answer what Django refuses before a view, such as a forbidden Host header."""
    del exception
    return _outside_views(request, INVALID_REQUEST, "The request could not be understood.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler404: answer an unknown path. A browser that omitted the last slash is redirected."""
    del exception
    lacks_slash = pages.lacks_slash(request)
    if lacks_slash and pages.is_redirected(request):
        return HttpResponsePermanentRedirect(pages.address_with_slash(request))
    hint = f" The path ends with a slash: {request.path}/" if lacks_slash else ""
    return _outside_views(request, PROBLEMS[Http404], f"There is nothing at {request.path}.{hint}")


def refusal(request: HttpRequest, error: refusals.Refusal) -> HttpResponse:
    """Answer a refusal of a middleware, before a view."""
    response = _outside_views(request, problem_of_class(type(error)), error.message)
    # Later middleware does not see this answer.
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500: answer after a defect. The log has the traceback with the same request id."""
    return _outside_views(request, INTERNAL_ERROR, DETAILS[INTERNAL_ERROR])
