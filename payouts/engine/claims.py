"""Take the lease on payouts: step 1 of Note [Commit, call, commit] in payouts/engine/processing.py.

Each function is one short transaction, which commits before any provider is called, with a fixed number of statements
for any number of payouts. Of several workers one gets a payout, and the others pass over it. Times are the database's,
so the clocks of the machines do not matter.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Now

from payouts import transitions
from payouts.engine import admission, circuits, lane_circuits, lanes, leases, retries
from payouts.engine.circuits import Circuit
from payouts.engine.lane_circuits import LaneState
from payouts.engine.lanes import Group
from payouts.models import Payout, PayoutAttempt
from payouts.providers import base, registry
from payouts.states import AttemptKind, PayoutStatus
from postgres.errors import is_connection_lost

logger = logging.getLogger(__name__)

ACTOR = leases.ACTOR

#: How long a payout rests that the database refuses to have claimed.
POSTPONED_SECONDS: Final = 60.0

_NOW: Final = timedelta(0)
#: Part of a provider's idempotency window in which no send begins: of a day, 72 minutes.
WINDOW_MARGIN: Final = 0.05

# A clock that counts on while the process is frozen and, if the platform allows it, while the machine sleeps.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

#: The merchant that was served last, for each group. Lost with the process, which costs a merchant one place.
_served: Final[dict[Group, uuid.UUID]] = {}


def _clock() -> float:
    return time.clock_gettime(_CLOCK)


class _TrialTaken(Exception):
    """Another process took the trial of this provider, or of a lane. Rolls the claim back."""


@dataclass(frozen=True)
class Claim:
    """A payout under our lease, and the attempt that is about to be made."""

    payout: Payout
    attempt_id: int
    kind: AttemptKind
    #: An earlier attempt may have been executed. NOT_SENT for this attempt then proves nothing.
    maybe_sent: bool
    #: Time of the claim, by the database's clock.
    claimed_at: datetime
    #: Time just before the claim, by this machine's clock.
    began: float
    #: Number of sends since the last act of an operator, with this one. Since when they were tried without a pause.
    sends_count: int = 1
    tried_since: datetime | None = None
    #: Time at which a payout that is asked about got its status.
    status_since: datetime | None = None
    #: Number of questions since then, with this one.
    asks_count: int = 1
    #: Number of sends with the present reference that may have arrived, for a payout that is asked about.
    arrived_count: int = 0
    #: Another bank that may have executed the payout, or "".
    other_bank: str = ""
    #: The states of the circuits of provider and lane before this send.
    circuit: circuits.State = circuits.State.CLOSED
    lane: LaneState = LaneState.CLOSED

    @property
    def has_run_out(self) -> bool:
        """Whether another worker may hold the payout by now."""
        return _clock() - self.began >= settings.LEASE_SECONDS

    @property
    def is_trial(self) -> bool:
        """Whether this send is the trial of a provider that was in trouble."""
        return self.circuit.takes_trial

    @property
    def is_outside_window(self) -> bool:
        """Whether an earlier send is so old that the provider may pay the same reference once more."""
        return self.maybe_sent and self.instruction.age_seconds >= _window_seconds(self.payout.provider)

    @property
    def instruction(self) -> base.Instruction:
        """The order to the provider."""
        sent_at = self.payout.first_sent_at or self.claimed_at
        return base.Instruction(
            reference=self.payout.provider_key,
            amount=self.payout.amount,
            currency=self.payout.currency,
            recipient_details=self.payout.recipient_details,
            attempt=self.payout.attempts_count,
            age_seconds=(self.claimed_at - sent_at).total_seconds(),
        )


@dataclass(frozen=True)
class Claimed:
    """The result of one claim."""

    claims: Sequence[Claim] = ()
    #: Whether more payouts of the group may be due. False: the others that are due are held, or in other hands.
    has_more: bool = False


def claim_due(group: Group, *, places: int) -> Claimed:
    """Claim at most `places` due payouts of the group, going round the merchants."""
    after = _served.get(group, lanes.BEFORE_ALL)
    parameters = {"after": after}
    claimed = _claim(group, lanes.picked(group.kind, places=places), parameters, places=places)
    if not claimed:
        return Claimed()
    row: Any = claimed[-1].payout
    # A lane that gave its whole share may have more.
    share = -(-places // row.lanes_count)
    merchants = [claim.payout.merchant_id for claim in claimed]
    _served[group] = _last_served(merchants, after=after)
    return Claimed(claimed, len(claimed) == places or any(merchants.count(one) >= share for one in set(merchants)))


def _last_served(merchants: Sequence[uuid.UUID], *, after: uuid.UUID) -> uuid.UUID:
    """Return the last lane of the last round: of the lanes that gave most, the last one behind `after`."""
    given = Counter(merchants)
    most = max(given.values())
    return max((one for one in given if given[one] == most), key=lambda one: (one <= after, one))


def claim_one(payout: Payout) -> Claim | None:
    """Claim this payout, if it is due and not held, for the call that its status asks for."""
    kind = AttemptKind.SEND if payout.status == PayoutStatus.PENDING else AttemptKind.ASK
    held = f"AND {lanes.may_send('payouts_payout.merchant_id')}" if kind == AttemptKind.SEND else ""
    picked = f"""
        lanes AS (SELECT NULL::uuid AS merchant_id, 1 AS turn),
        picked AS MATERIALIZED (
            SELECT id FROM payouts_payout WHERE id = %(only)s AND {lanes.waits(kind)} {held}
            FOR UPDATE SKIP LOCKED
        )"""
    claimed = _claim(Group(kind, payout.provider, payout.mode), picked, {"only": payout.pk}, places=1)
    return claimed[0] if claimed else None


def claim_each(group: Group, *, places: int) -> list[Claim]:
    """Claim due payouts of the group one by one, after the database has refused to take them together.

    One that cannot be claimed is postponed and reported, so that it holds up none behind it.
    """
    ids = lanes.due_ids(group, at_most=places, since=_NOW)
    return [claim for payout_id in ids if (claim := _claim_or_postpone(payout_id)) is not None]


def _claim_or_postpone(payout_id: uuid.UUID) -> Claim | None:
    try:
        return claim_one(Payout.objects.get(pk=payout_id))
    except Exception as error:
        if is_connection_lost(error):
            raise
        logger.exception("payout.claim.failed", extra={"payout_id": str(payout_id)})
        postponed = Now() + timedelta(seconds=POSTPONED_SECONDS)
        Payout.objects.due().filter(pk=payout_id, lease_token__isnull=True).update(due_at=postponed)
        return None


def claim_again(claim: Claim) -> Claim | None:
    """Claim an unknown payout that was just asked about, to send it once more with the same reference.

    Allowed only inside the window in which the provider promises that the same reference pays once, and for at most
    SENDS_MAX sends. A later attempt would make the answer to the question out of date.
    """
    picked = f"""
        lanes AS (SELECT NULL::uuid AS merchant_id, 1 AS turn),
        picked AS MATERIALIZED (
            SELECT id FROM payouts_payout AS payout
            WHERE id = %(only)s AND status = 'unknown' AND provider = %(provider)s AND contradicted_at IS NULL
                AND lease_token IS NULL AND attempts_count = %(attempts)s
                AND first_sent_at > statement_timestamp() - %(window)s
                AND NOT EXISTS (
                    SELECT FROM payouts_payoutattempt AS sent
                    WHERE sent.payout_id = payout.id AND sent.reference_number = payout.reference_number
                        AND sent.kind = 'send' AND sent.outcome = 'rejected'
                )
                AND (
                    SELECT {_ARRIVED.format(of="payout")} FROM payouts_payoutattempt AS sent
                    WHERE sent.payout_id = payout.id AND sent.kind = 'send'
                ) < {retries.SENDS_MAX}
                AND {lanes.may_send("payout.merchant_id")}
            FOR UPDATE SKIP LOCKED
        )"""
    payout = claim.payout
    window = timedelta(seconds=_window_seconds(payout.provider))
    parameters = {"only": payout.pk, "attempts": payout.attempts_count, "window": window}
    group = Group(AttemptKind.SEND, payout.provider, payout.mode)
    claimed = _claim(group, picked, parameters, places=1, reason="sent again with the same reference")
    return claimed[0] if claimed else None


def _claim(
    group: Group, picked: str, parameters: Mapping[str, Any], *, places: int, reason: str = "claimed"
) -> list[Claim]:
    """Claim what `picked(id)` finds, as far as the provider has capacity: at most four statements."""
    given = {**parameters, "provider": group.provider, "mode": group.mode, "lease": _lease()}
    provider = registry.get(group.provider)
    given |= {"bank": provider.identity, "concurrency_max": provider.capabilities.concurrency_max}
    began = _clock()
    try:
        with transaction.atomic(durable=True):
            circuit = admission.enter(group)
            if circuit.state is circuits.State.OPEN:
                return []
            given |= {"left_out": _left_out(group, circuit), "sends_max": circuit.sends_max, "reason": reason}
            chosen = f"{picked}, {_chosen(group.kind, 1 if circuit.state.takes_trial else places, given)}"
            take = _take_to_send if group.kind == AttemptKind.SEND else _take_to_ask
            taken = take(chosen, given)
            claims = [_claim_of(payout, group.kind, began=began, circuit=circuit.state) for payout in taken]
            _begin_trials(group, claims)
            return claims
    except _TrialTaken:
        return []


def _left_out(group: Group, circuit: Circuit) -> uuid.UUID | None:
    """Return the merchant that must not be the trial: the one that failed last, unless no other merchant waits."""
    failed = circuit.failed_merchant_id
    if failed is None or not circuit.state.takes_trial:
        return None
    if circuit.state is circuits.State.OPEN_FOR_ONE or lanes.due_ids(group, at_most=1, since=_NOW, left_out=failed):
        return failed
    return None


def _lease() -> timedelta:
    return timedelta(seconds=settings.LEASE_SECONDS)


def _begin_trials(group: Group, claims: Sequence[Claim]) -> None:
    """Take the trials that these claims are, or roll them back if another process has one of them."""
    tried = {claim.payout.merchant_id for claim in claims if claim.lane is LaneState.TO_BE_TRIED}
    seconds = settings.LEASE_SECONDS
    if tried and not lane_circuits.begin_trials(group.provider, group.mode, tried, seconds=seconds):
        raise _TrialTaken
    is_trial = any(claim.is_trial for claim in claims)
    if is_trial and not circuits.begin_trial(group.provider, seconds=seconds):
        raise _TrialTaken


def _chosen(kind: AttemptKind, places: int, given: Mapping[str, Any]) -> str:
    """Return the CTE of the picked payouts for which the provider has capacity. Calls are counted by their leases.

    Questions have a quarter of the capacity at most (their payouts are not `processing`), so sends find a place.
    A dead worker frees its place when its lease ends. A callback that overtakes the answer to its call frees the place
    a moment early.
    """
    limits = [str(places)]
    if given["concurrency_max"] is not None:
        limits.append("%(concurrency_max)s - count(*)")
        if kind == AttemptKind.ASK:
            limits.append("GREATEST(1, %(concurrency_max)s / 4) - count(*) FILTER (WHERE status <> 'processing')")
    if given["sends_max"] is not None:
        limits.append("%(sends_max)s - count(*) FILTER (WHERE status = 'processing')")
    free = f"""(
        SELECT GREATEST(0, LEAST({", ".join(limits)})) FROM payouts_payout
        WHERE provider = %(provider)s AND {leases.HOLDS}
    )"""
    return f"chosen AS MATERIALIZED (SELECT id FROM picked LIMIT {free if len(limits) > 1 else places})"


#: Nothing is due until the lease ends.
_LEASED: Final = {
    "lease_token": "gen_random_uuid()",
    "lease_expires_at": "statement_timestamp() + %(lease)s",
    "due_at": "statement_timestamp() + %(lease)s",
    "attempts_count": "payout.attempts_count + 1",
}

_ROUND: Final = """,
    (SELECT count(*) FROM lanes) AS lanes_count,
    statement_timestamp() AS claimed_at"""


#: Another bank that a send with the present reference may have reached (payouts/engine/banks.py).
_OTHER_BANK: Final = """max(sent.bank) FILTER (
    WHERE sent.reference_number = {of}.reference_number AND sent.outcome <> 'not_sent'
        AND sent.bank NOT IN ('', %(bank)s)
)"""


#: Number of the sends with the present reference that may have arrived.
_ARRIVED: Final = """count(*) FILTER (
    WHERE sent.reference_number = {of}.reference_number AND sent.outcome <> 'not_sent'
)"""


def _begun(kind: AttemptKind, *, of: str) -> str:
    return f""", attempt AS (
            INSERT INTO payouts_payoutattempt
                (payout_id, number, kind, reference_number, bank, lease_token, outcome, code, message)
            SELECT id, attempts_count, '{kind.value}', reference_number, %(bank)s, lease_token, '', '', '' FROM {of}
            RETURNING id AS attempt_id, payout_id
        )"""


def _take_to_send(chosen: str, parameters: Mapping[str, Any]) -> list[Payout]:
    wanted = f"""{chosen}, wanted AS (
            SELECT payout.id AS payout_id, payout.status AS from_status, 'processing' AS to_status,
                %(reason)s AS reason, NULL::uuid AS held_by
            FROM chosen JOIN payouts_payout AS payout USING (id)
        )"""
    # The statement does not see the attempts that it writes itself.
    earlier = f"""
        JOIN attempt ON attempt.payout_id = moved.id
        LEFT JOIN LATERAL (
            SELECT bool_or(sent.reference_number = moved.reference_number AND sent.outcome <> 'not_sent') AS maybe_sent,
                {_OTHER_BANK.format(of="moved")} AS other_bank,
                count(*) FILTER (WHERE sent.number > acted.number) AS sends_before,
                CASE WHEN count(*) FILTER (WHERE sent.number > acted.number) > 0 THEN GREATEST(
                    min(sent.started_at) FILTER (WHERE sent.number > acted.number), (
                        SELECT max(ended_at) FROM payouts_pause AS pause
                        WHERE pause.merchant_id = moved.merchant_id OR pause.provider = moved.provider
                            OR (pause.merchant_id IS NULL AND pause.provider = '')
                    )
                ) END AS tried_since
            FROM payouts_payoutattempt AS sent, (
                SELECT COALESCE(max(number), 0) AS number FROM payouts_payoutattempt
                WHERE payout_id = moved.id AND kind = 'operator'
            ) AS acted
            WHERE sent.payout_id = moved.id AND sent.kind = 'send'
        ) AS earlier ON moved.attempts_count > 1
        LEFT JOIN payouts_lanecircuit AS lane
            ON lane.provider = moved.provider AND lane.mode = moved.mode AND lane.merchant_id = moved.merchant_id"""
    return transitions.move_many(
        wanted,
        parameters,
        actor=ACTOR,
        changes={**_LEASED, "first_sent_at": "COALESCE(payout.first_sent_at, statement_timestamp())"},
        also=_begun(AttemptKind.SEND, of="moved"),
        columns=f"""{_ROUND}, attempt.attempt_id,
            earlier.maybe_sent, earlier.other_bank, earlier.sends_before, earlier.tried_since,
            lane.id AS lane_failed, lane.retry_at AS lane_retry_at""",
        joins=earlier,
    )


def _take_to_ask(chosen: str, parameters: Mapping[str, Any]) -> list[Payout]:
    """Take the lease to ask. Status, version and updated_at stay: asking changes nothing that the merchant sees."""
    assignments = ", ".join(f"{column} = {value}" for column, value in _LEASED.items())
    columns = Payout.columns(of="payout")
    statement = f"""
        WITH RECURSIVE {chosen},
        taken AS (
            UPDATE payouts_payout AS payout SET {assignments}
            FROM chosen WHERE payout.id = chosen.id RETURNING {columns}
        )
        {_begun(AttemptKind.ASK, of="taken")}
        SELECT taken.*, attempt.attempt_id {_ROUND}, earlier.other_bank, earlier.arrived_count, entered.status_since, (
            SELECT count(*) FROM payouts_payoutattempt AS asked
            WHERE asked.payout_id = taken.id AND asked.kind = 'ask' AND asked.started_at >= entered.status_since
        ) AS asks_before
        FROM taken JOIN attempt ON attempt.payout_id = taken.id CROSS JOIN LATERAL (
            SELECT max(created_at) AS status_since FROM payouts_payouttransition
            WHERE payout_id = taken.id AND to_status = taken.status
        ) AS entered
        CROSS JOIN LATERAL (
            SELECT {_OTHER_BANK.format(of="taken")} AS other_bank, {_ARRIVED.format(of="taken")} AS arrived_count
            FROM payouts_payoutattempt AS sent WHERE sent.payout_id = taken.id AND sent.kind = 'send'
        ) AS earlier"""
    return list(Payout.objects.raw(statement, parameters))


def _claim_of(payout: Payout, kind: AttemptKind, *, began: float, circuit: circuits.State) -> Claim:
    row: Any = payout
    if kind == AttemptKind.ASK:
        return Claim(
            payout,
            row.attempt_id,
            kind,
            True,
            row.claimed_at,
            began,
            status_since=row.status_since,
            asks_count=row.asks_before + 1,
            arrived_count=row.arrived_count,
            other_bank=row.other_bank or "",
        )
    return Claim(
        payout,
        row.attempt_id,
        kind,
        bool(row.maybe_sent),
        row.claimed_at,
        began,
        sends_count=(row.sends_before or 0) + 1,
        tried_since=row.tried_since,
        other_bank=row.other_bank or "",
        circuit=circuit,
        lane=_lane_of(row),
    )


def _lane_of(row: Any) -> LaneState:
    if row.lane_failed is None:
        return LaneState.CLOSED
    # A lane whose delay is not over gave no payout.
    return LaneState.FAILING if row.lane_retry_at is None else LaneState.TO_BE_TRIED


def may_send_again(payout: Payout) -> bool:
    """Tell whether a send with the present reference cannot pay twice: no earlier send, or a recent one."""
    window = timedelta(seconds=_window_seconds(payout.provider))
    inside = Payout.objects.filter(pk=payout.pk, first_sent_at__gt=Now() - window)
    return not sends_maybe_arrived(payout).exists() or inside.exists()


def may_keep_reference(payout: Payout) -> bool:
    """Tell whether a send may use the present reference if the provider's window restarts."""
    return _window_seconds(payout.provider) > 0 or not sends_maybe_arrived(payout).exists()


def _window_seconds(provider: str) -> float:
    """Return how long after the first send another may begin: it must end inside the window.

    A part of the window is kept back as well: the database's clock may have been set back meanwhile, or run slower than
    the provider's.
    """
    window_seconds = registry.get(provider).capabilities.idempotency_window_seconds
    return window_seconds - max(settings.LEASE_SECONDS, WINDOW_MARGIN * window_seconds)


def sends_maybe_arrived(payout: Payout) -> models.QuerySet[PayoutAttempt]:
    """Select the sends with the present reference that may have reached the provider."""
    return payout.attempts.maybe_sent().filter(reference_number=payout.reference_number)
