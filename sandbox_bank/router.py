"""Maps requests to handlers: the contract under /v1, the controls for tests, and the health check."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from sandbox_bank import audit, documents, faults, requests, responses, transfers
from sandbox_bank.faults import FaultInjector
from sandbox_bank.responses import Response
from sandbox_bank.service import TransferService
from sandbox_bank.signatures import Credentials
from sandbox_bank.store import Store

_TRANSFERS = "/v1/transfers/"


@dataclass(frozen=True)
class Request:
    method: str
    #: The target as sent, because the signature covers it.
    target: str
    #: Headers by lower-case name.
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


class Router:
    """Returns a response or raises Refusal."""

    def __init__(
        self, *, credentials: Credentials, service: TransferService, injector: FaultInjector, store: Store
    ) -> None:
        self._credentials = credentials
        self._service = service
        self._injector = injector
        self._store = store
        self._controls: dict[str, dict[str, Callable[[Request], Response]]] = {
            "/livez": {"GET": self._report_alive},
            "/control/faults": {"GET": self._show_faults, "POST": self._set_faults},
            "/control/book": {"GET": self._show_store},
            "/control/audit": {"GET": self._show_audit},
        }

    def serve(self, request: Request) -> Response:
        if request.path == "/v1" or request.path.startswith("/v1/"):
            return self._serve_contract(request)
        if request.path not in self._controls:
            raise _not_found()
        return _call(request, self._controls[request.path])

    def _serve_contract(self, request: Request) -> Response:
        # First of all, so that an unauthenticated caller does not learn which addresses exist.
        self._credentials.check(request.method, request.target, request.headers, request.body, now=time.time())
        if not request.path.startswith(_TRANSFERS):
            raise _not_found()
        reference = request.path.removeprefix(_TRANSFERS)
        if not requests.REFERENCE.fullmatch(reference):
            raise responses.malformed("A reference is 1 to 64 of the characters A-Z, a-z, 0-9 and the hyphen.")
        return _call(
            request,
            {
                "GET": lambda _: self._service.get(reference),
                "PUT": lambda asked: self._service.put(reference, requests.read(asked.body)),
            },
        )

    def _report_alive(self, _: Request) -> Response:
        return Response(status=HTTPStatus.OK, document={"status": "ok"})

    def _show_faults(self, _: Request) -> Response:
        return Response(status=HTTPStatus.OK, document=self._injector.active())

    def _set_faults(self, request: Request) -> Response:
        asked = faults.check(documents.read_object(request.body))
        self._injector.set(asked)
        return Response(status=HTTPStatus.OK, document=asked, down_seconds=asked.get("down_seconds", 0.0))

    def _show_store(self, _: Request) -> Response:
        with self._store.transaction() as connection:
            return Response(status=HTTPStatus.OK, document=transfers.contents(connection))

    def _show_audit(self, _: Request) -> Response:
        with self._store.transaction() as connection:
            return Response(status=HTTPStatus.OK, document=audit.contents(connection))


def _call(request: Request, methods: Mapping[str, Callable[[Request], Response]]) -> Response:
    if request.method not in methods:
        allowed = ", ".join(methods)
        raise responses.Refusal(
            HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", f"Allowed: {allowed}.", headers={"Allow": allowed}
        )
    return methods[request.method](request)


def _not_found() -> responses.Refusal:
    # Not the code of an unknown transfer: a wrong base URL must not look like a payment that was never made.
    return responses.Refusal(HTTPStatus.NOT_FOUND, "no_such_address", "There is nothing at this address.")
