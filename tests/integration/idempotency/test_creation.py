"""A key that is looked up first, and written together with what its request creates."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.models import MerchantAPIKey
from idempotency import errors, fingerprint, services
from idempotency.models import IdempotencyRecord
from tests.support import racing

RESPONSE = services.StoredResponse(201, b'{"id": "1"}', {"Location": "/1/"})
RESOURCE = services.Resource("widget", uuid.UUID("01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f"))
REQUEST = fingerprint.Request("POST", "/widgets/", {"a": 1})
#: A merchant, because there is a table for it.
INSERTS = services.Inserts(
    """widget AS (
        INSERT INTO accounts_merchant (id, name, is_active, require_idempotency_key, created_at, updated_at)
        SELECT %(widget_id)s, 'widget', true, false, now(), now() FROM claimed
    )""",
    {"widget_id": RESOURCE.id},
)


def look_up(api_key: MerchantAPIKey) -> services.Found:
    return services.look_up(api_key=api_key, key="k-1", request=REQUEST)


def create(api_key: MerchantAPIKey, *, key: str | None = "k-1") -> bool:
    return services.create(INSERTS, RESOURCE, RESPONSE, api_key=api_key, key=key, request=REQUEST)


def widgets() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM accounts_merchant WHERE name = 'widget'")
        return int(cursor.fetchone()[0])


@pytest.mark.django_db
class TestCreation:
    def test_writes_the_record_with_what_it_creates(self, acme_key: MerchantAPIKey) -> None:
        unused = look_up(acme_key)

        assert isinstance(unused, services.Unused)
        assert create(acme_key)
        record = IdempotencyRecord.objects.get()
        assert (record.merchant, record.mode, record.key) == (acme_key.merchant, "test", "k-1")
        assert (record.method, record.path, record.fingerprint) == (
            "POST",
            "/widgets/",
            fingerprint.of_request(REQUEST),
        )
        assert (record.resource_type, record.resource_id) == (RESOURCE.type, RESOURCE.id)
        assert (record.response_status, bytes(record.response_body or b"")) == (201, RESPONSE.body)
        assert (record.response_headers, record.response_purged_at) == (RESPONSE.headers, None)
        assert look_up(acme_key) == services.Replay(RESPONSE)
        assert widgets() == 1

    def test_creates_nothing_for_a_key_that_is_taken(self, acme_key: MerchantAPIKey) -> None:
        claimed = services.claim(api_key=acme_key, key="k-1", request=REQUEST)
        assert isinstance(claimed, services.Fresh)
        services.complete(claimed, RESPONSE, resource=RESOURCE)

        assert not create(acme_key)
        assert (widgets(), IdempotencyRecord.objects.count()) == (0, 1)

    def test_needs_no_record_without_a_key(self, acme_key: MerchantAPIKey) -> None:
        assert create(acme_key, key=None)

        assert (widgets(), IdempotencyRecord.objects.count()) == (1, 0)

    def test_an_error_of_the_inserts_leaves_the_key_free(self, acme_key: MerchantAPIKey) -> None:
        create(acme_key, key=None)

        with pytest.raises(IntegrityError), transaction.atomic():
            create(acme_key)

        assert isinstance(look_up(acme_key), services.Unused)


@pytest.mark.django_db(transaction=True)
class TestConcurrently:
    def test_one_of_many_creates(self, acme_key: MerchantAPIKey) -> None:
        def attempt() -> services.Found | bool:
            with transaction.atomic():
                found = look_up(acme_key)
                return create(acme_key) or look_up(acme_key) if isinstance(found, services.Unused) else found

        results = racing.run_together(*[attempt] * 12)

        assert results.count(True) == 1
        assert results.count(services.Replay(RESPONSE)) == 11
        assert (widgets(), IdempotencyRecord.objects.count()) == (1, 1)

    def test_waits_for_the_first_for_two_seconds(
        self, acme_key: MerchantAPIKey, time_limits: Callable[[], list[str]]
    ) -> None:
        created, given_up = threading.Event(), threading.Event()

        def first() -> None:
            with transaction.atomic():
                create(acme_key)
                created.set()
                assert given_up.wait(10)
                transaction.set_rollback(True)

        def second() -> list[str]:
            assert created.wait(10)
            try:
                with transaction.atomic():
                    assert isinstance(look_up(acme_key), services.Unused)
                    limits = time_limits()
                    with pytest.raises(errors.IdempotencyKeyInProgress):
                        create(acme_key)
                    transaction.set_rollback(True)
                    return limits
            finally:
                given_up.set()

        assert racing.run_together(first, second)[1] == ["2s", "2500ms"]
        assert (widgets(), IdempotencyRecord.objects.count()) == (0, 0)
