"""Base classes of all admin pages.

Nothing is deleted in the admin: rows are suspended, revoked or deactivated, and kept for the audit.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import SuspiciousOperation
from django.core.paginator import Paginator
from django.db import DataError, ProgrammingError, transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from rest import refusals

logger = logging.getLogger(__name__)


class StrictChangeList(ChangeList):
    """Ask the database for the page at once, so that a value it cannot compare with is a mistake in the address.

    Django sees the mistakes of which Python knows, and leads back to the whole list then. Others, such as a number that
    no column holds, only the database sees, while the page is being written.
    """

    def get_results(self, request: HttpRequest) -> None:
        if not (self.get_filters_params() or self.query):
            # What fails without a filter is a defect of ours.
            super().get_results(request)
            return
        try:
            # A statement that fails must not take the transaction of a caller with it.
            with transaction.atomic():
                super().get_results(request)
                len(self.result_list)
        except (DataError, ProgrammingError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            # It may be a defect of ours after all. Not the message: it quotes the value.
            logger.warning("admin.list.refused", extra={"path": request.path, "error": type(error).__name__})
            raise IncorrectLookupParameters(error) from error


class AuditedModelAdmin(ModelAdmin):
    """Base of all model admins: no deletion, no count for each choice of a filter, no lookups on secrets."""

    show_facets = admin.ShowFacets.NEVER
    list_filter_submit = True
    list_per_page = 50
    empty_value_display = "-"
    #: Fields that no query parameter may ask about: answers to `?field__startswith=` would spell them out.
    denied_lookups: ClassVar[frozenset[str]] = frozenset()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        del request, obj
        return False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        if lookup.split("__", maxsplit=1)[0] in self.denied_lookups:
            return False
        return bool(super().lookup_allowed(lookup, value, request))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        del request, kwargs
        return StrictChangeList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if any("\x00" in text for name, values in request.GET.lists() for text in (name, *values)):
            raise SuspiciousOperation("PostgreSQL has no NUL characters to look for.")
        response: HttpResponse = super().changelist_view(request, extra_context)
        return response

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        try:
            response: HttpResponse = super().changeform_view(request, object_id, form_url, extra_context)
        except refusals.Refusal as refusal:
            # Another administrator was faster than the form's own check. Nothing was written.
            self.message_user(request, refusal.message, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return response


class UncountedPaginator(Paginator):
    """Pages of a table that grows without limit. The table is never counted."""

    template_name = "admin/pagination_uncounted.html"
    #: 100 pages of 50: beyond that a user needs a filter, and OFFSET reads all rows that it skips.
    PAGES_MAX = 100

    @cached_property
    def count(self) -> int:
        return self.per_page * self.PAGES_MAX


class UncountedChangeList(StrictChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        # Equal, so that the heading does not show the paginator's limit as the number of results.
        self.full_result_count = self.result_count


class ReadOnlyModelAdmin(AuditedModelAdmin):
    """Shows rows that only the platform itself writes."""

    show_full_result_count = False
    paginator = UncountedPaginator
    # The newest first, by the primary key. No other order has an index.
    ordering: ClassVar[Sequence[str]] = ("-id",)
    sortable_by: ClassVar[Sequence[str]] = ()
    list_fullwidth = True

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[UncountedChangeList]:
        del request, kwargs
        return UncountedChangeList

    def has_add_permission(self, request: HttpRequest) -> bool:
        del request
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        del request, obj
        return False
