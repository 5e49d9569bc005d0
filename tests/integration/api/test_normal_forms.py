"""A text is stored in one form (NFC) and found in any: some systems send an e with an accent as two characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from payouts.models import Payout
from tests.support import answers, factories

LIST = "/api/payouts/"
COMPOSED, DECOMPOSED = "Zo\u00eb \u00dcnal", "Zoe\u0308 U\u0308nal"

MakePayout = Callable[..., Payout]


def decomposed(value: Any) -> Any:
    if isinstance(value, dict):
        return {decomposed(key): decomposed(one) for key, one in value.items()}
    return unicodedata.normalize("NFD", value)


class TestStored:
    def test_is_one_form_of_each_text(self, api: Client) -> None:
        fields = {
            "comment": f"for {COMPOSED}\nand all",
            "reference": COMPOSED,
            "metadata": {COMPOSED: COMPOSED},
            "recipient_details": {
                "name": COMPOSED,
                "account": "\u00c51",
                "bank_code": "\u00c52",
                "address": f"{COMPOSED} 3",
            },
        }

        response = factories.post_payout(api, factories.payout_body(**decomposed(fields)))

        assert response.status_code == 201
        assert {name: response.json()[name] for name in fields} == fields
        payout = Payout.objects.get()
        assert {name: getattr(payout, name) for name in fields} == fields

    @pytest.mark.parametrize(
        ("fields", "error"),
        [
            ({"reference": "e\u0301" * 255}, None),
            ({"reference": "e\u0301" * 256}, ("reference", "max_length")),
            ({"metadata": {"e\u0301" * 40: "e\u0301" * 500}}, None),
            ({"metadata": {"e\u0301" * 41: "v"}}, ("metadata", "invalid_name")),
            # Some characters are composed of two in the form that is stored.
            ({"reference": "\u0958" * 128}, ("reference", "max_length")),
        ],
        ids=["fits", "long", "metadata fits", "metadata long", "longer when stored"],
    )
    def test_is_what_limits_count(self, api: Client, fields: dict[str, Any], error: tuple[str, str] | None) -> None:
        response = factories.post_payout(api, factories.payout_body(**fields))

        if error is None:
            assert response.status_code == 201
        else:
            assert answers.field_errors(response) == [error]

    def test_has_no_name_twice(self, api: Client) -> None:
        body = factories.payout_body(metadata={"\u00e9": "1", "e\u0301": "2"})

        response = factories.post_payout(api, body)

        assert answers.field_errors(response) == [("metadata", "duplicate_key")]
        assert answers.rows_written() == answers.NOTHING

    def test_is_not_what_the_fingerprint_is_of(self, api: Client) -> None:
        factories.post_payout(api, factories.payout_body(comment=COMPOSED), key="k-1")

        response = factories.post_payout(api, factories.payout_body(comment=DECOMPOSED), key="k-1")

        assert answers.code(response) == (422, "idempotency_key_reused")

    def test_is_no_change_of_what_an_earlier_version_stored(
        self, api: Client, make_processed_payout: MakePayout
    ) -> None:
        payout = make_processed_payout(reference=DECOMPOSED, metadata={DECOMPOSED: DECOMPOSED})

        response = api.patch(
            f"{LIST}{payout.pk}/",
            {"reference": DECOMPOSED, "metadata": {DECOMPOSED: COMPOSED}},
            content_type="application/json",
        )

        assert response.status_code == 200
        assert Payout.objects.get().version == payout.version


class TestFilters:
    @pytest.mark.parametrize("asked", [COMPOSED, DECOMPOSED], ids=["composed", "decomposed"])
    @pytest.mark.parametrize("stored", [COMPOSED, DECOMPOSED], ids=["new", "of an earlier version"])
    @pytest.mark.parametrize(
        ("name", "fields"),
        [
            ("reference", lambda text: {"reference": text}),
            ("metadata[{}]", lambda text: {"metadata": {text: text}}),
        ],
        ids=["reference", "metadata"],
    )
    def test_find_all_forms(
        self, api: Client, make_payout: MakePayout, name: str, fields: Any, stored: str, asked: str
    ) -> None:
        payout = make_payout(**fields(stored))
        make_payout(**fields("Zoe Unal"))

        results = api.get(LIST, {name.format(asked): asked}).json()["results"]

        assert [found["id"] for found in results] == [str(payout.pk)]

    def test_count_what_is_stored(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout(reference="\u00e9" * 255, metadata={"\u00e9" * 40: "1"})

        for query in ({"reference": "e\u0301" * 255}, {"metadata[" + "e\u0301" * 40 + "]": "1"}):
            assert [found["id"] for found in api.get(LIST, query).json()["results"]] == [str(payout.pk)]

    def test_take_a_name_in_one_spelling(self, api: Client) -> None:
        response = api.get(LIST, {"metadata[\u00e9]": "1", "metadata[e\u0301]": "1"})

        assert answers.field_errors(response) == [("metadata[e\u0301]", "repeated_parameter")]

    def test_of_an_export_find_all_forms(self, api: Client, make_payout: MakePayout) -> None:
        make_payout(reference=DECOMPOSED, metadata={"\u00e9": "1"})

        body = {"format": "ndjson", "filters": {"reference": COMPOSED, "metadata": {"e\u0301": "1"}}}
        response = api.post("/api/exports/", body, content_type="application/json")

        assert response.status_code == 202
        assert response.json()["filters"] == {"reference": COMPOSED, "metadata": {"\u00e9": "1"}}
