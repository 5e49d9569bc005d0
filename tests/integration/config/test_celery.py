"""Publishing gives up at once; a worker waits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from celery.signals import celeryd_init
from django.conf import settings

from config import celery
from config.celery import app
from payouts import dispatch, tasks


class TestPublishing:
    def test_gives_up_at_once(self) -> None:
        options = app.conf.broker_transport_options

        assert (options["socket_timeout"], options["socket_connect_timeout"]) == (0.5, 0.5)
        assert (options["max_retries"], app.conf.task_publish_retry_policy["max_retries"]) == (0, 0)
        assert app.conf.broker_connection_timeout == 0.5

    def test_a_worker_waits_for_its_broker(self) -> None:
        conf: Any = SimpleNamespace(broker_transport_options={"socket_timeout": 0.5}, broker_connection_timeout=0.5)

        celeryd_init.send(sender="worker@host", conf=conf)

        # By trying again for ever: a single endless wait would leave SIGTERM without an effect.
        assert conf.broker_connection_max_retries is None
        assert conf.broker_connection_timeout == 4.0
        assert conf.broker_transport_options["socket_timeout"] == 4.0

    def test_its_children_ring_without_waiting(self) -> None:
        before = app.conf.broker_transport_options, app.conf.broker_connection_timeout
        app.conf.broker_transport_options, app.conf.broker_connection_timeout = {}, 4.0

        # By its name: the signal has receivers of Celery's own, which close the connections of a test.
        celery._do_not_wait_for_the_broker()

        assert (app.conf.broker_transport_options, app.conf.broker_connection_timeout) == before
        assert before == (settings.CELERY_BROKER_TRANSPORT_OPTIONS, 0.5)


class TestTasks:
    def test_go_to_the_queue_that_the_worker_listens_to(self) -> None:
        assert app.conf.task_default_queue == "payouts"

    def test_keep_no_results(self) -> None:
        assert app.conf.task_ignore_result is True
        assert tasks.process_payouts.ignore_result is True

    def test_deadlines_nest(self) -> None:
        """A worker is killed before anybody may conclude from its lease that it is gone."""
        limits = (app.conf.task_soft_time_limit, app.conf.task_time_limit)

        assert (settings.PROVIDER_TIMEOUT_SECONDS, *limits, settings.LEASE_SECONDS) == (30, 45, 60, 90)

    def test_keep_their_database_connection(self) -> None:
        assert app.conf.get("db_reuse_max") == 1000


class TestNames:
    def test_of_messages_are_those_of_the_tasks(self) -> None:
        enqueued = {dispatch.PROCESS_PAYOUTS, dispatch.PROCESS_PAYOUT, dispatch.APPLY_CALLBACK, dispatch.RUN_EXPORT}

        assert {name for name in app.tasks if not name.startswith("celery.")} == enqueued

    def test_are_an_interface(self) -> None:
        """Messages of the version before are in the queue while a new one starts."""
        assert tasks.process_payout.name == "payouts.process_payout"
        assert tasks.process_payouts.name == "payouts.process_payouts"
        assert tasks.apply_callback.name == "payouts.apply_callback"
        assert tasks.run_export.name == "payouts.run_export"
