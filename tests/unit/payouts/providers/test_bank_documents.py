from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payouts.providers.http_bank import documents
from payouts.providers.http_bank.documents import Problem, Refusal, Transfer, TransferStatus, Unreadable
from tests.unit.payouts.providers.banks import INSTRUCTION, as_json, refusal, transfer

MISSING = object()
READERS: list[Callable[[bytes], object]] = [
    documents.read_transfer,
    documents.read_problem,
    documents.read_refusal,
    documents.read_callback,
]


class TestTransfer:
    def test_is_read(self) -> None:
        read = documents.read_transfer(as_json(transfer(code="c", message="m", something="else")))

        assert read == Transfer(
            id="tr_1",
            reference=INSTRUCTION.reference,
            amount=Decimal("10.50"),
            currency="EUR",
            status=TransferStatus.PAID,
            is_final=True,
            code="c",
            message="m",
        )

    @pytest.mark.parametrize("amount", ["0", "10", "10.5", "10.500000", "999999999999.9999"])
    def test_has_a_plain_amount(self, amount: str) -> None:
        assert documents.read_transfer(as_json(transfer(amount=amount))).amount == Decimal(amount)

    @pytest.mark.parametrize(
        ("status", "final"),
        [("accepted", False), ("paid", False), ("paid", True), ("rejected", True), ("returned", True)],
    )
    def test_may_end_where_its_status_may(self, status: str, final: bool) -> None:  # noqa: FBT001
        read = documents.read_transfer(as_json(transfer(status=status, final=final)))

        assert (read.status.value, read.is_final) == (status, final)

    # A refusal after which something may follow is none that a payout may be reported as failed upon.
    @pytest.mark.parametrize(("status", "final"), [("accepted", True), ("rejected", False), ("returned", False)])
    def test_is_unreadable_where_it_contradicts_itself(self, status: str, final: bool) -> None:  # noqa: FBT001
        with pytest.raises(Unreadable, match="final contradicts the status"):
            documents.read_transfer(as_json(transfer(status=status, final=final)))

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("id", [MISSING, None, 1, "", "x" * 256, "a\nb", "a\x00", "\ud800"]),
            ("reference", [MISSING, None, 1, "", "a b", "a_b", "x" * 65, "é", f"{INSTRUCTION.reference}\n"]),
            (
                "amount",
                [
                    *(MISSING, None, 10.5, 10, "", "1e1", "+10", "-10", "10.", ".5", "010", "1,000", "1_0", "0x10"),
                    *("NaN", "Infinity", " 10", "10\n", "\u0661\u0660", "9" * 35),
                ],
            ),
            ("currency", [MISSING, None, 978, "", "eur", "EURO", "EU", "EUR\n"]),
            ("status", [MISSING, None, 1, "", "PAID", "pending", "paid ", ["paid"]]),
            ("final", [MISSING, None, 0, 1, "yes", "", []]),
            ("code", [MISSING, None, 0, []]),
            ("message", [MISSING, None, 0, {}]),
        ],
    )
    def test_is_unreadable_with_anything_else(self, name: str, values: list[Any]) -> None:
        for value in values:
            document = transfer(**{name: value})
            if value is MISSING:
                del document[name]
            with pytest.raises(Unreadable, match=name) as problem:
                documents.read_transfer(as_json(document))
            # What was written may be a secret, or somebody's account.
            assert not isinstance(value, str) or len(value) < 4 or value not in str(problem.value)


class TestJson:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"paid",
            b"null",
            b"[]",
            b'"paid"',
            b"{",
            b"{}{}",
            b"{'a': 1}",
            b'{"a": 1,}',
            b'{"a": NaN}',
            b'{"a": Infinity}',
            b'{"a": -Infinity}',
            b'{"a": 1, "a": 1}',
            b'{"b": {"a": 1, "a": 2}}',
            b'{"a": "\n"}',
            b'{"a": "\xff"}',
            '{"a": 1}'.encode("utf-16"),
            '\ufeff\ufeff{"a": 1}'.encode(),
            b"[" * 200_000,
            b'{"a":' * 200_000,
            b'{"a": ' + b"9" * 10_000 + b"}",
        ],
        ids=lambda body: repr(body[:20]),
    )
    def test_is_read_strictly(self, body: bytes) -> None:
        for read in READERS:
            with pytest.raises(Unreadable):
                read(body)

    @given(st.binary())
    def test_is_unreadable_or_not(self, body: bytes) -> None:
        for read in READERS:
            with pytest.raises(Unreadable):
                read(body)


class TestProblem:
    def test_is_read(self) -> None:
        read = documents.read_problem(as_json({"code": "no", "message": "", "more": 1}))

        assert read == Problem("no", "")

    def test_is_read_behind_a_byte_order_mark(self) -> None:
        read = documents.read_problem(b"\xef\xbb\xbf" + as_json({"code": "no", "message": ""}))

        assert read == Problem("no", "")

    @pytest.mark.parametrize(
        "document", [{}, {"code": "no"}, {"message": "no"}, {"code": "", "message": ""}, {"code": 1, "message": ""}]
    )
    def test_is_unreadable_without_a_code(self, document: dict[str, Any]) -> None:
        with pytest.raises(Unreadable):
            documents.read_problem(as_json(document))


class TestRefusal:
    def test_is_read(self) -> None:
        read = documents.read_refusal(as_json(refusal(more=1)))

        assert read == Refusal("account_closed", "The account is closed.", INSTRUCTION.reference)

    @pytest.mark.parametrize("reference", [None, 1, "", "a b", "x" * 65, f"{INSTRUCTION.reference}\n"])
    def test_is_unreadable_without_a_reference(self, reference: object) -> None:
        with pytest.raises(Unreadable, match="reference"):
            documents.read_refusal(as_json(refusal(reference=reference)))


class TestCallback:
    def test_is_read(self) -> None:
        body = as_json({"type": "transfer.updated", "transfer": transfer(), "more": 1})

        assert documents.read_callback(body) == documents.read_transfer(as_json(transfer()))

    @pytest.mark.parametrize(
        "document",
        [
            {},
            transfer(),
            {"transfer": transfer()},
            {"type": None, "transfer": transfer()},
            {"type": "transfer.created", "transfer": transfer()},
            {"type": "transfer.updated"},
            {"type": "transfer.updated", "transfer": None},
            {"type": "transfer.updated", "transfer": [transfer()]},
            {"type": "transfer.updated", "transfer": {}},
            {"type": "transfer.updated", "transfer": transfer(status="lost")},
        ],
    )
    def test_is_unreadable_with_anything_else(self, document: dict[str, Any]) -> None:
        with pytest.raises(Unreadable):
            documents.read_callback(as_json(document))
