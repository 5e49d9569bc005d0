"""Rules for the files of the suite."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
IMPORT = re.compile(r"^[ \t]*(?:from|import) tests\b[^(\n]*(?:\([^)]*\))?", re.MULTILINE)
TEST_MODULE = re.compile(r"\btest_")


def imports_of_test_modules(source: str) -> list[str]:
    """Return the imports that lead to a module of tests, or into one."""
    return [found for found in IMPORT.findall(source) if TEST_MODULE.search(found)]


@pytest.mark.parametrize(
    "source",
    [
        "from tests.unit import test_money",
        "from tests.unit.test_money import (\n    a,\n    b,\n)",
        "from tests.unit import (\n    banks,\n    test_money,\n)",
        "    from tests.unit.test_money import a",
        "import tests.unit.test_money as cases",
    ],
)
def test_an_import_of_a_test_module_is_seen(source: str) -> None:
    assert imports_of_test_modules(f"from __future__ import annotations\n\n{source}\n") == [source]


def test_other_imports_are_allowed() -> None:
    assert (
        imports_of_test_modules("from tests.support import database\nfrom django import test\nimport tests.storm\n")
        == []
    )


def test_no_module_imports_a_test_module() -> None:
    """What two of them need is in tests/support or in a conftest.py: an imported test would run twice."""
    paths = [path for path in sorted(TESTS.rglob("*.py")) if path != Path(__file__)]

    assert {str(path): found for path in paths if (found := imports_of_test_modules(path.read_text("utf-8")))} == {}
    assert TESTS / "conftest.py" in paths
