"""What the README says to paste works when it is pasted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.backend import client_of, wait_for
from tests.support.stack import Stack

README = Path(__file__).parents[2] / "README.md"
PLANNED = {"amount": "100.00", "currency": "USD", "recipient_details": "Card ****1234", "comment": "Test payout"}
COMMANDS = re.findall(r"```bash\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture(scope="module")
def api_key(stack: Stack) -> str:
    return stack.issue_api_key("demo", "--name", "my laptop")


def run(stack: Stack, api_key: str, command: str) -> Any:
    command = command.replace("http://localhost:8000", stack.base_url).replace(".venv/bin/python", sys.executable)
    done = subprocess.run(
        ["sh", "-c", f"{command.rstrip()} --silent --show-error --fail"],
        env={**stack.environment, "API_KEY": api_key},
        cwd=README.parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    # --include puts the headers in front.
    return json.loads(done.stdout.rpartition("\n\n")[2])


class TestReadme:
    def test_has_the_commands_that_are_tried_here(self) -> None:
        assert len(COMMANDS) == 6

    def test_commands_work_when_pasted(self, stack: Stack, api_key: str) -> None:
        first, payout, listed, summary, me, live = (run(stack, api_key, command) for command in COMMANDS)

        # The request of the plan that this platform was ordered with.
        assert {name: first[name] for name in PLANNED} == PLANNED
        assert first["status"] == "pending"
        assert payout["recipient_details"] == {"name": "Jane Doe", "account": "DE89370400440532013000"}
        assert (payout["status"], payout["amount"], payout["reference"]) == ("pending", "10.50", "order-4711")
        assert {row["currency"] for row in listed["results"]} <= {"EUR"}
        assert [row["amount"] for row in summary["results"]] == ["10.50"]
        assert (me["merchant"]["name"], me["api_key"]["name"]) == ("demo", "my laptop")
        assert (live["status"], live["mode"]) == ("pending", "live")

    def test_payout_whose_answer_is_lost_is_paid_once(self, stack: Stack, api_key: str) -> None:
        payout = run(stack, api_key, COMMANDS[5])
        merchant = client_of(stack, "demo", "--mode", "live")
        location = f"/api/payouts/{payout['id']}/"

        assert wait_for(merchant, location, "paid")["status"] == "paid"

        history = merchant.get(f"{location}history/").json()
        assert [row["to_status"] for row in history["transitions"]] in (
            ["pending", "processing", "unknown", "paid"],
            # The bank's callback was there before its answer was given up.
            ["pending", "processing", "paid"],
        )
        assert [row["kind"] for row in history["attempts"]].count("send") == 1
        merchant.close()

    def test_names_targets_that_the_makefile_has(self) -> None:
        makefile = (README.parent / "Makefile").read_text(encoding="utf-8")

        targets = set(re.findall(r"`?\bmake ([a-z][a-z-]*)", README.read_text(encoding="utf-8")))

        assert {"run", "test", "demo", "help"} <= targets
        assert {target for target in targets if not re.search(rf"^{target}:", makefile, flags=re.MULTILINE)} == set()
