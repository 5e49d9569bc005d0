"""Turn poetry.lock into requirements for pip, each with its hashes.

`poetry install` needs an index with a JSON API, which some mirrors lack. pip does not, and the lock has all versions
and hashes. Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

_CHECKOUT = Path(__file__).resolve().parents[2]
LOCK_FILE = _CHECKOUT / "poetry.lock"
PROJECT_FILE = _CHECKOUT / "pyproject.toml"
_PROJECT_KEYS = ("requires-python", "dependencies", "optional-dependencies")
_USAGE = """\
usage: python -m devstack.setup.locked GROUP [GROUP ...]   (groups: main devstack test lint)
       python -m devstack.setup.locked --check             (is the lock made from pyproject.toml?)"""


def requirements(groups: set[str], lock_file: Path = LOCK_FILE) -> list[str]:
    """Return a requirement line for each locked package of these groups, sorted by name."""
    packages = tomllib.loads(lock_file.read_text(encoding="utf-8"))["package"]
    return [
        _requirement(package, wanted)
        for package in sorted(packages, key=lambda package: str(package["name"]))
        if (wanted := groups & set(package["groups"]))
    ]


def _requirement(package: dict[str, Any], groups: set[str]) -> str:
    marker = _marker(package.get("markers", ""), groups)
    hashes = " ".join(f"--hash={file['hash']}" for file in package["files"])
    return f"{package['name']}=={package['version']}{marker} {hashes}"


def _marker(markers: str | dict[str, str], groups: set[str]) -> str:
    """Join the conditions of the groups. A group without a condition removes them all."""
    if isinstance(markers, str):
        return f" ; {markers}" if markers else ""
    if not all(group in markers for group in groups):
        return ""
    return " ; " + " or ".join(f"({markers[group]})" for group in sorted(groups))


def content_hash(project_file: Path = PROJECT_FILE) -> str:
    """Return the hash of the dependencies in pyproject.toml, as Poetry writes it into the lock.

    Only for a project like ours: dependencies under [project] and [dependency-groups], none under [tool.poetry].
    """
    content = tomllib.loads(project_file.read_text(encoding="utf-8"))
    project = {key: content["project"][key] for key in _PROJECT_KEYS if key in content["project"]}
    relevant = {"project": project, "dependency-groups": content["dependency-groups"], "tool": {"poetry": {}}}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


def is_current(lock_file: Path = LOCK_FILE, project_file: Path = PROJECT_FILE) -> bool:
    """Say whether the lock was made from these dependencies."""
    metadata = tomllib.loads(lock_file.read_text(encoding="utf-8"))["metadata"]
    return bool(metadata["content-hash"] == content_hash(project_file))


def main(arguments: list[str]) -> int:
    """Print the requirements of the groups, or check the lock against pyproject.toml."""
    if not arguments:
        print(_USAGE, file=sys.stderr)
        return 2
    if arguments != ["--check"]:
        print("\n".join(requirements(set(arguments))))
        return 0
    if is_current():
        return 0
    print("poetry.lock is older than the dependencies in pyproject.toml: run `poetry lock`.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
