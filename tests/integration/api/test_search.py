"""`search` in every script, in every form of a character, and in payouts of any version."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from typing import Literal

import pytest
from django.db import connection
from django.db.models import Value
from django.db.models.functions import Upper
from django.test import Client

from accounts.models import Merchant
from payouts.models import Payout
from payouts.models.indexes import SearchCode
from tests.support import answers

LIST = "/api/payouts/"
MakePayout = Callable[..., Payout]
Form = Literal["NFC", "NFD"]

CHINESE, KOREAN, JAPANESE = "\u738b\u5c0f", "\uae40\ubbfc", "\u308a\u3048"
BEYOND_THE_FIRST_PLANE = "\U00020bb7\u7530"


def recipient(name: str) -> dict[str, str]:
    return {"name": name, "account": "sandbox_paid"}


def found(api: Client, term: str) -> list[str]:
    response = api.get(LIST, {"search": term})
    assert response.status_code == 200, response.content
    return [payout["id"] for payout in response.json()["results"]]


class TestTwoCharacters:
    @pytest.mark.parametrize("name", [CHINESE, KOREAN, JAPANESE, BEYOND_THE_FIRST_PLANE], ids=ascii)
    @pytest.mark.parametrize("field", ["recipient", "comment", "reference"])
    def test_find_a_name(self, api: Client, make_payout: MakePayout, name: str, field: str) -> None:
        text = f"to {name} Ltd"
        fields = {"recipient_details": recipient(text)} if field == "recipient" else {field: text}
        payout = make_payout(**fields)
        # The same characters in another order, apart, and one of them.
        for other in (name[::-1], f"{name[0]}-{name[1]}", name[0], "Jane Doe"):
            make_payout(reference=other)

        assert found(api, name) == [str(payout.pk)]
        assert found(api, f"{name} ltd") == [str(payout.pk)]

    def test_find_nothing_across_the_end_of_a_text(self, api: Client, make_payout: MakePayout) -> None:
        make_payout(comment=CHINESE[0], reference=CHINESE[1])

        assert found(api, CHINESE) == []

    def test_find_none_of_another_merchants(self, globex_api: Client, make_payout: MakePayout) -> None:
        make_payout(reference=CHINESE)

        assert found(globex_api, CHINESE) == []

    def test_of_other_scripts_are_too_few(self, api: Client) -> None:
        response = api.get(LIST, {"search": "\u0418\u0432"})

        assert answers.field_errors(response) == [("search", "search_too_short")]
        assert response.json()["errors"][0]["message"] == (
            "Search for three letters or digits in a row, or for two Chinese, Japanese or Korean characters."
        )


class TestForms:
    @pytest.mark.parametrize("asked", ["NFC", "NFD"])
    @pytest.mark.parametrize("stored", ["NFC", "NFD"])
    @pytest.mark.parametrize(
        "name", ["Zo\u00eb \u00dcnal", KOREAN, "\u3057\u304c", "\u0418\u0432\u0430\u0439"], ids=ascii
    )
    def test_find_each_other(self, api: Client, make_payout: MakePayout, name: str, stored: Form, asked: Form) -> None:
        payout = make_payout(recipient_details=recipient(unicodedata.normalize(stored, name)))
        make_payout(reference="Zoe Unal")

        assert found(api, unicodedata.normalize(asked, name)) == [str(payout.pk)]
        assert found(api, unicodedata.normalize(asked, name.upper())) == [str(payout.pk)]

    def test_are_not_found_by_the_code_that_the_index_has(self, api: Client, make_payout: MakePayout) -> None:
        make_payout(reference=CHINESE)
        code = Merchant.objects.annotate(code=SearchCode(Upper(Value(CHINESE)))).values_list("code", flat=True)[0]

        assert code == "unouorulrgov"
        assert found(api, code) == []
        assert found(api, code.upper()) == []


class TestRecipientThatIsAText:
    @pytest.mark.parametrize("term", ["card ****", "1234", CHINESE, "CARD"], ids=ascii)
    def test_is_found(self, api: Client, make_payout: MakePayout, term: str) -> None:
        payout = make_payout(amount=Decimal("7.25"))
        make_payout()
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE payouts_payout SET recipient_details = %s WHERE id = %s",
                [json.dumps(f"Card ****1234 {CHINESE}"), payout.pk],
            )

        # The summary has the same filters, and does not show the recipient.
        rows = api.get("/api/payouts/summary/", {"search": term}).json()["results"]

        assert [(row["count"], row["amount"]) for row in rows] == [(1, "7.25")]
