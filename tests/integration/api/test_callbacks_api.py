"""Where providers tell us what became of payouts: stored as it came, and answered at once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.test import Client

from payouts import tasks
from payouts.engine import inbox, refused_callbacks
from payouts.models import Payout, ProviderCallback
from payouts.providers import base, registry
from payouts.providers.http_bank.provider import Configuration, HttpBankProvider
from tests.support import answers, factories, fake_provider
from tests.support.doorbell import Doorbell, forget_connections
from tests.support.fake_provider import FakeProvider

pytestmark = pytest.mark.django_db

URL = "/api/callbacks/fake/"
BODY = fake_provider.callback_body("01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f", "paid")


@pytest.fixture(autouse=True)
def provider(monkeypatch: pytest.MonkeyPatch) -> FakeProvider:
    fake = FakeProvider()
    monkeypatch.setitem(registry.PROVIDERS, fake.name, fake)
    return fake


@pytest.fixture
def doorbell() -> Doorbell:
    return Doorbell(redis.Redis.from_url(django_settings.CELERY_BROKER_URL))


def tell(client: Client, body: bytes = BODY, *, url: str = URL, headers: dict[str, str] | None = None) -> Any:
    """POST what the provider tells, signed; the headers replace or add."""
    signed = {"Fake-Event": "e-1", "Fake-Signature": fake_provider.SIGNATURE, **(headers or {})}
    return client.generic("POST", url, body, "application/json", headers=signed)


class TestTellUs:
    def test_is_stored_as_it_came_and_answered_at_once(
        self, client: Client, doorbell: Doorbell, make_payout: Callable[..., Payout]
    ) -> None:
        payout = make_payout()
        body = fake_provider.callback_body(str(payout.pk), "paid")

        response = tell(client, body)

        assert (response.status_code, response.json()) == (202, {"status": "accepted"})
        stored = ProviderCallback.objects.get()
        assert (stored.provider, stored.event_id, bytes(stored.body)) == ("fake", "e-1", body)
        assert (stored.applied_at, stored.result, stored.payout_id) == (None, "", None)
        # What it says is for a worker to apply.
        assert (doorbell.rung("callbacks"), doorbell.rung()) == (1, 0)
        payout.refresh_from_db()
        assert (payout.status, payout.attempts_count) == ("pending", 0)

    def test_needs_no_api_key_and_no_other(self, client: Client) -> None:
        for headers in ({}, {"Authorization": "Api-Key x.y"}, {"Authorization": "Bearer z"}, {"Cookie": "sessionid=x"}):
            assert tell(client, headers=headers).status_code == 202

    @pytest.mark.parametrize("body", [b"", b"nonsense", b"\x00\xff\xfe", b"null", "ü".encode()])
    def test_stores_what_nobody_understands(self, client: Client, body: bytes) -> None:
        assert tell(client, body).status_code == 202
        assert bytes(ProviderCallback.objects.get().body) == body

    @pytest.mark.parametrize("coding", ["gzip", "br", "identity, zstd"])
    def test_is_refused_where_it_is_compressed(self, client: Client, doorbell: Doorbell, coding: str) -> None:
        response = tell(client, headers={"Content-Encoding": coding})

        assert answers.code(response) == (415, "unsupported_content_encoding")
        assert response.headers["Accept-Encoding"] == "identity"
        assert not ProviderCallback.objects.exists()
        assert doorbell.rung("callbacks") == 0

    @pytest.mark.parametrize("content_type", ["", "text/plain", "application/json; charset=latin-1"])
    def test_is_stored_whatever_it_is_called(self, client: Client, content_type: str) -> None:
        """It is authentic by its signature: to refuse it would only lose it."""
        assert tell(client, headers={"Content-Type": content_type}).status_code == 202

    def test_told_again_is_stored_once(self, client: Client, doorbell: Doorbell) -> None:
        responses = [tell(client), tell(client, b"told otherwise")]

        assert [(response.status_code, response.content) for response in responses] == [
            (202, b'{"status":"accepted"}')
        ] * 2
        assert bytes(ProviderCallback.objects.get().body) == BODY
        # The first ring may have been lost.
        assert doorbell.rung("callbacks") == 2

    def test_told_again_after_it_was_applied_rings_for_nobody(self, client: Client, doorbell: Doorbell) -> None:
        tell(client)
        inbox.apply(ProviderCallback.objects.get().pk)
        before = ProviderCallback.objects.values().get()
        doorbell.silence()

        response = tell(client)

        assert response.status_code == 202
        assert doorbell.rung("callbacks") == 0
        assert ProviderCallback.objects.values().get() == before

    def test_the_same_id_of_two_providers_is_two_events(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(registry.PROVIDERS, "other", FakeProvider(name="other"))

        tell(client)
        tell(client, url="/api/callbacks/other/")

        assert sorted(ProviderCallback.objects.values_list("provider", "event_id")) == [
            ("fake", "e-1"),
            ("other", "e-1"),
        ]

    def test_is_not_limited_like_merchants(self, client: Client, settings: Any) -> None:
        settings.THROTTLE_REQUESTS_PER_MINUTE = 1

        statuses = [tell(client, headers={"Fake-Event": f"e-{number}"}).status_code for number in range(5)]

        assert statuses == [202] * 5
        assert ProviderCallback.objects.count() == 5

    def test_sets_no_cookie(self, client: Client) -> None:
        assert tell(client).cookies == {}


class TestRefusals:
    @pytest.fixture(autouse=True)
    def _another_minute(self) -> None:
        """Let the next refusal be the first for a while, which is logged at once."""
        # What an earlier test has left is logged first, and that begins another minute.
        refused_callbacks.refused.end_minute()
        refused_callbacks.refused.end_minute()

    @pytest.mark.parametrize("signature", ["", "wrong"])
    def test_of_a_stranger(
        self, client: Client, doorbell: Doorbell, caplog: pytest.LogCaptureFixture, signature: str
    ) -> None:
        response = tell(client, headers={"Fake-Signature": signature})

        assert answers.code(response) == (403, "callback_refused")
        assert response.headers["Content-Type"] == "application/problem+json"
        assert ProviderCallback.objects.count() == 0
        assert doorbell.rung("callbacks") == 0
        told = [record for record in caplog.records if record.message == "callback.refused"]
        assert [(record.__dict__["provider"], record.__dict__["reason"]) for record in told] == [
            ("fake", "It is not signed.")
        ]

    def test_of_a_merchant(self, api: Client) -> None:
        response = tell(api, headers={"Fake-Signature": ""})

        assert answers.code(response) == (403, "callback_refused")

    def test_of_the_sandbox_which_tells_nothing(self, client: Client) -> None:
        response = tell(client, url="/api/callbacks/sandbox/")

        assert answers.code(response) == (403, "callback_refused")
        assert ProviderCallback.objects.count() == 0

    @pytest.mark.parametrize("name", ["nobody", "FAKE", "fake%00", "%F0%9F%99%82", "x" * 3000])
    def test_of_a_provider_that_there_is_not(self, client: Client, name: str) -> None:
        response = tell(client, url=f"/api/callbacks/{name}/")

        assert answers.code(response) == (404, "not_found")
        assert ProviderCallback.objects.count() == 0

    @pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
    def test_of_every_other_method(self, client: Client, method: str) -> None:
        response = client.generic(method, URL, BODY, headers=fake_provider.callback_headers("e-1"))

        assert answers.code(response) == (405, "method_not_allowed")
        assert ProviderCallback.objects.count() == 0

    def test_of_a_body_that_is_too_large(self, client: Client) -> None:
        response = tell(client, b"x" * (django_settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1))

        assert answers.code(response) == (400, "invalid_request")
        assert ProviderCallback.objects.count() == 0

    def test_of_a_path_without_its_slash(self, client: Client) -> None:
        assert answers.code(tell(client, url=URL.rstrip("/"))) == (404, "not_found")


class TestWithTheBank:
    """The provider that live payouts go to, with the signature of Standard Webhooks, written out once more here."""

    SECRET = "whsec_" + base64.b64encode(b"a secret of both").decode()

    @pytest.fixture
    def bank(self, monkeypatch: pytest.MonkeyPatch) -> None:
        promised = base.Capabilities(
            idempotency_window_seconds=3600.0, settle_time_seconds=3600.0, return_window_seconds=0.0
        )
        configured = Configuration(
            base_url="https://bank.invalid/v1",
            signing_secret="x" * 32,
            callback_secrets=(self.SECRET,),
            capabilities=promised,
        )
        monkeypatch.setitem(registry.PROVIDERS, "http_bank", HttpBankProvider(configured))

    def headers(self, body: bytes, *, at: float, event_id: str = "evt_1") -> dict[str, str]:
        signed = f"{event_id}.{at:.0f}.".encode() + body
        signature = base64.b64encode(hmac.digest(b"a secret of both", signed, hashlib.sha256)).decode()
        return {
            "Webhook-Id": event_id,
            "Webhook-Timestamp": f"{at:.0f}",
            "Webhook-Signature": f"v1,{'A' * 43}= v1,{signature}",
        }

    def post(self, client: Client, body: bytes, headers: dict[str, str]) -> Any:
        return client.generic("POST", "/api/callbacks/http_bank/", body, "application/json", headers=headers)

    @pytest.mark.usefixtures("bank")
    def test_a_signed_callback_pays_the_payout(self, client: Client, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout(amount=Decimal("10.50"))
        Payout.objects.filter(pk=payout.pk).update(provider="http_bank")
        body = (
            b'{"type": "transfer.updated", "transfer": {"id": "tr_1", "reference": "%s", "amount": "10.50", '
            b'"currency": "EUR", "status": "paid", "final": true, "code": "", "message": ""}}'
        ) % str(payout.pk).encode()

        response = self.post(client, body, self.headers(body, at=time.time()))
        inbox.apply(ProviderCallback.objects.get().pk)

        assert response.status_code == 202
        payout.refresh_from_db()
        assert (payout.status, payout.provider_reference, payout.due_at) == ("paid", "tr_1", None)
        assert ProviderCallback.objects.get().result == "applied"

    @pytest.mark.usefixtures("bank")
    @pytest.mark.parametrize("age_seconds", [-310, 310])
    def test_a_recorded_callback_is_refused(self, client: Client, age_seconds: int) -> None:
        response = self.post(client, b"{}", self.headers(b"{}", at=time.time() - age_seconds))

        assert answers.code(response) == (403, "callback_refused")

    @pytest.mark.usefixtures("bank")
    def test_another_body_is_refused(self, client: Client) -> None:
        response = self.post(client, b"{ }", self.headers(b"{}", at=time.time()))

        assert answers.code(response) == (403, "callback_refused")
        assert ProviderCallback.objects.count() == 0


@pytest.mark.django_db(transaction=True)
class TestAfterwards:
    def test_a_worker_applies_it(self, client: Client, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()
        Payout.objects.filter(pk=payout.pk).update(provider="fake")
        tell(client, fake_provider.callback_body(str(payout.pk), "paid"))

        tasks.apply_callback.apply(args=(ProviderCallback.objects.get().pk,), throw=True)

        payout.refresh_from_db()
        assert payout.status == "paid"

    def test_it_is_kept_where_nobody_can_be_rung(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
        forget_connections()
        try:
            response = tell(client)
        finally:
            monkeypatch.undo()
            forget_connections()

        assert response.status_code == 202
        assert ProviderCallback.objects.get().applied_at is None


def test_merchants_read_nothing_of_it(api: Client) -> None:
    """It is described where providers look (docs/bank-api.yaml)."""
    document = api.get("/api/schema/?format=json").json()

    assert [path for path in document["paths"] if "callback" in path] == []


def test_merchants_cannot_post_payouts_there(api: Client) -> None:
    response = api.post(URL, factories.payout_body(), content_type="application/json")

    assert answers.code(response) == (403, "callback_refused")
    assert answers.rows_written() == answers.NOTHING
