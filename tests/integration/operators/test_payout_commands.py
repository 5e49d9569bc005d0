"""What an operator does with one payout at a terminal: retry_payout, resolve_payout, ask_payout, acknowledge_payout."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from payouts import operators
from payouts.models import Payout, ProviderCallback
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


class TestAskPayoutAll:
    def test_says_how_many_are_asked_about(self, stuck_payout: Payout) -> None:
        done = commands.run("ask_payout", "--all", "--reason", "the bank is back")

        assert (done.exit_code, done.stderr) == (
            0,
            "Being asked about: 1. Not asked, because a worker asks at this moment or the provider is gone: 0.",
        )
        assert database.attempts(stuck_payout) == [(1, "operator", "asked", "")]

    @pytest.mark.parametrize("arguments", [[], ["--all", "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f"]])
    def test_takes_one_payout_or_all(self, db: None, arguments: list[str]) -> None:
        done = commands.run("ask_payout", *arguments, "--reason", "x")

        assert (done.exit_code, done.stderr) == (1, "Give the id of one payout, or --all.")


@pytest.fixture
def retried_payout(make_processed_payout: MakePayout) -> Payout:
    """A payout that its provider knows by a second reference, and that requires attention."""
    refused = make_processed_payout("sandbox_rejected_account_closed", idempotency_key="b")
    retried = operators.retry_payout(refused, actor=ACTOR, reason="the account is open again")
    return database.put_into(retried, PayoutStatus.REQUIRES_ATTENTION)


class TestResolvePayoutCsv:
    @pytest.fixture
    def resolve(self, tmp_path: Path) -> Callable[[str | bytes], commands.Finished]:
        """Resolve by a file with this text."""

        def run(text: str | bytes) -> commands.Finished:
            path = tmp_path / "statement.csv"
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            done = commands.run("resolve_payout", "--csv", str(path), "--reason", "statement of May")
            return replace(done, stderr=done.stderr.removeprefix(f"{path}: "))

        return run

    def test_resolves_all(self, make_payout: MakePayout, resolve: Callable[[str], commands.Finished]) -> None:
        stuck = [database.put_into(make_payout(), PayoutStatus.REQUIRES_ATTENTION) for _ in range(2)]
        failed = database.put_into(make_payout(), PayoutStatus.FAILED)

        done = resolve(
            "\ufeffpayout,to,evidence,amount,currency\r\n"
            f"{stuck[0].pk},paid,line 7,10.5,EUR\r\n"
            f"{stuck[1].pk},failed,line 8,,\r\n"
            "\r\n"
            f'{failed.pk},paid,"line 9, page 2",10.50,EUR\r\n'
        )

        assert done == commands.Finished(0, "", "Resolved: 3.")
        assert [Payout.objects.get(pk=payout.pk).status for payout in (*stuck, failed)] == ["paid", "failed", "paid"]
        assert database.history(failed)[-1] == (
            "failed",
            "paid",
            ACTOR,
            "statement of May (evidence: line 9, page 2)",
        )

    @pytest.mark.parametrize(
        ("row", "problem"),
        [
            ("nonsense,paid,line 8", "'nonsense' is neither the id of a payout nor a reference of ours."),
            ("{other},pending,line 8", "'pending' is none of paid, failed, returned."),
            ("{other},paid,", "the evidence is missing."),
            ("{other},paid", "it has 2 cells, and the heading has 3."),
            ("{stuck},paid,line 8", "the payout {stuck} is in line 2 as well."),
            (
                "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f,paid,line 8",
                "there is no payout 01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f.",
            ),
            ("{other},returned,line 8", "This payout is returned. Only a payout that requires attention"),
        ],
    )
    def test_does_nothing_if_a_row_is_bad(
        self,
        stuck_payout: Payout,
        make_payout: MakePayout,
        resolve: Callable[[str], commands.Finished],
        row: str,
        problem: str,
    ) -> None:
        other = database.put_into(make_payout(), PayoutStatus.RETURNED)
        names = {"stuck": stuck_payout.pk, "other": other.pk}
        before = everything_about(stuck_payout)

        done = resolve(f"payout,to,evidence\n{stuck_payout.pk},paid,line 7\n{row.format(**names)}\n")

        assert done.exit_code == 1
        assert done.stderr.startswith(f"Line 3: {problem.format(**names)}")
        assert done.stderr.endswith("Nothing was done.")
        assert everything_about(stuck_payout) == before

    def test_takes_the_reference_that_the_bank_states(
        self, make_payout: MakePayout, retried_payout: Payout, resolve: Callable[[str], commands.Finished]
    ) -> None:
        stuck = [database.put_into(make_payout(idempotency_key="a"), PayoutStatus.REQUIRES_ATTENTION), retried_payout]

        done = resolve(
            "payout,to,evidence\n"
            f"{str(stuck[0].own_reference).upper()},paid,line 7\n"
            f"{retried_payout.own_reference}-2,failed,line 8\n"
        )

        assert done == commands.Finished(0, "", "Resolved: 2.")
        assert [Payout.objects.get(pk=payout.pk).status for payout in stuck] == ["paid", "failed"]

    def test_refuses_an_earlier_reference(
        self, retried_payout: Payout, resolve: Callable[[str], commands.Finished]
    ) -> None:
        reference = retried_payout.own_reference

        done = resolve(f"payout,to,evidence\n{reference},paid,line 7\n")

        assert done.stderr == (
            f"Line 2: the bank has the payout {retried_payout.pk} under the reference {reference}-2 by now. "
            "Look at it in the admin, and give its id if it is meant. Nothing was done."
        )
        assert Payout.objects.get().status == "requires_attention"

    def test_refuses_a_payout_by_two_names(
        self, make_payout: MakePayout, resolve: Callable[[str], commands.Finished]
    ) -> None:
        stuck = database.put_into(make_payout(idempotency_key="a"), PayoutStatus.REQUIRES_ATTENTION)

        done = resolve(f"payout,to,evidence\n{stuck.own_reference},paid,line 7\n{stuck.pk},paid,line 7\n")

        assert done.stderr == f"Line 3: the payout {stuck.pk} is in line 2 as well. Nothing was done."
        assert Payout.objects.get().status == "requires_attention"

    @pytest.mark.parametrize(
        ("terms", "problem"),
        [
            ("10.51,EUR", "Line 2: the amount 10.51 is not that of the payout. Nothing was done."),
            ("10.50,USD", "Line 2: the currency USD is not that of the payout. Nothing was done."),
            ("1e1,EUR", "Line 2: '1e1' is no amount such as 10.50. Nothing was done."),
        ],
    )
    def test_compares_the_terms(
        self, stuck_payout: Payout, resolve: Callable[[str], commands.Finished], terms: str, problem: str
    ) -> None:
        done = resolve(f"payout,to,evidence,amount,currency\n{stuck_payout.pk},paid,line 7,{terms}\n")

        assert (done.exit_code, done.stderr) == (1, problem)
        assert Payout.objects.get().status == "requires_attention"

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("", "Line 1: the heading must be payout,to,evidence"),
            ("payout,to\n", "Line 1: the heading must be payout,to,evidence"),
            ("payout,to,evidence,x\n", "Line 1: the heading must be payout,to,evidence"),
            ('payout,to,evidence\n"x', "Line 2: it is no CSV: unexpected end of data."),
        ],
    )
    def test_says_what_is_wrong_with_the_file(
        self, db: None, resolve: Callable[[str], commands.Finished], text: str, problem: str
    ) -> None:
        done = resolve(text)

        assert done.exit_code == 1
        assert done.stderr.startswith(problem)

    def test_says_that_the_file_cannot_be_read(
        self, db: None, tmp_path: Path, resolve: Callable[[bytes], commands.Finished]
    ) -> None:
        missing = commands.run("resolve_payout", "--csv", str(tmp_path / "none.csv"), "--reason", "x")

        assert missing.stderr == f"{tmp_path / 'none.csv'} cannot be read: No such file or directory."
        assert "is not in UTF-8" in resolve(b"payout,to,evidence\n\xff").stderr
        assert "has no payouts" in resolve(b"payout,to,evidence\n").stderr

    @pytest.mark.parametrize("arguments", [[], ["--to", "paid"], ["--csv", "x", "--to", "paid"]])
    def test_takes_one_payout_or_a_file(self, db: None, arguments: list[str]) -> None:
        done = commands.run("resolve_payout", *arguments, "--reason", "x")

        assert done.stderr == "Give the id of one payout and --to, or --csv with a file and nothing of these."


class TestClearCallback:
    def test_clears_an_alarm(self, db: None) -> None:
        callback = ProviderCallback.objects.create(provider="bank", event_id="1", body=b"", alarmed_at=Now())

        done = commands.run("clear_callback", str(callback.pk), "--reason", "of another system")
        again = commands.run("clear_callback", str(callback.pk), "--reason", "of another system")

        callback.refresh_from_db()
        assert done == commands.Finished(0, "", "The alarm is cleared.")
        assert (callback.alarmed_at, callback.cleared_by) == (None, ACTOR)
        assert again.stderr.startswith("This callback waits for no operator")
        assert commands.run("clear_callback", "0", "--reason", "x").stderr == "There is no callback 0."
