"""Bases of the views of objects: of one object, and of a list of them in pages.

They know no merchant. A view's `get_queryset` selects the objects that the caller may see.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence, Set
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.filters import BaseFilterBackend
from rest_framework.generics import GenericAPIView
from rest_framework.pagination import BasePagination
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from rest import parameters
from rest.pagination import CursorPagination
from rest.refusals import Refusal

M = TypeVar("M", bound=Model)


class ObjectAPIView(GenericAPIView[M]):
    """Base of the views of one object. It refuses every query parameter that it does not know."""

    http_method_names = ["get", "post", "patch", "delete", "head"]
    pagination_class: type[BasePagination] | None = None
    filter_backends: Sequence[type[BaseFilterBackend]] = ()
    #: Query parameters of GET. A view with filters checks them itself.
    query_parameters: Set[str] = frozenset()
    repeatable_parameters: Set[str] = frozenset()
    #: The refusal if the caller may see no such object.
    not_found: type[Refusal]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        is_read = request.method in SAFE_METHODS
        # An unknown method gets its own error.
        if request.method in self.allowed_methods and not (is_read and self.filter_backends):
            known = self.query_parameters if is_read else frozenset[str]()
            parameters.refuse_misunderstood(request.query_params, known=known, repeatable=self.repeatable_parameters)

    def get_one(self, object_id: uuid.UUID) -> M:
        """Return the object. Raises the refusal `not_found`."""
        found = self.get_queryset().filter(pk=object_id).first()
        if found is None:
            raise self.not_found
        return found

    def validated(self, serializer: BaseSerializer[Any]) -> dict[str, Any]:
        """Return the fields that the serializer has read. Raises ValidationError."""
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def answer(self, found: M, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        """Answer with the object."""
        raise NotImplementedError

    def answer_again(self, object_id: uuid.UUID) -> Response:
        """Answer a retry whose first answer is no longer kept."""
        return self.answer(self.get_one(object_id))


class ListAPIView(ObjectAPIView[M]):
    """Base of a view that lists objects in pages. Its POST may create one."""

    pagination_class = CursorPagination

    def ordering_of(self, request: Request) -> tuple[str, ...]:
        """Return the columns to order by, the unique one last."""
        del request
        return ("-created_at", "-id")

    def load(self, page: QuerySet[M]) -> list[Any]:
        """Return the rows of a page."""
        return list(page)
