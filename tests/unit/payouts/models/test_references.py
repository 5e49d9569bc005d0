from __future__ import annotations

import uuid

import pytest

from payouts.models import references
from payouts.providers.http_bank import documents

ACME = uuid.UUID("01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f")
GLOBEX = uuid.UUID("01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8ea0")


class TestDerive:
    def test_never_changes(self) -> None:
        """Banks know payments by these: another value would pay for the same key once more."""
        derived = references.derive(ACME, "live", "order-4711")

        assert str(derived) == "81fa18d2-079b-82b3-8a45-3b0ef4b74959"

    def test_tells_merchants_modes_and_keys_apart(self) -> None:
        requests = [(ACME, "live", "k-1"), (ACME, "test", "k-1"), (GLOBEX, "live", "k-1"), (ACME, "live", "k-2")]

        assert len({references.derive(*request) for request in requests}) == len(requests)

    @pytest.mark.parametrize("key", ["k", "k" * 255, "jane.doe@example.com", "00000000-0000-0000-0000-000000000000"])
    def test_has_a_form_that_banks_take_and_not_that_of_an_id(self, key: str) -> None:
        derived = references.derive(ACME, "live", key)

        # Ids have version 7.
        assert (derived.version, derived.variant) == (8, uuid.RFC_4122)
        for number in (1, 2, 9999):
            assert documents.REFERENCE.fullmatch(references.spell(derived, number))

    def test_does_not_show_the_key(self) -> None:
        key = "order-4711"

        derived = references.derive(ACME, "live", key)

        assert key.encode() not in derived.bytes
        assert key.encode().hex() not in derived.hex


class TestRead:
    @pytest.mark.parametrize("number", [1, 2, 17, 9999])
    def test_reads_what_was_spelled(self, number: int) -> None:
        assert references.read(references.spell(ACME, number)) == (ACME, number)

    @pytest.mark.parametrize(
        "text", ["", "order-7", str(ACME).upper(), f"{ACME}-", f"{ACME}-0", f"{ACME}-02", f"{ACME}-10000", f"{ACME}\n"]
    )
    def test_knows_no_other(self, text: str) -> None:
        assert references.read(text) is None
