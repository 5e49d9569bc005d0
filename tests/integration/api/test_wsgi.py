"""What Django's own way to make a request of the server's environment would answer with 500, or not see at all."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from accounts import services
from accounts.models import Merchant
from config.wsgi import application
from payouts.models import Payout
from tests.support import factories


@pytest.fixture
def secret(acme: Merchant) -> str:
    return services.issue_api_key(acme, name="test")[1]


def call(secret: str, method: str, path: str, body: bytes = b"", **extra: Any) -> tuple[int, Any]:
    """Make a request of the server's environment and have it answered; return the status and the body."""
    environ = RequestFactory(headers={"authorization": f"Api-Key {secret}"}).generic(method, path, body).environ
    # What the application does when it is called, without the signals that would close the test's connection.
    response = application.get_response(application.request_class({**environ, **extra}))
    assert isinstance(response, HttpResponse)
    return response.status_code, json.loads(response.content)


@pytest.mark.parametrize("charset", ["hex", "rot13", "undefined", "utf-16", "nonsense", "idna"])
def test_the_charset_that_a_caller_names_is_not_listened_to(secret: str, charset: str) -> None:
    status, body = call(
        secret, "GET", "/api/payouts/?search=Zo%C3%AB", CONTENT_TYPE=f"application/json; charset={charset}"
    )

    assert (status, body["results"]) == (200, [])


def test_a_content_type_that_cannot_be_read_is_none_of_ours(secret: str) -> None:
    body = json.dumps(factories.payout_body()).encode()

    status, answer = call(secret, "POST", "/api/payouts/", body, CONTENT_TYPE="application/json; charset*=foo''%41")

    assert (status, answer["code"]) == (415, "unsupported_media_type")
    assert not Payout.objects.exists()


class TestChunks:
    """A body without Content-Length, as several HTTP clients send it by themselves."""

    @staticmethod
    def send(secret: str, method: str, path: str, body: bytes) -> tuple[int, Any]:
        stream = BytesIO(body)
        server: dict[str, Any] = {"wsgi.input": stream, "wsgi.input_terminated": True}
        status, answer = call(
            secret,
            method,
            path,
            CONTENT_TYPE="application/json",
            CONTENT_LENGTH="",
            HTTP_TRANSFER_ENCODING="chunked",
            **server,
        )
        assert stream.tell() <= 64 * 1024 + 1
        return status, answer

    def test_are_a_body_like_any_other(self, secret: str) -> None:
        status, answer = self.send(secret, "POST", "/api/payouts/", json.dumps(factories.payout_body()).encode())

        assert (status, answer["amount"]) == (201, "10.50")

    def test_change_a_payout(self, secret: str, make_payout: Any) -> None:
        payout = make_payout()

        _, answer = self.send(secret, "PATCH", f"/api/payouts/{payout.id}/", b'{"comment": "new"}')

        assert answer["comment"] == "new"

    @pytest.mark.parametrize(
        ("body", "code"), [(b" " * 70_000, "body_too_large"), (b"{", "malformed_json"), (b"[]", "not_an_object")]
    )
    def test_are_refused_like_any_other(self, secret: str, body: bytes, code: str) -> None:
        status, answer = self.send(secret, "POST", "/api/payouts/", body)

        assert (status, answer["errors"][0]["field"], answer["errors"][0]["code"]) == (400, "body", code)
        assert not Payout.objects.exists()


class BrokenStream(BytesIO):
    """A connection that falls silent, as gunicorn's socket does once its time is up."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise TimeoutError("timed out")


class TestSilence:
    """A caller that promises a body and does not send it holds a thread for ten seconds and no longer."""

    @pytest.mark.parametrize(
        "headers",
        [
            {"CONTENT_LENGTH": "100"},
            {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True},
        ],
    )
    def test_is_a_refusal_and_no_defect_of_ours(self, secret: str, headers: dict[str, Any]) -> None:
        extra = {"CONTENT_TYPE": "application/json", "wsgi.input": BrokenStream(b"?"), **headers}

        status, answer = call(secret, "POST", "/api/payouts/", b"", **extra)

        assert status == 400
        assert [(error["field"], error["code"]) for error in answer["errors"]] == [("body", "incomplete_body")]
        assert not Payout.objects.exists()
