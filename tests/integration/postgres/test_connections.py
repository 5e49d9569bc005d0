"""The check of a connection before the first statement of a request."""

from __future__ import annotations

import time

import pytest
from django.db import connection, transaction
from django.db.utils import OperationalError

from tests.support import database

pytestmark = pytest.mark.django_db(transaction=True)


def server_process() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def begin_request() -> None:
    """Do what Django does at the start of a request."""
    connection.close_if_unusable_or_obsolete()


def wait_until_closed() -> None:
    """The server's last words take a moment to arrive."""
    deadline = time.monotonic() + 10
    while connection.is_usable():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class TestUsable:
    def test_keeps_a_good_connection(self) -> None:
        first = server_process()

        begin_request()

        assert connection.is_usable()
        assert server_process() == first

    def test_replaces_one_that_the_server_has_ended(self) -> None:
        first = server_process()
        database.end_connection_of_this_thread()
        wait_until_closed()

        begin_request()

        assert server_process() != first

    def test_asks_the_server_after_an_error(self) -> None:
        """A connection that has failed in our hands may be broken without a word."""
        first = server_process()
        database.end_connection_of_this_thread()
        with pytest.raises(OperationalError):
            server_process()

        begin_request()

        assert server_process() != first

    def test_is_not_asked_within_a_transaction(self) -> None:
        """A transaction that lost its connection fails as a whole."""
        with pytest.raises(OperationalError), transaction.atomic():  # noqa: PT012 - the end of the block fails
            server_process()
            database.end_connection_of_this_thread()
            wait_until_closed()
            server_process()
