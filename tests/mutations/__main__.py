"""Apply each mutation to a copy of the checkout, and see that what should notice it does.

    make mutations [ARGS="--only WORDS --tests-alone"]

Exit code 0: all were caught; 1: some were not, or do not fit the code. Needs PostgreSQL and Redis as the tests do
(`python -m devstack exec`); a storm brings its own.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.mutations import catalogue
from tests.mutations.catalogue import CHECKOUT, Mutation, StaleMutation

#: pytest: some tests failed. Any other code but 0 is no verdict, such as 4 for a test that there is not.
_FAILED: Final = 1
#: The storm: something is not as promised. 3 is a storm that is no evidence.
_VIOLATED: Final = 1
_SECONDS_MAX: Final = 600
_LINES_SHOWN: Final = 15


def main(arguments: Sequence[str]) -> int:
    options = _parse(arguments)
    mutations = [one for one in catalogue.load() if options.only in one.name and options.table in ("", one.table)]
    if options.tests_alone:
        mutations = [one for one in mutations if one.caught_by]
    with tempfile.TemporaryDirectory(prefix="payouts-mutations-") as directory:
        copy = _copied(Path(directory))
        if not _is_well(copy, mutations):
            return 1
        caught = [_try(copy, one) for one in mutations]
    _say(f"{sum(caught)} of {len(caught)} mutations were caught.")
    return 0 if all(caught) else 1


def _copied(directory: Path) -> Path:
    """Copy what git knows of the checkout, changed or not, and lend the copy our .venv."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (CHECKOUT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, directory / name)
    (directory / ".venv").symlink_to(CHECKOUT / ".venv")
    return directory


def _is_well(copy: Path, mutations: Sequence[Mutation]) -> bool:
    """Tell whether all tests and storms pass without a mutation: what always fails catches nothing."""
    named = sorted({one.caught_by for one in mutations if one.caught_by})
    storms = {(one.storm_seed, one.storm_seconds) for one in mutations if one.storm_seed is not None}
    done = [_pytest(copy, "--create-db", *named)] if named else []
    done += [_storm(copy, seed=seed, seconds=seconds) for seed, seconds in sorted(storms)]
    failed = [_end_of(one) for one in done if one.returncode != 0]
    if failed:
        _say("\n".join(["Without a mutation, these do not pass:", *failed]))
    return not failed


def _try(copy: Path, mutation: Mutation) -> bool:
    """Return whether the mutation is caught. The copy is as it was afterwards."""
    began = time.monotonic()
    file = copy / mutation.file
    before = file.read_text(encoding="utf-8")
    try:
        file.write_text(mutation.apply(copy), encoding="utf-8")
        is_caught, shown = _see(copy, mutation)
    except StaleMutation as error:
        is_caught, shown = False, str(error)
    finally:
        file.write_text(before, encoding="utf-8")
    seconds = time.monotonic() - began
    _say(f"{'caught' if is_caught else 'NOT CAUGHT':<11}{seconds:5.0f} s  {mutation.name}")
    if not is_caught:
        _say(shown)
    return is_caught


def _see(copy: Path, mutation: Mutation) -> tuple[bool, str]:
    """Run what should catch the mutation. Return whether it does, and the end of what it printed."""
    try:
        if mutation.storm_seed is None:
            done = _pytest(copy, "-x", mutation.caught_by)
            return done.returncode == _FAILED, _end_of(done)
        storm = _storm(copy, seed=mutation.storm_seed, seconds=mutation.storm_seconds)
    except subprocess.TimeoutExpired:
        return False, f"no verdict after {_SECONDS_MAX} s"
    return storm.returncode == _VIOLATED, _end_of(storm)


def _pytest(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # No mutation is one of the schema, so all runs share the database that the first of them makes.
    options = ("-n", "0", "-q", "-p", "no:cacheprovider", "--reuse-db")
    return _run(copy, "-m", "pytest", *options, *arguments)


def _storm(copy: Path, *, seed: int, seconds: int) -> subprocess.CompletedProcess[str]:
    return _run(copy, "-m", "tests.storm", "--with-parent", "--seconds", str(seconds), "--seed", str(seed))


def _run(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        # A file that is written twice within a second must not be read from what was compiled first.
        [sys.executable, "-B", *arguments],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS_MAX,
    )


def _end_of(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join(f"    {line}" for line in (done.stdout + done.stderr).splitlines()[-_LINES_SHOWN:])


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description="See that mutations are noticed.")
    parser.add_argument("--only", default="", metavar="WORDS", help="those whose name has these words")
    parser.add_argument("--table", default="", help="those of this file in table/")
    parser.add_argument("--tests-alone", action="store_true", help="leave out those that take a storm")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
