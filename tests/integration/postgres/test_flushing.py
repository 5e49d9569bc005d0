"""What is left behind a test that commits: as little as Django itself would leave."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from payouts.models import Payout
from tests.support import flushing


def kept() -> set[tuple[str, str, str]]:
    """Return each permission with the model that it belongs to."""
    return set(Permission.objects.values_list("content_type__app_label", "content_type__model", "codename"))


@pytest.mark.django_db(transaction=True)
def test_nothing_is_left_but_what_django_would_fill_in_again(make_processed_payout: Callable[..., Payout]) -> None:
    make_processed_payout()
    User.objects.create_superuser("root").groups.add(Group.objects.create(name="a group"))
    filled = flushing.filled_tables(connection)
    assert {"accounts_merchant", "auth_user_groups", "payouts_payout", "payouts_payoutattempt"} <= set(filled)
    types, permissions = ContentType.objects.count(), kept()

    flushing.flush(connection)

    assert flushing.filled_tables(connection) == []
    assert (ContentType.objects.count(), kept()) == (types, permissions)


@pytest.mark.django_db
def test_every_table_of_a_model_is_emptied_or_kept() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        there = {name for (name,) in cursor.fetchall()}

    assert there == {*flushing.tables(connection), *flushing.KEPT, "django_migrations"}
