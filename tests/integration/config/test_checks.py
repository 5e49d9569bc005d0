"""What an installation is told at boot about how it is set up."""

from __future__ import annotations

import json
import runpy
from typing import Any

import pytest

from payouts import checks
from tests.integration.config import processes


class TestLiveProvider:
    @pytest.mark.parametrize(("name", "ids"), [("", []), ("sandbox", ["payouts.W001"]), ("nonsense", ["payouts.E001"])])
    def test_is_judged_before_it_is_used(self, settings: Any, name: str, ids: list[str]) -> None:
        settings.LIVE_PROVIDER = name

        assert [message.id for message in checks.check_live_provider(None)] == ids


class TestAccessLog:
    def test_has_the_path_without_the_query(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A query may hold the name of a recipient."""
        monkeypatch.setenv("PAYOUTS_ACCESS_LOG", "true")
        # The file sets it for the web process; here it must not stay.
        monkeypatch.setenv("PGOPTIONS", "")
        configuration = runpy.run_path(str(processes.CHECKOUT / "deploy" / "gunicorn.conf.py"))

        line = configuration["access_log_format"]

        assert configuration["accesslog"] == "-"
        assert not [atom for atom in ("%(r)s", "%(q)s", "%(f)s") if atom in line]
        assert json.loads(line)["path"] == "%(U)s"
