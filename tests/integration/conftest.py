"""A replica of the test's own making, for whatever reads from one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import OperationalError, connections

from postgres.replica import routing
from postgres.replica.monitor import Monitor, Timing
from tests.support import replica


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> Iterator[replica.Looks]:
    """A replica that is well, as far as the test does not say otherwise."""
    primary = connections["default"].settings_dict
    monkeypatch.setitem(connections.settings, "replica", {**primary, "ENGINE": "postgres.replica"})
    # Django forbids a test the databases that it did not name beforehand.
    monkeypatch.setattr(connections["replica"], "ensure_connection", replica.connect)
    server = replica.Looks()
    monkeypatch.setattr(routing, "replica_monitor", Monitor(server.measure))
    assert routing.health(patience_seconds=replica.PATIENCE) == replica.WELL
    yield server
    routing.replica_monitor.timing = Timing(idle_seconds=-1.0)
    routing.replica_monitor.mark_failed(OperationalError("only to wake its thread, so that it ends"))
    connections["replica"].close()
    del connections["replica"]


@pytest.fixture
def of_replica(looks: replica.Looks) -> Iterator[replica.Statements]:
    del looks
    # The first connection of a process asks for the server's version.
    replica.connect()
    statements = replica.Statements("replica")
    with connections["replica"].execute_wrapper(statements):
        yield statements


@pytest.fixture
def of_primary() -> Iterator[replica.Statements]:
    statements = replica.Statements("default")
    with connections["default"].execute_wrapper(statements):
        yield statements
