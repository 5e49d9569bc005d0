"""The state directory: the data of a stack, its lock, and the list of its processes.

    lock              held by the launcher and its guardian; holds the pid of the launcher
    secrets.json      the secret key, the passwords of database and broker, and the secrets of the bank; created once
    postgres/ redis/  their data
    replica/          while a replica runs: its copy of postgres/
    bank.sqlite3      the store of the sandbox bank
    logs/             one file for each process
    stack.json        while a stack runs: base URL, processes, and the environment to attach with

Standard library only: manage.py imports it to find a running stack.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devstack import errors
from devstack.processes import identity

CHECKOUT = Path(__file__).resolve().parents[2]
# The guardian of a killed launcher needs up to 9 s to stop everything (stopping.GRACE_SECONDS).
_LOCK_WAIT_SECONDS = 15.0
_LOCK_POLL_SECONDS = 0.05


def directory_from(environment: Mapping[str, str]) -> Path:
    """Return the state directory; a relative PAYOUTS_STATE_DIR counts from the checkout, wherever the caller stands."""
    return CHECKOUT / (environment.get("PAYOUTS_STATE_DIR") or ".local")


class StateDirectory:
    """The state directory of this launcher."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock_descriptor = -1

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def stack_file(self) -> Path:
        return self.path / "stack.json"

    @property
    def first_start_mark(self) -> Path:
        return self.path / "first-start-done"

    def open(self) -> None:
        """Create the directory if it is missing, and lock it; raise StackError if another launcher has it."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            self.lock_descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(self.path, error) from error
        self._lock()
        os.ftruncate(self.lock_descriptor, 0)
        os.pwrite(self.lock_descriptor, json.dumps(_this_process()).encode(), 0)

    def secrets(self) -> dict[str, str]:
        """Return the secrets of this directory, the same on every start."""
        path = self.path / "secrets.json"
        kept: dict[str, str] = {}
        with contextlib.suppress(FileNotFoundError, ValueError):
            kept = dict(json.loads(path.read_text(encoding="utf-8")))
        # A file of an older checkout lacks some. Existing secrets must stay, because the data was created with them.
        complete = {**_new_secrets(), **kept}
        if complete != kept:
            write_private(path, json.dumps(complete, indent=2))
        return complete

    def write_stack(self, stack: dict[str, Any]) -> None:
        write_private(self.stack_file, json.dumps({"launcher": _this_process(), **stack}, indent=2))

    def close(self) -> None:
        """Record that no stack runs."""
        self.stack_file.unlink(missing_ok=True)

    def _lock(self) -> None:
        deadline = time.monotonic() + _LOCK_WAIT_SECONDS
        while not _try_lock(self.lock_descriptor):
            if owner := _alive(os.pread(self.lock_descriptor, 4096, 0)):
                raise errors.StackError(
                    f"Another stack (pid {owner}) uses {self.path}. Stop it first, "
                    "or give this one its own place: PAYOUTS_STATE_DIR=DIRECTORY."
                )
            if time.monotonic() > deadline:
                raise errors.StackError(
                    f"The processes of a killed stack still use {self.path}. Try again in a moment."
                )
            time.sleep(_LOCK_POLL_SECONDS)


def read_stack(directory: Path) -> dict[str, Any] | None:
    """Return stack.json, whether or not that stack still runs; None if there is none."""
    try:
        stack = json.loads((directory / "stack.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stack if isinstance(stack, dict) else None


def is_up(stack: dict[str, Any]) -> bool:
    """Say whether the launcher of this stack.json runs; its pid alone may belong to another process."""
    launcher = stack.get("launcher", {})
    return identity.is_alive(launcher.get("pid", 0), started=launcher.get("started"))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, atomically."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)


def _new_secrets() -> dict[str, str]:
    return {
        "secret_key": secrets.token_urlsafe(50),
        "postgres_password": secrets.token_urlsafe(24),
        "redis_password": secrets.token_urlsafe(24),
        "replication_password": secrets.token_urlsafe(24),
        "bank_secret": secrets.token_urlsafe(32),
        # The form of a secret in Standard Webhooks.
        "bank_callback_secret": f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
    }


def _this_process() -> dict[str, object]:
    return {"pid": os.getpid(), "started": identity.started_at(os.getpid())}


def _alive(lock_text: bytes) -> int | None:
    try:
        owner = json.loads(lock_text)
    except ValueError:
        # Another launcher has locked the file and not yet written it.
        return None
    return owner["pid"] if identity.is_alive(owner["pid"], started=owner["started"]) else None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unusable(path: Path, error: OSError) -> errors.StackError:
    return errors.StackError(
        f"The state directory {path} cannot be used: {error.strerror}. "
        "Make it writable or choose another: PAYOUTS_STATE_DIR=DIRECTORY."
    )
