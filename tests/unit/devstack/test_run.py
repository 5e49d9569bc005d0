from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from devstack import run
from devstack.processes import output

LAUNCH: Any = SimpleNamespace(terminal=output.Silence(), state=SimpleNamespace(logs=Path("/state/logs")))
KEY_FOR_LIVE = "A key for live payouts: .venv/bin/python manage.py issue_api_key demo --mode live"


class TestDescribe:
    def test_names_the_bank(self) -> None:
        bank = SimpleNamespace(address="http://127.0.0.1:9100")
        app: Any = SimpleNamespace(base_url="http://127.0.0.1:8000", bank=bank, with_replica=False)

        lines = run.describe(LAUNCH, app, None, seconds=1.0)

        assert [line for line in lines if "Replica" in line] == []
        assert "  Bank       http://127.0.0.1:9100 (sandbox bank of live payouts: no money moves)" in lines
        assert KEY_FOR_LIVE in lines

    def test_names_no_bank_where_the_caller_has_one(self) -> None:
        app: Any = SimpleNamespace(base_url="http://127.0.0.1:8000", bank=None, with_replica=True)

        lines = run.describe(LAUNCH, app, None, seconds=1.0)

        assert [line for line in lines if "Bank" in line] == []
        assert "  Replica    of PostgreSQL, for lists, sums and exports" in lines
        assert KEY_FOR_LIVE in lines
