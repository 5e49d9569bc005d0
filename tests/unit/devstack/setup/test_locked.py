from __future__ import annotations

from pathlib import Path

import pytest

from devstack.setup import locked

LOCK = """
[[package]]
name = "zebra"
version = "2.0"
groups = ["main", "test"]
files = [{ file = "zebra.whl", hash = "sha256:bb" }, { file = "zebra.tar.gz", hash = "sha256:cc" }]

[[package]]
name = "ant"
version = "1.0"
groups = ["test", "lint"]
files = [{ file = "ant.whl", hash = "sha256:aa" }]

[package.markers]
test = "sys_platform == 'linux'"
lint = "python_version < '3.13'"

[[package]]
name = "bee"
version = "3.0"
groups = ["devstack"]
markers = "python_version < '3.13'"
files = [{ file = "bee.whl", hash = "sha256:dd" }]

[metadata]
content-hash = "of-other-dependencies"
"""


@pytest.fixture
def lock_file(tmp_path: Path) -> Path:
    path = tmp_path / "poetry.lock"
    path.write_text(LOCK, encoding="utf-8")
    return path


class TestRequirements:
    def test_names_version_and_every_hash(self, lock_file: Path) -> None:
        assert locked.requirements({"main"}, lock_file) == ["zebra==2.0 --hash=sha256:bb --hash=sha256:cc"]

    def test_keeps_the_condition_of_a_package(self, lock_file: Path) -> None:
        assert locked.requirements({"devstack"}, lock_file) == ["bee==3.0 ; python_version < '3.13' --hash=sha256:dd"]

    def test_joins_the_conditions_of_several_groups(self, lock_file: Path) -> None:
        line = locked.requirements({"test", "lint"}, lock_file)[0]

        assert line == "ant==1.0 ; (python_version < '3.13') or (sys_platform == 'linux') --hash=sha256:aa"

    def test_of_the_repository_has_no_package_without_hash(self) -> None:
        lines = locked.requirements({"main", "devstack", "test", "lint"})

        assert [line for line in lines if "--hash=sha256:" not in line] == []


class TestIsCurrent:
    def test_holds_for_the_repository(self) -> None:
        assert locked.is_current()

    def test_fails_for_a_lock_of_other_dependencies(self, lock_file: Path) -> None:
        assert not locked.is_current(lock_file)
