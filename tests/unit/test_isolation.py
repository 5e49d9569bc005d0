from __future__ import annotations

import socket

import pytest

from payouts.models import Payout


def test_unit_tests_open_no_socket() -> None:
    # pytest-socket warns as it refuses, and warnings are errors here.
    with pytest.raises(UserWarning, match="tried to use socket"):
        socket.socket()


def test_unit_tests_reach_no_database() -> None:
    with pytest.raises(RuntimeError, match="Database access not allowed"):
        Payout.objects.exists()
