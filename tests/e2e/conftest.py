from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import Stack


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
