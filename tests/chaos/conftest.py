"""A schema that a test takes to another version."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import upgrading


@pytest.fixture
def migrated(transactional_db: None) -> Iterator[None]:
    """Leave the schema as it was found, whatever the test does with it."""
    try:
        yield
    finally:
        upgrading.migrate(upgrading.LATEST)
