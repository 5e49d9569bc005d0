"""The table of errors is whole, and what it says is what is answered."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import path
from rest_framework import exceptions

from accounts import errors as accounts_errors
from config import api_errors, urls
from idempotency import errors as idempotency_errors
from payouts import errors as payouts_errors
from payouts.models import Payout
from rest import refusals
from tests.support import answers, factories


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a secret of the inside")


# URLs of an installation with a defect, for the one test that asks for them.
urlpatterns = [path("broken", broken)]
handler500 = urls.handler500

MEMBERS = {"type", "title", "status", "detail", "instance", "code", "request_id"}

# Of commands, the admin and our own code; no request of the API ends in one of these.
NOT_OF_THE_API = {
    refusals.Refusal,
    accounts_errors.MerchantNotFound,
    accounts_errors.MerchantAmbiguous,
    accounts_errors.MerchantExists,
    accounts_errors.APIKeyRequestInvalid,
    payouts_errors.PayoutNotInAttention,
    payouts_errors.PayoutShownPaid,
    payouts_errors.PayoutInHand,
    payouts_errors.PayoutNotRetryable,
    payouts_errors.PayoutNotAskable,
    payouts_errors.ProviderGone,
    payouts_errors.CallbackNotAlarming,
    payouts_errors.PayoutContradicted,
    payouts_errors.PayoutNotContradicted,
    payouts_errors.PayoutDeletedByMerchant,
    payouts_errors.PayoutExpired,
    payouts_errors.WindowOver,
    payouts_errors.PausedAlready,
    payouts_errors.NotPaused,
    payouts_errors.PauseNotBegun,
    payouts_errors.ReasonMissing,
    payouts_errors.ReasonUnusable,
    payouts_errors.TransitionNotAllowed,
    # REST framework's base, and what our own authentication and permissions never raise.
    exceptions.APIException,
    exceptions.AuthenticationFailed,
    exceptions.NotAuthenticated,
}


def errors_of(module: ModuleType) -> Iterator[type[Exception]]:
    for _, cls in inspect.getmembers(module, inspect.isclass):
        if issubclass(cls, Exception) and cls.__module__ == module.__name__:
            yield cls


ERRORS = [
    cls
    for module in (accounts_errors, idempotency_errors, payouts_errors, exceptions)
    for cls in errors_of(module)
    if cls not in NOT_OF_THE_API
]

EVERY_PROBLEM = {
    *api_errors.PROBLEMS.values(),
    *(value for value in vars(api_errors).values() if isinstance(value, api_errors.Problem)),
}


class TestTable:
    @pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.__name__)
    def test_has_a_row_for_every_error(self, cls: type[Exception]) -> None:
        assert cls in api_errors.PROBLEMS

    def test_has_no_row_for_what_cannot_happen(self) -> None:
        assert NOT_OF_THE_API & api_errors.PROBLEMS.keys() == set()

    def test_gives_each_code_one_title_and_one_status(self) -> None:
        rows = defaultdict(set)
        for problem in EVERY_PROBLEM:
            rows[problem.code].add((problem.title, problem.status))

        assert {code: found for code, found in rows.items() if len(found) > 1} == {}
        titles = [title for found in rows.values() for title, _ in found]
        assert len(titles) == len(set(titles))

    def test_has_codes_that_programs_can_use(self) -> None:
        for problem in EVERY_PROBLEM:
            assert re.fullmatch(r"[a-z]+(_[a-z]+)*", problem.code)
            assert 400 <= problem.status <= 503

    @pytest.mark.parametrize("cls", [cls for cls in ERRORS if issubclass(cls, refusals.Refusal)])
    def test_tells_the_caller_a_sentence(self, cls: type[refusals.Refusal]) -> None:
        assert re.fullmatch(r"[A-Z`].{10,200}[.:]", cls().message)


class TestProblemDocument:
    def test_has_the_members_of_rfc_9457(self, api: Client) -> None:
        response = api.get("/api/payouts/?x=1", headers={"X-Request-Id": "abc-123"})

        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.json() == {
            "type": "about:blank",
            "title": "The request is not valid",
            "status": 400,
            "detail": "See `errors` for each field.",
            "instance": "/api/payouts/",
            "code": "invalid_request",
            "request_id": "abc-123",
            "errors": [
                {
                    "field": "x",
                    "code": "unknown_parameter",
                    "message": response.json()["errors"][0]["message"],
                }
            ],
        }
        assert response.headers["X-Request-Id"] == "abc-123"

    def test_has_no_errors_where_no_field_is_to_blame(self, client: Client, db: None) -> None:
        assert client.get("/api/payouts/").json().keys() == MEMBERS

    @pytest.mark.parametrize("accept", ["text/html", "application/xml", "*/*", "application/json;q=0", "nonsense", ""])
    def test_is_json_whatever_the_caller_accepts(self, client: Client, db: None, accept: str) -> None:
        response = client.get("/api/payouts/", headers={"Accept": accept})

        assert answers.code(response) == (401, "api_key_missing")
        assert response.headers["Content-Type"] == "application/problem+json"

    @pytest.mark.parametrize("offered", ["", "a b", "x" * 129, "é", "a\nb", "<script>"])
    def test_has_an_id_of_ours_where_the_callers_is_malformed(self, client: Client, db: None, offered: str) -> None:
        response = client.get("/api/payouts/", headers={"X-Request-Id": offered})

        assert response.headers["X-Request-Id"] != offered
        assert response.json()["request_id"] == response.headers["X-Request-Id"]

    def test_is_not_to_be_cached(self, client: Client, db: None) -> None:
        response = client.get("/api/payouts/")

        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")

    def test_needs_no_cookie_and_sets_none(self, api: Client) -> None:
        response = api.get("/api/me/")

        assert response.cookies == {}
        assert "Cookie" not in response.headers.get("Vary", "")


class TestOutsideViews:
    @pytest.mark.parametrize(
        ("url", "detail"),
        [
            ("/api/nothing/", "There is nothing at /api/nothing/."),
            ("/api/payouts", "There is nothing at /api/payouts. The path ends with a slash: /api/payouts/"),
            ("/api/payouts/%F0%9F%99%82/", "There is nothing at /api/payouts/🙂/."),
        ],
    )
    def test_path_that_leads_nowhere(self, client: Client, url: str, detail: str) -> None:
        response = client.get(url)

        assert answers.code(response) == (404, "not_found")
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.json().keys() == MEMBERS
        assert response.json()["detail"] == detail

    def test_host_that_is_not_ours(self, client: Client) -> None:
        response = client.get("/api/payouts/", headers={"Host": "evil.example"})

        assert answers.code(response) == (400, "invalid_request")
        assert response.json().keys() == MEMBERS
        assert "evil" not in response.content.decode()

    @pytest.mark.urls(__name__)
    def test_defect_of_ours(self) -> None:
        response = Client(raise_request_exception=False).get("/broken")

        assert answers.code(response) == (500, "internal_error")
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.json().keys() == MEMBERS
        assert response.json()["request_id"] == response.headers["X-Request-Id"]
        assert "inside" not in response.content.decode()

    @pytest.mark.parametrize("error", [RequestDataTooBig("x"), SuspiciousOperation("x")])
    def test_what_django_refuses(self, error: Exception) -> None:
        request: Any = RequestFactory().get("/api/payouts/")

        response = api_errors.exception_handler(error, {"request": request, "view": None})

        assert response is not None
        assert (response.status_code, response.data["code"]) == (400, "invalid_request")
        assert "x" not in response.data["detail"].split()

    def test_what_the_table_does_not_know_is_a_defect(self) -> None:
        request: Any = RequestFactory().get("/api/payouts/")

        assert api_errors.exception_handler(RuntimeError(), {"request": request, "view": None}) is None


class TestMethodNotAllowed:
    @pytest.mark.parametrize(
        ("method", "url", "allow"),
        [
            ("PUT", "/api/payouts/", "GET, POST, HEAD"),
            ("DELETE", "/api/payouts/", "GET, POST, HEAD"),
            ("OPTIONS", "/api/payouts/", "GET, POST, HEAD"),
            ("TRACE", "/api/payouts/", "GET, POST, HEAD"),
            ("NONSENSE", "/api/payouts/", "GET, POST, HEAD"),
            ("POST", "/api/payouts/summary/", "GET, HEAD"),
            ("DELETE", "/api/me/", "GET, HEAD"),
        ],
    )
    def test_says_what_is_allowed(self, api: Client, method: str, url: str, allow: str) -> None:
        response = api.generic(method, url)

        assert answers.code(response) == (405, "method_not_allowed")
        assert response.headers["Allow"] == allow

    @pytest.mark.parametrize("url", ["/api/payouts/", "/api/payouts/export/", "/api/exports/"])
    def test_is_what_is_wrong_whatever_else_is(self, api: Client, url: str) -> None:
        response = api.generic("TRACE", f"{url}?status=paid")

        assert answers.code(response) == (405, "method_not_allowed")


class TestLostDatabase:
    """The server ends our connection, as it does when it is restarted."""

    @pytest.fixture
    def cut(self, transactional_db: None, api: Client, make_payout: Callable[..., Payout]) -> Iterator[Client]:
        make_payout()
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
        other = connections.create_connection("default")
        try:
            with other.cursor() as cursor:
                # Waits until it is gone.
                cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        finally:
            other.close()
        yield api
        connection.close()

    def test_makes_the_outcome_of_a_post_unknown(self, cut: Client) -> None:
        response = factories.post_payout(cut, key="order-1")

        assert answers.code(response) == (503, "outcome_unknown")
        assert response.headers["Retry-After"] == "1"
        assert "same Idempotency-Key" in response.json()["detail"]
        # The same request again, as the answer says.
        connection.close()
        assert factories.post_payout(cut, key="order-1").status_code == 201

    @pytest.mark.parametrize("method", ["get", "head"])
    def test_is_no_question_of_outcome_for_who_reads(self, cut: Client, method: str) -> None:
        response = getattr(cut, method)("/api/payouts/")

        assert response.status_code == 503
        assert response.headers["Retry-After"] == "1"
        if method == "get":
            assert response.json()["code"] == "database_unavailable"

    def test_makes_the_outcome_of_a_cancel_unknown(self, cut: Client) -> None:
        response = cut.post("/api/payouts/01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f/cancel/")

        assert answers.code(response) == (503, "outcome_unknown")


class TestBusyDatabase:
    @pytest.fixture
    def locked(self, transactional_db: None, make_payout: Callable[..., Payout]) -> Iterator[Payout]:
        """A payout that another transaction holds for longer than we wait."""
        payout = make_payout()
        other = connections.create_connection("default")
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM payouts_payout WHERE id = %s FOR UPDATE", [payout.id])
        yield payout
        other.rollback()
        other.close()
        connection.close()

    def test_is_told_from_a_lost_one(self, api: Client, locked: Payout) -> None:
        response = api.patch(f"/api/payouts/{locked.id}/", {"comment": "new"}, content_type="application/json")

        assert answers.code(response) == (503, "database_busy")
        assert response.headers["Retry-After"] == "1"
        assert api.get(f"/api/payouts/{locked.id}/").json()["comment"] == ""


class TestReadOnlyDatabase:
    """A failover in which the connection ends up at the standby."""

    @pytest.fixture
    def _read_only(self, transactional_db: None, api: Client) -> Iterator[None]:
        api.get("/api/me/")
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")
        yield
        connection.close()

    @pytest.mark.usefixtures("_read_only")
    @pytest.mark.parametrize("key", ["order-1", None])
    def test_is_one_that_may_be_back_in_a_moment(self, api: Client, key: str | None) -> None:
        response = factories.post_payout(api, key=key)

        assert answers.code(response) == (503, "database_busy")
        assert response.headers["Retry-After"] == "1"
        assert answers.rows_written() == answers.NOTHING


class TestLostCommit:
    """The worst moment: everything was sent, and whether COMMIT arrived nobody knows."""

    @pytest.fixture
    def _dies_at_commit(self, transactional_db: None) -> Iterator[None]:
        with connection.cursor() as cursor:
            cursor.execute(
                """
                CREATE FUNCTION test_die() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
                CREATE CONSTRAINT TRIGGER test_die AFTER INSERT ON payouts_payout
                DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION test_die();
                """
            )
        yield
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER IF EXISTS test_die ON payouts_payout; DROP FUNCTION IF EXISTS test_die()")

    @pytest.mark.usefixtures("_dies_at_commit")
    def test_is_told_and_the_same_request_again_creates_one_payout(self, api: Client) -> None:
        lost = factories.post_payout(api, key="order-1")
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER test_die ON payouts_payout")
        again = factories.post_payout(api, key="order-1")

        assert answers.code(lost) == (503, "outcome_unknown")
        assert again.status_code == 201
        assert Payout.objects.count() == 1
