from __future__ import annotations

from pathlib import Path

import pytest

from config import env

NAME = "PAYOUTS_TEST_SETTING"


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.delenv(f"{NAME}_FILE", raising=False)


class TestText:
    def test_is_the_value_without_white_space_around_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(NAME, " value\n")

        assert env.text(NAME, "default") == "value"

    @pytest.mark.parametrize("value", [None, "", "  "])
    def test_is_the_default_where_nothing_is_set(self, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
        if value is not None:
            monkeypatch.setenv(NAME, value)

        assert env.text(NAME, "default") == "default"

    def test_is_read_from_a_file(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("from the file\n", encoding="utf-8")
        monkeypatch.setenv(f"{NAME}_FILE", str(secret))

        assert env.text(NAME) == "from the file"

    def test_refuses_both(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv(NAME, "value")
        monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path))

        with pytest.raises(env.SettingError, match=rf"^{NAME} and {NAME}_FILE are both set"):
            env.text(NAME)

    @pytest.mark.parametrize("content", [None, b"\xff"])
    def test_refuses_file_that_cannot_be_read(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
    ) -> None:
        secret = tmp_path / "secret"
        if content is not None:
            secret.write_bytes(content)
        monkeypatch.setenv(f"{NAME}_FILE", str(secret))

        with pytest.raises(env.SettingError, match=rf"^{NAME}_FILE points to .*secret, which cannot be read"):
            env.text(NAME)


class TestBoolean:
    @pytest.mark.parametrize(
        ("value", "expected"), [("true", True), ("TRUE", True), ("1", True), ("false", False), ("0", False)]
    )
    def test_is_read(self, monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:  # noqa: FBT001
        monkeypatch.setenv(NAME, value)

        assert env.boolean(NAME, default=not expected) is expected

    @pytest.mark.parametrize("default", [True, False])
    def test_is_the_default_where_nothing_is_set(self, default: bool) -> None:  # noqa: FBT001
        assert env.boolean(NAME, default=default) is default

    @pytest.mark.parametrize("value", ["yes", "on", "no", "2", "tru", "true false"])
    def test_refuses_every_other_word(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv(NAME, value)

        with pytest.raises(env.SettingError, match=rf"^{NAME} must be true or false, not '{value}'\.$"):
            env.boolean(NAME, default=True)


class TestInteger:
    @pytest.mark.parametrize("value", ["1", "5", "10", "007"])
    def test_is_read(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv(NAME, value)

        assert env.integer(NAME, default=3, minimum=1, maximum=10) == int(value)

    def test_is_the_default_where_nothing_is_set(self) -> None:
        assert env.integer(NAME, default=3, minimum=1, maximum=10) == 3

    @pytest.mark.parametrize("value", ["0", "11", "-1", "1.5", "1e1", "ten", "\u0661", "1_0", "0x1"])
    def test_refuses_what_is_none_or_out_of_range(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv(NAME, value)

        with pytest.raises(env.SettingError, match=rf"^{NAME} must be a whole number from 1 to 10, not "):
            env.integer(NAME, default=3, minimum=1, maximum=10)


class TestChoice:
    def test_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(NAME, "b")

        assert env.choice(NAME, default="a", choices=("a", "b")) == "b"

    def test_refuses_every_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(NAME, "B")

        with pytest.raises(env.SettingError, match=rf"^{NAME} must be one of 'a', 'b', not 'B'\.$"):
            env.choice(NAME, default="a", choices=("a", "b"))


class TestItems:
    @pytest.mark.parametrize(
        ("value", "expected"), [("a", ["a"]), ("a,b", ["a", "b"]), (" a , ,b, ", ["a", "b"]), (",", []), ("", [])]
    )
    def test_are_the_parts_without_blanks(
        self, monkeypatch: pytest.MonkeyPatch, value: str, expected: list[str]
    ) -> None:
        monkeypatch.setenv(NAME, value)

        assert env.items(NAME) == expected


class TestHost:
    @pytest.mark.parametrize(
        "value",
        ["", "db", "replica-2.internal", "10.0.0.7", "::1", "2001:db8::7", "::ffff:10.0.0.7", "/run/postgresql"],
    )
    def test_takes_names_addresses_and_directories(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv(NAME, value)

        assert env.host(NAME) == value

    @pytest.mark.parametrize(
        "value", ["db:5432", "one,two", "postgres://db", "my db", "-db", "[::1]", "host=db", "user@db", "/a,/b", "."]
    )
    def test_refuses_anything_else(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv(NAME, value)

        with pytest.raises(env.SettingError, match=rf"^{NAME} must be one host name, address or directory"):
            env.host(NAME)


class TestUrl:
    @pytest.mark.parametrize(
        "value",
        [
            "redis://localhost",
            "redis://:secret@localhost:6379/0",
            "redis://[::1]:6379/0",
            "unix:///run/redis.sock",
            "",
        ],
    )
    def test_is_read(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv(NAME, value)

        assert env.url(NAME, default="", schemes=("redis", "unix")) == value

    @pytest.mark.parametrize(
        "value",
        [
            "localhost:6379",
            "http://:hunter2@localhost",
            "redis://",
            "redis:",
            "redis://:hunter2@localhost:port",
            "redis://:hunter2@localhost:99999",
            "redis://[::1",
        ],
    )
    def test_refuses_without_repeating_what_may_be_a_password(
        self, monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        monkeypatch.setenv(NAME, value)

        with pytest.raises(env.SettingError, match=rf"^{NAME} is not a URL of the kind redis://, unix://") as refusal:
            env.url(NAME, default="", schemes=("redis", "unix"))

        assert "hunter2" not in str(refusal.value)
