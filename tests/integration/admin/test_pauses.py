"""Pausing and resuming in the admin, and what a payout's page says meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from accounts.models import Merchant
from payouts.engine import pauses, processing
from payouts.models import Pause, Payout
from payouts.states import PayoutStatus
from tests.integration.admin import pages
from tests.support import database, racing

MakePayout = Callable[..., Payout]
ADD = f"{pages.PAUSES}add/"
ACTOR = "operator:member of Operators"


def form(scope: str = "everything", **fields: str) -> dict[str, str]:
    """Return what a browser sends, hidden fields included."""
    return {"scope": scope, "provider": "", "merchant": "", "reason": "maintenance", **fields}


@pytest.fixture
def begun(db: None) -> Pause:
    return pauses.pause(pauses.Scope(), actor="operator:other", reason="looking <b>into</b> it")


class TestPause:
    def test_pauses_everything(self, operator: Client, make_payout: MakePayout) -> None:
        payout = make_payout()

        response = operator.post(ADD, form(reason=" maintenance "), follow=True)
        processing.process(payout.pk)

        begun = Pause.objects.get()
        assert response.redirect_chain == [(pages.PAUSES, 302)]
        assert pages.messages(response) == [("success", "Paused: everything. What is under way ends as usual.")]
        assert (begun.merchant, begun.provider, begun.reason, begun.actor) == (None, "", "maintenance", ACTOR)
        assert Payout.objects.get().status == "pending"
        assert LogEntry.objects.get().object_id == str(begun.pk)

    def test_pauses_one_provider_or_merchant_and_ignores_the_hidden_field(
        self, operator: Client, acme: Merchant
    ) -> None:
        operator.post(ADD, form("provider", provider="sandbox", merchant=str(acme.pk)))
        operator.post(ADD, form("merchant", provider="nonsense", merchant=str(acme.pk)))

        begun = Pause.objects.order_by("id").values_list("merchant", "provider")
        assert list(begun) == [(None, "sandbox"), (acme.pk, "")]

    @pytest.mark.parametrize(
        ("fields", "errors"),
        [
            ({"scope": ""}, {"scope": ["This field is required."]}),
            (
                {"scope": "all"},
                {"scope": ["Select a valid choice. all is not one of the available choices."]},
            ),
            ({"scope": "provider"}, {"provider": ["This field is required."]}),
            (
                {"scope": "provider", "provider": "bank"},
                {"provider": ["Select a valid choice. bank is not one of the available choices."]},
            ),
            ({"scope": "merchant"}, {"merchant": ["This field is required."]}),
            (
                {"scope": "merchant", "merchant": "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f"},
                {"merchant": ["Select a valid choice. That choice is not one of the available choices."]},
            ),
            (
                {"scope": "merchant", "merchant": "nonsense"},
                {"merchant": ["\u201cnonsense\u201d is not a valid UUID."]},
            ),
            ({"scope": "merchant", "merchant": "\x00"}, {"merchant": ["Null characters are not allowed."]}),
            ({"reason": " "}, {"reason": ["This field is required."]}),
            ({"reason": "x" * 501}, {"reason": ["Ensure this value has at most 500 characters (it has 501)."]}),
            (
                {"reason": "a\x00"},
                {
                    "reason": [
                        "U+0000 is not allowed: write one line, without control characters or marks of direction."
                    ]
                },
            ),
        ],
    )
    def test_refuses_bad_input(
        self, operator: Client, db: None, fields: dict[str, str], errors: dict[str, list[str]]
    ) -> None:
        response = operator.post(ADD, form(**{"scope": "everything"} | fields))

        assert response.status_code == 200
        assert pages.form_errors(response) == errors
        assert not Pause.objects.exists()

    @pytest.mark.parametrize("merchant", ["nonsense", "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f"])
    def test_opens_whatever_merchant_the_address_names(self, operator: Client, merchant: str) -> None:
        assert operator.get(ADD, {"scope": "merchant", "merchant": merchant}).status_code == 200

    def test_says_what_is_paused_already(self, operator: Client, begun: Pause) -> None:
        response = operator.post(ADD, form(), follow=True)

        assert pages.messages(response) == [("error", "This is paused already.")]
        assert list(Pause.objects.all()) == [begun]

    @pytest.mark.django_db(transaction=True)
    def test_of_two_who_pause_at_once_one_does(self, db: None) -> None:
        clients = [Client(), Client()]
        for number, client in enumerate(clients):
            client.force_login(User.objects.create_superuser(f"root {number}"))

        answers = racing.run_together(*(lambda c=client: c.post(ADD, form()) for client in clients))

        assert sorted(answer["Location"] for answer in answers) == [pages.PAUSES, ADD]
        assert Pause.objects.count() == 1

    def test_refuses_who_may_only_look(self, auditor: Client) -> None:
        assert auditor.post(ADD, form()).status_code == 403
        assert not Pause.objects.exists()


class TestResume:
    def test_asks_first_and_then_resumes(self, operator: Client, begun: Pause) -> None:
        address = pages.page_of(begun, "resume")

        asked = operator.get(address)
        before = Pause.objects.get().ended_at
        done = operator.post(address, follow=True)

        ended = Pause.objects.get()
        assert "All that has been waiting is sent now" in asked.content.decode()
        assert before is None
        assert pages.messages(done) == [("success", "Resumed: everything.")]
        assert (ended.ended_at is not None, ended.ended_by) == (True, ACTOR)
        assert LogEntry.objects.get().get_change_message() == "Resumed."

    def test_resumes_only_once(self, operator: Client, begun: Pause) -> None:
        operator.post(pages.page_of(begun, "resume"))
        ended_at = Pause.objects.get().ended_at

        again = operator.post(pages.page_of(begun, "resume"), follow=True)

        assert pages.messages(again)[-1] == ("error", "This is not paused.")
        assert Pause.objects.get().ended_at == ended_at
        assert "cannot" not in operator.get(pages.page_of(begun, "resume")).content.decode()

    def test_does_not_end_a_later_pause_of_the_same(self, operator: Client, begun: Pause) -> None:
        pauses.resume(pauses.Scope(), actor="operator:other")
        later = pauses.pause(pauses.Scope(), actor="operator:other", reason="again")

        response = operator.post(pages.page_of(begun, "resume"), follow=True)

        assert pages.messages(response) == [("error", "This is not paused.")]
        assert Pause.objects.get(pk=later.pk).ended_at is None

    def test_hides_it_from_and_refuses_who_may_only_look(self, auditor: Client, begun: Pause) -> None:
        address = pages.page_of(begun, "resume")

        shown = auditor.get(pages.page_of(begun)).content.decode() + auditor.get(pages.PAUSES).content.decode()

        assert address not in shown
        assert (auditor.get(address).status_code, auditor.post(address).status_code) == (403, 403)
        assert Pause.objects.get().ended_at is None

    @pytest.mark.parametrize("object_id", ["nonsense", "0", "9" * 40])
    def test_does_not_find_what_is_not_there(self, operator: Client, object_id: str) -> None:
        assert operator.post(f"{pages.PAUSES}{object_id}/resume/").status_code == 404


class TestList:
    def test_has_what_is_in_force_first_and_offers_to_resume_it(
        self, operator: Client, acme: Merchant, begun: Pause
    ) -> None:
        older = begun
        pauses.resume(pauses.Scope(), actor="operator:other")
        in_force = pauses.pause(pauses.Scope(merchant=acme), actor="operator:other", reason="x")
        ended = pauses.pause(pauses.Scope(), actor="operator:other", reason="y")
        pauses.resume(pauses.Scope(), actor="operator:other")

        response = operator.get(pages.PAUSES)

        text = response.content.decode()
        assert list(response.context["cl"].result_list) == [in_force, ended, older]
        assert "Merchant acme" in text
        assert "looking &lt;b&gt;into&lt;/b&gt; it" in text
        assert [pages.page_of(pause, "resume") in text for pause in (in_force, ended, older)] == [True, False, False]

    def test_asks_the_database_no_more_for_more_pauses(
        self, operator: Client, acme: Merchant, globex: Merchant, django_assert_num_queries: Any
    ) -> None:
        pauses.pause(pauses.Scope(merchant=acme), actor="operator:other", reason="x")
        operator.get(pages.PAUSES)

        # Session, user, two of permissions, two counts, the page.
        with django_assert_num_queries(7):
            operator.get(pages.PAUSES)
        pauses.pause(pauses.Scope(merchant=globex), actor="operator:other", reason="x")
        with django_assert_num_queries(7):
            operator.get(pages.PAUSES)

    @pytest.mark.parametrize("action", ["change", "delete"])
    def test_nobody_edits_or_deletes_one(self, superuser: Client, begun: Pause, action: str) -> None:
        before = Pause.objects.values().get()

        response = superuser.post(pages.page_of(begun, action), {**form(), "ended_by": "x", "post": "yes"})

        assert response.status_code == 403
        assert Pause.objects.values().get() == before

    @pytest.mark.parametrize("object_id", ["nonsense", "0"])
    def test_goes_back_to_the_start_for_what_is_not_there(self, operator: Client, object_id: str) -> None:
        response = operator.get(f"{pages.PAUSES}{object_id}/change/")

        assert (response.status_code, response["Location"]) == (302, "/admin/")

    def test_shows_one(self, operator: Client, begun: Pause) -> None:
        text = operator.get(pages.page_of(begun)).content.decode()

        assert "operator:other" in text
        assert "In force" in text
        assert f'href="{pages.page_of(begun, "resume")}"' in text


class TestBanner:
    def test_says_what_a_payout_waits_for(self, operator: Client, acme: Merchant, make_payout: MakePayout) -> None:
        payout = make_payout()
        for scope, reason in (
            (pauses.Scope(provider="sandbox"), "maintenance"),
            (pauses.Scope(merchant=acme), "<script>1</script>"),
            (pauses.Scope(), "looking into it"),
        ):
            pauses.pause(scope, actor="operator:other", reason=reason)

        text = operator.get(pages.page_of(payout)).content.decode()

        lines = ["Everything paused since", "Merchant acme paused since", "Provider sandbox paused since"]
        assert "This payout waits: all payouts are paused" in text
        assert sorted(lines, key=text.index) == lines
        assert "by operator:other: looking into it" in text
        assert "&lt;script&gt;1" in text
        assert "<script>1" not in text

    def test_is_silent_about_what_does_not_wait(
        self, operator: Client, globex: Merchant, make_payout: MakePayout, make_processed_payout: MakePayout
    ) -> None:
        pauses.pause(pauses.Scope(merchant=globex), actor="operator:other", reason="x")
        payouts = [make_payout(), make_processed_payout("sandbox_paid")]

        shown = [operator.get(pages.page_of(payout)).content.decode() for payout in payouts]

        assert [text for text in shown if 'id="waiting"' in text or 'id="contradicted"' in text] == []

    def test_says_that_the_provider_does_not_let_it_through(
        self, operator: Client, make_processed_payout: MakePayout
    ) -> None:
        payout = make_processed_payout("sandbox_unavailable_1")

        assert "This payout waits: the provider is unavailable" in operator.get(pages.page_of(payout)).content.decode()

    def test_says_that_it_is_contradicted(self, operator: Client, make_payout: MakePayout) -> None:
        payout = database.put_into(make_payout(), PayoutStatus.FAILED)
        Payout.objects.filter(pk=payout.pk).update(contradicted_at=payout.created_at)

        text = operator.get(pages.page_of(payout)).content.decode()

        assert f"Contradicted since {payout.created_at:%Y-%m-%d %H:%M:%S} UTC" in text
