from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path

import pytest

from devstack import errors
from devstack.processes import state


@pytest.fixture
def opened(tmp_path: Path) -> state.StateDirectory:
    directory = state.StateDirectory(tmp_path / "a place" / "state")
    directory.open()
    return directory


class TestDirectoryFrom:
    def test_is_in_the_checkout_by_default(self) -> None:
        assert state.directory_from({}) == state.CHECKOUT / ".local"

    def test_counts_a_relative_path_from_the_checkout(self) -> None:
        assert state.directory_from({"PAYOUTS_STATE_DIR": "other"}) == state.CHECKOUT / "other"

    def test_takes_an_absolute_path(self, tmp_path: Path) -> None:
        assert state.directory_from({"PAYOUTS_STATE_DIR": str(tmp_path)}) == tmp_path


class TestStateDirectory:
    def test_is_for_its_owner_alone(self, opened: state.StateDirectory) -> None:
        assert stat.S_IMODE(opened.path.stat().st_mode) == 0o700

    def test_keeps_its_secrets(self, opened: state.StateDirectory) -> None:
        secrets = opened.secrets()

        assert opened.secrets() == secrets
        assert set(secrets) == {
            "secret_key",
            "postgres_password",
            "redis_password",
            "replication_password",
            "bank_secret",
            "bank_callback_secret",
        }
        assert stat.S_IMODE((opened.path / "secrets.json").stat().st_mode) == 0o600

    def test_adds_the_secrets_that_an_older_checkout_did_not_have(self, opened: state.StateDirectory) -> None:
        older = {"secret_key": "key", "postgres_password": "of its cluster", "redis_password": "of its data"}
        (opened.path / "secrets.json").write_text(json.dumps(older), encoding="utf-8")

        secrets = opened.secrets()

        assert secrets.items() > older.items()
        assert set(secrets) - set(older) == {"replication_password", "bank_secret", "bank_callback_secret"}
        assert opened.secrets() == secrets
        assert stat.S_IMODE((opened.path / "secrets.json").stat().st_mode) == 0o600

    def test_keeps_a_secret_that_it_does_not_know(self, opened: state.StateDirectory) -> None:
        secrets = {**opened.secrets(), "of_a_newer_checkout": "kept"}
        (opened.path / "secrets.json").write_text(json.dumps(secrets), encoding="utf-8")

        assert opened.secrets() == secrets

    def test_has_a_secret_for_callbacks_as_standard_webhooks_writes_it(self, opened: state.StateDirectory) -> None:
        prefix, _, key = opened.secrets()["bank_callback_secret"].partition("_")

        assert (prefix, len(base64.b64decode(key, validate=True))) == ("whsec", 32)

    def test_makes_secrets_of_its_own(self, opened: state.StateDirectory, tmp_path: Path) -> None:
        other = state.StateDirectory(tmp_path / "other")
        other.open()

        assert set(other.secrets().values()).isdisjoint(opened.secrets().values())

    def test_refuses_a_second_launcher(self, opened: state.StateDirectory) -> None:
        with pytest.raises(errors.StackError, match=rf"Another stack \(pid {os.getpid()}\) uses .*PAYOUTS_STATE_DIR"):
            state.StateDirectory(opened.path).open()

    def test_refuses_a_place_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()

        with pytest.raises(errors.StackError, match=r"cannot be used: .* PAYOUTS_STATE_DIR"):
            state.StateDirectory(tmp_path / "file" / "state").open()

    def test_says_that_the_stack_is_up_until_it_is_closed(self, opened: state.StateDirectory) -> None:
        opened.write_stack({"base_url": "http://127.0.0.1:1"})
        stack = state.read_stack(opened.path)
        assert stack is not None
        assert state.is_up(stack)

        opened.close()

        assert state.read_stack(opened.path) is None


class TestWritePrivate:
    def test_replaces_the_file_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "file.json"
        path.write_text("something longer than what follows", encoding="utf-8")

        state.write_private(path, json.dumps({"a": 1}))

        assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert list(tmp_path.iterdir()) == [path]
