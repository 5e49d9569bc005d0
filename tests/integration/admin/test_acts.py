"""What an operator does with a payout in the admin: each act end to end, as a browser would send it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test import Client

from payouts import errors, operators
from payouts.admin import actions
from payouts.engine import processing
from payouts.models import Payout
from payouts.states import PayoutStatus
from tests.integration.admin import pages
from tests.support import database, racing

MakePayout = Callable[..., Payout]
ACTOR = "operator:member of Operators"
EVERY_ACT = [act.name for act in actions.ACTIONS]
CHANGED = "Nothing was done: something has happened to this payout since you opened the page. Look at it again."


@pytest.fixture
def failed_payout(make_processed_payout: MakePayout) -> Payout:
    return make_processed_payout("sandbox_rejected_account_closed")


@pytest.fixture
def stuck_payout(make_payout: MakePayout) -> Payout:
    return database.put_into(make_payout(), PayoutStatus.REQUIRES_ATTENTION)


@pytest.fixture
def contradicted_payout(failed_payout: Payout) -> Payout:
    return contradict(failed_payout)


def contradict(payout: Payout) -> Payout:
    Payout.objects.filter(pk=payout.pk).update(contradicted_at=Now())
    payout.refresh_from_db()
    return payout


def buttons(client: Client, payout: Payout) -> list[str]:
    """Return the acts that the payout's page offers."""
    text = client.get(pages.page_of(payout)).content.decode()
    return [name for name in EVERY_ACT if f'href="{pages.page_of(payout, name)}"' in text]


def everything_about(payout: Payout) -> list[Any]:
    """Return all that an act could have changed."""
    return [
        Payout.objects.filter(pk=payout.pk).values().get(),
        database.history(payout),
        database.attempts(payout),
        LogEntry.objects.count(),
    ]


class TestButtons:
    @pytest.mark.parametrize(
        ("status", "offered"),
        [
            (PayoutStatus.PENDING, []),
            (PayoutStatus.PROCESSING, []),
            (PayoutStatus.SUBMITTED, ["mark_paid", "mark_failed", "mark_returned", "ask"]),
            (PayoutStatus.UNKNOWN, ["mark_paid", "mark_failed", "mark_returned", "ask"]),
            (PayoutStatus.REQUIRES_ATTENTION, ["retry", "mark_paid", "mark_failed", "mark_returned", "ask"]),
            (PayoutStatus.PAID, ["mark_returned", "ask"]),
            (PayoutStatus.FAILED, ["retry", "mark_paid", "mark_returned"]),
            (PayoutStatus.CANCELED, ["mark_paid", "mark_returned"]),
            (PayoutStatus.RETURNED, []),
        ],
    )
    def test_offers_what_the_status_allows(
        self, operator: Client, make_payout: MakePayout, status: PayoutStatus, offered: list[str]
    ) -> None:
        payout = database.put_into(make_payout(), status)

        assert buttons(operator, payout) == offered

    def test_offers_to_acknowledge_before_a_retry(self, operator: Client, contradicted_payout: Payout) -> None:
        assert buttons(operator, contradicted_payout) == ["mark_paid", "mark_returned", "acknowledge"]

    def test_offers_no_question_while_a_worker_asks(self, operator: Client, make_payout: MakePayout) -> None:
        payout = database.put_into(make_payout(), PayoutStatus.UNKNOWN)
        Payout.objects.filter(pk=payout.pk).update(
            lease_token=uuid.uuid4(), lease_expires_at=Now() + timedelta(seconds=60)
        )

        assert buttons(operator, payout) == []

    def test_offers_what_an_unknown_one_has_after_the_lease(self, operator: Client, make_payout: MakePayout) -> None:
        """Its worker died while it was sending."""
        payout = database.put_into(make_payout(), PayoutStatus.PROCESSING)
        Payout.objects.filter(pk=payout.pk).update(lease_token=uuid.uuid4(), lease_expires_at=Now())
        unknown = database.put_into(make_payout(), PayoutStatus.UNKNOWN)

        assert buttons(operator, payout) == buttons(operator, unknown)
        assert "ask" in buttons(operator, payout)

    def test_offers_no_retry_of_what_the_merchant_has_deleted(self, operator: Client, failed_payout: Payout) -> None:
        Payout.objects.filter(pk=failed_payout.pk).update(deleted_at=Now())

        response = pages.act(operator, failed_payout, "retry")

        assert buttons(operator, failed_payout) == ["mark_paid", "mark_returned"]
        assert pages.messages(response) == [("error", errors.PayoutDeletedByMerchant().message)]

    def test_offers_an_auditor_nothing(self, auditor: Client, stuck_payout: Payout) -> None:
        assert buttons(auditor, stuck_payout) == []


