"""Ids in upper case or without hyphens are the same ids, wherever one of ours is taken."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from idempotency.models import IdempotencyRecord
from payouts.exports import jobs
from payouts.models import Export, Payout
from tests.support import answers, factories

MakePayout = Callable[..., Payout]
Spell = Callable[[object], str]

SPELLINGS: tuple[Spell, ...] = (
    lambda id_: str(id_).upper(),
    lambda id_: str(id_).replace("-", ""),
    lambda id_: str(id_).replace("-", "").upper(),
)
spelled = pytest.mark.parametrize("spell", SPELLINGS, ids=["upper", "bare", "bare upper"])


def send(client: Client, method: str, path: str, body: Any = "", **headers: str) -> Any:
    return getattr(client, method)(path, body, content_type="application/json", headers=headers)


@spelled
class TestPayouts:
    def test_are_shown_in_canonical_form(self, api: Client, make_payout: MakePayout, spell: Spell) -> None:
        payout = make_payout()

        response = api.get(f"/api/payouts/{spell(payout.id)}/")

        assert (response.status_code, response.json()["id"]) == (200, str(payout.id))
        assert response.json() == api.get(f"/api/payouts/{payout.id}/").json()

    def test_have_a_history(self, api: Client, make_payout: MakePayout, spell: Spell) -> None:
        response = api.get(f"/api/payouts/{spell(make_payout().id)}/history/")

        assert [step["to_status"] for step in response.json()["transitions"]] == ["pending"]

    def test_are_changed_canceled_and_deleted(self, api: Client, make_payout: MakePayout, spell: Spell) -> None:
        payout = make_payout()
        path = f"/api/payouts/{spell(payout.id)}/"

        assert send(api, "patch", path, {"comment": "x"}).json()["comment"] == "x"
        assert send(api, "post", f"{path}cancel/").json()["status"] == "canceled"
        assert api.delete(path).status_code == 204

    def test_are_named_in_canonical_form_in_problems(self, api: Client, make_payout: MakePayout, spell: Spell) -> None:
        payout = make_payout()
        path = f"/api/payouts/{payout.id}/"

        refused: Any = api.get(f"/api/payouts/{spell(payout.id)}/?x=1")

        assert refused.json()["instance"] == path

    def test_of_a_stranger_are_not_found(self, globex_api: Client, make_payout: MakePayout, spell: Spell) -> None:
        response = globex_api.get(f"/api/payouts/{spell(make_payout().id)}/")

        assert answers.code(response) == (404, "not_found")

    @pytest.mark.parametrize(("method", "action", "body"), [("post", "cancel/", ""), ("patch", "", {"comment": "x"})])
    def test_are_the_same_request_for_an_idempotency_key(
        self, api: Client, make_payout: MakePayout, spell: Spell, method: str, action: str, body: Any
    ) -> None:
        payout = make_payout()
        canonical = f"/api/payouts/{payout.id}/{action}"
        key = {"Idempotency-Key": "k-1"}
        first = send(api, method, f"/api/payouts/{spell(payout.id)}/{action}", body, **key)

        second = send(api, method, canonical, body, **key)

        assert (first.status_code, second.status_code, second.content) == (200, 200, first.content)
        assert second.headers["Idempotent-Replayed"] == "true"
        assert IdempotencyRecord.objects.get().path == canonical

    def test_are_told_apart_by_an_idempotency_key(self, api: Client, make_payout: MakePayout, spell: Spell) -> None:
        first, second = make_payout(), make_payout()
        key = {"Idempotency-Key": "k-1"}
        send(api, "post", f"/api/payouts/{first.id}/cancel/", **key)

        response = send(api, "post", f"/api/payouts/{spell(second.id)}/cancel/", **key)

        assert answers.code(response) == (422, "idempotency_key_reused")


@spelled
def test_key_that_looks_like_an_id_stays_as_it_is(api: Client, spell: Spell) -> None:
    key = spell("01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f")
    factories.post_payout(api, key=key)

    assert api.get(f"/api/idempotency-keys/{key}/").json()["key"] == key
    assert api.get(f"/api/idempotency-keys/{key.lower() if key != key.lower() else key.upper()}/").status_code == 404


@spelled
class TestExports:
    def test_are_shown_canceled_and_downloaded(self, api: Client, make_payout: MakePayout, spell: Spell) -> None:
        make_payout()
        asked = send(api, "post", "/api/exports/", {"format": "csv"}).json()
        path = f"/api/exports/{spell(asked['id'])}/"
        assert api.get(path).json()["id"] == asked["id"]
        jobs.run(Export.objects.get().pk)

        link = api.get(path).json()["download_url"]
        response: Any = Client().get(link.replace(asked["id"], spell(asked["id"])))

        assert asked["id"] in link
        assert response.status_code == 200
        assert response.getvalue().startswith(b"id,status")
        assert answers.code(send(api, "post", f"{path}cancel/")) == (409, "export_not_cancelable")


@spelled
class TestOperators:
    def test_find_it_in_the_admin(self, admin_client: Client, make_payout: MakePayout, spell: Spell) -> None:
        payout = make_payout(reference="the one")
        make_payout()

        page: Any = admin_client.get("/admin/payouts/payout/", {"q": spell(payout.id)})

        assert [found.pk for found in page.context["cl"].result_list] == [payout.pk]
        assert admin_client.get(f"/admin/payouts/payout/{spell(payout.id)}/change/").status_code == 200

    def test_name_it_to_commands(self, make_processed_payout: MakePayout, spell: Spell) -> None:
        failed = make_processed_payout("sandbox_rejected_account_closed")

        call_command("retry_payout", spell(failed.id), reason="another account", stderr=StringIO())

        failed.refresh_from_db()
        assert failed.status == "pending"


@pytest.mark.django_db
def test_command_refuses_what_is_no_id() -> None:
    with pytest.raises(CommandError, match="is no id of a payout"):
        call_command("retry_payout", "{01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f}", reason="x")
