from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from accounts import services as accounts_services
from accounts.models import Merchant, MerchantAPIKey
from idempotency import errors, fingerprint, services
from idempotency.models import IdempotencyRecord
from tests.support import database, racing

RESPONSE = services.StoredResponse(201, b'{"id": "1"}', {"Location": "/1/"})


RESOURCE = services.Resource("widget", uuid.UUID("01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f"))


def claim(api_key: MerchantAPIKey, *, key: str = "k-1", body: Any = "a") -> object:
    return services.claim(api_key=api_key, key=key, request=fingerprint.Request("POST", "/widgets/", body))


def claim_and_complete(api_key: MerchantAPIKey, *, key: str = "k-1") -> services.Fresh:
    """Use the key up."""
    claimed = claim(api_key, key=key)
    assert isinstance(claimed, services.Fresh)
    services.complete(claimed, RESPONSE, resource=RESOURCE)
    return claimed


def key_of(merchant: Merchant, mode: str = "test") -> MerchantAPIKey:
    return accounts_services.issue_api_key(merchant, name="test", mode=mode)[0]


@pytest.mark.django_db
class TestClaim:
    def test_a_new_key_is_fresh(self, acme_key: MerchantAPIKey) -> None:
        claimed = claim(acme_key)

        record = IdempotencyRecord.objects.get()
        assert claimed == services.Fresh(record.pk)
        assert (record.merchant, record.mode, record.key) == (acme_key.merchant, "test", "k-1")
        assert (record.method, record.path, record.fingerprint[:3]) == ("POST", "/widgets/", "v1:")
        assert (record.resource_id, record.response_status, record.response_body) == (None, None, None)
        assert isinstance(claimed, services.Fresh)
        services.complete(claimed, RESPONSE, resource=RESOURCE)
        assert claim(acme_key) == services.Replay(RESPONSE)

    def test_the_same_request_is_replayed(self, acme_key: MerchantAPIKey) -> None:
        claim_and_complete(acme_key)

        assert claim(acme_key) == services.Replay(RESPONSE)
        assert IdempotencyRecord.objects.count() == 1

    def test_another_request_is_refused(self, acme_key: MerchantAPIKey) -> None:
        claim_and_complete(acme_key)

        with pytest.raises(errors.IdempotencyKeyReused):
            claim(acme_key, body="b")

        assert claim(acme_key) == services.Replay(RESPONSE)

    def test_merchants_and_modes_never_meet(self, acme_key: MerchantAPIKey, globex: Merchant) -> None:
        claim_and_complete(acme_key)

        strangers = [key_of(globex), key_of(acme_key.merchant, "live"), key_of(globex, "live")]
        for stranger in strangers:
            claim_and_complete(stranger)
        claim_and_complete(acme_key, key="K-1")

        assert IdempotencyRecord.objects.count() == 5

    def test_another_api_key_of_the_merchant_is_the_same_caller(self, acme_key: MerchantAPIKey) -> None:
        claim_and_complete(acme_key)

        assert claim(key_of(acme_key.merchant)) == services.Replay(RESPONSE)

    def test_a_longer_path_than_people_read_is_no_error(self, acme_key: MerchantAPIKey) -> None:
        request = fingerprint.Request("POST", "/" + "x" * 300, {})

        claimed = services.claim(api_key=acme_key, key="k-1", request=request)

        assert isinstance(claimed, services.Fresh)
        services.complete(claimed, RESPONSE, resource=RESOURCE)
        assert len(IdempotencyRecord.objects.get().path) == 255

    def test_a_fingerprint_of_a_later_version_is_not_judged(self, acme_key: MerchantAPIKey) -> None:
        """A wrong "used with another request" would have the merchant take a new key, and pay twice."""
        IdempotencyRecord.objects.create(
            merchant=acme_key.merchant, mode="test", key="k-1", fingerprint="v9:a", response_status=201
        )

        with pytest.raises(errors.IdempotencyKeyUnreadable):
            claim(acme_key)

    def test_a_record_without_answer_and_resource_is_not_replayed(self, acme_key: MerchantAPIKey) -> None:
        """No version of ours writes one."""
        request = fingerprint.Request("POST", "/widgets/", "a")
        IdempotencyRecord.objects.create(
            merchant=acme_key.merchant,
            mode="test",
            key="k-1",
            fingerprint=fingerprint.of_request(request),
            response_status=201,
        )

        with pytest.raises(errors.IdempotencyKeyUnreadable):
            claim(acme_key)


