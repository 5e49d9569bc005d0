"""What an installation is told at boot about how it is set up."""

from __future__ import annotations

import runpy
from typing import Any

import pytest
from django.db import connection

from payouts import checks, provider_settings
from payouts.providers import registry
from postgres import incarnations
from postgres.incarnations import Durability
from tests.support import processes


class TestLiveProvider:
    @pytest.mark.parametrize(("name", "ids"), [("", []), ("sandbox", ["payouts.W001"]), ("nonsense", ["payouts.E001"])])
    def test_is_judged_before_it_is_used(self, settings: Any, name: str, ids: list[str]) -> None:
        settings.LIVE_PROVIDER = name

        assert [message.id for message in checks.check_live_provider(None)] == ids


class TestHttpBank:
    BANK = {"base_url": "https://bank.example/v1", "signing_secret": "hunter2-hunter2-hunter2"}

    @pytest.mark.parametrize(
        ("changes", "ids"),
        [
            ({}, []),
            ({"base_url": "http://127.0.0.1:9100/v1"}, []),
            ({"base_url": "http://[::1]:9100/v1"}, []),
            ({"base_url": "http://bank.example/v1"}, ["payouts.W002"]),
            ({"signing_secret": "hunter2"}, ["payouts.W003"]),
            ({"callback_secrets": ("whsec_aHVudGVyMg==",)}, ["payouts.W003"]),
            ({"base_url": "bank.example"}, ["payouts.E002"]),
            # A secret without an address.
            ({"base_url": ""}, ["payouts.E002"]),
            ({"base_url": "", "signing_secret": ""}, []),
            ({"signing_secret": ""}, ["payouts.E002"]),
            ({"bearer_token": "token"}, ["payouts.E002"]),
            ({"callback_secrets": ("whsec_hunter2!",)}, ["payouts.E002"]),
            ({"ca_file": "/nonexistent.pem"}, ["payouts.E002"]),
        ],
    )
    def test_is_judged_before_it_is_used(self, settings: Any, changes: dict[str, Any], ids: list[str]) -> None:
        settings.HTTP_BANK = {**settings.HTTP_BANK, **self.BANK, **changes}

        messages = checks.check_http_bank(None)

        assert [message.id for message in messages] == ids
        assert "hunter2" not in str(messages)

    def test_is_asked_for_where_it_is_the_live_provider(self, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(registry.PROVIDERS, "http_bank", raising=False)
        settings.LIVE_PROVIDER = "http_bank"

        assert [message.id for message in checks.check_live_provider(None)] == ["payouts.E003"]

    def test_is_registered_with_what_it_promises(self, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(registry, "PROVIDERS", dict(registry.PROVIDERS))
        settings.HTTP_BANK = {**settings.HTTP_BANK, **self.BANK, "concurrency_max": 0, "settle_time_seconds": 60}

        provider_settings.register()

        promised = registry.get("http_bank").capabilities
        assert (promised.concurrency_max, promised.settle_time_seconds) == (None, 60)
        assert promised.idempotency_window_seconds == 86_400

    def test_is_not_registered_where_its_settings_are_wrong(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(registry, "PROVIDERS", {})
        settings.HTTP_BANK = {**settings.HTTP_BANK, **self.BANK, "base_url": "bank.example"}

        provider_settings.register()

        assert registry.PROVIDERS == {}


class TestAccessLog:
    def test_is_written_by_our_logger(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With gunicorn's own, a stranger could write lines of his own (tests/unit/config/test_gunicorn_logs.py)."""
        monkeypatch.setenv("PAYOUTS_ACCESS_LOG", "true")
        # The file sets it for the web process; here it must not stay.
        monkeypatch.setenv("PGOPTIONS", "")
        configuration = runpy.run_path(str(processes.CHECKOUT / "deploy" / "gunicorn.conf.py"))

        assert (configuration["accesslog"], configuration["logger_class"]) == ("-", "config.gunicorn_logs.Logger")


class TestDurability:
    SAFE = Durability(fsync=True, synchronous_commit="on", synchronous_standby_names="", standbys_count=0)

    @pytest.mark.parametrize(
        ("changes", "ids"),
        [
            ({}, []),
            ({"standbys_count": 1, "synchronous_standby_names": "ANY 1 (*)"}, []),
            ({"standbys_count": 1}, ["payouts.W006"]),
            ({"synchronous_commit": "off"}, ["payouts.W007"]),
            # Without standbys to wait for, it is as good as on.
            ({"synchronous_commit": "local"}, []),
            ({"synchronous_commit": "local", "synchronous_standby_names": "*"}, ["payouts.W007"]),
            ({"synchronous_commit": "remote_apply", "synchronous_standby_names": "*"}, []),
            ({"fsync": False}, ["payouts.W008"]),
            (
                {"fsync": False, "synchronous_commit": "off", "standbys_count": 2},
                ["payouts.W006", "payouts.W007", "payouts.W008"],
            ),
        ],
    )
    def test_is_warned_about(self, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], ids: list[str]) -> None:
        server = self.SAFE._replace(**changes)
        monkeypatch.setattr(incarnations, "read_durability", lambda: server)

        messages = checks.check_durability(None, databases=["default"])

        assert [message.id for message in messages] == ids

    @pytest.mark.django_db
    def test_is_read_from_the_server(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('fsync')::boolean")
            (fsync,) = cursor.fetchone()

        assert incarnations.read_durability().fsync is fsync

    def test_is_looked_at_only_with_a_database(self) -> None:
        assert checks.check_durability(None) == []
        assert checks.check_durability(None, databases=["replica"]) == []
