"""What every provider promises, as tests. A provider's test class inherits these and makes the world that it lives in.

Each case is the recipient's account with which the provider is known to behave so; None where it cannot be made to.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal

import pytest

from payouts.models import Payout
from payouts.providers import base
from payouts.providers.base import ReportKind


def instruction(
    account: str, *, attempt: int = 1, age_seconds: float = 0.0, reference: str = "ref-1"
) -> base.Instruction:
    return base.Instruction(
        reference=reference,
        amount=Decimal("10.50"),
        currency="EUR",
        recipient_details={"name": "Jane Doe", "account": account},
        attempt=attempt,
        age_seconds=age_seconds,
    )


Callback = tuple[Mapping[str, str], bytes]


@dataclass(frozen=True)
class World:
    """A provider, and what is known about the one who moves the money behind it."""

    provider: base.Provider
    paid_account: str
    rejected_account: str | None = None
    unavailable_account: str | None = None
    #: The money moves, and the answer to the first send does not come.
    unknown_account: str | None = None
    accepted_account: str | None = None
    #: How often money has moved for a reference; None: that cannot be seen from outside.
    count_executions: Callable[[str], int] | None = None
    #: It knows what it was told, and that it was not told something.
    has_memory: bool = True
    #: Make what it would tell by itself about a reference that was paid; None: it tells nothing by itself.
    make_callback: Callable[[str], Callback] | None = None

    def assert_moved(self, reference: str, times: int) -> None:
        if self.count_executions is not None:
            assert self.count_executions(reference) == times


# No merchant can make all of these: a provider must not rely on what others check.
STRANGE_INSTRUCTIONS: dict[str, dict[str, object]] = {
    "zeros at the end": {"amount": Decimal("10.5000")},
    "no decimals": {"amount": Decimal(10)},
    "as an exponent": {"amount": Decimal("1E+3")},
    "tiny": {"amount": Decimal("0.0001")},
    "largest": {"amount": Decimal("999999999999.9999")},
    "zero": {"amount": Decimal(0)},
    "negative": {"amount": Decimal("-10.50")},
    "not a number": {"amount": Decimal("NaN")},
    "infinite": {"amount": Decimal("Infinity")},
    "currency without decimals": {"currency": "JPY", "amount": Decimal("10.0000")},
    "unknown currency": {"currency": "XYZ"},
    "no currency": {"currency": ""},
    "other scripts": {"recipient_details": {"name": "Łukasz 山田 🙂 \u202e", "account": "1"}},
    "half a character": {"recipient_details": {"name": "\ud800", "account": "1"}},
    "control characters": {"recipient_details": {"name": "a\x00\r\nb", "account": "1"}},
    "empty recipient": {"recipient_details": {"name": "", "account": ""}},
    "long recipient": {"recipient_details": {"name": "x" * 100_000, "account": "1"}},
    "recipient without an account": {"recipient_details": {"name": "Jane Doe"}},
    "object without a field": {"recipient_details": {}},
    "recipient that is a text": {"recipient_details": "Card ****1234"},
    "recipient that is an empty text": {"recipient_details": ""},
    "recipient that is a long text": {"recipient_details": "x, 1; " * 20_000},
    "reference with a slash": {"reference": "../ref-1"},
    "reference with a line break": {"reference": "ref-1\r\nX: y"},
    "empty reference": {"reference": ""},
    "long reference": {"reference": "r" * 65},
    "much later": {"attempt": 1_000_000, "age_seconds": 1e9},
}

STRANGE_HEADERS: dict[str, dict[str, str]] = {
    "none": {},
    "empty": {"webhook-id": "", "webhook-timestamp": "", "webhook-signature": ""},
    "words": {"webhook-id": "a", "webhook-timestamp": "yesterday", "webhook-signature": "v1,nonsense"},
    "no signature": {"webhook-id": "a", "webhook-timestamp": "1700000000", "webhook-signature": ""},
    "other scripts": {
        "webhook-id": "é\ud800",
        "webhook-timestamp": "\u0661",
        "webhook-signature": "v1,é\ud800",
    },
    "line breaks": {"webhook-id": "a\n", "webhook-timestamp": "1\n", "webhook-signature": "v1,\n"},
    "endless": {"webhook-id": "a" * 10_000, "webhook-timestamp": "9" * 10_000, "webhook-signature": "v1, " * 10_000},
}

STRANGE_BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no text": b"\xff\xfe\x00",
    "no JSON": b"paid",
    "no object": b"[]",
    "empty object": b"{}",
    "half of one": b'{"type": "transfer.upd',
    "another type": b'{"type": "account.closed", "transfer": {}}',
    "no transfer": b'{"type": "transfer.updated"}',
    "null": b'{"type": "transfer.updated", "transfer": null}',
    "nested": b"[" * 100_000,
}


def new_reference() -> str:
    return str(uuid.uuid4())


def assert_report(report: base.Report) -> None:
    """What may be stored of a report, whatever it is about."""
    assert report.kind in ReportKind
    assert isinstance(report.is_final, bool)
    for text in (report.provider_reference, report.code, report.message):
        assert isinstance(text, str)
    # What was only accepted has yet to be settled.
    assert not (report.is_final and report.kind is ReportKind.ACCEPTED)


def assert_documented(call: Callable[[base.Instruction], base.Report], told: base.Instruction) -> None:
    """Call the provider: it reports, or raises one of the three errors, and nothing else."""
    answer: base.Report | base.ProviderError
    try:
        answer = call(told)
    except (base.Rejected, base.Unavailable, base.OutcomeUnknown) as error:
        answer = error
    if isinstance(answer, base.ProviderError):
        assert answer.code
        assert answer.message
    else:
        assert_report(answer)


class ProviderContract:
    @pytest.fixture
    def world(self) -> World:
        raise NotImplementedError

    def test_has_a_name_that_can_be_stored(self, world: World) -> None:
        column = Payout._meta.get_field("provider")

        assert 1 <= len(world.provider.name) <= (column.max_length or 0)

    def test_says_what_may_be_relied_on(self, world: World) -> None:
        capabilities = world.provider.capabilities

        assert capabilities.idempotency_window_seconds >= 0
        assert capabilities.is_idempotent_by_reference is (capabilities.idempotency_window_seconds > 0)
        assert capabilities.settle_time_seconds > 0
        assert capabilities.return_window_seconds >= 0
        assert capabilities.concurrency_max is None or capabilities.concurrency_max >= 1

    def test_pays(self, world: World) -> None:
        reference = new_reference()

        report = world.provider.send(instruction(world.paid_account, reference=reference))

        assert report.kind in {ReportKind.PAID, ReportKind.ACCEPTED}
        assert report.provider_reference
        assert_report(report)
        world.assert_moved(reference, 1)

    def test_gives_each_payout_a_reference_of_its_own(self, world: World) -> None:
        first, second = [
            world.provider.send(instruction(world.paid_account, reference=new_reference())) for _ in range(2)
        ]

        assert first.provider_reference != second.provider_reference

    # What makes a second send after an unknown outcome safe.
    def test_moves_money_once_for_a_reference(self, world: World) -> None:
        self._skip_unless_idempotent(world)
        reference = new_reference()

        first = world.provider.send(instruction(world.paid_account, reference=reference))
        second = world.provider.send(instruction(world.paid_account, reference=reference, attempt=2, age_seconds=30.0))

        assert second.provider_reference == first.provider_reference
        world.assert_moved(reference, 1)

    def test_moves_money_once_for_sends_at_the_same_time(self, world: World) -> None:
        self._skip_unless_idempotent(world)
        told, barrier = instruction(world.paid_account, reference=new_reference()), threading.Barrier(4)

        def send(_: int) -> base.Report:
            barrier.wait(10)
            return world.provider.send(told)

        with ThreadPoolExecutor(4) as pool:
            reports = list(pool.map(send, range(4)))

        assert len({report.provider_reference for report in reports}) == 1
        world.assert_moved(told.reference, 1)

    def test_tells_later_what_became_of_it(self, world: World) -> None:
        reference = new_reference()

        sent = world.provider.send(instruction(world.paid_account, reference=reference))
        asked = world.provider.ask(instruction(world.paid_account, reference=reference, attempt=2, age_seconds=30.0))

        assert asked.kind is ReportKind.PAID
        assert asked.provider_reference == sent.provider_reference
        assert_report(asked)

    def test_says_that_it_is_not_over_yet(self, world: World) -> None:
        if world.accepted_account is None:
            pytest.skip("This provider settles everything at once.")
        told = instruction(world.accepted_account, reference=new_reference())

        sent, asked = world.provider.send(told), world.provider.ask(told)

        assert (sent.kind, sent.is_final) == (ReportKind.ACCEPTED, False)
        assert (asked.kind, asked.is_final) == (ReportKind.ACCEPTED, False)

    def test_moves_nothing_when_asked(self, world: World) -> None:
        paid, never_sent = new_reference(), new_reference()
        world.provider.send(instruction(world.paid_account, reference=paid))

        for reference in (paid, never_sent) * 3:
            assert_documented(world.provider.ask, instruction(world.paid_account, reference=reference))

        world.assert_moved(paid, 1)
        world.assert_moved(never_sent, 0)

    def test_does_not_know_what_it_was_not_told(self, world: World) -> None:
        if not world.has_memory:
            pytest.skip("This provider answers from the account alone.")

        report = world.provider.ask(instruction(world.paid_account, reference=new_reference()))

        assert (report.kind, report.is_final) == (ReportKind.NOT_FOUND, False)

    def test_rejects_with_a_code_and_a_sentence(self, world: World) -> None:
        if world.rejected_account is None:
            pytest.skip("This provider has no recipient that it always refuses.")
        reference = new_reference()
        with pytest.raises(base.Rejected) as refusal:
            world.provider.send(instruction(world.rejected_account, reference=reference))

        assert refusal.value.code.islower()
        assert refusal.value.message.endswith(".")
        world.assert_moved(reference, 0)

    def test_says_that_nothing_was_sent(self, world: World) -> None:
        if world.unavailable_account is None:
            pytest.skip("This provider cannot be made unavailable.")
        reference = new_reference()
        with pytest.raises(base.Unavailable) as refusal:
            world.provider.send(instruction(world.unavailable_account, reference=reference))

        assert refusal.value.code
        world.assert_moved(reference, 0)

    def test_says_that_the_outcome_is_unknown(self, world: World) -> None:
        if world.unknown_account is None:
            pytest.skip("This provider cannot be made to break off.")
        told = instruction(world.unknown_account, reference=new_reference())
        with pytest.raises(base.OutcomeUnknown) as lost:
            world.provider.send(told)

        assert lost.value.code
        # Once, and not a second time by something underneath that tries again by itself.
        world.assert_moved(told.reference, 1)
        assert world.provider.ask(told).kind is ReportKind.PAID
        if world.has_memory:
            assert world.provider.send(told).kind is ReportKind.PAID
            world.assert_moved(told.reference, 1)

    @pytest.mark.parametrize("changes", STRANGE_INSTRUCTIONS.values(), ids=STRANGE_INSTRUCTIONS.keys())
    def test_lets_nothing_else_escape(self, world: World, changes: dict[str, object]) -> None:
        fields = {**vars(instruction(world.paid_account, reference=new_reference())), **changes}

        for call in (world.provider.send, world.provider.ask):
            assert_documented(call, base.Instruction(**fields))

    @pytest.mark.parametrize("headers", STRANGE_HEADERS.values(), ids=STRANGE_HEADERS.keys())
    @pytest.mark.parametrize("body", [b"", b"{}", b"\xff"])
    def test_refuses_callbacks_of_nobody_knows_whom(self, world: World, headers: dict[str, str], body: bytes) -> None:
        with pytest.raises(base.CallbackRefused) as refusal:
            world.provider.authenticate_callback(headers, body)

        assert str(refusal.value)

    @pytest.mark.parametrize("body", STRANGE_BODIES.values(), ids=STRANGE_BODIES.keys())
    def test_does_not_guess_at_callbacks(self, world: World, body: bytes) -> None:
        with pytest.raises(base.CallbackUnreadable) as refusal:
            world.provider.parse_callback(body)

        assert str(refusal.value)

    def test_reads_its_own_callbacks(self, world: World) -> None:
        if world.make_callback is None:
            pytest.skip("This provider tells nothing by itself.")
        reference = new_reference()
        sent = world.provider.send(instruction(world.paid_account, reference=reference))
        headers, body = world.make_callback(reference)

        ids = {world.provider.authenticate_callback(headers, body) for _ in range(2)}
        told = world.provider.parse_callback(body)

        # The same each time, so that it is applied once.
        assert len(ids) == 1
        assert (told.reference, told.amount, told.currency) == (reference, Decimal("10.50"), "EUR")
        assert (told.report.kind, told.report.provider_reference) == (ReportKind.PAID, sent.provider_reference)
        assert_report(told.report)

    def _skip_unless_idempotent(self, world: World) -> None:
        if not world.provider.capabilities.is_idempotent_by_reference:
            pytest.skip("This provider must not be sent to twice.")
