from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts import errors
from accounts.callers import CallingKey
from accounts.models import Scope

if TYPE_CHECKING:
    # REST framework reads this class from its settings while that module is being imported.
    from rest_framework.views import APIView

#: Scopes by HTTP method. The key needs one of them; an empty tuple accepts any key.
Scopes = Mapping[str, tuple[Scope, ...]]


class Scoped(Protocol):
    scopes: Scopes


class HasScope(BasePermission):
    """Accepts a request if its API key has one of the scopes that the view names for the method.

    A method that the view does not have is accepted, and answered with 405 later.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        if request.auth is None:
            raise errors.APIKeyMissing
        api_key: CallingKey = request.auth  # type: ignore[assignment] # The stubs know only tokens.
        method = "GET" if request.method == "HEAD" else request.method or ""
        if method.lower() not in view.http_method_names or not hasattr(view, method.lower()):
            return True
        wanted: tuple[Scope, ...] = view.scopes[method]  # type: ignore[attr-defined] # Each view of ours is Scoped.
        if wanted and not set(wanted) & set(api_key.scopes):
            raise errors.ScopeMissing(f"This API key lacks the scope {' or '.join(wanted)}.")
        return True
