"""Who comes in: a superuser, and one member of each group that the migration makes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client


@pytest.fixture
def superuser(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def member_of(db: None) -> Callable[[str], Client]:
    """Log in a new staff user who is in this group and may do nothing else."""

    def log_in(group: str) -> Client:
        user = User.objects.create_user(f"member of {group}", is_staff=True)
        user.groups.add(Group.objects.get(name=group))
        client = Client()
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def operator(member_of: Callable[[str], Client]) -> Client:
    return member_of("Operators")


@pytest.fixture
def key_manager(member_of: Callable[[str], Client]) -> Client:
    return member_of("Key managers")


@pytest.fixture
def auditor(member_of: Callable[[str], Client]) -> Client:
    return member_of("Auditors")
