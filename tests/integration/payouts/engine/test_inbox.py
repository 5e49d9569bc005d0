"""What providers tell by themselves, read against what is known when it is applied."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from payouts import errors, services
from payouts.engine import inbox, processing
from payouts.models import Payout, ProviderCallback
from payouts.providers import base, registry
from payouts.states import PayoutStatus
from tests.support import database, fake_provider, telling
from tests.support.fake_provider import FakeProvider

MakePayout = Callable[..., Payout]

APPLIED, KNOWN, CONTRADICTED = "applied", "known", "contradicted"

#: What a callback makes of a payout with each status: the statuses that it goes through, and the result.
MEANINGS: dict[tuple[str, str], tuple[list[str], str]] = {
    ("pending", "paid"): (["processing", "paid"], APPLIED),
    ("pending", "accepted"): (["processing", "submitted"], APPLIED),
    ("pending", "rejected"): (["processing", "failed"], APPLIED),
    ("pending", "returned"): (["processing", "paid", "returned"], APPLIED),
    ("processing", "paid"): (["paid"], APPLIED),
    ("processing", "accepted"): (["submitted"], APPLIED),
    ("processing", "rejected"): (["failed"], APPLIED),
    ("processing", "returned"): (["paid", "returned"], APPLIED),
    ("submitted", "paid"): (["paid"], APPLIED),
    ("submitted", "accepted"): ([], KNOWN),
    ("submitted", "rejected"): (["failed"], APPLIED),
    ("submitted", "returned"): (["paid", "returned"], APPLIED),
    ("unknown", "paid"): (["paid"], APPLIED),
    ("unknown", "accepted"): (["submitted"], APPLIED),
    ("unknown", "rejected"): (["failed"], APPLIED),
    ("unknown", "returned"): (["paid", "returned"], APPLIED),
    ("requires_attention", "paid"): (["paid"], APPLIED),
    ("requires_attention", "accepted"): ([], KNOWN),
    ("requires_attention", "rejected"): (["failed"], APPLIED),
    ("requires_attention", "returned"): (["paid", "returned"], APPLIED),
    ("paid", "paid"): ([], KNOWN),
    ("paid", "accepted"): ([], KNOWN),
    ("paid", "rejected"): ([], CONTRADICTED),
    ("paid", "returned"): (["returned"], APPLIED),
    ("failed", "paid"): ([], CONTRADICTED),
    ("failed", "accepted"): ([], CONTRADICTED),
    ("failed", "rejected"): ([], KNOWN),
    ("failed", "returned"): ([], CONTRADICTED),
    ("canceled", "paid"): ([], CONTRADICTED),
    ("canceled", "accepted"): ([], CONTRADICTED),
    ("canceled", "rejected"): ([], KNOWN),
    ("canceled", "returned"): ([], CONTRADICTED),
    ("returned", "paid"): ([], KNOWN),
    ("returned", "accepted"): ([], KNOWN),
    ("returned", "rejected"): ([], CONTRADICTED),
    ("returned", "returned"): ([], KNOWN),
    # A look-up that finds nothing is no proof, told or asked.
    **{(status.value, "not_found"): ([], KNOWN) for status in PayoutStatus},
}


@pytest.mark.django_db
class TestStore:
    def test_returns_what_to_ring_for(self, provider: FakeProvider) -> None:
        callback_id = telling.store("r-1", "paid", event_id="e-1")

        stored = ProviderCallback.objects.get()
        assert (stored.pk, stored.event_id, stored.applied_at, stored.tried_at) == (callback_id, "e-1", None, None)

    def test_told_again_returns_the_same_until_it_is_applied(self, provider: FakeProvider) -> None:
        first = telling.store("r-1", "paid", event_id="e-1")
        again = telling.store("r-1", "paid", event_id="e-1")
        assert first is not None
        inbox.apply(first)

        afterwards = telling.store("r-1", "paid", event_id="e-1")

        assert (again, afterwards) == (first, None)
        assert ProviderCallback.objects.count() == 1

    def test_refuses_a_stranger(self, provider: FakeProvider) -> None:
        headers = fake_provider.callback_headers("e-1", signature="wrong")

        with pytest.raises(errors.CallbackRefused):
            inbox.store("fake", headers=headers, body=b"{}")

        assert ProviderCallback.objects.count() == 0

    def test_knows_no_other_provider(self, provider: FakeProvider) -> None:
        with pytest.raises(errors.ProviderNotFound):
            inbox.store("nobody", headers=fake_provider.callback_headers("e-1"), body=b"{}")

        assert ProviderCallback.objects.count() == 0


@pytest.mark.django_db
class TestApply:
    @pytest.mark.parametrize(("status", "kind"), list(MEANINGS))
    def test_table(
        self,
        live_payout: Payout,
        caplog: pytest.LogCaptureFixture,
        django_capture_on_commit_callbacks: Any,
        status: str,
        kind: str,
    ) -> None:
        path, result = MEANINGS[status, kind]
        before = database.put_into(live_payout, PayoutStatus(status))
        before_version, before_updated_at = before.version, before.updated_at

        with django_capture_on_commit_callbacks(execute=True):
            callback = telling.tell(live_payout.pk, kind)

        live_payout.refresh_from_db()
        assert (callback.result, callback.payout_id) == (result, live_payout.pk)
        assert callback.applied_at is not None
        assert database.statuses(live_payout)[1:] == path
        assert live_payout.status == (path[-1] if path else status)
        assert live_payout.version == before_version + len(path)
        assert (live_payout.updated_at == before_updated_at) is (not path)
        # What we never sent cannot have an outcome, so an operator looks at it too.
        is_flagged = result == CONTRADICTED or (status == "pending" and result == APPLIED)
        assert (live_payout.contradicted_at is not None) is is_flagged
        alarms = [record for record in caplog.records if record.message == "payout.evidence.contradicted"]
        assert [(record.levelno, record.__dict__["payout_id"], record.__dict__["status"]) for record in alarms] == (
            [(logging.ERROR, str(live_payout.pk), status)] if is_flagged else []
        )
        # Whatever it means, it is on record.
        assert database.attempts(live_payout) == [(1, "callback", kind, "")]

    def test_table_is_whole(self) -> None:
        assert MEANINGS.keys() == {(status.value, kind.value) for status in PayoutStatus for kind in base.ReportKind}

    def test_says_whose_word_it_is(self, live_payout: Payout) -> None:
        telling.tell(live_payout.pk, "rejected", code="closed", message="The account is closed.")

        live_payout.refresh_from_db()
        attempt = live_payout.attempts.get()
        assert (attempt.actor, attempt.reference_number) == ("provider:fake", 1)
        assert attempt.started_at <= attempt.finished_at  # type: ignore[operator]
        assert database.history(live_payout)[-1] == (
            "processing",
            "failed",
            "provider:fake",
            "callback: provider: rejected, closed: The account is closed.",
        )
        assert (live_payout.failure_code, live_payout.failure_message) == ("closed", "The account is closed.")
        assert live_payout.due_at is None

    def test_tells_nothing_of_the_recipient(self, live_payout: Payout) -> None:
        telling.tell(live_payout.pk, "rejected", code="closed", message="Account sandbox_paid of Jane Doe is closed.")

        live_payout.refresh_from_db()
        assert live_payout.failure_message == "Account *** of *** is closed."
        assert live_payout.attempts.get().message == "Account *** of *** is closed."
        assert "Jane" not in str(database.history(live_payout))

    def test_is_done_once(self, live_payout: Payout) -> None:
        callback = telling.tell(live_payout.pk, "accepted")

        inbox.apply(callback.pk)

        assert database.statuses(live_payout) == ["pending", "processing", "submitted"]
        assert database.attempts(live_payout) == [(1, "callback", "accepted", "")]

    def test_of_one_that_there_is_not_is_no_error(self, provider: FakeProvider) -> None:
        inbox.apply(10**9)

    def test_goes_on_asking_about_what_is_not_final(self, provider: FakeProvider, live_payout: Payout) -> None:
        telling.tell(live_payout.pk, "accepted", provider_reference="fake-7")

        live_payout.refresh_from_db()
        due_in = database.due_in_seconds(live_payout)
        assert due_in is not None
        assert 0 < due_in <= 2
        assert live_payout.provider_reference == "fake-7"

    @pytest.mark.parametrize("is_final", [True, False])
    def test_watches_what_may_come_back(self, provider: FakeProvider, live_payout: Payout, *, is_final: bool) -> None:
        provider.promise(return_window_seconds=3600.0)

        telling.tell(live_payout.pk, "paid", is_final=is_final)

        live_payout.refresh_from_db()
        assert (live_payout.due_at is None) is is_final

    def test_leaves_the_next_question_where_it_tells_nothing_new(
        self, provider: FakeProvider, live_payout: Payout
    ) -> None:
        provider.on_send(fake_provider.ACCEPTED)
        processing.process(live_payout.pk)
        live_payout.refresh_from_db()
        due_at = live_payout.due_at

        telling.tell(live_payout.pk, "accepted")

        live_payout.refresh_from_db()
        assert live_payout.due_at == due_at
        assert due_at is not None

    def test_alarms_about_a_deleted_payout_too(self, live_payout: Payout) -> None:
        services.delete_payout(live_payout, actor="merchant:x")

        callback = telling.tell(live_payout.pk, "paid")

        live_payout.refresh_from_db()
        assert (callback.result, live_payout.status) == (CONTRADICTED, "canceled")
        assert live_payout.contradicted_at is not None

    def test_keeps_the_time_of_the_first_contradiction(self, live_payout: Payout) -> None:
        database.put_into(live_payout, PayoutStatus.FAILED)
        telling.tell(live_payout.pk, "paid")
        live_payout.refresh_from_db()
        first = live_payout.contradicted_at

        telling.tell(live_payout.pk, "returned")

        live_payout.refresh_from_db()
        assert live_payout.contradicted_at == first
        assert live_payout.attempts_count == 2


@pytest.mark.django_db
class TestOtherTerms:
    """What the provider has executed must be what was asked for."""

    @pytest.mark.parametrize("status", list(PayoutStatus))
    @pytest.mark.parametrize("told", [{"amount": "10.51"}, {"amount": "1050"}, {"currency": "USD"}])
    def test_contradict_and_move_nothing(self, live_payout: Payout, status: PayoutStatus, told: dict[str, str]) -> None:
        database.put_into(live_payout, status)

        callback = telling.tell(live_payout.pk, "paid", **told)

        live_payout.refresh_from_db()
        assert (callback.result, live_payout.status, live_payout.version) == (CONTRADICTED, status, 1)
        assert live_payout.contradicted_at is not None
        assert database.attempts(live_payout) == [(1, "callback", "unknown", "answer_mismatch")]

    @pytest.mark.parametrize("amount", ["10.5", "10.50", "10.500", "1050e-2"])
    def test_are_the_same_however_they_are_written(self, live_payout: Payout, amount: str) -> None:
        callback = telling.tell(live_payout.pk, "paid", amount=amount)

        assert callback.result == APPLIED


@pytest.mark.django_db
class TestWhose:
    @pytest.mark.parametrize(
        "spoil",
        [
            lambda _: str(uuid.uuid4()),
            lambda _: "",
            lambda _: "order-7",
            lambda reference: f"{reference}\n",
            lambda reference: f" {reference}",
            lambda reference: reference.replace("-", ""),
            # We never gave it a second reference, ...
            lambda reference: f"{reference}-2",
            # ... and nothing that only looks like one.
            lambda reference: f"{reference}-0",
            lambda reference: f"{reference}-02",
            lambda reference: f"{reference}-99999999999999999999",
            lambda reference: f"{reference}-",
        ],
    )
    def test_a_reference_that_it_never_got(
        self,
        live_payout: Payout,
        caplog: pytest.LogCaptureFixture,
        spoil: Callable[[str], str],
    ) -> None:
        callback = telling.tell(spoil(str(live_payout.pk)), "paid")

        live_payout.refresh_from_db()
        assert (callback.result, callback.payout_id) == ("no_payout", None)
        assert (live_payout.status, live_payout.attempts_count) == ("pending", 0)
        assert [record.levelno for record in caplog.records if record.message == "callback.no_payout"] == [
            logging.ERROR
        ]

    def test_a_payout_of_another_provider(self, provider: FakeProvider, make_payout: MakePayout) -> None:
        """Or one bank could say what another one has paid."""
        payout = make_payout()

        callback = telling.tell(payout.pk, "paid")

        payout.refresh_from_db()
        assert (callback.result, callback.payout_id, payout.status) == ("no_payout", None, "pending")

    @pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b'{"kind": "paid"}', b"[1]", b'"x"'])
    def test_words_that_nobody_understands(
        self, provider: FakeProvider, caplog: pytest.LogCaptureFixture, body: bytes
    ) -> None:
        callback_id = inbox.store("fake", headers=fake_provider.callback_headers("e-1"), body=body)
        assert callback_id is not None

        inbox.apply(callback_id)

        callback = ProviderCallback.objects.get()
        assert (callback.result, callback.payout_id) == ("unreadable", None)
        # It is not read again and again.
        assert callback.applied_at is not None
        assert [record.levelno for record in caplog.records if record.message == "callback.unreadable"] == [
            logging.ERROR
        ]

    def test_of_a_provider_that_only_a_newer_version_has_waits_for_it(
        self, provider: FakeProvider, live_payout: Payout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        callback_id = telling.store(live_payout.pk, "paid")
        assert callback_id is not None
        monkeypatch.delitem(registry.PROVIDERS, "fake")

        inbox.apply(callback_id)

        assert ProviderCallback.objects.get().applied_at is None
        assert database.statuses(live_payout) == ["pending"]
