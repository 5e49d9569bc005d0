from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from django.conf import settings

from payouts.models import Payout
from tests import parallel

CHECKOUT = Path(__file__).resolve().parents[2]


def test_unit_tests_open_no_socket() -> None:
    # pytest-socket warns as it refuses, and warnings are errors here.
    with pytest.raises(UserWarning, match="tried to use socket"):
        socket.socket()


def test_unit_tests_reach_no_database() -> None:
    with pytest.raises(RuntimeError, match="Database access not allowed"):
        Payout.objects.exists()


def test_no_other_process_shares_our_broker(request: pytest.FixtureRequest) -> None:
    # In a run without pytest-xdist there is no other process.
    ours = settings.CELERY_BROKER_URL
    brokers: list[str] = getattr(request.config, "workerinput", {"brokers": [ours]})["brokers"]

    assert brokers.count(ours) == 1
    assert len(set(brokers)) == len(brokers)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://:secret@127.0.0.1:6379/0", [f"redis://:secret@127.0.0.1:6379/{number}" for number in (0, 1, 2, 3)]),
        ("redis://127.0.0.1:6379", [f"redis://127.0.0.1:6379/{number}" for number in (0, 1, 2, 3)]),
        # docker-compose.yml
        ("rediss://redis:6379/15?a=b", [f"rediss://redis:6379/{number}?a=b" for number in (15, 14, 13, 12)]),
    ],
)
def test_each_process_has_a_database_of_the_broker(url: str, expected: list[str]) -> None:
    assert [parallel.broker_url(url, index) for index in range(parallel.PROCESSES_MAX)] == expected


@pytest.mark.parametrize(
    ("url", "index", "sentence"),
    [("amqp://guest@localhost//", 0, "run them with -n 0"), ("redis://localhost/0", 16, "Redis has no database 16")],
)
def test_a_broker_that_cannot_be_divided_is_refused(url: str, index: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parallel.broker_url(url, index)


@pytest.mark.parametrize(("cores", "processes"), [(1, 2), (2, 2), (3, 3), (4, 4), (64, 4)])
def test_the_suite_runs_in_two_to_four_processes(cores: int, processes: int) -> None:
    assert parallel.process_count(cores) == processes


def test_the_tests_around_the_shared_stack_stay_together() -> None:
    shared = {parallel.unit_of(f"tests/e2e/test_{name}.py::test_it") for name in ("readme", "main_job")}
    others = [f"tests/unit/test_{name}.py::test_it[a::b]" for name in ("states", "documents")]
    others += [f"{file}::test_it" for file in parallel.BY_THEMSELVES]

    assert len(shared) == 1
    assert [parallel.unit_of(other) for other in others] == others


def test_the_tests_that_run_by_themselves_share_no_stack() -> None:
    texts = [(CHECKOUT / file).read_text(encoding="utf-8") for file in parallel.BY_THEMSELVES]

    assert [re.findall(r"\bstack: Stack\b", text) for text in texts] == [[]] * len(texts)
