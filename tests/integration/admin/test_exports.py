"""What the admin shows of exports: who took which payouts out. Not the payouts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import Merchant
from payouts.exports import jobs
from payouts.models import Export, Payout
from tests.integration.admin import pages
from tests.support import exporting
from tests.support.admin_lists import listed, statements


@pytest.fixture
def exports(acme: Merchant, make_payout: Callable[..., Payout]) -> list[Export]:
    """A completed one, and a newer one that is pending."""
    make_payout(comment="<b>rent</b>, very private")
    made = exporting.make_job(acme, actor="merchant:aB3dE5gH", filters={"search": "<b>rent</b>", "status": ["pending"]})
    jobs.run(made.pk)
    return [made, exporting.make_job(acme)]


class TestExports:
    def test_are_listed_newest_first(self, operator: Client, exports: list[Export]) -> None:
        response = operator.get(pages.EXPORTS)

        text = response.content.decode()
        assert listed(response) == [exports[1].pk, exports[0].pk]
        for shown in ("acme", "merchant:aB3dE5gH", "Completed", "Pending"):
            assert shown in text

    def test_show_what_was_asked_for_and_what_it_added_up_to(self, auditor: Client, exports: list[Export]) -> None:
        exports[0].refresh_from_db()

        text = auditor.get(pages.page_of(exports[0])).content.decode()

        assert "&lt;b&gt;rent&lt;/b&gt;" in text
        assert "10.50" in text
        assert exports[0].sha256 in text

    def test_show_neither_payouts_nor_a_link(self, superuser: Client, exports: list[Export]) -> None:
        text = superuser.get(pages.page_of(exports[0])).content.decode()

        assert "very private" not in text
        assert "/download/" not in text

    @pytest.mark.parametrize("action", ["change", "delete"])
    def test_cannot_be_changed(self, superuser: Client, exports: list[Export], action: str) -> None:
        before = list(Export.objects.order_by("id").values())

        response = superuser.post(pages.page_of(exports[1], action), {"status": "completed", "post": "yes"})

        assert response.status_code == 403
        assert list(Export.objects.order_by("id").values()) == before

    @pytest.mark.parametrize("field", ["lease_token", "filters__search__startswith"])
    def test_cannot_be_probed_for_what_they_do_not_show(
        self, auditor: Client, exports: list[Export], field: str
    ) -> None:
        assert auditor.get(pages.EXPORTS, {field: "x"}).status_code == 400

    def test_cost_the_same_however_many_there_are(
        self, operator: Client, acme: Merchant, exports: list[Export]
    ) -> None:
        few = len(statements(operator, pages.EXPORTS))
        for _ in range(10):
            exporting.make_job(acme)

        assert len(statements(operator, pages.EXPORTS)) == few
