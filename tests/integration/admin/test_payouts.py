from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client

from accounts.models import Merchant, MerchantAPIKey
from idempotency.models import IdempotencyRecord
from payouts.engine import processing
from payouts.models import Payout, PayoutAttempt
from payouts.states import PayoutStatus
from tests.integration.admin import pages
from tests.support import database, factories
from tests.support.admin_lists import listed, rows_of_inlines, statements

MakePayout = Callable[..., Payout]


class TestPayoutPage:
    def test_shows_a_payout_with_its_history_and_attempts_in_order(
        self, operator: Client, make_processed_payout: MakePayout
    ) -> None:
        payout = make_processed_payout("sandbox_paid", amount=Decimal(1250), currency="JPY", reference="INV-1")

        response = operator.get(pages.page_of(payout))
        text = response.content.decode()
        history, attempts, callbacks = rows_of_inlines(response)

        assert "1250 JPY" in text
        assert "INV-1" in text
        assert [row.to_status for row in history] == ["pending", "processing", "paid"]
        assert [row.number for row in attempts] == [1]
        assert callbacks == []

    def test_says_whose_word_an_attempt_is_and_about_which_reference(
        self, operator: Client, make_processed_payout: MakePayout
    ) -> None:
        payout = make_processed_payout("sandbox_rejected_account_closed")
        pages.act(operator, payout, "retry", reason="the merchant wants it")
        processing.process(payout.pk)

        text = operator.get(pages.page_of(payout)).content.decode()

        assert f"{payout.pk}-2" in text
        assert "operator:member of Operators" in text
        assert "Send (reference 2)" in text
        assert "(reference 1)" not in text

    def test_begins_with_the_last_page_of_a_long_history(self, operator: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        PayoutAttempt.objects.bulk_create(PayoutAttempt(payout=payout, number=n, kind="ask") for n in range(1, 102))
        numbers: dict[str, list[int]] = {}

        for page in ("", "1", "3", "4", "0", "-1", "\u00b2", "x", "9" * 5000):
            response = operator.get(pages.page_of(payout), {"attempts-page": page})
            numbers[page] = [row.number for row in rows_of_inlines(response)[1]]

        assert numbers.pop("1") == numbers.pop("4") == list(range(1, 51))
        assert set(map(tuple, numbers.values())) == {(101,)}

    def test_escapes_what_the_merchant_sent(self, operator: Client, make_payout: MakePayout) -> None:
        payout = make_payout(
            comment="<script>1</script>", metadata={"<b>": "<script>2</script>"}, account="<script>3</script>"
        )

        text = operator.get(pages.page_of(payout)).content.decode()

        assert [number for number in "123" if f"<script>{number}</script>" in text] == []

    @pytest.mark.parametrize(
        ("recipient", "shown"),
        [
            ("Card ****1234", "Card ****1234"),
            ("<script>1</script>", "&lt;script&gt;1&lt;/script&gt;"),
            ({"name": "Jane Doe", "account": "1"}, '<span class="text-subtle">name:</span> Jane Doe'),
        ],
    )
    def test_shows_the_recipient_in_the_form_in_which_it_was_sent(
        self, operator: Client, make_payout: MakePayout, recipient: Any, shown: str
    ) -> None:
        text = operator.get(pages.page_of(make_payout(recipient_details=recipient))).content.decode()

        assert shown in text
        assert "<script>1" not in text

    def test_asks_the_database_no_more_for_a_longer_history(
        self, operator: Client, make_processed_payout: MakePayout
    ) -> None:
        short, long = make_processed_payout("sandbox_paid"), make_processed_payout("sandbox_rejected_account_closed")
        pages.act(operator, long, "retry")
        processing.process(long.pk)

        statements(operator, pages.page_of(short))

        assert len(statements(operator, pages.page_of(short))) == len(statements(operator, pages.page_of(long)))

    @pytest.mark.parametrize("action", ["change", "delete"])
    def test_changes_nothing(self, superuser: Client, make_payout: MakePayout, action: str) -> None:
        payout = make_payout()
        before = Payout.objects.filter(pk=payout.pk).values().get()

        response = superuser.post(pages.page_of(payout, action), {"amount": "1", "status": "paid", "post": "yes"})

        assert response.status_code == 403
        assert Payout.objects.filter(pk=payout.pk).values().get() == before

    def test_adds_nothing(self, superuser: Client) -> None:
        assert superuser.get(f"{pages.PAYOUTS}add/").status_code == 403
        assert superuser.post(f"{pages.PAYOUTS}add/", {"amount": "1"}).status_code == 403
        assert not Payout.objects.exists()

    @pytest.mark.parametrize("object_id", ["nonsense", "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f", "_00"])
    def test_goes_back_to_the_start_for_what_is_not_there(self, operator: Client, object_id: str) -> None:
        response = operator.get(f"{pages.PAYOUTS}{object_id}/change/")

        assert (response.status_code, response["Location"]) == (302, "/admin/")


class TestPayoutList:
    def test_is_newest_first_and_formats_each_amount(self, operator: Client, make_payout: MakePayout) -> None:
        first, second = make_payout(), make_payout(amount=Decimal("3.5"), currency="KWD")

        response = operator.get(pages.PAYOUTS)

        assert listed(response) == [second.pk, first.pk]
        assert "10.50 EUR" in response.content.decode()
        assert "3.500 KWD" in response.content.decode()

    def test_neither_counts_nor_asks_more_for_more_payouts(self, operator: Client, make_payout: MakePayout) -> None:
        make_payout()
        statements(operator, pages.PAYOUTS)
        few = statements(operator, pages.PAYOUTS)
        for number in range(10):
            make_payout(reference=str(number))

        many = statements(operator, pages.PAYOUTS)

        # Session, user, two of permissions, the page.
        assert len(few) == len(many) == 5
        assert [sql for sql in many if "COUNT(" in sql] == []

    @pytest.mark.parametrize(
        "term",
        ["{id}", " {id} ", "INV-1", "key-1", "acm"],
    )
    def test_finds(self, operator: Client, make_payout: MakePayout, globex: Merchant, term: str) -> None:
        wanted = make_payout(reference="INV-1", idempotency_key="key-1")
        factories.post_payout(factories.client_of(globex), key="key-2")

        response = operator.get(pages.PAYOUTS, {"q": term.format(id=wanted.pk)})

        assert listed(response) == [wanted.pk]

    @pytest.mark.parametrize("term", ["INV", "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f", "'; --", "%"])
    def test_does_not_find(self, operator: Client, make_payout: MakePayout, term: str) -> None:
        make_payout(reference="INV-1", idempotency_key="key-1")

        assert listed(operator.get(pages.PAYOUTS, {"q": term})) == []

    def test_filters(self, operator: Client, make_payout: MakePayout, make_processed_payout: MakePayout) -> None:
        pending = make_payout(currency="USD")
        paid = make_processed_payout("sandbox_paid")
        today = pending.created_at.date().isoformat()
        # query -> who is left, newest first
        table: list[tuple[dict[str, str], list[Payout]]] = [
            ({"status__exact": "paid"}, [paid]),
            ({"status__exact": "nonsense"}, []),
            ({"mode__exact": "test"}, [paid, pending]),
            ({"mode__exact": "live"}, []),
            ({"currency": "USD"}, [pending]),
            ({"merchant__id__exact": str(paid.merchant_id)}, [paid, pending]),
            ({"created_at_from": today, "created_at_to": today}, [paid, pending]),
            ({"created_at_from": "2999-01-01"}, []),
            ({"created_at_to": "2020-01-01"}, []),
            ({"created_at_from": "soon", "created_at_to": "9999-12-31"}, [paid, pending]),
        ]

        for query, expected in table:
            assert listed(operator.get(pages.PAYOUTS, query)) == [payout.pk for payout in expected], query

    def test_finds_what_needs_an_operator_with_the_longest_waiting_first(
        self, operator: Client, make_payout: MakePayout, make_processed_payout: MakePayout
    ) -> None:
        contradicted = make_processed_payout("sandbox_paid")
        stuck = database.put_into(make_payout(), PayoutStatus.REQUIRES_ATTENTION)
        make_payout()
        Payout.objects.filter(pk=contradicted.pk).update(contradicted_at=Now(), updated_at=Now())
        Payout.objects.filter(pk=stuck.pk).update(updated_at=Now() - timedelta(hours=1))

        response = operator.get(pages.PAYOUTS, {"needs_operator": "yes"})
        everything = operator.get(pages.PAYOUTS, {"needs_operator": "no"})

        assert listed(response) == [stuck.pk, contradicted.pk]
        assert "Paid, contradicted" in response.content.decode()
        assert len(listed(everything)) == 3

    def test_reads_what_needs_an_operator_from_its_index(self, operator: Client, make_payout: MakePayout) -> None:
        database.put_into(make_payout(), PayoutStatus.REQUIRES_ATTENTION)

        shown = operator.get(pages.PAYOUTS, {"needs_operator": "yes"}).context["cl"].queryset
        database.execute("SET LOCAL enable_seqscan = off")

        assert "payout_for_operator" in shown.explain()
        assert [sql for sql in statements(operator, f"{pages.PAYOUTS}?needs_operator=yes") if "COUNT(" in sql] == []

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ({"q": "\x00"}, 400),
            ({"needs_operator": "\x00"}, 400),
            ({"status__exact": "\x00"}, 400),
            ({"lease_token__isnull": "0"}, 400),
            ({"merchant__id__exact": "nonsense"}, 302),
            ({"p": "nonsense"}, 200),
            ({"p": "101"}, 302),
            ({"o": "99.-1"}, 200),
            ({"unknown": "1"}, 302),
        ],
    )
    def test_answers_a_bad_query_without_falling_over(
        self, operator: Client, make_payout: MakePayout, query: dict[str, str], status: int
    ) -> None:
        make_payout()

        assert operator.get(pages.PAYOUTS, query).status_code == status


