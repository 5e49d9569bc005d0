from __future__ import annotations

import pytest

from devstack.servers import environment


class TestForProcesses:
    def test_lets_the_caller_decide(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DJANGO_DEBUG", "true")
        monkeypatch.setenv("DJANGO_SECRET_KEY_FILE", "/run/secrets/key")
        monkeypatch.delenv("DJANGO_SECRET_KEY", raising=False)

        result = environment.for_processes(secret_key="ours", state_directory="/state")

        assert result["DJANGO_DEBUG"] == "true"
        assert "DJANGO_SECRET_KEY" not in result

    def test_gives_what_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("DJANGO_SECRET_KEY", "DJANGO_SECRET_KEY_FILE", "PAYOUTS_BEHIND_HTTPS"):
            monkeypatch.delenv(name, raising=False)

        result = environment.for_processes(secret_key="ours", state_directory="/state")

        assert result["DJANGO_SECRET_KEY"] == "ours"
        assert result["PAYOUTS_BEHIND_HTTPS"] == "false"
        assert result["PAYOUTS_STATE_DIR"] == "/state"


class TestWithDatabase:
    def test_leaves_nothing_of_another_database(self) -> None:
        before = {"POSTGRES_PASSWORD_FILE": "/run/secrets/other", "POSTGRES_USER": "other", "HOME": "/home"}

        after = environment.with_database(before, {"POSTGRES_HOST": "127.0.0.1"})

        assert after == {"HOME": "/home", "POSTGRES_HOST": "127.0.0.1"}

    def test_leaves_nothing_of_its_replica(self) -> None:
        before = {
            "PAYOUTS_REPLICA_HOST": "replica.internal",
            "PAYOUTS_REPLICA_PASSWORD_FILE": "/run/secrets/other",
            "PAYOUTS_REPLICA_LAG_MAX_SECONDS": "5",
        }

        after = environment.with_database(before, {"POSTGRES_HOST": "127.0.0.1"})

        assert after == {"POSTGRES_HOST": "127.0.0.1", "PAYOUTS_REPLICA_LAG_MAX_SECONDS": "5"}


class TestWithReplica:
    def test_says_where_it_is(self) -> None:
        assert environment.with_replica({"HOME": "/home"}, port=5433) == {
            "HOME": "/home",
            "PAYOUTS_REPLICA_HOST": "127.0.0.1",
            "PAYOUTS_REPLICA_PORT": "5433",
        }


class TestWantsBank:
    def test_where_the_caller_says_nothing(self) -> None:
        assert environment.wants_bank({"PAYOUTS_HTTP_BANK_CONCURRENCY_MAX": "2"})

    @pytest.mark.parametrize("name", ["PAYOUTS_LIVE_PROVIDER", "PAYOUTS_HTTP_BANK_URL"])
    def test_unless_the_caller_has_a_provider(self, name: str) -> None:
        assert not environment.wants_bank({name: "x"})
        assert not environment.wants_bank({f"{name}_FILE": "/run/secrets/x"})
        # Said on purpose: no provider at all.
        assert not environment.wants_bank({name: ""})


class TestWithBank:
    def test_leaves_nothing_of_another_bank(self) -> None:
        before = {
            "PAYOUTS_HTTP_BANK_ID": "another",
            "PAYOUTS_HTTP_BANK_TOKEN": "of another",
            "PAYOUTS_HTTP_BANK_SECRET_FILE": "/run/secrets/other",
            "PAYOUTS_HTTP_BANK_CA_BUNDLE": "/other.pem",
            "PAYOUTS_HTTP_BANK_SETTLE_SECONDS": "60",
            "HOME": "/home",
        }

        after = environment.with_bank(before, url="http://127.0.0.1:1/v1", secret="ours", callback_secret="whsec_x")

        assert after == {
            "HOME": "/home",
            "PAYOUTS_HTTP_BANK_SETTLE_SECONDS": "60",
            "PAYOUTS_LIVE_PROVIDER": "http_bank",
            "PAYOUTS_HTTP_BANK_URL": "http://127.0.0.1:1/v1",
            "PAYOUTS_HTTP_BANK_ID": "sandbox-bank",
            "PAYOUTS_HTTP_BANK_SECRET": "ours",
            "PAYOUTS_HTTP_BANK_CALLBACK_SECRET": "whsec_x",
        }


class TestToAttach:
    def test_holds_the_settings_and_nothing_else(self) -> None:
        given = {
            "POSTGRES_PORT": "1",
            "CELERY_BROKER_URL": "redis://",
            "DJANGO_SECRET_KEY": "key",
            "DJANGO_SUPERUSER_PASSWORD": "of one command",
            "PAYOUTS_LOG_FORMAT": "console",
            "AWS_SECRET_ACCESS_KEY": "not ours",
        }

        assert environment.to_attach(given) == {
            "CELERY_BROKER_URL": "redis://",
            "DJANGO_SECRET_KEY": "key",
            "PAYOUTS_LOG_FORMAT": "console",
            "POSTGRES_PORT": "1",
        }
