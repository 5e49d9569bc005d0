from __future__ import annotations

import threading
import time
import uuid
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from accounts import services as accounts_services
from accounts.models import Merchant, MerchantAPIKey
from idempotency import fingerprint, services
from idempotency.decorators import idempotent
from idempotency.models import IdempotencyRecord
from payouts.models import Payout
from tests.support import answers, factories, racing


def asked(body: Any) -> fingerprint.Request:
    return fingerprint.Request("POST", "/api/payouts/", body)


@pytest.mark.django_db
class TestReplay:
    def test_replays_the_answer_byte_for_byte(self, api: Client) -> None:
        first = factories.post_payout(api, key="k-1")

        second = factories.post_payout(api, key="k-1")

        assert (first.status_code, second.status_code) == (201, 201)
        assert second.content == first.content
        assert second.headers["Idempotent-Replayed"] == "true"
        assert "Idempotent-Replayed" not in first.headers
        assert Payout.objects.count() == 1

    def test_replays_the_headers_that_belong_to_the_answer(self, api: Client) -> None:
        first = factories.post_payout(api, key="k-1")

        second = factories.post_payout(api, key="k-1")

        for name in ("Location", "ETag", "Content-Type"):
            assert second.headers[name] == first.headers[name]
        assert second.headers["X-Request-Id"] != first.headers["X-Request-Id"]

    def test_the_first_answer_is_that_of_a_request_without_a_key(self, api: Client) -> None:
        without, with_key = factories.post_payout(api), factories.post_payout(api, key="k-1")

        volatile = {"id", "created_at", "updated_at", "idempotency_key"}
        assert {k: v for k, v in without.json().items() if k not in volatile} == {
            k: v for k, v in with_key.json().items() if k not in volatile
        }
        assert without.headers.keys() == with_key.headers.keys()

    def test_is_of_then_when_the_payout_has_changed_since(self, api: Client) -> None:
        first = factories.post_payout(api, key="k-1")
        api.patch(first.headers["Location"], {"amount": "99.00", "comment": "new"}, content_type="application/json")
        canceled = api.post(f"{first.headers['Location']}cancel/", content_type="application/json")
        assert (canceled.status_code, Payout.objects.get().status) == (200, "canceled"), canceled.content

        second = factories.post_payout(api, key="k-1")

        assert second.content == first.content

    def test_the_order_of_fields_does_not_matter(self, api: Client) -> None:
        body = factories.payout_body()
        factories.post_payout(api, body, key="k-1")

        second = factories.post_payout(api, dict(reversed(body.items())), key="k-1")

        assert second.headers["Idempotent-Replayed"] == "true"

    @pytest.mark.parametrize("spelling", ['"k-1"', " k-1", '"k\\-1"'])
    def test_the_spelling_of_the_key_does_not_matter(self, api: Client, spelling: str) -> None:
        factories.post_payout(api, key="k-1")

        second = factories.post_payout(api, key=spelling)

        if "\\" in spelling:
            # Only quote and backslash are escaped in a quoted string.
            assert second.status_code == 400
        else:
            assert (second.status_code, second.headers["Idempotent-Replayed"]) == (201, "true")
        assert Payout.objects.count() == 1

    def test_comes_before_validation(self, api: Client, acme_key: MerchantAPIKey) -> None:
        """What was accepted once is replayed under rules that would refuse it today."""
        body = factories.payout_body(amount="0")
        claimed = services.claim(api_key=acme_key, key="k-1", request=asked(body))
        assert isinstance(claimed, services.Fresh)
        stored = services.StoredResponse(201, b'{"id": "old"}', {"Location": "/old/", "Content-Type": "application/x"})
        services.complete(claimed, stored, resource=services.Resource("payout", uuid.uuid4()))

        response = factories.post_payout(api, body, key="k-1")

        assert (response.status_code, response.content) == (201, b'{"id": "old"}')
        assert (response.headers["Location"], response.headers["Content-Type"]) == ("/old/", "application/x")

    def test_is_for_the_path_with_its_prefix_as_version_0_1_had_it(self, api: Client) -> None:
        """A fingerprint is for ever: whatever goes into it must be what went into it then."""
        api.post(
            "/api/payouts/",
            factories.payout_body(),
            content_type="application/json",
            headers={"Idempotency-Key": "k-1"},
            SCRIPT_NAME="/pay",
        )

        request = fingerprint.Request("POST", "/pay/api/payouts/", factories.payout_body())
        assert IdempotencyRecord.objects.get().fingerprint == fingerprint.of_request(request)

    def test_survives_a_rotation_of_the_key(self, acme: Merchant, acme_key: MerchantAPIKey) -> None:
        first_key, second_key = factories.client_of(acme), factories.client_of(acme)
        factories.post_payout(first_key, key="k-1")

        second = factories.post_payout(second_key, key="k-1")

        assert second.headers["Idempotent-Replayed"] == "true"

    def test_is_not_for_a_key_that_was_revoked(self, api: Client, acme: Merchant) -> None:
        factories.post_payout(api, key="k-1")
        for api_key in acme.api_keys.all():
            accounts_services.revoke_api_key(api_key)

        assert factories.post_payout(api, key="k-1").status_code == 401


