"""Create and show transfers. Each request is one transaction of the store; the response follows its COMMIT."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus

from sandbox_bank import audit, console, faults, lookups, responses, scenarios, transfers
from sandbox_bank.requests import TransferRequest
from sandbox_bank.responses import Response, ResponseFault
from sandbox_bank.scenarios import Scenario
from sandbox_bank.store import Store

_RETRY_AFTER_SECONDS = 1


class TransferService:
    """Executes each reference once. The store serialises two simultaneous requests for one reference."""

    def __init__(
        self,
        store: Store,
        *,
        injector: faults.FaultInjector,
        timing: scenarios.Timing,
        callbacks: bool,
        changed: Callable[[], None],
    ) -> None:
        self._store = store
        self._injector = injector
        self._timing = timing
        self._callbacks = callbacks
        self._changed = changed
        self._calls = audit.CallsUnderWay()

    def put(self, reference: str, request: TransferRequest) -> Response:
        """Create the transfer unless it exists. A refusal is a response, not an exception."""
        draw = self._injector.draw()
        with self._calls.one_more() as calls, self._transaction(draw) as connection:
            audit.note_calls(connection, calls)
            is_first = transfers.count_request(connection, reference) == 1
            scenario = scenarios.decide(request.account, is_first=is_first, draw=draw, timing=self._timing)
            response = _fault_before(scenario.fault) or self._serve(connection, reference, request, scenario, draw=draw)
        self._changed()
        how = "" if scenario.fault == ResponseFault.NONE else f" ({scenario.fault.value})"
        console.log(f"{reference} {request.amount} {request.currency}: {response.status.value}{how}")
        return response

    def get(self, reference: str) -> Response:
        """Return what is known of the reference, or what the faults of look-ups make of it."""
        draw = self._injector.draw_lookup()
        with self._calls.one_more() as calls, self._transaction(draw) as connection:
            audit.note_calls(connection, calls)
            return lookups.answer(connection, reference, draw=draw, now=time.time())

    @contextlib.contextmanager
    def _transaction(self, draw: faults.Draw) -> Iterator[sqlite3.Connection]:
        time.sleep(draw.durations.get("latency_seconds", 0.0))
        with self._store.transaction() as connection:
            yield connection

    def _serve(
        self,
        connection: sqlite3.Connection,
        reference: str,
        request: TransferRequest,
        scenario: Scenario,
        *,
        draw: faults.Draw,
    ) -> Response:
        response = _known(connection, reference, request, draw) or self._create(
            connection, reference, request, scenario
        )
        if scenario.fault == ResponseFault.ERROR_AFTER:
            return lookups.error()
        if _is_denied(connection, reference, draw):
            return responses.malformed("The bank denies that it did anything.").response
        return dataclasses.replace(response, fault=scenario.fault, delay_seconds=scenario.slow_seconds)

    def _create(
        self, connection: sqlite3.Connection, reference: str, request: TransferRequest, scenario: Scenario
    ) -> Response:
        if isinstance(scenario.outcome, scenarios.Refused):
            transfers.refuse(connection, reference, scenario.outcome)
            return _refused(reference, scenario.outcome)
        transfers.create(
            connection,
            reference,
            request,
            steps=scenario.outcome,
            delivery=scenario.delivery,
            now=time.time(),
            callbacks=self._callbacks,
        )
        if scenario.is_hidden:
            transfers.hide(connection, reference)
        row = transfers.transfer(connection, reference)
        assert row is not None
        return Response(status=HTTPStatus.CREATED, document=transfers.document(row))


def _fault_before(fault: ResponseFault) -> Response | None:
    """Return the response of a fault that prevents the transfer, if there is one."""
    if fault == ResponseFault.RATE_LIMITED:
        return responses.problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "rate_limited",
            "Too many requests. Nothing was done.",
            headers={"Retry-After": str(_RETRY_AFTER_SECONDS)},
        )
    if fault == ResponseFault.MALFORMED:
        return responses.malformed("The request is malformed. Nothing was done.").response
    if fault == ResponseFault.FORBIDDEN:
        return responses.problem(HTTPStatus.FORBIDDEN, "forbidden", "You may not do this. Nothing was done.")
    return lookups.error() if fault == ResponseFault.ERROR_BEFORE else None


def _is_denied(connection: sqlite3.Connection, reference: str, draw: faults.Draw) -> bool:
    row = transfers.transfer(connection, reference)
    return row is not None and lookups.is_hidden(connection, row, draw, now=time.time())


def _known(
    connection: sqlite3.Connection, reference: str, request: TransferRequest, draw: faults.Draw
) -> Response | None:
    """Return the response for a known reference, and None for a new one."""
    # A refusal is final, whatever this scenario says: callers rely on it.
    if refused := transfers.refusal(connection, reference):
        return _refused(reference, refused)
    row = transfers.transfer(connection, reference)
    if row is None:
        return None
    if not transfers.request_of(row).matches(request):
        return _conflicting(row)
    now = time.time()
    if now - row["created_at"] >= draw.durations.get("memory_seconds", math.inf):
        transfers.execute_again(connection, row, now=now)
        console.log(f"{reference} was forgotten, and is executed again")
    return Response(status=HTTPStatus.OK, document=transfers.document(row))


def _refused(reference: str, refused: scenarios.Refused) -> Response:
    """Refuse with the reference, so that a caller detects the response to another request."""
    document = {"code": refused.code, "message": refused.message, "reference": reference}
    return Response(status=HTTPStatus.UNPROCESSABLE_ENTITY, document=document)


def _conflicting(row: sqlite3.Row) -> Response:
    """Refuse with the known transfer, so that people can compare the terms."""
    message = "The reference was used for other terms. Nothing was done."
    document = {"code": "reference_conflict", "message": message, "transfer": transfers.document(row)}
    return Response(status=HTTPStatus.CONFLICT, document=document)
