from __future__ import annotations

import json
import shlex
from pathlib import Path

import httpx
import pytest

from devstack import __main__ as command_line
from devstack import demo_terminal, run
from devstack.processes import children


class TestMain:
    @pytest.mark.parametrize("port", ["abc", "-1", "65536", "", "8000x"])
    def test_refuses_a_port_that_is_none(self, port: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as refused:
            command_line.main(["run", f"--port={port}"])

        assert refused.value.code == 2
        assert "is no port; take a number from 1 to 65535" in capsys.readouterr().err

    def test_refuses_exec_without_a_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert command_line.main(["exec", "--"]) == 2
        assert capsys.readouterr().err == "Say what to run: python -m devstack exec -- COMMAND\n"

    def test_serves_the_sandbox_bank_too(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("BANK_TOKEN", "BANK_SECRET"):
            monkeypatch.delenv(name, raising=False)

        assert command_line.main(["bank", "--port", "1", "--book", str(tmp_path / "book")]) == 2
        assert capsys.readouterr().err.startswith("Set BANK_TOKEN or BANK_SECRET, or both: ")

    def test_refuses_a_replica_of_a_database_that_is_elsewhere(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("POSTGRES_HOST", "db.example.com")
        monkeypatch.setenv("PAYOUTS_STATE_DIR", str(tmp_path / "state"))

        assert command_line.main(["run", "--port", "0", "--replica"]) == 2
        assert "POSTGRES_HOST names another" in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []


class TestExitCode:
    def test_is_that_of_a_shell(self) -> None:
        assert (children.exit_code(0), children.exit_code(3), children.exit_code(-9)) == (0, 3, 137)


class TestCurl:
    def test_can_be_pasted(self) -> None:
        words = shlex.split(run.curl("http://127.0.0.1:8000", "prefix.secret"))

        assert words[:3] == ["curl", "-i", "http://127.0.0.1:8000/api/payouts/"]
        assert "Authorization: Api-Key prefix.secret" in words
        assert json.loads(words[-1]) == {
            "amount": "100.00",
            "currency": "USD",
            "recipient_details": "Card ****1234",
            "comment": "Test payout",
        }

    def test_of_the_demonstration_is_the_request_that_was_sent(self) -> None:
        request = httpx.Request(
            "POST",
            "http://127.0.0.1:8000/api/payouts/",
            json={"comment": "it's"},
            headers={"Idempotency-Key": "one", "User-Agent": "not shown"},
        )

        words = shlex.split(demo_terminal.curl(request))

        assert words[:2] == ["curl", "http://127.0.0.1:8000/api/payouts/"]
        assert set(words[3:-2:2]) == {"Content-Type: application/json", "Idempotency-Key: one"}
        assert json.loads(words[-1]) == {"comment": "it's"}
