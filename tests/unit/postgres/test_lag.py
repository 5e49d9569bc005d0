"""How old is what the replica shows? Never said to be nothing when it is not."""

from __future__ import annotations

import math

import pytest

from postgres.replica.lag import POSITIONS_MAX, Positions, PrimaryPosition, ReplicaPosition, is_replica

# When the primary was where: at 100 from 10 s on, at 200 from 20 s on, at 300 at 30 s.
SEEN = [(100, 10.0), (100, 12.0), (200, 20.0), (300, 30.0)]
NOW = 30.5


def positions(seen: list[tuple[int, float]]) -> Positions:
    noted = Positions()
    for position, at in seen:
        noted.note(position, at=at)
    return noted


class TestLag:
    @pytest.mark.parametrize(
        ("replayed", "transaction_age", "lag"),
        [
            # All that the primary had when it was asked, or more: nothing is missing, however old the last of it is.
            (300, 3600.0, 0.0),
            (301, None, 0.0),
            # The primary had left 200 when it was seen at 300, and was there at 20 s.
            (299, None, 10.5),
            (200, None, 10.5),
            # At 100 it was last seen at 12 s, not at 10.
            (199, None, 18.5),
            # The transaction that it replayed last dates it better; and the other way round.
            (199, 3.0, 3.0),
            (200, 3600.0, 10.5),
            # The primary's clock was set back.
            (200, -5.0, 0.0),
            # Older than anything that we have seen.
            (99, 3600.0, 3600.0),
            (99, None, math.inf),
        ],
    )
    def test_is_dated_by_our_clock(self, replayed: int, transaction_age: float | None, lag: float) -> None:
        assert positions(SEEN).lag_seconds(replayed, transaction_age=transaction_age, at=NOW) == lag

    def test_grows_while_the_replica_stands_still(self) -> None:
        noted = positions(SEEN)
        before = noted.lag_seconds(200, transaction_age=None, at=NOW)
        noted.note(400, at=90.0)

        assert (before, noted.lag_seconds(200, transaction_age=None, at=90.0)) == (10.5, 70.0)

    def test_forgets_what_another_primary_has_written(self) -> None:
        """After a failover the log may go on from an earlier position."""
        noted = positions([*SEEN, (150, 40.0)])

        assert noted.lag_seconds(150, transaction_age=None, at=41.0) == 0.0
        assert noted.lag_seconds(149, transaction_age=None, at=41.0) == 29.0

    def test_is_known_for_half_an_hour_back(self) -> None:
        noted = positions([(number, float(number)) for number in range(1, POSITIONS_MAX + 2)])

        assert noted.lag_seconds(2, transaction_age=None, at=POSITIONS_MAX + 1.0) == POSITIONS_MAX - 1
        assert noted.lag_seconds(1, transaction_age=None, at=POSITIONS_MAX + 1.0) == math.inf


class TestIsReplica:
    WRITTEN = PrimaryPosition(system=7, position=300, clock=1000.0)

    @pytest.mark.parametrize(
        ("shown", "expected"),
        [
            (ReplicaPosition(system=7, position=300, in_recovery=True, committed_at=999.0), True),
            (ReplicaPosition(system=7, position=100, in_recovery=True, committed_at=None), True),
            # It was promoted, or is a primary.
            (ReplicaPosition(system=7, position=300, in_recovery=False, committed_at=999.0), False),
            # A standby of another cluster.
            (ReplicaPosition(system=8, position=300, in_recovery=True, committed_at=999.0), False),
            # It has what this primary never wrote: it follows the one of before a failover.
            (ReplicaPosition(system=7, position=301, in_recovery=True, committed_at=999.0), False),
        ],
    )
    def test_is_a_standby_that_follows_this_primary(self, shown: ReplicaPosition, *, expected: bool) -> None:
        assert is_replica(shown, of=self.WRITTEN) is expected