@pytest.mark.django_db(transaction=True)
class TestConcurrently:
    def test_waits_for_the_first_to_commit_and_replays(self, acme_key: MerchantAPIKey) -> None:
        claimed, waiting = threading.Event(), threading.Event()

        def first() -> object:
            with transaction.atomic():
                fresh = claim_and_complete(acme_key)
                claimed.set()
                assert waiting.wait(10)
                time.sleep(0.2)
            return fresh

        def second() -> object:
            assert claimed.wait(10)
            waiting.set()
            with transaction.atomic():
                return claim(acme_key)

        results = racing.run_together(first, second)

        assert isinstance(results[0], services.Fresh)
        assert results[1] == services.Replay(RESPONSE)

    def test_goes_on_itself_when_the_first_rolls_back(self, acme_key: MerchantAPIKey) -> None:
        claimed, waiting = threading.Event(), threading.Event()

        def first() -> None:
            with transaction.atomic():
                claim_and_complete(acme_key)
                claimed.set()
                assert waiting.wait(10)
                time.sleep(0.2)
                transaction.set_rollback(True)

        def second() -> object:
            assert claimed.wait(10)
            waiting.set()
            with transaction.atomic():
                return claim_and_complete(acme_key)

        results = racing.run_together(first, second)

        assert results[0] is None
        assert isinstance(results[1], services.Fresh)
        assert IdempotencyRecord.objects.count() == 1

    def test_waits_no_longer_than_two_seconds(self, acme_key: MerchantAPIKey) -> None:
        claimed, given_up = threading.Event(), threading.Event()
        waited: list[float] = []

        def first() -> None:
            with transaction.atomic():
                claim_and_complete(acme_key)
                claimed.set()
                assert given_up.wait(10)

        def second() -> object:
            assert claimed.wait(10)
            started = time.monotonic()
            try:
                with transaction.atomic():
                    return claim(acme_key)
            finally:
                waited.append(time.monotonic() - started)
                given_up.set()

        results = racing.run_together(first, second)

        assert isinstance(results[1], errors.IdempotencyKeyInProgress)
        assert 1.9 < waited[0] < 3.0

    def test_one_of_many_is_fresh(self, acme_key: MerchantAPIKey) -> None:
        def attempt() -> object:
            with transaction.atomic():
                claimed = claim(acme_key)
                if isinstance(claimed, services.Fresh):
                    services.complete(claimed, RESPONSE, resource=RESOURCE)
                return claimed

        results = racing.run_together(*[attempt] * 12)

        assert sum(isinstance(result, services.Fresh) for result in results) == 1
        assert results.count(services.Replay(RESPONSE)) == 11

    def test_waits_no_longer_when_one_after_the_other_is_undone(self, acme_key: MerchantAPIKey) -> None:
        """PostgreSQL grants the time for a lock anew for each that is waited for."""
        claimed, given_up = threading.Event(), threading.Event()
        waited: list[float] = []

        def first() -> None:
            with transaction.atomic():
                claim(acme_key)
                claimed.set()
                time.sleep(1.5)
                transaction.set_rollback(True)

        def waiting() -> object:
            """Wait for the first; the one that is next in line holds the key for longer than the other may wait."""
            assert claimed.wait(10)
            started = time.monotonic()
            try:
                with transaction.atomic():
                    claimed_here = claim(acme_key)
                    assert given_up.wait(10)
                    transaction.set_rollback(True)
                    return claimed_here
            except errors.IdempotencyKeyInProgress:
                waited.append(time.monotonic() - started)
                given_up.set()
                raise

        results = racing.run_together(first, waiting, waiting)

        assert {type(result) for result in results[1:]} == {services.Fresh, errors.IdempotencyKeyInProgress}
        assert 2.3 < waited[0] < 3.5
        assert IdempotencyRecord.objects.count() == 0

    def test_another_failure_of_the_database_is_not_taken_for_it(self, acme_key: MerchantAPIKey) -> None:
        """A connection that is lost says nothing about whether the key is in use."""
        claimed, given_up = threading.Event(), threading.Event()
        waiting: list[int] = []

        def first() -> None:
            with transaction.atomic(), connection.cursor() as cursor:
                claim_and_complete(acme_key)
                claimed.set()
                while not waiting:
                    given_up.wait(0.01)
                cursor.execute("SELECT pg_terminate_backend(%s, 5000)", waiting)
                assert given_up.wait(10)

        def second() -> None:
            assert claimed.wait(10)
            try:
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute("SELECT pg_backend_pid()")
                    waiting.extend(cursor.fetchone())
                    claim(acme_key)
            finally:
                given_up.set()

        result = racing.run_together(first, second)[1]

        assert isinstance(result, OperationalError)

    def test_a_table_that_is_locked_is_not_taken_for_it(self, acme_key: MerchantAPIKey) -> None:
        """Maintenance that locks everybody out: nobody else has the key."""
        locked, given_up = threading.Event(), threading.Event()

        def maintain() -> None:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("LOCK TABLE idempotency_idempotencyrecord IN SHARE MODE")
                locked.set()
                assert given_up.wait(10)

        def second() -> object:
            assert locked.wait(10)
            try:
                with transaction.atomic():
                    return claim(acme_key)
            finally:
                given_up.set()

        result = racing.run_together(maintain, second)[1]

        assert isinstance(result, OperationalError)

    def test_a_duplicate_that_only_a_rebuilt_index_sees_is_told(self, acme_key: MerchantAPIKey) -> None:
        """REINDEX CONCURRENTLY: the new index refuses duplicates before ON CONFLICT knows of it."""
        with transaction.atomic():
            claim_and_complete(acme_key)
        # A twin on which ON CONFLICT does not rely, as one that is not valid yet.
        database.execute(
            "CREATE UNIQUE INDEX idempotency_key_unique_per_merchant_ccnew ON idempotency_idempotencyrecord "
            "(merchant_id, mode, lower(key))"
        )
        try:
            with pytest.raises(errors.IdempotencyKeyInProgress), transaction.atomic():
                claim(acme_key, key="K-1")
        finally:
            database.execute("DROP INDEX idempotency_key_unique_per_merchant_ccnew")

    def test_cannot_be_committed_without_an_answer(self, acme_key: MerchantAPIKey) -> None:
        with pytest.raises(IntegrityError, match="together with its answer"), transaction.atomic():
            claim(acme_key)

        assert IdempotencyRecord.objects.count() == 0

    def test_the_time_limits_end_with_the_transaction(
        self, acme_key: MerchantAPIKey, time_limits: Callable[[], list[str]]
    ) -> None:
        before = time_limits()

        with transaction.atomic():
            claim(acme_key)
            during = time_limits()
            transaction.set_rollback(True)

        assert during == ["2s", "2500ms"]
        assert time_limits() == before
