"""What an operator does with one payout at a terminal: retry_payout, resolve_payout, ask_payout, acknowledge_payout."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from payouts.models import Payout
from payouts.states import PayoutStatus
from tests.integration.operators import commands
from tests.support import database, racing

MakePayout = Callable[..., Payout]
EVERY_COMMAND = [["retry_payout"], ["resolve_payout", "--to", "paid"], ["ask_payout"], ["acknowledge_payout"]]
ACTOR = "operator:ops"


@pytest.fixture(autouse=True)
def _logged_in_as_ops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ops")


@pytest.fixture
def stuck_payout(make_payout: MakePayout) -> Payout:
    return database.put_into(make_payout(), PayoutStatus.REQUIRES_ATTENTION)


def everything_about(payout: Payout) -> list[Any]:
    return [Payout.objects.filter(pk=payout.pk).values().get(), database.history(payout), database.attempts(payout)]


class TestRetryPayout:
    def test_has_it_sent_again(self, make_processed_payout: MakePayout) -> None:
        payout = make_processed_payout("sandbox_rejected_account_closed")

        done = commands.run("retry_payout", str(payout.pk), "--reason", " mail of 12 May ")

        payout.refresh_from_db()
        assert done == commands.Finished(0, "", f"The payout is pending again, under the reference {payout.pk}-2.")
        assert payout.status == "pending"
        assert database.history(payout)[-1] == ("failed", "pending", ACTOR, "mail of 12 May")

    def test_refuses_one_that_is_paid(self, make_processed_payout: MakePayout) -> None:
        payout = make_processed_payout("sandbox_paid")

        done = commands.run("retry_payout", str(payout.pk), "--reason", "x")

        assert (done.exit_code, done.stderr) == (
            1,
            "This payout is paid. Only a payout that failed or requires attention can be sent again.",
        )


class TestResolvePayout:
    @pytest.mark.parametrize(("target", "failure_code"), [("paid", ""), ("failed", "resolved_by_operator")])
    def test_settles_it(self, stuck_payout: Payout, target: str, failure_code: str) -> None:
        done = commands.run("resolve_payout", str(stuck_payout.pk), "--to", target, "--reason", "line 7")

        stuck_payout.refresh_from_db()
        assert done == commands.Finished(0, "", f"The payout is {target}.")
        assert (stuck_payout.status, stuck_payout.failure_code) == (target, failure_code)
        assert database.history(stuck_payout)[-1] == ("requires_attention", target, ACTOR, "line 7")

    def test_refuses_any_other_target(self, stuck_payout: Payout) -> None:
        done = commands.run("resolve_payout", str(stuck_payout.pk), "--to", "pending", "--reason", "line 7")

        assert done.exit_code == 1
        assert "invalid choice: 'pending'" in done.stderr
        assert Payout.objects.get().status == "requires_attention"


class TestAskPayout:
    def test_has_the_provider_asked(self, stuck_payout: Payout) -> None:
        done = commands.run("ask_payout", str(stuck_payout.pk), "--reason", "line 7")

        assert (done.exit_code, done.stderr) == (
            0,
            "The provider is being asked. Its answer will stand among the payout's attempts.",
        )
        assert database.attempts(stuck_payout) == [(1, "operator", "asked", "")]


class TestAcknowledgePayout:
    def test_takes_the_mark_away(self, make_processed_payout: MakePayout) -> None:
        payout = make_processed_payout("sandbox_paid")
        Payout.objects.update(contradicted_at=Now())

        done = commands.run("acknowledge_payout", str(payout.pk), "--reason", "line 7")

        payout.refresh_from_db()
        assert done == commands.Finished(0, "", "The contradiction is acknowledged. The payout is paid as before.")
        assert (payout.status, payout.contradicted_at) == ("paid", None)


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=[command[0] for command in EVERY_COMMAND])
class TestEveryCommand:
    def test_refuses_what_the_payout_does_not_allow(self, make_payout: MakePayout, command: list[str]) -> None:
        payout = make_payout()
        before = everything_about(payout)

        done = commands.run(*command, str(payout.pk), "--reason", "x")

        assert done.exit_code == 1
        assert done.stderr.endswith(".")
        assert everything_about(payout) == before

    @pytest.mark.parametrize(
        ("reason", "sentence"),
        [
            (" ", "An operator's change needs a reason: it is kept with the payout for ever."),
            ("x" * 501, "A reason is one line of at most 500 characters, without control characters."),
            (
                "a\x00",
                "U+0000 is not allowed: write one line, without control characters or marks of direction.",
            ),
            (
                "a\udcff",
                "U+DCFF is not allowed: write one line, without control characters or marks of direction.",
            ),
            (
                "line 7\u202e",
                "U+202E is not allowed: write one line, without control characters or marks of direction.",
            ),
        ],
    )
    def test_refuses_a_reason_that_cannot_be_kept(
        self, stuck_payout: Payout, command: list[str], reason: str, sentence: str
    ) -> None:
        Payout.objects.update(contradicted_at=Now())
        before = everything_about(stuck_payout)

        done = commands.run(*command, str(stuck_payout.pk), f"--reason={reason}")

        assert (done.exit_code, done.stderr) == (1, sentence)
        assert everything_about(stuck_payout) == before

    def test_demands_a_reason(self, stuck_payout: Payout, command: list[str]) -> None:
        done = commands.run(*command, str(stuck_payout.pk))

        assert done.stderr == "Error: the following arguments are required: --reason"

    @pytest.mark.parametrize(
        ("payout_id", "sentence"),
        [
            ("01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f", "There is no payout 01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f."),
            ("nonsense", "Error: argument payout: 'nonsense' is no id of a payout"),
        ],
    )
    def test_refuses_an_id_that_there_is_not(self, db: None, command: list[str], payout_id: str, sentence: str) -> None:
        assert commands.run(*command, payout_id, "--reason", "x").stderr == sentence


class TestWhoAsks:
    def test_is_named_by_number_where_the_container_knows_no_name(
        self, stuck_payout: Payout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_name() -> str:
            raise KeyError("getpwuid(): uid not found: 1000")

        monkeypatch.setattr(getpass, "getuser", no_name)
        commands.run("ask_payout", str(stuck_payout.pk), "--reason", "x")

        assert stuck_payout.attempts.get().actor == f"operator:uid {os.getuid()}"

    def test_is_named_so_that_the_name_fits_and_shows(
        self, stuck_payout: Payout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LOGNAME", "\x1b\udcff" + "x" * 300)
        commands.run("ask_payout", str(stuck_payout.pk), "--reason", "x")

        assert stuck_payout.attempts.get().actor == "operator:??" + "x" * 148


class TestBusyDatabase:
    @pytest.mark.django_db(transaction=True)
    def test_is_told_in_a_sentence(self, stuck_payout: Payout) -> None:
        def ask_impatiently() -> commands.Finished:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '50ms'")
            return commands.run("ask_payout", str(stuck_payout.pk), "--reason", "x")

        with transaction.atomic():
            Payout.objects.select_for_update().get(pk=stuck_payout.pk)
            done: commands.Finished = racing.run_together(ask_impatiently)[0]

        assert done.exit_code == 1
        assert done.stderr.startswith("The database did not do it: canceling statement due to lock timeout")
