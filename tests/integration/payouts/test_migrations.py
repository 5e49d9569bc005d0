"""What processes of version 0.1 do beside this version, and the groups that the upgrade extends.

The upgrade itself is in tests/chaos/test_migrations.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from accounts.models import Merchant
from payouts.models import Payout
from payouts.states import PayoutStatus
from tests.support import database, upgrading


@pytest.mark.django_db
class TestBesideIt:
    def test_processes_of_0_1_go_on(self, acme: Merchant) -> None:
        """They name none of the new columns, neither when they write nor when they read."""
        payout_id = upgrading.insert_payout(acme, PayoutStatus.PROCESSING)
        finish = "UPDATE payouts_payoutattempt SET outcome = 'paid', finished_at = now() WHERE payout_id = %s"
        database.execute(finish, [payout_id])

        payout = Payout.objects.get()
        assert (payout.status, payout.reference_number, payout.contradicted_at) == ("processing", 1, None)
        assert database.attempts(payout) == [(1, "send", "paid", "")]


@pytest.mark.django_db
class TestGroups:
    @pytest.fixture
    def extend(self, db: None) -> Callable[[], None]:
        """Return the step of the migration that does it."""
        migration = importlib.import_module("payouts.migrations.0007_operators")
        apps = MigrationLoader(connection).project_state(("payouts", "0007_operators")).apps

        def extend() -> None:
            with connection.schema_editor() as schema_editor:
                migration.extend_groups(apps, schema_editor)

        return extend

    def test_are_given_what_is_new(self, extend: Callable[[], None]) -> None:
        for name in ("Operators", "Auditors", "Key managers"):
            Group.objects.get_or_create(name=name)[0].permissions.clear()

        extend()

        given = {group.name: set(group.permissions.values_list("codename", flat=True)) for group in Group.objects.all()}
        seen = {"view_providercallback", "view_pause", "view_providercircuit"}
        assert given == {"Operators": {*seen, "operate_payout"}, "Auditors": seen, "Key managers": set()}

    def test_that_were_renamed_are_left_alone(self, extend: Callable[[], None]) -> None:
        Group.objects.all().delete()
        Group.objects.create(name="Treasury")

        extend()

        assert [(group.name, group.permissions.count()) for group in Group.objects.all()] == [("Treasury", 0)]
