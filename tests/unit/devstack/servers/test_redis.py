from __future__ import annotations

from pathlib import Path

import pytest

from devstack import errors
from devstack.servers import redis


class TestParseVersion:
    @pytest.mark.parametrize(
        ("text", "version"),
        [
            ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=1", (7, 0)),
            ("Redis server v=6.2.14 sha=00000000:0", (6, 2)),
            ("Valkey server v=8.1.0 sha=00000000:1", (8, 1)),
            ("command not found", ()),
        ],
    )
    def test_reads_what_the_server_says(self, text: str, version: tuple[int, ...]) -> None:
        assert redis.parse_version(text) == version


class TestFindBinary:
    def test_finds_the_one_in_the_environment(self) -> None:
        assert redis.find_binary().name == "redis-server"

    def test_passes_over_one_that_is_too_old(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        old = tmp_path / "redis-server"
        old.write_text("#!/bin/sh\necho 'Redis server v=5.0.3'\n", encoding="utf-8")
        old.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

        assert redis.find_binary() != old

    def test_says_what_to_do_when_there_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(redis, "_candidates", list)

        with pytest.raises(errors.StackError, match=r"make setup.*CELERY_BROKER_URL"):
            redis.find_binary()