class TestPermission:
    @pytest.mark.parametrize("name", EVERY_ACT)
    def test_refuses_who_may_only_look(self, auditor: Client, stuck_payout: Payout, name: str) -> None:
        contradict(stuck_payout)
        before = everything_about(stuck_payout)

        asked = auditor.get(pages.page_of(stuck_payout, name))
        done = pages.act(auditor, stuck_payout, name)

        assert (asked.status_code, done.status_code) == (403, 403)
        assert everything_about(stuck_payout) == before

    def test_refuses_who_may_operate_and_not_look(self, db: None, stuck_payout: Payout) -> None:
        user = User.objects.create_user("half", is_staff=True)
        user.user_permissions.add(Permission.objects.get(codename="operate_payout"))
        client = Client()
        client.force_login(user)

        assert client.get(pages.page_of(stuck_payout, "retry")).status_code == 403

    def test_sends_a_stranger_to_the_login(self, stuck_payout: Payout) -> None:
        address = pages.page_of(stuck_payout, "retry")

        response = Client().post(address, {"reason": "line 7", "expected_version": actions.version_of(stuck_payout)})

        assert (response.status_code, response["Location"]) == (302, f"/admin/login/?next={address}")

    def test_refuses_a_form_of_another_site(self, superuser: Client, stuck_payout: Payout) -> None:
        before = everything_about(stuck_payout)
        strict = Client(enforce_csrf_checks=True)
        strict.cookies = superuser.cookies

        response = pages.act(strict, stuck_payout, "mark_paid")

        assert response.status_code == 403
        assert everything_about(stuck_payout) == before


class TestPage:
    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("retry", "a retry after that time is refused here"),
            ("mark_paid", "This cannot be undone."),
            ("mark_failed", "the recipient is paid twice"),
            ("mark_returned", "the merchant pays the recipient a second time"),
            ("ask", "This moves no money."),
        ],
    )
    def test_says_what_will_happen_and_does_nothing(
        self, operator: Client, stuck_payout: Payout, name: str, words: str
    ) -> None:
        before = everything_about(stuck_payout)

        response = operator.get(pages.page_of(stuck_payout, name))

        text = response.content.decode()
        assert response.status_code == 200
        assert words in text
        assert "10.50 EUR to Jane Doe, for acme, test mode" in text
        assert f'value="{actions.version_of(stuck_payout)}"' in text
        assert everything_about(stuck_payout) == before

    def test_warns_that_the_merchant_believes_it_failed(self, operator: Client, failed_payout: Payout) -> None:
        text = operator.get(pages.page_of(failed_payout, "retry")).content.decode()

        assert "The merchant has been told that this payout failed" in text
        assert "Ask the merchant first." in text

    @pytest.mark.parametrize(
        ("status", "words"),
        [
            (PayoutStatus.FAILED, "Afterwards this payout can be retried."),
            (PayoutStatus.PENDING, "Afterwards it may be sent."),
            (PayoutStatus.UNKNOWN, "Afterwards it may be sent."),
        ],
    )
    def test_warns_of_what_an_acknowledgement_makes_possible(
        self, operator: Client, make_payout: MakePayout, status: PayoutStatus, words: str
    ) -> None:
        payout = contradict(database.put_into(make_payout(), status))

        assert words in operator.get(pages.page_of(payout, "acknowledge")).content.decode()

    def test_names_a_recipient_that_is_a_text(self, operator: Client, make_payout: MakePayout) -> None:
        payout = database.put_into(make_payout(recipient_details="Card ****1234"), PayoutStatus.REQUIRES_ATTENTION)

        text = operator.get(pages.page_of(payout, "retry")).content.decode()

        assert "10.50 EUR to Card ****1234, for acme, test mode" in text

    @pytest.mark.parametrize("recipient", [{"name": "<script>1</script>", "account": "x"}, "<script>1</script>"])
    def test_escapes_what_others_wrote(self, operator: Client, make_payout: MakePayout, recipient: Any) -> None:
        payout = database.put_into(make_payout(recipient_details=recipient), PayoutStatus.REQUIRES_ATTENTION)

        text = operator.get(pages.page_of(payout, "retry")).content.decode()

        assert "&lt;script&gt;1" in text
        assert "<script>1" not in text

    @pytest.mark.parametrize("name", EVERY_ACT)
    def test_leads_back_where_the_act_is_not_possible(
        self, operator: Client, make_payout: MakePayout, name: str
    ) -> None:
        payout = make_payout()

        response = operator.get(pages.page_of(payout, name), follow=True)

        assert response.redirect_chain == [(pages.page_of(payout), 302)]
        assert [level for level, _ in pages.messages(response)] == ["error"]

    @pytest.mark.parametrize("object_id", ["nonsense", "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f", "_00"])
    @pytest.mark.parametrize("method", ["get", "post"])
    def test_does_not_find_what_is_not_there(self, operator: Client, object_id: str, method: str) -> None:
        assert getattr(operator, method)(f"{pages.PAYOUTS}{object_id}/retry/").status_code == 404