class TestIdempotencyRecords:
    @pytest.fixture
    def record(self, api: Client) -> IdempotencyRecord:
        factories.post_payout(api, key="order 1".replace(" ", "-"))
        return IdempotencyRecord.objects.get()

    def test_shows_what_was_answered_but_not_the_body(self, operator: Client, record: IdempotencyRecord) -> None:
        text = operator.get(pages.page_of(record)).content.decode()

        assert record.fingerprint in text
        assert "201" in text
        assert "Jane Doe" not in text

    def test_is_found_by_its_whole_key(self, operator: Client, record: IdempotencyRecord) -> None:
        assert listed(operator.get(pages.RECORDS, {"q": "order-1"})) == [record.pk]
        assert listed(operator.get(pages.RECORDS, {"q": '"order-1"'})) == [record.pk]
        for other in ("order", "order-1 ", "caf\u00e9", '"', "x" * 300):
            assert listed(operator.get(pages.RECORDS, {"q": other})) == []

    def test_leads_to_the_payout(self, operator: Client, record: IdempotencyRecord) -> None:
        payout = Payout.objects.get()

        for url, words in ((pages.page_of(record), f"payout {payout.pk}"), (pages.RECORDS, "payout")):
            text = operator.get(url).content.decode()
            assert "POST /api/payouts/" in text
            assert re.search(rf'<a href="{pages.page_of(payout)}"[^>]*>{words}</a>', text)

    def test_shortens_a_long_key_in_the_list(self, operator: Client, api: Client) -> None:
        factories.post_payout(api, key="k" * 255)

        text = operator.get(pages.RECORDS).content.decode()

        assert "k" * 35 + "\u2026" in text
        assert "k" * 36 not in text

    def test_shows_a_resource_of_which_the_admin_knows_nothing(self, operator: Client, acme: Merchant) -> None:
        record = IdempotencyRecord.objects.create(
            merchant=acme,
            mode="test",
            key="k-1",
            fingerprint="v1:x",
            resource_type="widget",
            resource_id=acme.pk,
            response_status=201,
        )

        assert f"widget {acme.pk}" in operator.get(pages.page_of(record)).content.decode()

    def test_does_not_tell_the_body_by_filters(self, operator: Client, record: IdempotencyRecord) -> None:
        del record
        assert operator.get(pages.RECORDS, {"response_body__contains": "Jane"}).status_code == 400

    def test_is_not_counted(self, operator: Client, record: IdempotencyRecord) -> None:
        del record
        assert [sql for sql in statements(operator, pages.RECORDS) if "COUNT(" in sql] == []

    @pytest.mark.parametrize("action", ["change", "delete"])
    def test_changes_nothing(self, superuser: Client, record: IdempotencyRecord, action: str) -> None:
        assert superuser.post(pages.page_of(record, action), {"key": "x", "post": "yes"}).status_code == 403
        assert IdempotencyRecord.objects.get().key == "order-1"


class TestPages:
    def test_takes_fifty_at_a_time(self, operator: Client, acme_key: MerchantAPIKey) -> None:
        fields = {**factories.payout_fields(), "provider": "sandbox", "mode": "test", "merchant": acme_key.merchant}
        Payout.objects.bulk_create([Payout(**fields) for _ in range(51)])

        first = operator.get(pages.PAYOUTS)
        second = operator.get(pages.PAYOUTS, {"p": "2"})

        assert (len(listed(first)), len(listed(second))) == (50, 1)
        assert "?p=2" in first.content.decode()
        assert "?p=3" not in second.content.decode()
        # The number of rows that the paginator makes up is not shown. (An id may have these digits in it.)
        assert re.search(r"(?<![\w-])5000(?![\w-])", first.content.decode()) is None
