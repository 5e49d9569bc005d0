"""Each rule of the verdict finds what breaks it: a storm whose verdict cannot fail proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.storm import verdict
from tests.storm.ledger import Ledger
from tests.storm.observed import (
    Attempt,
    Callback,
    Lie,
    Listing,
    Notice,
    Observed,
    Pause,
    Payout,
    Record,
    Refusal,
    Transfer,
    Transition,
)
from tests.unit.storm.observations import (
    CANCELED_ID,
    PAID_ID,
    REFUSED_ID,
    RETURNED_ID,
    STRANGER_ID,
    attempt,
    history,
    payout,
    told_of,
    transfer,
    well,
)

Doctor = Callable[[Observed], Observed]


def changing(payout_id: str, **changes: Any) -> Doctor:
    """Return what changes one payout."""

    def doctor(seen: Observed) -> Observed:
        payouts = [replace(one, **changes) if one.id == payout_id else one for one in seen.payouts]
        return replace(seen, payouts=payouts)

    return doctor


def without(payout_id: str) -> Doctor:
    return lambda seen: replace(seen, payouts=[one for one in seen.payouts if one.id != payout_id])


def with_payout(extra: Payout) -> Doctor:
    return lambda seen: replace(
        seen,
        payouts=[*seen.payouts, extra],
        transitions=[*seen.transitions, *history(extra.id, "pending", extra.status)],
    )


def with_transfer(extra: Transfer) -> Doctor:
    return lambda seen: with_transfers(*seen.transfers, extra)(seen)


def with_transfers(*transfers: Transfer) -> Doctor:
    moved = sum(transfer.executions for transfer in transfers)
    return lambda seen: replace(seen, transfers=transfers, executions_count=moved)


def with_history(payout_id: str, rows: list[Transition]) -> Doctor:
    return lambda seen: replace(
        seen, transitions=[*(row for row in seen.transitions if row.payout_id != payout_id), *rows]
    )


def with_attempts(payout_id: str, *attempts: Attempt) -> Doctor:
    return lambda seen: replace(
        seen, attempts=[*(row for row in seen.attempts if row.payout_id != payout_id), *attempts]
    )


def with_records(change: Callable[[list[Record]], list[Record]]) -> Doctor:
    return lambda seen: replace(seen, records=change(list(seen.records)))


def with_callback(callback: Callback) -> Doctor:
    return lambda seen: replace(seen, callbacks=[*seen.callbacks, callback])


def with_told(**changes: Any) -> Doctor:
    return lambda seen: replace(seen, told=[replace(seen.told[0], **changes)])


def with_whale(*, others_sent_at: float) -> Doctor:
    """Return what adds twenty payouts that go after the end of a pause, one each second, and three others beside."""

    def doctor(seen: Observed) -> Observed:
        ids = [f"0193a000-0000-7000-8000-1000000000{number:02d}" for number in range(23)]
        merchants = ["whale"] * 20 + ["globex"] * 3
        created = [50.0] * 20 + [101.0] * 3
        sent = [*(101.5 + number for number in range(20)), *[others_sent_at] * 3]
        told = [replace(told_of(one, one), merchant=who) for one, who in zip(ids, merchants, strict=True)]
        return replace(
            seen,
            told=[replace(seen.told[0], acknowledged=[*seen.told[0].acknowledged, *told])],
            payouts=[
                *seen.payouts,
                *(
                    replace(payout(one, one, "canceled", attempts=1), merchant=who, created_at=at)
                    for one, who, at in zip(ids, merchants, created, strict=True)
                ),
            ],
            transitions=[*seen.transitions, *(row for one in ids for row in history(one, "pending", "canceled"))],
            attempts=[
                *seen.attempts,
                *(
                    replace(attempt(one, 1, "send", "not_sent"), started_at=at)
                    for one, at in zip(ids, sent, strict=True)
                ),
            ],
            records=[*seen.records, *(Record(who, one, one) for one, who in zip(ids, merchants, strict=True))],
            pauses=[Pause("whale", "", began_at=0.0, ended_at=100.0)],
        )

    return doctor


def case(name: str, doctor: Doctor, *found: tuple[str, str]) -> Any:
    return pytest.param(doctor, set(found), id=name)


GAP = [Transition(PAID_ID, "", "pending", ""), Transition(PAID_ID, "processing", "paid", "")]
LEAP = [*history(PAID_ID, "pending", "paid")]
NO_BEGINNING = history(PAID_ID, "pending", "processing", "paid")[1:]
ANEW = history(PAID_ID, "pending", "processing", "pending", "processing", "paid")
OTHER_END = history(PAID_ID, "pending", "processing", "unknown")

LISTING = Listing(
    "acme",
    "live",
    [(PAID_ID, "paid"), (CANCELED_ID, "canceled"), (RETURNED_ID, "returned"), (REFUSED_ID, "failed")],
    {(status, "EUR"): (1, Decimal("10.5")) for status in ("paid", "canceled", "returned", "failed")},
)

CASES = [
    case("an acknowledged payout is gone", without(REFUSED_ID), ("lost", REFUSED_ID)),
    case(
        "a paid payout is gone",
        without(PAID_ID),
        ("lost", PAID_ID),
        ("unknown reference", PAID_ID),
    ),
    case("another amount is kept", changing(REFUSED_ID, amount=Decimal("10.51")), ("terms", REFUSED_ID)),
    case("another recipient is kept", changing(REFUSED_ID, account="other"), ("terms", REFUSED_ID)),
    case("it belongs to another merchant", changing(REFUSED_ID, merchant="globex"), ("terms", REFUSED_ID)),
    case(
        "a key made two payouts",
        with_payout(payout(STRANGER_ID, "k-0", "canceled", attempts=0)),
        ("one key", "acme k-0"),
        ("unasked", STRANGER_ID),
    ),
    case(
        "a payout that nobody was told of",
        with_payout(payout(STRANGER_ID, "k-9", "canceled", attempts=0)),
        ("unasked", STRANGER_ID),
    ),
    case(
        "one key was acknowledged with two payouts",
        with_told(acknowledged=[*well().told[0].acknowledged, told_of(STRANGER_ID, "k-0")]),
        ("lost", STRANGER_ID),
        ("one key", "acme k-0"),
        ("idempotency record", "acme k-0"),
    ),
    case("a record is missing", with_records(lambda rows: rows[1:]), ("idempotency record", "acme k-0")),
    case("a record is there twice", with_records(lambda rows: [*rows, rows[0]]), ("idempotency record", "acme k-0")),
    case(
        "a record of another payout",
        with_records(lambda rows: [replace(rows[0], resource_id=STRANGER_ID), *rows[1:]]),
        ("idempotency record", "acme k-0"),
    ),
    case(
        "a record of a key that nobody used",
        with_records(lambda rows: [*rows, Record("globex", "k-0", STRANGER_ID)]),
        ("idempotency record", "globex k-0"),
    ),
    case("a lease is left", changing(PAID_ID, is_leased=True), ("lease", PAID_ID)),
    case("something final is due", changing(REFUSED_ID, is_due=True), ("due", REFUSED_ID)),
    case("what is paid may be asked about", changing(PAID_ID, is_due=True)),
    case("evidence against the status", changing(PAID_ID, is_contradicted=True), ("contradicted", PAID_ID)),
    *(
        case(
            f"{status} after all this time",
            changing(REFUSED_ID, status=status),
            ("not final", REFUSED_ID),
            ("history", REFUSED_ID),
            ("refused", REFUSED_ID),
        )
        for status in ("pending", "processing", "submitted", "unknown")
    ),
    case(
        "too many for an operator",
        changing(REFUSED_ID, status="requires_attention"),
        ("attention", "all"),
        ("attention", REFUSED_ID),
        ("history", REFUSED_ID),
        ("refused", REFUSED_ID),
    ),
    case(
        "a cancellation is forgotten",
        changing(CANCELED_ID, status="failed"),
        ("cancellation", CANCELED_ID),
        ("evidence", CANCELED_ID),
        ("not refused", CANCELED_ID),
        ("history", CANCELED_ID),
    ),
    case("a gap in the history", with_history(PAID_ID, GAP), ("history", PAID_ID)),
    case("a change that the table does not name", with_history(PAID_ID, LEAP), ("history", PAID_ID)),
    case("no history", with_history(PAID_ID, []), ("history", PAID_ID)),
    case("a history without beginning", with_history(PAID_ID, NO_BEGINNING), ("history", PAID_ID)),
    case("a history with another end", with_history(PAID_ID, OTHER_END), ("history", PAID_ID)),
    case("an attempt is missing", with_attempts(PAID_ID, attempt(PAID_ID, 2, "send", "paid")), ("attempts", PAID_ID)),
    case("an attempt was not counted", changing(PAID_ID, attempts_count=1), ("attempts", PAID_ID)),
    case(
        "failed because the bank did not find it",
        with_attempts(REFUSED_ID, attempt(REFUSED_ID, 1, "send", "unknown")),
        ("evidence", REFUSED_ID),
    ),
    case(
        "paid without a word of the bank",
        with_attempts(PAID_ID, attempt(PAID_ID, 1, "send", "unknown"), attempt(PAID_ID, 2, "ask", "accepted")),
        ("evidence", PAID_ID),
    ),
    case(
        "came back without a word of the bank",
        with_attempts(RETURNED_ID, *(attempt(RETURNED_ID, number, "ask", "paid") for number in (1, 2, 3))),
        ("evidence", RETURNED_ID),
        ("arrived", RETURNED_ID),
        ("callback", RETURNED_ID),
    ),
    case("sent anew after it may have been sent", with_history(PAID_ID, ANEW), ("evidence", PAID_ID)),
    case(
        "sent anew after it was not sent",
        lambda seen: with_history(PAID_ID, ANEW)(
            with_attempts(
                PAID_ID, attempt(PAID_ID, 1, "send", "not_sent", "rate_limited"), attempt(PAID_ID, 2, "send", "paid")
            )(seen)
        ),
    ),
    case(
        "executed twice",
        with_transfers(transfer(PAID_ID, "paid", executions=2), transfer(RETURNED_ID, "returned")),
        ("paid twice", PAID_ID),
    ),
    case(
        "executed again under another reference",
        with_transfer(transfer(f"{PAID_ID}-2", "paid")),
        ("paid twice", PAID_ID),
        ("unknown reference", f"{PAID_ID}-2"),
        ("arrived", f"{PAID_ID}-2"),
    ),
    case(
        "executed for nobody",
        with_transfer(transfer(STRANGER_ID, "paid")),
        ("unknown reference", STRANGER_ID),
        ("arrived", STRANGER_ID),
    ),
    case(
        "executed without a line in the book",
        lambda seen: replace(seen, executions_count=3),
        ("executions", "bank"),
    ),
    case(
        "taken for not sent, and executed",
        with_attempts(PAID_ID, attempt(PAID_ID, 1, "send", "not_sent", "reset"), attempt(PAID_ID, 2, "ask", "paid")),
        ("arrived", PAID_ID),
    ),
    case(
        "taken for not sent, and refused",
        lambda seen: replace(seen, refusals=[Refusal(REFUSED_ID, "account_closed", requests=2)]),
        ("arrived", REFUSED_ID),
    ),
    case(
        "executed with another amount",
        with_transfers(replace(transfer(PAID_ID, "paid"), amount=Decimal("10.51")), transfer(RETURNED_ID, "returned")),
        ("terms", PAID_ID),
    ),
    case(
        "executed in another currency",
        with_transfers(replace(transfer(PAID_ID, "paid"), currency="USD"), transfer(RETURNED_ID, "returned")),
        ("terms", PAID_ID),
    ),
    case("paid here, unknown there", with_transfers(transfer(RETURNED_ID, "returned")), ("not executed", PAID_ID)),
    case(
        "paid here, not moved there",
        with_transfers(transfer(PAID_ID, "accepted", executions=0), transfer(RETURNED_ID, "returned")),
        ("not executed", PAID_ID),
    ),
    case("failed here, executed there", with_transfer(transfer(REFUSED_ID, "paid")), ("not reported", REFUSED_ID)),
    case(
        "canceled here, executed there",
        with_transfer(transfer(CANCELED_ID, "paid")),
        ("not reported", CANCELED_ID),
        ("arrived", CANCELED_ID),
    ),
    case(
        "came back there, paid here",
        with_transfers(transfer(PAID_ID, "returned"), transfer(RETURNED_ID, "returned")),
        ("disagreement", PAID_ID),
    ),
    case(
        "rejected there after all, canceled here",
        with_transfer(transfer(CANCELED_ID, "rejected", executions=0)),
        ("disagreement", CANCELED_ID),
        ("arrived", CANCELED_ID),
    ),
    case("a callback waits", with_callback(Callback("e-3", is_applied=False, result="")), ("callback", "e-3")),
    *(
        case(
            f"a callback is {result}",
            with_callback(Callback("e-3", is_applied=True, result=result)),
            ("callback", "e-3"),
        )
        for result in ("contradicted", "no_payout", "unreadable")
    ),
    case(
        "a callback was taken and thrown away",
        lambda seen: replace(seen, notices=[*seen.notices, Notice("e-3", PAID_ID, "paid", is_taken=True)]),
        ("callback", "e-3"),
    ),
    case(
        "a callback was stored and not recorded",
        with_callback(Callback("e-lost", is_applied=True, result="known")),
        ("callback", PAID_ID),
    ),
    case(
        "a callback was recorded as another one",
        with_attempts(
            RETURNED_ID,
            attempt(RETURNED_ID, 1, "send", "returned"),
            attempt(RETURNED_ID, 2, "callback", "paid"),
            attempt(RETURNED_ID, 3, "callback", "paid"),
        ),
        ("callback", RETURNED_ID),
    ),
    case("failed for another reason", changing(REFUSED_ID, failure_code="other"), ("not refused", REFUSED_ID)),
    case("failed by an operator", changing(REFUSED_ID, failure_code="resolved_by_operator")),
    case(
        "failed, and the bank knows nothing of it",
        lambda seen: replace(seen, refusals=()),
        ("not refused", REFUSED_ID),
    ),
    case(
        "failed after the bank had accepted it",
        lambda seen: replace(
            with_transfer(replace(transfer(REFUSED_ID, "rejected", executions=0), code="account_closed"))(seen),
            refusals=(),
        ),
    ),
    case(
        "given up for a new reference, and executed",
        lambda seen: with_transfers(*seen.transfers, transfer(REFUSED_ID, "paid"))(
            replace(
                changing(REFUSED_ID, reference_number=2)(seen),
                refusals=[Refusal(f"{REFUSED_ID}-2", "account_closed", requests=0)],
            )
        ),
        ("not reported", REFUSED_ID),
    ),
    case(
        "more calls at once than the bank takes",
        lambda seen: replace(seen, calls_at_once={1_700_000_000: 4, 1_700_000_001: 5}),
        ("calls at once", "1700000001"),
    ),
    case(
        "unknown, not at the bank, and too late to send it again",
        lambda seen: replace(changing(REFUSED_ID, status="unknown", first_sent_seconds_ago=60.0)(seen), refusals=()),
        # One is no violation, but every fourth is.
        ("attention", "all"),
        ("history", REFUSED_ID),
    ),
    case(
        "unknown, not at the bank, and not too late to send it again",
        lambda seen: replace(changing(REFUSED_ID, status="unknown", first_sent_seconds_ago=10.0)(seen), refusals=()),
        ("not final", REFUSED_ID),
        ("history", REFUSED_ID),
    ),
    case(
        "requires attention after a lie",
        lambda seen: replace(
            changing(REFUSED_ID, status="requires_attention")(seen), lies=[Lie(REFUSED_ID, "lookup_amount")]
        ),
        ("attention", "all"),
        ("history", REFUSED_ID),
        ("refused", REFUSED_ID),
    ),
    case("a deletion is forgotten", with_told(deleted={REFUSED_ID}), ("deletion", REFUSED_ID)),
    case("deleted by nobody", changing(REFUSED_ID, is_deleted=True), ("deletion", REFUSED_ID)),
    case("deleted, and paid after all", with_told(deleted={PAID_ID})),
    case(
        "sent in spite of a pause of everything",
        lambda seen: replace(seen, pauses=[Pause("", "", began_at=5.0, ended_at=20.0)]),
        *(("pause", payout_id) for payout_id in (PAID_ID, RETURNED_ID, REFUSED_ID)),
    ),
    case("sent before the pause", lambda seen: replace(seen, pauses=[Pause("acme", "", began_at=9.5, ended_at=20.0)])),
    case("sent after the pause", lambda seen: replace(seen, pauses=[Pause("acme", "", began_at=1.0, ended_at=9.0)])),
    case(
        "another is paused",
        lambda seen: replace(seen, pauses=[Pause("globex", "", 5.0, 20.0), Pause("", "sandbox", 5.0, 20.0)]),
    ),
    case("the others wait until what had gathered is gone", with_whale(others_sent_at=120.0), ("fairness", "others")),
    case("the others go in turn with what had gathered", with_whale(others_sent_at=106.0)),
    case(
        "a payout is missing in the list",
        lambda seen: replace(seen, listings=[replace(LISTING, rows=LISTING.rows[1:])]),
        ("list", "acme/live"),
    ),
    case(
        "a deleted payout is in the list",
        lambda seen: replace(
            changing(REFUSED_ID, is_deleted=True)(with_told(deleted={REFUSED_ID})(seen)), listings=[LISTING]
        ),
        ("list", "acme/live"),
        ("summary", "acme/live"),
    ),
    case("the list has what there is", lambda seen: replace(seen, listings=[LISTING])),
    case(
        "a sum is wrong",
        lambda seen: replace(
            seen, listings=[replace(LISTING, sums={**LISTING.sums, ("paid", "EUR"): (1, Decimal(1))})]
        ),
        ("summary", "acme/live"),
    ),
    case("the roll-up is wrong", lambda seen: replace(seen, rollup_complaints=["differs"]), ("roll-up", "all")),
    case("a wrong answer", with_told(wrong=["k-0 was answered 400"]), ("answer", "client")),
    case("no answer at all", with_told(given_up=["k-8"]), ("no answer", "client")),
    case("a harness that fails", lambda seen: replace(seen, harness=["missed"]), ("harness", "storm")),
    case("nothing happened", lambda seen: Observed(), ("harness", "storm")),
]


class TestJudge:
    def test_finds_nothing_where_all_is_well(self) -> None:
        assert verdict.judge(well()) == []

    @pytest.mark.parametrize(("doctor", "found"), CASES)
    def test_finds(self, doctor: Doctor, found: set[tuple[str, str]]) -> None:
        violations = verdict.judge(doctor(well()))

        assert {(violation.rule, violation.subject) for violation in violations} == found

    def test_counts_what_is_lost_and_paid_twice(self) -> None:
        twice = with_transfers(transfer(PAID_ID, "paid", executions=3), transfer(RETURNED_ID, "returned", executions=2))

        violations = verdict.judge(without(REFUSED_ID)(twice(well())))

        assert (verdict.lost(violations), verdict.paid_twice(violations)) == (1, 2)

    def test_has_no_rule_that_nothing_breaks(self) -> None:
        broken = {rule.__name__ for rule in verdict.RULES for one in CASES if list(rule(Ledger(one.values[0](well()))))}

        assert broken == {rule.__name__ for rule in verdict.RULES}


class TestDisagreements:
    def test_are_what_the_bank_has_otherwise(self) -> None:
        seen = with_transfers(transfer(PAID_ID, "returned"), transfer(RETURNED_ID, "returned"))(well())

        assert [violation.subject for violation in verdict.disagreements(seen)] == [PAID_ID]

    def test_are_none_where_all_is_well(self) -> None:
        assert verdict.disagreements(well()) == []
