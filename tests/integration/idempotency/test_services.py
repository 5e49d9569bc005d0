from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from django.db import OperationalError, connection, transaction

from accounts.models import Merchant
from idempotency import errors, services
from idempotency.models import IdempotencyRecord
from tests.integration import racing

RESPONSE = services.StoredResponse(201, b'{"id": "1"}', {"Location": "/1/"})


def claim(merchant: Merchant, *, mode: str = "test", key: str = "k-1", fingerprint: str = "v1:a") -> object:
    return services.claim(merchant=merchant, mode=mode, key=key, fingerprint=fingerprint)


def claim_and_complete(merchant: Merchant) -> services.Fresh:
    """Use the key k-1 up."""
    claimed = claim(merchant)
    assert isinstance(claimed, services.Fresh)
    services.complete(claimed, RESPONSE)
    return claimed


@pytest.mark.django_db
class TestClaim:
    def test_a_new_key_is_fresh(self, acme: Merchant) -> None:
        claimed = claim(acme)

        record = IdempotencyRecord.objects.get()
        assert claimed == services.Fresh(record.pk)
        assert (record.merchant, record.mode, record.key, record.fingerprint) == (acme, "test", "k-1", "v1:a")

    def test_the_same_request_is_replayed(self, acme: Merchant) -> None:
        claim_and_complete(acme)

        assert claim(acme) == services.Replay(RESPONSE)
        assert IdempotencyRecord.objects.count() == 1

    def test_another_request_is_refused(self, acme: Merchant) -> None:
        claim_and_complete(acme)

        with pytest.raises(errors.IdempotencyKeyReused):
            claim(acme, fingerprint="v1:b")

        assert claim(acme) == services.Replay(RESPONSE)

    def test_merchants_and_modes_never_meet(self, acme: Merchant, globex: Merchant) -> None:
        claim_and_complete(acme)

        others = [claim(globex), claim(acme, mode="live"), claim(globex, mode="live"), claim(acme, key="K-1")]

        assert [type(other) for other in others] == [services.Fresh] * 4
        assert IdempotencyRecord.objects.count() == 5


@pytest.mark.django_db(transaction=True)
class TestConcurrently:
    def test_waits_for_the_first_to_commit_and_replays(self, acme: Merchant) -> None:
        claimed, waiting = threading.Event(), threading.Event()

        def first() -> object:
            with transaction.atomic():
                fresh = claim_and_complete(acme)
                claimed.set()
                assert waiting.wait(10)
                time.sleep(0.2)
            return fresh

        def second() -> object:
            assert claimed.wait(10)
            waiting.set()
            with transaction.atomic():
                return claim(acme)

        results = racing.run_together(first, second)

        assert isinstance(results[0], services.Fresh)
        assert results[1] == services.Replay(RESPONSE)

    def test_goes_on_itself_when_the_first_rolls_back(self, acme: Merchant) -> None:
        claimed, waiting = threading.Event(), threading.Event()

        def first() -> None:
            with transaction.atomic():
                claim_and_complete(acme)
                claimed.set()
                assert waiting.wait(10)
                time.sleep(0.2)
                transaction.set_rollback(True)

        def second() -> object:
            assert claimed.wait(10)
            waiting.set()
            with transaction.atomic():
                return claim_and_complete(acme)

        results = racing.run_together(first, second)

        assert results[0] is None
        assert isinstance(results[1], services.Fresh)
        assert IdempotencyRecord.objects.count() == 1

    def test_waits_no_longer_than_two_seconds(self, acme: Merchant) -> None:
        claimed, given_up = threading.Event(), threading.Event()
        waited: list[float] = []

        def first() -> None:
            with transaction.atomic():
                claim_and_complete(acme)
                claimed.set()
                assert given_up.wait(10)

        def second() -> object:
            assert claimed.wait(10)
            started = time.monotonic()
            try:
                with transaction.atomic():
                    return claim(acme)
            finally:
                waited.append(time.monotonic() - started)
                given_up.set()

        results = racing.run_together(first, second)

        assert isinstance(results[1], errors.IdempotencyKeyInProgress)
        assert 1.9 < waited[0] < 3.0

    def test_one_of_many_is_fresh(self, acme: Merchant) -> None:
        def attempt() -> object:
            with transaction.atomic():
                claimed = claim(acme)
                if isinstance(claimed, services.Fresh):
                    services.complete(claimed, RESPONSE)
                return claimed

        results = racing.run_together(*[attempt] * 12)

        assert sum(isinstance(result, services.Fresh) for result in results) == 1
        assert results.count(services.Replay(RESPONSE)) == 11

    def test_another_failure_of_the_database_is_not_taken_for_it(self, acme: Merchant) -> None:
        """A cancelled statement says nothing about whether the key is in use."""
        claimed, given_up = threading.Event(), threading.Event()

        def first() -> None:
            with transaction.atomic():
                claim_and_complete(acme)
                claimed.set()
                assert given_up.wait(10)

        def second() -> None:
            assert claimed.wait(10)
            try:
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute("SET LOCAL statement_timeout = '50ms'")
                    claim(acme)
            finally:
                given_up.set()

        result = racing.run_together(first, second)[1]

        assert isinstance(result, OperationalError)

    def test_the_time_limit_ends_with_the_transaction(self, acme: Merchant, lock_timeout: Callable[[], str]) -> None:
        before = lock_timeout()

        with transaction.atomic():
            claim(acme)
            during = lock_timeout()

        assert during == "2s"
        assert lock_timeout() == before