class TestActs:
    def test_retries_a_payout_that_failed(self, operator: Client, failed_payout: Payout) -> None:
        response = pages.act(operator, failed_payout, "retry", reason=" mail of 12 May ")

        failed_payout.refresh_from_db()
        assert response.redirect_chain == [(pages.page_of(failed_payout), 302)]
        assert [level for level, _ in pages.messages(response)] == ["success"]
        assert (failed_payout.status, failed_payout.reference_number) == ("pending", 2)
        assert database.history(failed_payout)[-1] == ("failed", "pending", ACTOR, "mail of 12 May")
        assert LogEntry.objects.get().get_change_message() == "Retry: mail of 12 May"

    @pytest.mark.parametrize(
        ("name", "status"), [("mark_paid", "paid"), ("mark_failed", "failed"), ("mark_returned", "returned")]
    )
    def test_resolves(self, operator: Client, stuck_payout: Payout, name: str, status: str) -> None:
        response = pages.act(operator, stuck_payout, name)

        stuck_payout.refresh_from_db()
        assert [level for level, _ in pages.messages(response)] == ["success"]
        assert stuck_payout.status == status
        assert database.history(stuck_payout)[-1][1:] == (status, ACTOR, "line 7")

    def test_resolves_what_was_over_by_named_evidence(self, operator: Client, failed_payout: Payout) -> None:
        refused = pages.act(operator, failed_payout, "mark_paid")
        assert [level for level, _ in pages.messages(refused)] == ["error"]

        response = pages.act(operator, failed_payout, "mark_paid", evidence="statement 12, line 9")

        assert [level for level, _ in pages.messages(response)] == ["success"]
        stated = "line 7 (evidence: statement 12, line 9)"
        assert database.history(failed_payout)[-1] == ("failed", "paid", ACTOR, stated)

    def test_has_the_provider_asked(self, operator: Client, stuck_payout: Payout) -> None:
        response = pages.act(operator, stuck_payout, "ask")

        due_in_seconds = database.due_in_seconds(stuck_payout)
        assert [level for level, _ in pages.messages(response)] == ["success"]
        assert due_in_seconds is not None
        assert due_in_seconds <= 0
        assert database.attempts(stuck_payout) == [(1, "operator", "asked", "")]

    def test_acknowledges_a_contradiction(self, operator: Client, contradicted_payout: Payout) -> None:
        response = pages.act(operator, contradicted_payout, "acknowledge")

        contradicted_payout.refresh_from_db()
        assert [level for level, _ in pages.messages(response)] == ["success"]
        assert (contradicted_payout.status, contradicted_payout.contradicted_at) == ("failed", None)

    @pytest.mark.parametrize("name", EVERY_ACT)
    def test_shows_a_refusal(self, operator: Client, make_payout: MakePayout, name: str) -> None:
        payout = make_payout()
        before = everything_about(payout)

        response = pages.act(operator, payout, name)

        assert response.status_code == 200
        assert [level for level, _ in pages.messages(response)] == ["error"]
        assert everything_about(payout) == before

    def test_refuses_to_retry_what_is_contradicted(self, operator: Client, contradicted_payout: Payout) -> None:
        response = pages.act(operator, contradicted_payout, "retry")

        assert pages.messages(response)[0][1].startswith("The provider has said something that contradicts the status.")
        assert Payout.objects.get().status == "failed"

    @pytest.mark.parametrize(
        ("reason", "error"),
        [
            ("", "This field is required."),
            (" \n ", "This field is required."),
            ("x" * 501, "Ensure this value has at most 500 characters (it has 501)."),
            (
                "line 7\u2028of the statement",
                "U+2028 is not allowed: write one line, without control characters or marks of direction.",
            ),
        ],
    )
    def test_asks_again_for_a_reason_that_can_be_kept(
        self, operator: Client, stuck_payout: Payout, reason: str, error: str
    ) -> None:
        before = everything_about(stuck_payout)

        response = pages.act(operator, stuck_payout, "mark_paid", reason=reason)

        assert response.status_code == 200
        assert response.context["form"].errors["reason"] == [error]
        assert f'value="{actions.version_of(stuck_payout)}"' in response.content.decode()
        assert everything_about(stuck_payout) == before

    def test_keeps_a_reason_of_500_characters_whole_and_escapes_it(
        self, operator: Client, stuck_payout: Payout
    ) -> None:
        reason = "<script>1</script>".ljust(500, "\u20ac")

        pages.act(operator, stuck_payout, "mark_paid", reason=reason)
        seen = [operator.get(pages.page_of(stuck_payout, page)).content.decode() for page in ("change", "history")]

        assert database.history(stuck_payout)[-1][3] == reason
        for text in seen:
            assert "&lt;script&gt;1" in text
            assert "<script>1" not in text


