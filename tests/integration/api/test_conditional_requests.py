"""If-Match and If-None-Match: a change of what has changed since is refused, and what is known is not sent again."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from payouts import operators, services
from payouts.engine import pauses, processing
from payouts.models import Payout
from payouts.states import PayoutStatus
from tests.support import answers, database

MakePayout = Callable[..., Payout]


def path_of(payout: Payout) -> str:
    return f"/api/payouts/{payout.id}/"


def get(client: Client, payout: Payout, if_none_match: str, *, method: str = "get") -> Any:
    return getattr(client, method)(path_of(payout), headers={"If-None-Match": if_none_match})


def cancel(client: Client, payout: Payout, **headers: str) -> Any:
    return client.post(f"{path_of(payout)}cancel/", content_type="application/json", headers=headers)


class TestIfNoneMatch:
    @pytest.mark.parametrize("method", ["get", "head"])
    @pytest.mark.parametrize("form", ["{}", "W/{}", '"1", {}', 'W/"1" , W/{}', "*"])
    def test_of_what_is_shown_is_304(self, api: Client, make_payout: MakePayout, method: str, form: str) -> None:
        payout = make_payout()
        etag = api.get(path_of(payout)).headers["ETag"]

        response = get(api, payout, form.format(etag), method=method)

        assert (response.status_code, response.content, response.headers["ETag"]) == (304, b"", etag)
        assert "Content-Type" not in response.headers
        assert "Content-Length" not in response.headers

    def test_of_something_else_is_the_payout(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()

        response = get(api, payout, '"1"')

        assert (response.status_code, response.json()["id"]) == (200, str(payout.id))

    @pytest.mark.parametrize("header", ["3", '"3', "nonsense"])
    def test_that_is_none_is_refused(self, api: Client, make_payout: MakePayout, header: str) -> None:
        response = get(api, make_payout(), header)

        assert answers.code(response) == (400, "if_none_match_malformed")
        assert answers.field_errors(response) == [("If-None-Match", "if_none_match_malformed")]

    def test_tells_a_stranger_nothing(self, api: Client, globex_api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()

        for header in ("*", api.get(path_of(payout)).headers["ETag"], "malformed"):
            assert answers.code(get(globex_api, payout, header)) == (404, "not_found")


def pause(payout: Payout) -> None:
    del payout
    pauses.pause(pauses.Scope(), actor="operator:ada", reason="a fire")


def fail(payout: Payout) -> None:
    Payout.objects.filter(pk=payout.pk).update(recipient_details={"name": "x", "account": "sandbox_rejected_x"})
    processing.process(payout.pk)


def settle(payout: Payout) -> None:
    processing.process(payout.pk)


ACTS: dict[str, Callable[[Payout], Any]] = {
    "note": lambda payout: services.update_payout(payout, comment="seen"),
    "metadata": lambda payout: services.update_payout(payout, metadata={"a": "b"}),
    "amount": lambda payout: services.update_payout(payout, amount=Decimal(7)),
    "cancel": lambda payout: services.cancel_payout(payout, actor="merchant:x"),
    "settle": settle,
    "pause": pause,
    "flag": lambda payout: Payout.objects.filter(pk=payout.pk).update(contradicted_at=payout.created_at),
}
#: What changes the document and not the payout: why it waits.
COMPUTED = {"pause", "flag"}


class TestEveryChangeThatShows:
    @pytest.mark.parametrize("act", ACTS)
    def test_has_another_etag(self, api: Client, make_payout: MakePayout, act: str) -> None:
        payout = make_payout(account="sandbox_paid")
        before = api.get(path_of(payout))

        ACTS[act](payout)

        after = get(api, payout, before.headers["ETag"])
        assert after.status_code == 200
        assert after.json() != before.json()
        assert after.headers["ETag"] != before.headers["ETag"]
        # If-Match is about the payout: why it waits is no change that somebody could overwrite.
        payout.refresh_from_db()
        assert payout.version == 1 if act in COMPUTED else payout.version > 1

    @pytest.mark.parametrize("target", [PayoutStatus.PAID, PayoutStatus.FAILED])
    def test_of_an_operator_has_another_version(
        self, api: Client, make_payout: MakePayout, target: PayoutStatus
    ) -> None:
        stuck = database.put_into(make_payout(), PayoutStatus.REQUIRES_ATTENTION)
        before = api.get(path_of(stuck)).headers["ETag"]

        operators.resolve_payout(stuck, target=target, actor="operator:ada", reason="on the statement")

        assert get(api, stuck, before).json()["status"] == target
        assert Payout.objects.get().version == stuck.version + 1

    def test_by_a_retry_has_another_version(self, api: Client, make_processed_payout: MakePayout) -> None:
        failed = make_processed_payout("sandbox_rejected_account_closed")
        before = api.get(path_of(failed)).headers["ETag"]

        operators.retry_payout(failed, actor="operator:ada", reason="again")

        assert get(api, failed, before).json()["completed_at"] is None
        assert Payout.objects.get().version == failed.version + 1


@pytest.mark.django_db(transaction=True)
class TestIfMatchOnCancel:
    @pytest.mark.parametrize("header", ['"1"', "*", '"9", "1"'])
    def test_of_the_present_version_cancels(self, api: Client, make_payout: MakePayout, header: str) -> None:
        payout = make_payout()

        response = cancel(api, payout, **{"If-Match": header})

        assert (response.status_code, response.json()["status"]) == (200, "canceled")

    def test_takes_the_etag_of_a_get(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        etag = api.get(path_of(payout)).headers["ETag"]
        # Why it waits has changed, and nobody's change is lost by canceling it.
        pause(payout)

        assert cancel(api, payout, **{"If-Match": etag}).json()["status"] == "canceled"

    @pytest.mark.parametrize("header", ['"2"', 'W/"1"', '"1-"', '"nonsense"'])
    def test_of_another_version_does_nothing(self, api: Client, make_payout: MakePayout, header: str) -> None:
        payout = make_payout()

        response = cancel(api, payout, **{"If-Match": header})

        assert answers.code(response) == (412, "payout_changed")
        payout.refresh_from_db()
        assert (payout.status, payout.version) == ("pending", 1)
        assert database.statuses(payout) == ["pending"]

    def test_that_is_malformed_does_nothing(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()

        response = cancel(api, payout, **{"If-Match": "1"})

        assert answers.field_errors(response) == [("If-Match", "if_match_malformed")]
        payout.refresh_from_db()
        assert payout.status == "pending"

    def test_is_looked_at_before_the_status(self, api: Client, make_processed_payout: MakePayout) -> None:
        """RFC 9110: the method is not carried out, so what it would have been answered does not matter."""
        response = cancel(api, make_processed_payout(), **{"If-Match": '"1"'})

        assert answers.code(response) == (412, "payout_changed")

    def test_of_the_present_version_does_not_make_it_cancelable(
        self, api: Client, make_processed_payout: MakePayout
    ) -> None:
        paid = make_processed_payout()

        response = cancel(api, paid, **{"If-Match": f'"{paid.version}"'})

        assert answers.code(response) == (409, "payout_not_cancelable")

    def test_does_not_matter_to_a_retry_with_the_key(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        headers = {"Idempotency-Key": "k-1", "If-Match": '"1"'}
        first = cancel(api, payout, **headers)

        second = cancel(api, payout, **headers)

        assert (first.status_code, second.status_code, second.content) == (200, 200, first.content)
        assert second.headers["Idempotent-Replayed"] == "true"

    def test_that_is_refused_leaves_the_key_free(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        refused = cancel(api, payout, **{"Idempotency-Key": "k-1", "If-Match": '"9"'})

        response = cancel(api, payout, **{"Idempotency-Key": "k-1", "If-Match": '"1"'})

        assert (refused.status_code, response.status_code) == (412, 200)
        assert "Idempotent-Replayed" not in response.headers


@pytest.mark.django_db(transaction=True)
class TestIfMatchOfAGet:
    def test_is_taken_by_patch_and_delete(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        first = api.get(path_of(payout)).headers["ETag"]
        patched: Any = api.patch(
            path_of(payout), {"comment": "x"}, content_type="application/json", headers={"If-Match": first}
        )
        second = api.get(path_of(payout)).headers["ETag"]

        assert patched.status_code == 200
        assert api.delete(path_of(payout), headers={"If-Match": first}).status_code == 412
        assert api.delete(path_of(payout), headers={"If-Match": second}).status_code == 204
