"""A process without what it needs ends with one sentence that names the variable.

What the environment alone says is in tests/integration/config/test_refusals.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection

from tests.support import processes


def live_database() -> dict[str, str]:
    """Return the settings of the database that the tests run on."""
    names = {"HOST": "POSTGRES_HOST", "PORT": "POSTGRES_PORT", "USER": "POSTGRES_USER", "PASSWORD": "POSTGRES_PASSWORD"}
    return {variable: str(connection.settings_dict[name]) for name, variable in names.items()}


class TestChecks:
    @pytest.mark.parametrize("process", ["web", "worker"])
    def test_a_provider_that_there_is_not_is_refused(self, tmp_path: Path, process: str) -> None:
        ended = processes.run(processes.COMMANDS[process], tmp_path, PAYOUTS_LIVE_PROVIDER="nonsense")

        assert ended.exit_code == 1
        (sentence,) = ended.sentences
        assert sentence.startswith("PAYOUTS_LIVE_PROVIDER names 'nonsense', which is no provider of this version.")
        assert "Traceback" not in ended.stderr


class TestDatabase:
    @pytest.mark.parametrize("process", list(processes.COMMANDS))
    def test_every_process_refuses_without_it(self, tmp_path: Path, process: str) -> None:
        ended = processes.run(processes.COMMANDS[process], tmp_path)

        assert ended.exit_code == 1
        assert len(ended.sentences) == 1
        assert ended.sentences[0].startswith(
            "POSTGRES_HOST, POSTGRES_PORT, POSTGRES_DB, POSTGRES_USER or POSTGRES_PASSWORD: "
            "the database 127.0.0.1:1/payouts cannot be reached ("
        )
        assert "Traceback" not in ended.stderr

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"POSTGRES_DB": "nowhere"}, 'database "nowhere" does not exist'),
            ({"POSTGRES_PASSWORD": "wrong-and-long"}, "password authentication failed"),
        ],
    )
    def test_the_reason_is_told(self, tmp_path: Path, given: dict[str, str], words: str) -> None:
        ended = processes.run(processes.COMMANDS["manage.py"], tmp_path, **(live_database() | given))

        assert ended.exit_code == 1
        assert [words in sentence for sentence in ended.sentences] == [True]
        assert ended.stderr.count("\n") == 1
