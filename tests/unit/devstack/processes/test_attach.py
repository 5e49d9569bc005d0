from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from devstack.processes import attach, identity

STACK_ENVIRONMENT = {
    "POSTGRES_HOST": "127.0.0.1",
    "POSTGRES_PORT": "5555",
    "POSTGRES_PASSWORD": "of the stack",
    "CELERY_BROKER_URL": "redis://:secret@127.0.0.1:6666/0",
    "DJANGO_SECRET_KEY": "key of the stack",
    "PAYOUTS_REPLICA_HOST": "127.0.0.1",
}


def write_stack(directory: Path, **launcher: Any) -> None:
    owner = {"pid": os.getpid(), "started": identity.started_at(os.getpid()), **launcher}
    text = json.dumps({"launcher": owner, "environment": STACK_ENVIRONMENT})
    (directory / "stack.json").write_text(text, encoding="utf-8")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"PAYOUTS_STATE_DIR": str(tmp_path)}


class TestAttach:
    def test_sets_what_is_missing(self, tmp_path: Path, environment: dict[str, str]) -> None:
        write_stack(tmp_path)

        assert attach.attach(environment)
        assert environment == {"PAYOUTS_STATE_DIR": str(tmp_path), **STACK_ENVIRONMENT}

    def test_keeps_what_is_set(self, tmp_path: Path, environment: dict[str, str]) -> None:
        write_stack(tmp_path)
        environment["DJANGO_SECRET_KEY"] = "mine"

        attach.attach(environment)

        assert environment["DJANGO_SECRET_KEY"] == "mine"

    def test_keeps_what_is_set_by_a_file(self, tmp_path: Path, environment: dict[str, str]) -> None:
        write_stack(tmp_path)
        environment["DJANGO_SECRET_KEY_FILE"] = "/run/secrets/key"

        attach.attach(environment)

        assert "DJANGO_SECRET_KEY" not in environment

    def test_does_not_mix_two_databases(self, tmp_path: Path, environment: dict[str, str]) -> None:
        # The stack's password must not go to another host, nor its port.
        write_stack(tmp_path)
        environment["POSTGRES_HOST"] = "db.example.com"

        attach.attach(environment)

        of_database = ("POSTGRES_", "PAYOUTS_REPLICA_")
        postgres = {name: value for name, value in environment.items() if name.startswith(of_database)}
        assert postgres == {"POSTGRES_HOST": "db.example.com"}
        assert environment["CELERY_BROKER_URL"] == STACK_ENVIRONMENT["CELERY_BROKER_URL"]

    def test_ignores_the_stack_of_a_dead_launcher(self, tmp_path: Path, environment: dict[str, str]) -> None:
        write_stack(tmp_path, pid=2**22 + 1)

        assert not attach.attach(environment)
        assert environment == {"PAYOUTS_STATE_DIR": str(tmp_path)}

    def test_ignores_a_process_that_got_the_pid_of_the_launcher(
        self, tmp_path: Path, environment: dict[str, str]
    ) -> None:
        write_stack(tmp_path, started="another boot:12345")

        assert not attach.attach(environment)
        assert environment == {"PAYOUTS_STATE_DIR": str(tmp_path)}

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null"])
    def test_ignores_a_file_that_says_nothing(self, tmp_path: Path, environment: dict[str, str], text: str) -> None:
        (tmp_path / "stack.json").write_text(text, encoding="utf-8")

        assert not attach.attach(environment)

    def test_is_harmless_where_there_is_no_stack(self, environment: dict[str, str]) -> None:
        before = dict(environment)

        assert not attach.attach(environment)
        assert environment == before