class TestRaces:
    def test_a_form_that_is_sent_twice_acts_once(self, operator: Client, stuck_payout: Payout) -> None:
        seen = actions.version_of(stuck_payout)

        pages.act(operator, stuck_payout, "ask", version=seen)
        again = pages.act(operator, stuck_payout, "ask", version=seen)

        assert pages.messages(again)[-1] == ("error", CHANGED)
        assert database.attempts(stuck_payout) == [(1, "operator", "asked", "")]

    def test_refuses_what_was_decided_before_another_operator_acted(
        self, operator: Client, stuck_payout: Payout
    ) -> None:
        seen = actions.version_of(stuck_payout)
        operators.retry_payout(stuck_payout, actor="operator:other", reason="line 8")
        processing.process(stuck_payout.pk)
        before = everything_about(stuck_payout)

        response = pages.act(operator, stuck_payout, "mark_failed", version=seen)

        assert pages.messages(response) == [("error", CHANGED)]
        assert everything_about(stuck_payout) == before

    def test_refuses_what_was_decided_before_the_provider_said_more(
        self, operator: Client, contradicted_payout: Payout
    ) -> None:
        seen = actions.version_of(contradicted_payout)
        Payout.objects.filter(pk=contradicted_payout.pk).update(attempts_count=contradicted_payout.attempts_count + 1)

        response = pages.act(operator, contradicted_payout, "acknowledge", version=seen)

        assert pages.messages(response) == [("error", CHANGED)]
        assert Payout.objects.get().contradicted_at is not None

    @pytest.mark.parametrize("seen", ["", "nonsense", "\ud800".encode("utf-8", "replace").decode()])
    def test_refuses_a_form_that_does_not_say_what_was_seen(
        self, operator: Client, stuck_payout: Payout, seen: str
    ) -> None:
        response = pages.act(operator, stuck_payout, "mark_paid", version=seen)

        assert pages.messages(response) == [("error", CHANGED)]
        assert Payout.objects.get().status == "requires_attention"

    @pytest.mark.django_db(transaction=True)
    def test_of_two_who_send_at_once_one_acts(self, failed_payout: Payout) -> None:
        clients = [Client(), Client()]
        for number, client in enumerate(clients):
            client.force_login(User.objects.create_superuser(f"root {number}"))

        answers = racing.run_together(*(lambda c=client: pages.act(c, failed_payout, "retry") for client in clients))

        # Not by the context: a test client notes the templates of all threads.
        told = [actions.RETRY.done in answer.content.decode() for answer in answers]
        assert sorted(told) == [False, True]
        assert database.attempts(failed_payout)[1:] == [(2, "operator", "retried", "")]

    @pytest.mark.django_db(transaction=True)
    def test_says_so_where_another_holds_the_payout_for_long(self, superuser: Client, stuck_payout: Payout) -> None:
        def act_impatiently() -> Any:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '50ms'")
            return pages.act(superuser, stuck_payout, "mark_paid")

        with transaction.atomic():
            Payout.objects.select_for_update().get(pk=stuck_payout.pk)
            answer = racing.run_together(act_impatiently)[0]

        busy = "Nothing was done: the database was busy with the same thing. Try again."
        assert pages.messages(answer) == [("error", busy)]
        assert Payout.objects.get().status == "requires_attention"
