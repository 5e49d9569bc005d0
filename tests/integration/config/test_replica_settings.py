"""What the environment says of a replica, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from payouts import checks
from tests.support import processes

DATABASES = """
import json
import django
django.setup()
from django.conf import settings
replica, primary = settings.DATABASES.get("replica"), settings.DATABASES["default"]
shown = {name: replica[name] for name in ("HOST", "PORT", "USER", "PASSWORD", "NAME")} if replica else None
if replica:
    shown["mirror"] = replica["TEST"]["MIRROR"]
    options = primary["OPTIONS"]
    shown["options"] = sorted(name for name, value in replica["OPTIONS"].items() if value != options[name])
print(json.dumps([shown, settings.REPLICA_LAG_MAX_SECONDS]))
"""


class TestSettings:
    def test_give_the_replica_what_the_primary_has(self, tmp_path: Path) -> None:
        ended = processes.python(
            DATABASES,
            tmp_path,
            DJANGO_SETTINGS_MODULE="config.settings",
            POSTGRES_PASSWORD="secret-of-the-primary",
            PAYOUTS_REPLICA_HOST="replica.internal",
        )

        assert json.loads(ended.stdout) == [
            {
                "HOST": "replica.internal",
                "PORT": 1,
                "USER": "payouts",
                "PASSWORD": "secret-of-the-primary",
                "NAME": "payouts",
                "mirror": "default",
                "options": ["connect_timeout", "tcp_user_timeout"],
            },
            30,
        ], ended.stderr

    def test_give_it_what_is_said_of_it(self, tmp_path: Path) -> None:
        said = {"HOST": "::1", "PORT": "6432", "USER": "reader", "PASSWORD": "other", "LAG_MAX_SECONDS": "5"}
        ended = processes.python(
            DATABASES,
            tmp_path,
            DJANGO_SETTINGS_MODULE="config.settings",
            **{f"PAYOUTS_REPLICA_{name}": value for name, value in said.items()},
        )

        shown, lag_max = json.loads(ended.stdout)
        assert [shown[name] for name in ("HOST", "PORT", "USER", "PASSWORD")] == ["::1", 6432, "reader", "other"]
        assert lag_max == 5

    def test_give_none_without_a_host(self, tmp_path: Path) -> None:
        ended = processes.python(
            DATABASES, tmp_path, DJANGO_SETTINGS_MODULE="config.settings", PAYOUTS_REPLICA_PORT="6432"
        )

        assert json.loads(ended.stdout) == [None, 30]


class TestCheck:
    @pytest.mark.parametrize(
        ("other", "ids"), [({}, ["payouts.W004"]), ({"PORT": 1}, []), ({"HOST": "replica.internal"}, [])]
    )
    def test_tells_who_has_named_the_primary(
        self, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any], ids: list[str]
    ) -> None:
        monkeypatch.setitem(settings.DATABASES, "replica", {**settings.DATABASES["default"], **other})

        assert [message.id for message in checks.check_replica(None)] == ids

    def test_has_nothing_to_say_without_a_replica(self) -> None:
        assert checks.check_replica(None) == []
