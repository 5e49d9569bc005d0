from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.core import serializers
from django.test import Client
from django.utils import timezone

from accounts.models import Merchant, MerchantAPIKey
from tests.integration.admin import pages

ADD = f"{pages.API_KEYS}add/"


def me(secret: str) -> Any:
    return Client().get("/api/me/", headers={"Authorization": f"Api-Key {secret}"})


class TestIssue:
    def test_issues_an_api_key_with_what_was_chosen(self, key_manager: Client, acme: Merchant) -> None:
        form = pages.issue_form(
            acme,
            name="shop",
            mode="live",
            scopes=["payouts:read"],
            expiry_date_0="2999-12-31",
            expiry_date_1="12:00",
            allowed_networks="127.0.0.0/8\n2001:db8::/32, 127.0.0.0/8",
        )

        response = key_manager.post(ADD, form)

        api_key = MerchantAPIKey.objects.get()
        assert response.status_code == 200
        assert (api_key.merchant, api_key.name, api_key.mode, api_key.scopes) == (
            acme,
            "shop",
            "live",
            ["payouts:read"],
        )
        assert api_key.expiry_date == datetime(2999, 12, 31, 12, tzinfo=UTC)
        assert api_key.allowed_networks == ["127.0.0.0/8", "2001:db8::/32"]
        assert me(pages.shown_secret(response)).json()["api_key"]["mode"] == "live"

    def test_shows_the_secret_once_and_leaves_it_nowhere(
        self, key_manager: Client, acme: Merchant, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            response = key_manager.post(ADD, pages.issue_form(acme))
        api_key = MerchantAPIKey.objects.get()
        shown = pages.shown_secret(response)
        secret = shown.partition(".")[2]

        assert response.content.decode().count(secret) == 1
        assert "no-store" in response["Cache-Control"]
        assert secret not in str(response.headers) + response.cookies.output()
        logged = [{**record.__dict__, "text": record.getMessage()} for record in caplog.records]
        assert "key.issued" in str(logged)
        assert secret not in str(logged)

        later = [key_manager.get(address).content.decode() for address in (
            pages.API_KEYS, pages.page_of(api_key), pages.page_of(api_key, "history"), "/admin/",
        )]  # fmt: skip
        stored = serializers.serialize("json", [*MerchantAPIKey.objects.all(), *LogEntry.objects.all()])
        sessions = [session.get_decoded() for session in Session.objects.all()]
        assert secret not in "".join(later) + stored + json.dumps(sessions)
        assert LogEntry.objects.count() == 1

    def test_shows_the_form_again_for_a_merchant_that_is_none(self, key_manager: Client, acme: Merchant) -> None:
        shown = key_manager.get(f"{ADD}?merchant=nonsense")
        sent = key_manager.post(ADD, {**pages.issue_form(acme), "merchant": "nonsense"})

        assert (shown.status_code, sent.status_code) == (200, 200)
        assert "is not a valid UUID" in sent.content.decode()
        assert MerchantAPIKey.objects.count() == 0

    def test_never_shows_or_tells_the_hash(self, key_manager: Client, acme_key: MerchantAPIKey) -> None:
        page = key_manager.get(pages.page_of(acme_key)).content.decode()
        listed = key_manager.get(pages.API_KEYS).content.decode()
        # What cannot be seen could be guessed letter by letter, if a list could be filtered by it.
        probe = key_manager.get(f"{pages.API_KEYS}?hashed_key__startswith=sha512")

        assert acme_key.hashed_key not in page + listed
        assert pages.page_of(acme_key) == f"{pages.API_KEYS}{acme_key.pk}/change/"
        assert probe.status_code == 400

    @pytest.mark.parametrize(
        ("fields", "errors"),
        [
            ({"scopes": []}, {"scopes": ["This field is required."]}),
            (
                {"scopes": ["payouts:steal"]},
                {"scopes": ["Select a valid choice. payouts:steal is not one of the available choices."]},
            ),
            (
                {"expiry_date_0": "2020-01-01", "expiry_date_1": "00:00"},
                {"expiry_date": ["The expiry must be in the future."]},
            ),
            ({"expiry_date_0": "soon", "expiry_date_1": "00:00"}, {"expiry_date": ["Enter a valid date."]}),
            (
                {"allowed_networks": "10.0.0.0/8 somewhere"},
                {"allowed_networks": ["somewhere is not a network such as 203.0.113.0/24."]},
            ),
            (
                {"allowed_networks": "10.0.0.1/8"},
                {"allowed_networks": ["10.0.0.1/8 is not a network such as 203.0.113.0/24."]},
            ),
            (
                {"allowed_networks": " ".join(f"10.0.0.{number}" for number in range(51))},
                {"allowed_networks": ["There are more than 50 networks."]},
            ),
            ({"allowed_networks": "\x00"}, {"allowed_networks": ["Null characters are not allowed."]}),
            ({"name": ""}, {"name": ["This field is required."]}),
            ({"name": "x" * 51}, {"name": ["Ensure this value has at most 50 characters (it has 51)."]}),
            (
                {"mode": "sandbox"},
                {"mode": ["Select a valid choice. sandbox is not one of the available choices."]},
            ),
            (
                {"merchant": "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f"},
                {"merchant": ["Select a valid choice. That choice is not one of the available choices."]},
            ),
        ],
    )
    def test_refuses_bad_input(
        self, key_manager: Client, acme: Merchant, fields: dict[str, Any], errors: dict[str, list[str]]
    ) -> None:
        response = key_manager.post(ADD, pages.issue_form(acme, **fields))

        assert response.status_code == 200
        assert pages.form_errors(response) == errors
        assert "api-key" not in response.content.decode()
        assert not MerchantAPIKey.objects.exists()


class TestChange:
    def test_changes_nothing_but_the_name(self, key_manager: Client, acme_key: MerchantAPIKey) -> None:
        before = MerchantAPIKey.objects.filter(pk=acme_key.pk).values().get()

        response = key_manager.post(
            pages.page_of(acme_key),
            {"name": "renamed", "mode": "live", "scopes": ["payouts:read"], "revoked": "on", "hashed_key": "x"},
        )

        assert response.status_code == 302
        assert MerchantAPIKey.objects.filter(pk=acme_key.pk).values().get() == {**before, "name": "renamed"}

    def test_keeps_a_revocation_that_happened_while_another_renamed(
        self, key_manager: Client, acme_key: MerchantAPIKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def revoke_meanwhile(*_: Any, **__: Any) -> None:
            MerchantAPIKey.objects.filter(pk=acme_key.pk).update(revoked=True)

        monkeypatch.setattr(MerchantAPIKey, "validate_constraints", revoke_meanwhile)
        key_manager.post(pages.page_of(acme_key), {"name": "renamed"})

        acme_key.refresh_from_db()
        assert (acme_key.name, acme_key.revoked) == ("renamed", True)


class TestRevoke:
    def test_asks_first_and_then_revokes(self, key_manager: Client, acme: Merchant) -> None:
        secret = pages.shown_secret(key_manager.post(ADD, pages.issue_form(acme)))
        api_key = MerchantAPIKey.objects.get()
        address = pages.page_of(api_key, "revoke")

        asked = key_manager.get(address)
        before = me(secret).status_code
        done = key_manager.post(address)

        assert "This cannot be undone." in asked.content.decode()
        assert (before, done.status_code, done["Location"]) == (200, 302, pages.page_of(api_key))
        assert (me(secret).status_code, me(secret).json()["code"]) == (401, "api_key_revoked")
        assert "Revoked." in LogEntry.objects.latest("pk").change_message

    def test_revokes_only_once(self, key_manager: Client, acme_key: MerchantAPIKey) -> None:
        address = pages.page_of(acme_key, "revoke")
        key_manager.post(address)
        first = MerchantAPIKey.objects.get().revoked_at

        key_manager.post(address)
        page = key_manager.get(pages.page_of(acme_key)).content.decode()

        assert MerchantAPIKey.objects.get().revoked_at == first
        assert LogEntry.objects.count() == 1
        assert address not in page

    @pytest.mark.parametrize("object_id", ["01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f", "nonsense"])
    def test_does_not_find_what_is_not_there(self, key_manager: Client, object_id: str) -> None:
        assert key_manager.post(f"{pages.API_KEYS}{object_id}/revoke/").status_code == 404


class TestRotate:
    def test_issues_a_successor_and_lets_the_old_one_expire(self, key_manager: Client, acme: Merchant) -> None:
        old_secret = pages.shown_secret(key_manager.post(ADD, pages.issue_form(acme)))
        old = MerchantAPIKey.objects.get()

        response = key_manager.post(pages.page_of(old, "rotate"), {"overlap_hours": "24"})

        secret = pages.shown_secret(response)
        successor = MerchantAPIKey.objects.exclude(pk=old.pk).get()
        old.refresh_from_db()
        assert "no-store" in response["Cache-Control"]
        assert (successor.merchant, successor.mode, successor.scopes) == (old.merchant, old.mode, old.scopes)
        assert old.expiry_date is not None
        assert timedelta(hours=23) < old.expiry_date - timezone.now() <= timedelta(hours=24)
        assert (me(old_secret).status_code, me(secret).status_code) == (200, 200)
        assert secret.partition(".")[2] not in serializers.serialize("json", LogEntry.objects.all())

    def test_asks_again_for_an_overlap_that_is_not_offered(self, key_manager: Client, acme_key: MerchantAPIKey) -> None:
        response = key_manager.post(pages.page_of(acme_key, "rotate"), {"overlap_hours": "99999"})

        assert "Select a valid choice." in response.content.decode()
        assert MerchantAPIKey.objects.count() == 1

    def test_refuses_a_revoked_one(self, key_manager: Client, acme_key: MerchantAPIKey) -> None:
        key_manager.post(pages.page_of(acme_key, "revoke"))

        response = key_manager.post(pages.page_of(acme_key, "rotate"), {"overlap_hours": "24"}, follow=True)

        assert "A revoked or expired API key cannot be rotated. Issue a new one." in response.content.decode()
        assert MerchantAPIKey.objects.count() == 1


class TestList:
    def test_does_not_ask_more_of_the_database_for_more_api_keys(
        self, key_manager: Client, acme: Merchant, django_assert_num_queries: Any
    ) -> None:
        for _ in range(2):
            key_manager.post(ADD, pages.issue_form(acme))
        key_manager.get(pages.API_KEYS)

        # Session, user, two of permissions, two counts, the page.
        with django_assert_num_queries(7):
            key_manager.get(pages.API_KEYS)
        for _ in range(5):
            key_manager.post(ADD, pages.issue_form(acme))
        with django_assert_num_queries(7):
            key_manager.get(pages.API_KEYS)
