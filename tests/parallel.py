"""How the suite is spread over processes (pytest-xdist), and what keeps those out of each other's way.

pytest-django gives each of them a database. The broker is divided here: tests look into its queue and its counters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

# One core is shared as well as it goes, for much of the time goes by in waiting. Over four, PostgreSQL is the limit.
PROCESSES_MIN, PROCESSES_MAX = 2, 4

# Redis has 16 databases unless it is told otherwise.
_NUMBER_MAX = 15

# The tests in here share one running stack, which takes seconds to start and half of a machine to run ...
STACK_FOLDER = "tests/e2e/"
# ... except for these, which start what they need themselves.
BY_THEMSELVES = ("tests/e2e/test_on_commit.py",)
# These commit, and the database is emptied behind them: of what migrations have put there as well. So they come when
# pytest-django has them come, behind all tests that undo what they do.
COMMITTING = ("tests/e2e/test_on_commit.py",)


def process_count(cores: int) -> int:
    """Return how many processes a machine with so many cores runs the suite in."""
    return min(max(cores, PROCESSES_MIN), PROCESSES_MAX)


def broker_url(url: str, index: int) -> str:
    """Return the broker of the process with this index: the same server, and a database that no other process has.

    The exclusive or differs for each index, is the number itself for the first, and leads from 15 downwards: the tests
    of the composed stack have that number, and what lies at 0 is not theirs.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"redis", "rediss"}:
        raise ValueError("tests run side by side on a Redis alone: give CELERY_BROKER_URL one, or run them with -n 0")
    number = int(parts.path.strip("/") or 0) ^ index
    if number > _NUMBER_MAX:
        raise ValueError(f"Redis has no database {number} for another process")
    return parts._replace(path=f"/{number}").geturl()


class Scheduling(LoadScopeScheduling):
    """The tests around the shared stack are one piece of work, which comes first; each other test is one by itself.

    xdist's own groups would say the same, but pytest 9.2 has them silently ignored (pytest-xdist, issue 1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """Forget a piece of work that is done: xdist counts all that a process ever had, after each test."""
        done = self.registered_collections[node][item_index]
        super().mark_test_complete(node, item_index, duration)
        work = self.assigned_work[node]
        if all(work[unit_of(done)].values()):
            del work[unit_of(done)]


def unit_of(nodeid: str) -> str:
    """Return the name of the piece of work that a test belongs to. The largest pieces are handed out first."""
    shares_stack = nodeid.startswith(STACK_FOLDER) and not nodeid.startswith(BY_THEMSELVES)
    return STACK_FOLDER if shares_stack else nodeid


def is_long(nodeid: str) -> bool:
    """Tell whether a test had better begin early, so that no process works on alone at the end."""
    return nodeid.startswith(STACK_FOLDER) and not nodeid.startswith(COMMITTING)
