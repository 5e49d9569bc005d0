"""What another DJANGO_SECRET_KEY does, with the one of before among the fallbacks and without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.test import Client

from tests.support import answers, factories, processes

OLD: Final = "o" * 60
NEW: Final = "n" * 60
EXPORT_ID: Final = "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f"

SIGN: Final = f"""
import django, json, uuid
django.setup()
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.sessions.backends.db import SessionStore
from django.core import signing
from payouts.exports import links
print(json.dumps({{
    "link": links.token_of(uuid.UUID("{EXPORT_ID}")),
    "session": SessionStore().encode({{"a": 1}}),
    "cookie": signing.get_cookie_signer(salt="messages").sign("a"),
    "value": signing.dumps(["a"], salt="cursor"),
}}))
"""
READ: Final = """
import django, json, uuid
django.setup()
from django.contrib.sessions.backends.db import SessionStore
from django.core import signing
from rest.refusals import Refusal
from payouts.exports import links
signed = json.loads({signed!r})
def is_believed(read):
    try:
        return read() or True
    except (Refusal, signing.BadSignature):
        return False
print(json.dumps({{
    "link": is_believed(lambda: links.check(uuid.UUID("{export_id}"), signed["link"])),
    "session": SessionStore().decode(signed["session"]) == {{"a": 1}},
    "cookie": is_believed(lambda: signing.get_cookie_signer(salt="messages").unsign(signed["cookie"])) is not False,
    "value": is_believed(lambda: signing.loads(signed["value"], salt="cursor")) is not False,
}}))
"""


class TestTwoProcesses:
    def test_believe_each_other_by_the_fallbacks(self, tmp_path: Path) -> None:
        environment = {"DJANGO_SETTINGS_MODULE": "config.settings"}
        signed = processes.python(SIGN, tmp_path, DJANGO_SECRET_KEY=OLD, **environment)
        read = READ.format(signed=signed.stdout.strip(), export_id=EXPORT_ID)

        found = {
            fallbacks: json.loads(
                processes.python(
                    read, tmp_path, DJANGO_SECRET_KEY=NEW, DJANGO_SECRET_KEY_FALLBACKS=fallbacks, **environment
                ).stdout
            )
            for fallbacks in (f"{'x' * 60}, {OLD}", "x" * 60)
        }

        every = ("link", "session", "cookie", "value")
        assert found == {
            f"{'x' * 60}, {OLD}": dict.fromkeys(every, True),
            "x" * 60: dict.fromkeys(every, False),
        }

    def test_are_warned_of_a_fallback_that_is_too_short(self, tmp_path: Path) -> None:
        command = [*processes.COMMANDS["manage.py"][:2], "check", "--deploy"]

        ended = [
            processes.run(command, tmp_path, DJANGO_SECRET_KEY="abcdefghij" * 6, DJANGO_SECRET_KEY_FALLBACKS=fallback)
            for fallback in ("klmnopqrst" * 6, f"{'klmnopqrst' * 6},short")
        ]

        assert ["security.W025" in one.stderr for one in ended] == [False, True]
        assert "SECRET_KEY_FALLBACKS[1]" in ended[1].stderr


def change(settings: Any, *, keeps_old: bool) -> None:
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY] if keeps_old else []
    settings.SECRET_KEY = NEW


@pytest.mark.parametrize("keeps_old", [True, False])
class TestChange:
    def test_of_the_cursors_of_lists(self, api: Client, make_payout: Any, settings: Any, keeps_old: bool) -> None:  # noqa: FBT001
        for _ in range(3):
            make_payout()
        following = api.get("/api/payouts/?page_size=2").json()["next"]
        change(settings, keeps_old=keeps_old)

        response = api.get(following)

        if keeps_old:
            assert len(response.json()["results"]) == 1
        else:
            assert answers.field_errors(response) == [("cursor", "invalid_cursor")]

    def test_of_sessions_of_the_admin(self, admin_client: Client, settings: Any, keeps_old: bool) -> None:  # noqa: FBT001
        assert admin_client.get("/admin/").status_code == 200
        change(settings, keeps_old=keeps_old)

        statuses = [admin_client.get("/admin/").status_code for _ in range(2)]

        assert statuses == ([200, 200] if keeps_old else [302, 302])
        settings.SECRET_KEY_FALLBACKS = []
        # The session was signed anew with its first use.
        assert admin_client.get("/admin/").status_code == (200 if keeps_old else 302)

    def test_of_forms_of_the_admin(self, settings: Any, keeps_old: bool, db: None) -> None:  # noqa: FBT001
        """A form that was open meanwhile: its token is compared with a cookie, and neither is signed."""
        User.objects.create_superuser("root", password="correct horse battery")
        client = Client(enforce_csrf_checks=True)
        token = client.get("/admin/login/").context["csrf_token"]
        change(settings, keeps_old=keeps_old)

        form = {"username": "root", "password": "correct horse battery", "csrfmiddlewaretoken": str(token)}

        assert client.post("/admin/login/?next=/admin/", form).status_code == 302

    def test_of_password_resets(self, settings: Any, keeps_old: bool, db: None) -> None:  # noqa: FBT001
        user = User.objects.create_user("root")
        token = default_token_generator.make_token(user)
        change(settings, keeps_old=keeps_old)

        assert default_token_generator.check_token(user, token) is keeps_old

    def test_of_api_keys_and_idempotency_keys(self, api: Client, settings: Any, keeps_old: bool) -> None:  # noqa: FBT001
        first = factories.post_payout(api, key="k-1")
        change(settings, keeps_old=keeps_old)

        again = factories.post_payout(api, key="k-1")

        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["Idempotent-Replayed"] == "true"
