"""Markers by folder, and the cast.

acme is an active merchant. globex is another, which must never see anything of acme's. initech is suspended.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Group, User
from django.test import Client, TransactionTestCase, override_settings
from hypothesis import settings as hypothesis_settings

from accounts import services as accounts_services
from accounts.models import Merchant, MerchantAPIKey
from payouts import services as payouts_services
from payouts.engine import processing
from payouts.models import Payout
from tests import parallel
from tests.support import factories, flushing
from tests.support.stack import Stack

if TYPE_CHECKING:
    from execnet import XSpec
    from xdist.workermanage import WorkerController

FOLDERS = ("unit", "integration", "e2e", "chaos")

# How long an example takes says more about the machine than about the code.
hypothesis_settings.register_profile("untimed", deadline=None)
hypothesis_settings.load_profile("untimed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        folder = Path(item.path).relative_to(Path(__file__).parent).parts[0]
        assert folder in FOLDERS, f"{item.nodeid} is in no folder that says what it costs"
        item.add_marker(folder)
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not parallel.is_long(item.nodeid))


def pytest_collection_finish() -> None:
    """Take what was collected out of Python's garbage collections, which would walk through all of it each time."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Say what `-n auto` means."""
    return parallel.process_count(os.cpu_count() or 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> parallel.Scheduling | None:
    """Spread the tests in our way, unless --dist asks for another."""
    return parallel.Scheduling(config, log) if config.getoption("dist") == "load" else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: Sequence[XSpec]) -> None:
    """Give each process a broker of its own. It is born with it: Django reads its settings before any conftest.py."""
    for index, spec in enumerate(specs):
        try:
            spec.env["CELERY_BROKER_URL"] = parallel.broker_url(django_settings.CELERY_BROKER_URL, index)
        except ValueError as error:
            raise pytest.UsageError(str(error)) from error


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Let each process know the brokers of all (test_isolation.py)."""
    node.workerinput["brokers"] = [spec.env["CELERY_BROKER_URL"] for spec in node.nodemanager.specs]


@pytest.fixture(scope="session", autouse=True)
def _quick_teardown() -> Iterator[None]:
    """Have no more tables emptied behind a test than it has filled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", flushing.tear_down)
        yield


@pytest.fixture(scope="session", autouse=True)
def _settings_of_all_tests() -> Iterator[None]:
    with override_settings(
        # Tests send more than a merchant would. The throttle's own tests switch it on.
        THROTTLE_REQUESTS_PER_MINUTE=0,
        THROTTLE_MERCHANT_REQUESTS_PER_MINUTE=0,
        # Tests hold more answers at once than a process of the default size. Those of the limits set them.
        WEB_THREADS=64,
        # Each client of a test makes the middleware again, which would read all static files: 20 ms for nothing.
        WHITENOISE_AUTOREFRESH=True,
        # A password of the admin is hashed for a quarter of a second otherwise.
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ):
        yield


@pytest.fixture
def acme(db: None) -> Merchant:
    return accounts_services.create_merchant("acme")


@pytest.fixture
def globex(db: None) -> Merchant:
    return accounts_services.create_merchant("globex")


@pytest.fixture
def initech(db: None) -> Merchant:
    merchant = accounts_services.create_merchant("initech")
    Merchant.objects.filter(pk=merchant.pk).update(is_active=False)
    merchant.refresh_from_db()
    return merchant


@pytest.fixture
def acme_key(acme: Merchant) -> MerchantAPIKey:
    return accounts_services.issue_api_key(acme, name="test")[0]


@pytest.fixture
def api(acme: Merchant) -> Client:
    """acme's backend, with a test key that may do everything."""
    return factories.client_of(acme)


@pytest.fixture
def globex_api(globex: Merchant) -> Client:
    return factories.client_of(globex)


@pytest.fixture
def make_payout(acme_key: MerchantAPIKey) -> Callable[..., Payout]:
    """Make a pending payout of acme; the fields are those of factories.payout_fields."""

    def make(*, api_key: MerchantAPIKey = acme_key, idempotency_key: str | None = None, **fields: Any) -> Payout:
        return payouts_services.create_payout(
            api_key=api_key, idempotency_key=idempotency_key, **factories.payout_fields(**fields)
        )

    return make


@pytest.fixture
def make_processed_payout(make_payout: Callable[..., Payout]) -> Callable[..., Payout]:
    """Make a payout of acme and have it processed once; the account (a sandbox token) decides where it ends up."""

    def make(account: str = "sandbox_paid", **fields: Any) -> Payout:
        payout = make_payout(account=account, **fields)
        processing.process(payout.id)
        payout.refresh_from_db()
        return payout

    return make


@pytest.fixture
def superuser(db: None) -> Client:
    """Somebody who may do everything in the admin. Below are a member of each group that the migration makes."""
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


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One running stack for all tests that leave it as they found it: up, with their own merchants in it."""
    running = Stack(tmp_path_factory.mktemp("stack") / "state")
    try:
        running.start()
        yield running
    finally:
        running.destroy()


@pytest.fixture
def make_stack(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """Make stacks that a test may break; whatever is left of them afterwards is stopped."""
    made: list[Stack] = []

    def make(name: str = "state", **settings: str) -> Stack:
        made.append(Stack(tmp_path / name, settings=settings))
        return made[-1]

    yield make
    for one in made:
        one.destroy()
