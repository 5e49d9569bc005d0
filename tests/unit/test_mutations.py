"""The table of mutations fits the code: `make mutations` takes minutes, and would rot without this."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutations import catalogue
from tests.mutations.catalogue import CHECKOUT, Mutation, StaleMutation

MUTATIONS = catalogue.load()
#: An answer to "would the suite notice?" takes so many at least.
COUNT_MIN = 25


def names_in(path: Path) -> set[str]:
    """Return what a node id may name behind the file: functions, classes, and functions of classes."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
    return names


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
class TestTable:
    def test_fits_the_code(self, mutation: Mutation) -> None:
        assert mutation.apply() != (CHECKOUT / mutation.file).read_text(encoding="utf-8")

    def test_names_what_catches_it(self, mutation: Mutation) -> None:
        assert bool(mutation.caught_by) is (mutation.storm_seed is None)
        file, _, name = mutation.caught_by.partition("::")

        assert not name or name in names_in(CHECKOUT / file)
        assert not file or (CHECKOUT / file).is_file()


def test_table_has_enough_and_no_name_twice() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS) >= COUNT_MIN


@pytest.mark.parametrize(
    ("search", "replace"), [("what is not there", ""), ("import", "import"), ("class Sandbox", "clas Sandbox")]
)
def test_one_that_does_not_fit_is_told(search: str, replace: str) -> None:
    mutation = Mutation("one", "payouts/providers/sandbox.py", search, replace, caught_by="tests")

    with pytest.raises(StaleMutation, match=r"one: .*payouts/providers/sandbox\.py"):
        mutation.apply()