@pytest.mark.django_db
class TestAnotherRequest:
    @pytest.mark.parametrize(
        "changes", [{"amount": "10.51"}, {"comment": ""}, {"amount": "10.5"}, {"currency": "USD"}, {"amount": "0"}]
    )
    def test_is_refused(self, api: Client, changes: dict[str, str]) -> None:
        factories.post_payout(api, key="k-1")

        response = factories.post_payout(api, factories.payout_body(**changes), key="k-1")

        assert response.status_code == 422
        assert response.json()["code"] == "idempotency_key_reused"
        assert "was used with another body. " in response.json()["detail"]
        assert "Idempotent-Replayed" not in response.headers
        assert Payout.objects.count() == 1

    def test_of_another_merchant_is_another_payout(self, api: Client, globex_api: Client) -> None:
        first = factories.post_payout(api, key="k-1")

        second = factories.post_payout(globex_api, key="k-1")

        assert (first.status_code, second.status_code) == (201, 201)
        assert first.json()["id"] != second.json()["id"]
        assert "Idempotent-Replayed" not in second.headers

    def test_of_the_other_mode_is_another_payout(self, api: Client, acme: Merchant, settings: Any) -> None:
        settings.LIVE_PROVIDER = "sandbox"
        live_api = factories.client_of(acme, mode="live")

        answers = [factories.post_payout(client, key="k-1") for client in (api, live_api)]

        assert [answer.status_code for answer in answers] == [201, 201]
        assert [answer.json()["mode"] for answer in answers] == ["test", "live"]
        assert Payout.objects.count() == 2


@pytest.mark.django_db
class TestRefusals:
    def test_a_refusal_leaves_the_key_free(self, api: Client) -> None:
        refused = factories.post_payout(api, factories.payout_body(amount="0"), key="k-1")

        accepted = factories.post_payout(api, key="k-1")

        assert (refused.status_code, accepted.status_code) == (400, 201)
        assert "Idempotent-Replayed" not in accepted.headers
        assert IdempotencyRecord.objects.count() == 1

    def test_a_body_that_cannot_be_read_leaves_the_key_free(self, api: Client) -> None:
        refused = factories.post_payout(api, "{", key="k-1")

        assert refused.status_code == 400
        assert IdempotencyRecord.objects.count() == 0

    def test_a_live_payout_without_a_provider_leaves_the_key_free(self, acme: Merchant, settings: Any) -> None:
        live_api = factories.client_of(acme, mode="live")
        refused = factories.post_payout(live_api, key="k-1")
        settings.LIVE_PROVIDER = "sandbox"

        accepted = factories.post_payout(live_api, key="k-1")

        assert (refused.status_code, accepted.status_code) == (503, 201)

    @pytest.mark.parametrize("key", ["", '""', "a b", "a,b", "a\\b", 'a"b', '"', "k" * 256, '"' + "k" * 256 + '"', "ü"])
    def test_a_malformed_key_is_refused(self, api: Client, key: str) -> None:
        response = factories.post_payout(api, key=key)

        assert response.status_code == 400
        assert response.json()["code"] == "idempotency_key_malformed"
        assert [error["field"] for error in response.json()["errors"]] == ["Idempotency-Key"]
        assert Payout.objects.count() == 0

    @pytest.mark.parametrize("key", ["k", "k" * 255, '"a b"', '"a,b"', "!#$%&'()*+-./:;<=>?@[]^_`{|}~"])
    def test_a_well_formed_key_is_kept_as_it_is(self, api: Client, key: str) -> None:
        response = factories.post_payout(api, key=key)

        assert response.status_code == 201
        assert Payout.objects.get().idempotency_key == key.strip('"')

    def test_a_key_is_optional(self, api: Client) -> None:
        assert [factories.post_payout(api).status_code for _ in range(2)] == [201, 201]
        assert Payout.objects.count() == 2
        assert IdempotencyRecord.objects.count() == 0

    def test_a_merchant_may_require_it(self) -> None:
        strict = accounts_services.create_merchant("strict", require_idempotency_key=True)
        client = factories.client_of(strict)

        refused, accepted = factories.post_payout(client), factories.post_payout(client, key="k-1")

        assert (refused.status_code, refused.json()["code"]) == (400, "idempotency_key_missing")
        assert accepted.status_code == 201
        assert Payout.objects.count() == 1


WIDGET_ID = "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f"


class WidgetView(APIView):
    """A view that makes merchants, to see what is left when it answers or breaks off."""

    permission_classes = ()
    answer: Any = None

    @idempotent(resource_type="widget")
    def post(self, request: Request, *, idempotency_key: str | None) -> Response:
        accounts_services.create_merchant(f"made with {idempotency_key}")
        if isinstance(self.answer, Exception):
            raise self.answer
        return Response({"id": WIDGET_ID}, status=self.answer)

    def answer_again(self, resource_id: uuid.UUID) -> Response:
        return Response({"id": str(resource_id), "now": True})


