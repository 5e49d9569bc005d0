from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_socket import disable_socket, enable_socket


@pytest.fixture(autouse=True)
def _no_sockets(request: pytest.FixtureRequest) -> Iterator[None]:
    """A unit test reaches nothing outside; only those of the development stack look at ports of this machine."""
    if "devstack" in request.path.parts:
        yield
        return
    disable_socket()
    yield
    enable_socket()
