"""pause_payouts and resume_payouts: who sends nothing any more, and when it is certain."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from accounts.models import Merchant
from payouts.engine import pauses as pausing
from payouts.engine import processing
from payouts.models import Pause, Payout
from payouts.states import PayoutStatus
from tests.integration.operators import commands
from tests.support import database

MakePayout = Callable[..., Payout]
NO_MERCHANT = (
    "There is no merchant 'hooli'. Give its name or id: the admin lists all merchants, and the page of a payout names "
    "its own."
)


@pytest.fixture(autouse=True)
def _logged_in_as_ops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ops")


def in_force() -> list[tuple[str, str, str]]:
    """Return what is paused: (scope, reason, who)."""
    pauses = Pause.objects.filter(ended_at=None).select_related("merchant").order_by("id")
    scopes = [str(pausing.Scope(merchant=pause.merchant, provider=pause.provider)) for pause in pauses]
    return [(scope, pause.reason, pause.actor) for scope, pause in zip(scopes, pauses, strict=True)]


def pause(*arguments: str, reason: str = "maintenance") -> commands.Finished:
    return commands.run("pause_payouts", *arguments, f"--reason={reason}")


@pytest.fixture
def under_way(make_payout: MakePayout) -> Payout:
    """A payout that a worker has just claimed."""
    payout = database.put_into(make_payout(), PayoutStatus.PROCESSING)
    Payout.objects.update(lease_token=uuid.uuid4(), lease_expires_at=Now() + timedelta(seconds=90))
    return payout


class TestPausePayouts:
    def test_pauses_everything(self, make_payout: MakePayout) -> None:
        payout = make_payout()

        done = pause("--everything")
        processing.process(payout.pk)

        assert done == commands.Finished(0, "", "Paused: everything.")
        assert in_force() == [("everything", "maintenance", "operator:ops")]
        assert Payout.objects.get().status == "pending"

    def test_pauses_one_provider_or_merchant(self, acme: Merchant) -> None:
        done = [pause("--provider", "sandbox"), pause("--merchant", "ACME")]

        assert [one.stderr for one in done] == ["Paused: provider sandbox.", "Paused: merchant acme."]
        assert [scope for scope, _, _ in in_force()] == ["provider sandbox", "merchant acme"]
        assert pause("--merchant", str(acme.pk)).stderr == "This is paused already."

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["--provider", "bank"], "There is no provider 'bank'. There are: sandbox."),
            (["--merchant", "hooli"], NO_MERCHANT),
            ([], "Error: one of the arguments --everything --provider --merchant is required"),
            (
                ["--everything", "--provider", "sandbox"],
                "Error: argument --provider: not allowed with argument --everything",
            ),
            # A variable of the shell that is not set must never pause everything.
            (["--provider", ""], "Error: argument --provider: '' is no name"),
            (["--merchant", " "], "Error: argument --merchant: ' ' is no name"),
            (["--merchant", "a\x00"], "Error: argument --merchant: 'a\\x00' is no name"),
            (["--provider", "\udcff"], "Error: argument --provider: '\\udcff' is no name"),
            (["--everything", "--wait-seconds", "0"], "--wait-seconds takes a whole number from 1 to 86400."),
            (
                ["--everything", "--wait-seconds", "soon"],
                "Error: argument --wait-seconds: invalid int value: 'soon'",
            ),
        ],
    )
    def test_refuses_what_is_not_exactly_one_scope(self, db: None, arguments: list[str], sentence: str) -> None:
        done = pause(*arguments)

        assert (done.exit_code, done.stderr) == (1, sentence)
        assert in_force() == []

    @pytest.mark.parametrize(
        ("reason", "sentence"),
        [
            ("", "An operator's change needs a reason: it is kept with the payout for ever."),
            ("x" * 501, "A reason is one line of at most 500 characters, without control characters."),
            ("\u200b\u3164", "An operator's change needs a reason: it is kept with the payout for ever."),
            (
                "\x00",
                "U+0000 is not allowed: write one line, without control characters or marks of direction.",
            ),
            (
                "a\nb",
                "U+000A is not allowed: write one line, without control characters or marks of direction.",
            ),
        ],
    )
    def test_refuses_a_reason_that_cannot_be_kept(self, db: None, reason: str, sentence: str) -> None:
        assert pause("--everything", reason=reason).stderr == sentence
        assert in_force() == []


class TestWait:
    def test_returns_at_once_where_nothing_is_under_way(self, make_payout: MakePayout) -> None:
        make_payout()

        done = pause("--everything", "--wait")

        assert done == commands.Finished(0, "", "Paused: everything.\nNothing of it is in a worker's hands any more.")

    def test_waits_until_what_is_under_way_has_ended(self, under_way: Payout, monkeypatch: pytest.MonkeyPatch) -> None:
        def end_meanwhile(seconds: float) -> None:
            del seconds
            Payout.objects.filter(pk=under_way.pk).update(status="paid", lease_token=None, lease_expires_at=None)

        monkeypatch.setattr(time, "sleep", end_meanwhile)

        assert pause("--merchant", "acme", "--wait").exit_code == 0

    def test_gives_up_in_the_end_and_keeps_the_pause(self, under_way: Payout) -> None:
        del under_way
        done = pause("--everything", "--wait", "--wait-seconds", "1")

        assert done.exit_code == 1
        assert done.stderr.startswith("After 1 s something of it is still in a worker's hands. The pause stays")
        assert len(in_force()) == 1

    def test_waits_again_for_what_is_paused_already(self, db: None) -> None:
        pause("--everything")

        done = pause("--everything", "--wait", reason="another")

        assert done == commands.Finished(
            0,
            "",
            "Paused already: everything. The earlier reason stays.\nNothing of it is in a worker's hands any more.",
        )
        assert in_force() == [("everything", "maintenance", "operator:ops")]

    def test_does_not_wait_for_others(self, under_way: Payout, globex: Merchant) -> None:
        del under_way, globex
        assert pause("--merchant", "globex", "--wait", "--wait-seconds", "1").exit_code == 0

    def test_may_be_stopped(self, under_way: Payout, monkeypatch: pytest.MonkeyPatch) -> None:
        del under_way

        def interrupt(seconds: float) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(time, "sleep", interrupt)

        done = pause("--everything", "--wait")

        assert (done.exit_code, done.stderr) == (130, "You have stopped waiting. The pause stays.")
        assert len(in_force()) == 1


class TestResumePayouts:
    def test_ends_exactly_this_pause(self, acme: Merchant) -> None:
        for scope in (["--everything"], ["--provider", "sandbox"], ["--merchant", "acme"]):
            pause(*scope)

        done = [commands.run("resume_payouts", "--everything"), commands.run("resume_payouts", "--merchant", "acme")]

        assert [one.stderr for one in done] == ["Resumed: everything.", "Resumed: merchant acme."]
        assert [scope for scope, _, _ in in_force()] == ["provider sandbox"]
        assert set(Pause.objects.exclude(ended_at=None).values_list("ended_by", flat=True)) == {"operator:ops"}

    def test_says_what_is_paused_where_this_is_not(self, acme: Merchant) -> None:
        nothing = commands.run("resume_payouts", "--provider", "sandbox")
        pause("--merchant", "acme")
        something = commands.run("resume_payouts", "--everything")

        assert (nothing.exit_code, nothing.stderr) == (1, "Not paused: provider sandbox. Nothing is.")
        assert (something.exit_code, something.stderr) == (1, "Not paused: everything. Paused now: merchant acme.")
        assert len(in_force()) == 1

    def test_ends_the_pause_of_a_provider_that_is_gone(self, db: None) -> None:
        Pause.objects.create(provider="old_bank", reason="x", actor="operator:ops")

        assert commands.run("resume_payouts", "--provider", "old_bank").exit_code == 0

    @pytest.mark.parametrize("arguments", [[], ["--provider", ""], ["--merchant", "hooli"], ["--provider", "\x00"]])
    def test_refuses_what_is_not_exactly_one_scope(self, db: None, arguments: list[str]) -> None:
        pause("--everything")

        assert commands.run("resume_payouts", *arguments).exit_code == 1
        assert len(in_force()) == 1
