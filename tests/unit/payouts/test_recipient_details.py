from __future__ import annotations

import pytest

from payouts import recipient_details
from payouts.recipient_details import RecipientDetails

OBJECT = {"account": "1", "name": "Jane Doe", "country": "DE"}


class TestShown:
    def test_is_the_text_itself(self) -> None:
        assert recipient_details.shown(" Card ****1234 ") == " Card ****1234 "

    def test_is_the_object_in_the_order_of_the_fields_and_nothing_else(self) -> None:
        shown = recipient_details.shown({**OBJECT, "internal": "x"})

        assert isinstance(shown, dict)
        assert list(shown.items()) == [("name", "Jane Doe"), ("account", "1"), ("country", "DE")]


class TestFields:
    @pytest.mark.parametrize(
        ("recipient", "label", "text", "account"),
        [("name", "name", "name", ""), (OBJECT, "Jane Doe", "", "1"), ({}, "", "", "")],
    )
    def test_are_of_an_object_alone(self, recipient: RecipientDetails, label: str, text: str, account: str) -> None:
        assert recipient_details.label(recipient) == label
        assert recipient_details.text_of(recipient) == text
        assert recipient_details.field_of(recipient, "account") == account

    @pytest.mark.parametrize(
        ("recipient", "required", "missing"),
        [
            ("name, account", ("name", "account"), ["name", "account"]),
            ("Card ****1234", (), []),
            (OBJECT, ("name", "account"), []),
            (OBJECT, ("name", "bank_code"), ["bank_code"]),
            ({}, ("name", "account"), ["name", "account"]),
        ],
    )
    def test_may_be_missing(self, recipient: RecipientDetails, required: tuple[str, ...], missing: list[str]) -> None:
        assert recipient_details.missing(recipient, required) == missing


class TestPrivateTexts:
    def test_of_an_object_are_its_values_the_longest_first(self) -> None:
        assert recipient_details.private_texts(OBJECT) == ["Jane Doe", "DE", "1"]

    def test_of_a_text_are_its_parts_and_its_words_with_a_digit(self) -> None:
        found = recipient_details.private_texts("Jane Doe, DE89 3704; savings")

        assert found == ["Jane Doe, DE89 3704; savings", " DE89 3704", "Jane Doe", " savings", "DE89", "3704"]
