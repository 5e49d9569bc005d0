"""The process: what it survives, how it ends, and when it does not start."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from contextlib import closing

import pytest

from tests.integration.sandbox_bank.caller import BEARER, Caller, Received, body_of, eventually
from tests.integration.sandbox_bank.receiver import Receiver
from tests.integration.sandbox_bank.running import RunningBank

#: A second is promised; a machine with other work to do may need half of one more to start and end anything.
END_SECONDS = 1.5


class TestKilled:
    def test_has_everything_that_it_answered(self, running_bank: RunningBank) -> None:
        running_bank.start()
        answered: dict[str, Received] = {}
        threads = [
            threading.Thread(target=_send_until_it_is_gone, args=(running_bank.caller, number, answered))
            for number in range(8)
        ]
        for thread in threads:
            thread.start()
        eventually(lambda: len(answered) > 100, True)
        running_bank.kill()
        for thread in threads:
            thread.join(10)

        running_bank.start()

        book = {entry["reference"]: entry for entry in running_bank.caller.book()["transfers"]}
        assert [reference for reference in answered if reference not in book] == []
        assert {reference: book[reference]["id"] for reference in answered} == {
            reference: answer.document["id"] for reference, answer in answered.items()
        }
        # At most the one of each thread that was under way.
        assert len(book) - len(answered) <= 8
        assert {entry["executions"] for entry in book.values()} == {1}

    def test_executes_nothing_again(self, running_bank: RunningBank) -> None:
        running_bank.start()
        with pytest.raises(http.client.RemoteDisconnected):
            running_bank.caller.put("one", "bank_answer_lost")
        running_bank.kill()
        running_bank.start()

        # It is the second request of the reference still, so it is answered well.
        assert running_bank.caller.put("one", "bank_answer_lost").status == 200
        assert running_bank.caller.entry("one") == ("paid", 1, 2)

    def test_keeps_its_refusals(self, running_bank: RunningBank) -> None:
        running_bank.start()
        running_bank.caller.put("one", "bank_rejected_limit_exceeded")
        running_bank.kill()
        running_bank.start()

        assert running_bank.caller.put("one").problem == (422, "limit_exceeded")

    def test_settles_and_tells_what_became_due_meanwhile(self, running_bank: RunningBank) -> None:
        with Receiver() as receiver:
            running_bank.start("--settle-seconds", "0.5")
            running_bank.caller.put("one", "bank_accepted")
            running_bank.kill()
            time.sleep(0.6)
            assert receiver.told() == []

            running_bank.start("--callback-url", receiver.url)

            # Nobody wanted to know of `accepted`: the bank had no address then.
            eventually(receiver.told, ["paid"])
            assert running_bank.caller.entry("one") == ("paid", 1, 1)

    def test_tells_what_it_has_not_told(self, running_bank: RunningBank) -> None:
        with Receiver(answers=[500]) as receiver:
            running_bank.start("--callback-url", receiver.url)
            running_bank.caller.put("one")
            eventually(receiver.told, ["paid"])
            running_bank.kill()

            running_bank.start("--callback-url", receiver.url)

            eventually(receiver.told, ["paid", "paid"])
            assert len({callback.event_id for callback in receiver.received}) == 1
            assert all(callback.is_signed() for callback in receiver.received)
            eventually(lambda: running_bank.caller.book()["callbacks"]["delivered"], 1)


class TestBook:
    def test_can_be_read_while_it_is_used(self, running_bank: RunningBank) -> None:
        running_bank.start()
        running_bank.caller.put("one", amount="12.34")

        with closing(sqlite3.connect(f"file:{running_bank.book}?mode=ro", uri=True)) as book:
            executions = book.execute("SELECT reference, amount, currency, account FROM executions").fetchall()

        assert executions == [("one", "12.34", "EUR", "DE89370400440532013000")]

    def test_lets_nobody_change_what_was_executed(self, running_bank: RunningBank) -> None:
        running_bank.start()
        running_bank.caller.put("one")

        with closing(sqlite3.connect(running_bank.book)) as book:
            for statement in ("DELETE FROM executions", "UPDATE executions SET amount = '1'"):
                with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                    book.execute(statement)

    def test_is_for_its_owner_alone(self, running_bank: RunningBank) -> None:
        running_bank.start()

        assert running_bank.book.stat().st_mode & 0o777 == 0o600


class TestEnd:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_comes_within_a_second(self, running_bank: RunningBank, number: signal.Signals) -> None:
        running_bank.start("--slow-seconds", "30")
        caller = running_bank.caller
        caller.put("accepted", "bank_accepted")
        idle = socket.create_connection(("127.0.0.1", caller.port))
        slow = http.client.HTTPConnection("127.0.0.1", caller.port, timeout=5)
        slow.request("PUT", "/v1/transfers/slow", body_of("bank_slow"), BEARER)
        eventually(lambda: caller.get("slow").status, 200)
        assert running_bank.process is not None
        began = time.monotonic()

        running_bank.process.send_signal(number)

        assert running_bank.process.wait(5) == 0
        assert time.monotonic() - began < END_SECONDS
        # What was done is still answered.
        assert slow.getresponse().status == 201
        assert "Traceback" not in running_bank.output
        idle.close()
        slow.close()

    def test_comes_within_a_second_while_it_is_down(self, running_bank: RunningBank) -> None:
        running_bank.start()
        running_bank.caller.set_faults(down_seconds=60)
        assert running_bank.process is not None
        began = time.monotonic()

        running_bank.process.terminate()

        assert running_bank.process.wait(5) == 0
        assert time.monotonic() - began < END_SECONDS


class TestOutput:
    def test_may_have_no_reader(self, running_bank: RunningBank) -> None:
        process = running_bank.launch(output=subprocess.PIPE)
        running_bank.process = process
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()

        assert running_bank.caller.put("one", "bank_accepted_rejected").status == 201
        running_bank.caller.set_faults(accepted_rejected=1, settle_seconds=0)
        assert running_bank.caller.put("two").status == 201
        eventually(lambda: running_bank.caller.status("two"), "rejected")


class TestStart:
    def test_says_where_it_is(self, running_bank: RunningBank) -> None:
        running_bank.start()

        assert running_bank.output == (
            f"The sandbox bank serves http://127.0.0.1:{running_bank.caller.port}/v1 with the book "
            f"{running_bank.book}; there are no callbacks. It moves no money.\n"
        )

    def test_finds_a_port_by_itself(self, running_bank: RunningBank) -> None:
        running_bank.process = running_bank.launch("--port", "0")

        eventually(lambda: " with the book " in running_bank.output, True)
        address = re.match(r"The sandbox bank serves http://127\.0\.0\.1:([0-9]+)/v1 ", running_bank.output)
        assert address is not None
        assert Caller(int(address[1])).call("GET", "/livez").status == 200

    def test_is_refused_beside_another_on_the_same_book(self, running_bank: RunningBank) -> None:
        running_bank.start()

        second = running_bank.launch("--port", "0")

        assert _refusal(running_bank, second) == (
            f"Another bank uses the book {running_bank.book}. Stop it first, or take another book."
        )
        assert running_bank.is_up()

    def test_is_refused_where_the_port_is_taken(self, running_bank: RunningBank) -> None:
        with socket.create_server(("127.0.0.1", running_bank.caller.port)):
            refused = _refusal(running_bank, running_bank.launch())

        assert refused == (f"Port {running_bank.caller.port} is in use. Choose another: --port N; 0 takes a free one.")

    def test_is_refused_with_another_file(self, running_bank: RunningBank) -> None:
        running_bank.book.write_text("a letter, " * 1000, encoding="utf-8")

        refused = _refusal(running_bank, running_bank.launch())

        assert refused == f"The book {running_bank.book} cannot be used: file is not a database."
        assert running_bank.book.read_text(encoding="utf-8") == "a letter, " * 1000

    def test_is_refused_with_another_database(self, running_bank: RunningBank) -> None:
        with closing(sqlite3.connect(running_bank.book)) as other:
            other.execute("CREATE TABLE letters (text TEXT)")

        refused = _refusal(running_bank, running_bank.launch())

        assert refused == (f"{running_bank.book} is not the book of a sandbox bank of this version. Take another file.")
        with closing(sqlite3.connect(running_bank.book)) as other:
            assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("letters",)]
            assert other.execute("PRAGMA journal_mode").fetchone() == ("delete",)

    def test_is_refused_where_there_is_no_place(self, running_bank: RunningBank) -> None:
        running_bank.book = running_bank.book.parent / "missing" / "book.sqlite3"

        assert _refusal(running_bank, running_bank.launch()) == (
            f"The book {running_bank.book} cannot be used: No such file or directory."
        )

    def test_needs_a_secret(self, running_bank: RunningBank) -> None:
        process = running_bank.launch(BANK_TOKEN="", BANK_SECRET="")

        assert _refusal(running_bank, process, exit_code=2) == (
            "Set BANK_TOKEN or BANK_SECRET, or both: the bank must know whose requests to take."
        )


def _send_until_it_is_gone(caller: Caller, number: int, answered: dict[str, Received]) -> None:
    for count in range(10_000):
        reference = f"{number}-{count}"
        try:
            answered[reference] = caller.put(reference)
        except (OSError, http.client.HTTPException):
            return


def _refusal(running_bank: RunningBank, process: subprocess.Popen[bytes], *, exit_code: int = 1) -> str:
    """Return the one line that a bank says which does not start."""
    before = running_bank.output if "serves" in running_bank.output else ""
    assert process.wait(20) == exit_code
    line = running_bank.output.removeprefix(before)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    return line.rstrip("\n")