def post_widget(acme_key: MerchantAPIKey, answer: Any, query: str = "") -> Any:
    request = APIRequestFactory().post(f"/widgets/{query}", {}, format="json", headers={"Idempotency-Key": "k-1"})
    force_authenticate(request, user=acme_key.merchant, token=acme_key)  # type: ignore[arg-type]
    return WidgetView.as_view(answer=answer)(request)


@pytest.mark.django_db
class TestDecorator:
    @pytest.mark.parametrize("status", [400, 409, 500, 503])
    def test_an_error_that_is_returned_leaves_nothing(self, acme_key: MerchantAPIKey, status: int) -> None:
        response = post_widget(acme_key, status)

        assert response.status_code == status
        assert response.data == {"id": WIDGET_ID}
        assert IdempotencyRecord.objects.count() == 0
        assert not Merchant.objects.filter(name="made with k-1").exists()

    def test_an_error_that_is_raised_leaves_nothing(self, acme_key: MerchantAPIKey) -> None:
        with pytest.raises(RuntimeError, match="broken"):
            post_widget(acme_key, RuntimeError("broken"))

        assert IdempotencyRecord.objects.count() == 0
        assert not Merchant.objects.filter(name="made with k-1").exists()

    def test_another_query_is_another_request(self, acme_key: MerchantAPIKey) -> None:
        first = post_widget(acme_key, 200, "?dry_run=true")

        refused = post_widget(acme_key, 200)
        again = post_widget(acme_key, RuntimeError("done twice"), "?dry_run=true")

        assert refused.status_code == 422
        assert again.content == first.content

    @pytest.mark.parametrize("status", [200, 201, 202])
    def test_a_success_is_kept(self, acme_key: MerchantAPIKey, status: int) -> None:
        first = post_widget(acme_key, status)

        second = post_widget(acme_key, RuntimeError("done twice"))

        assert (second.status_code, second.content) == (status, first.content)
        assert Merchant.objects.filter(name="made with k-1").count() == 1


@pytest.mark.django_db(transaction=True)
class TestRaces:
    @staticmethod
    def post(client: Client, body: Any = None) -> Any:
        """Post until there is an answer, as a client does: on a slow machine some wait for longer than they may."""
        for _ in range(20):
            response = factories.post_payout(client, body, key="k-1")
            if response.status_code != 409:
                break
        return response

    def test_fifty_at_once_make_one_payout(self, acme: Merchant) -> None:
        client = factories.client_of(acme)

        responses = racing.run_together(*[lambda: self.post(client)] * 50)

        assert [response.status_code for response in responses] == [201] * 50
        assert len({(response.content, response.headers["Location"]) for response in responses}) == 1
        assert [response.headers.get("Idempotent-Replayed") for response in responses].count("true") == 49
        assert answers.rows_written() == {"payouts": 1, "transitions": 1, "attempts": 0, "idempotency_records": 1}

    def test_of_fifty_different_requests_with_one_key_one_is_accepted(self, acme: Merchant) -> None:
        client = factories.client_of(acme)
        bodies = [factories.payout_body(amount=f"1.{cents:02}") for cents in range(50)]

        responses = racing.run_together(*[lambda body=body: self.post(client, body) for body in bodies])

        assert sorted(response.status_code for response in responses) == [201] + [422] * 49
        assert answers.rows_written() == {"payouts": 1, "transitions": 1, "attempts": 0, "idempotency_records": 1}
        # The winner's own, and nobody's else.
        (winner,) = [number for number, response in enumerate(responses) if response.status_code == 201]
        assert responses[winner].json()["amount"] == bodies[winner]["amount"]
        assert factories.post_payout(client, bodies[winner], key="k-1").content == responses[winner].content

    def test_of_fifty_that_are_refused_none_keeps_the_key(self, acme: Merchant) -> None:
        client = factories.client_of(acme)
        refused = factories.payout_body(amount="0")

        responses = racing.run_together(*[lambda: self.post(client, refused)] * 50)

        assert {answers.code(response)[0] for response in responses} == {400}
        assert answers.rows_written() == answers.NOTHING
        assert factories.post_payout(client, key="k-1").status_code == 201

    def test_a_request_that_stays_under_way_is_told(self, api: Client, acme_key: MerchantAPIKey) -> None:
        claimed, answered = threading.Event(), threading.Event()
        waited: list[float] = []

        def first() -> None:
            with transaction.atomic():
                services.claim(api_key=acme_key, key="k-1", request=asked(factories.payout_body()))
                claimed.set()
                assert answered.wait(10)
                transaction.set_rollback(True)

        def second() -> Any:
            assert claimed.wait(10)
            started = time.monotonic()
            response = factories.post_payout(api, key="k-1")
            waited.append(time.monotonic() - started)
            answered.set()
            return response

        response = racing.run_together(first, second)[1]

        assert response.status_code == 409
        assert response.json()["code"] == "idempotency_key_in_progress"
        assert response.headers["Retry-After"] == "1"
        assert 1.9 < waited[0] < 3.0
        assert Payout.objects.count() == 0
        assert factories.post_payout(api, key="k-1").status_code == 201
