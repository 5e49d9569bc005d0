"""What the README says to paste works when it is pasted."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import Stack

README = Path(__file__).parents[2] / "README.md"
COMMANDS = re.findall(r"```bash\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture(scope="module")
def api_key(stack: Stack) -> str:
    return stack.issue_api_key("demo", "--name", "my laptop")


def run(stack: Stack, api_key: str, command: str) -> Any:
    command = command.replace("http://localhost:8000", stack.base_url)
    done = subprocess.run(
        ["sh", "-c", f"{command.rstrip()} --silent --show-error --fail"],
        env={**os.environ, "API_KEY": api_key},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    # --include puts the headers in front.
    return json.loads(done.stdout.rpartition("\n\n")[2])


class TestReadme:
    def test_has_the_commands_that_are_tried_here(self) -> None:
        assert len(COMMANDS) == 4

    def test_commands_work_when_pasted(self, stack: Stack, api_key: str) -> None:
        payout, listed, summary, me = (run(stack, api_key, command) for command in COMMANDS)

        assert (payout["status"], payout["amount"], payout["reference"]) == ("pending", "10.50", "order-4711")
        assert {row["currency"] for row in listed["results"]} <= {"EUR"}
        assert [row["amount"] for row in summary["results"]] == ["10.50"]
        assert (me["merchant"]["name"], me["api_key"]["name"]) == ("demo", "my laptop")

    def test_names_targets_that_the_makefile_has(self) -> None:
        makefile = (README.parent / "Makefile").read_text(encoding="utf-8")

        targets = set(re.findall(r"`?\bmake ([a-z][a-z-]*)", README.read_text(encoding="utf-8")))

        assert {"run", "test", "demo", "help"} <= targets
        assert {target for target in targets if not re.search(rf"^{target}:", makefile, flags=re.MULTILINE)} == set()
