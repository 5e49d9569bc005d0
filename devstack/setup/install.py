"""Set up the virtual environment: python3 -m devstack.setup.install GROUP ... (groups: main devstack test lint)

Runs under the machine's Python before anything is installed: standard library only, in a syntax that an old Python can
read, which then says what is needed. A stamp tells the next run that there is nothing to do.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
ENVIRONMENT = CHECKOUT / ".venv"
LOCK_FILE = CHECKOUT / "poetry.lock"
STAMP = ENVIRONMENT / "payouts-set-up.json"
_LOG = ENVIRONMENT / "payouts-set-up.log"
_PYTHON = ENVIRONMENT / "bin" / "python"

# requires-python of pyproject.toml. The lock has no packages for other versions.
VERSION_MIN, VERSION_BELOW = (3, 11), (3, 14)
_CANDIDATES = ("python3.12", "python3.13", "python3.11")
_TAIL_LINES = 15


def main(groups: list[str]) -> int:
    """Make the environment hold these groups; return the exit code."""
    if not VERSION_MIN <= sys.version_info[:2] < VERSION_BELOW:
        return _with_another_python(groups)
    if missing := missing_modules():
        return _refuse(
            f"Python's {' and '.join(missing)} module is not installed. On Debian and Ubuntu: apt install "
            f"python{sys.version_info[0]}.{sys.version_info[1]}-venv. Elsewhere: install Python from python.org."
        )
    try:
        with LOCK_FILE.open("rb") as lock:
            # Two `make` at the same time: the second waits, then finds the work done.
            fcntl.flock(lock, fcntl.LOCK_EX)
            return _set_up(set(groups))
    except OSError as error:
        return _refuse(f"The set-up failed: {error.strerror}: {error.filename or ENVIRONMENT}.")
    except KeyboardInterrupt:
        return _refuse("Set-up interrupted; the next `make` takes it up again.", exit_code=130)


def missing_modules() -> list[str]:
    """Return the missing modules of the standard library. Debian packages them separately."""
    return [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]


def fingerprint() -> dict[str, str]:
    """Return what an environment depends on: the lock, the interpreter, and its path, which is in every script."""
    return {
        "lock": hashlib.sha256(LOCK_FILE.read_bytes()).hexdigest(),
        "python": sys.version,
        "interpreter": os.path.realpath(sys.executable),
        "path": str(ENVIRONMENT),
    }


def installed_groups(stamp_text: str, expected: dict[str, str]) -> set[str] | None:
    """Return the installed groups by the stamp; None if the environment must be created again."""
    try:
        stamp = json.loads(stamp_text)
        groups = set(stamp.pop("groups"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if stamp == expected:
        return groups
    # Only the lock differs: keep the environment and replace its packages.
    return set() if {**stamp, "lock": ""} == {**expected, "lock": ""} else None


def _set_up(groups: set[str]) -> int:
    expected = fingerprint()
    stamp = _read_stamp()
    present = installed_groups(stamp, expected) if stamp else _unstamped_groups()
    if present is not None and groups <= present and _PYTHON.exists():
        return 0
    if present is None or not _PYTHON.exists():
        _say(f"Creating the virtual environment {ENVIRONMENT.name} with Python {sys.version.split()[0]} ...")
        _create()
        present = set()
    wanted = sorted(groups | present)
    # Without a stamp, an interrupted set-up is repeated.
    STAMP.unlink(missing_ok=True)
    if not _install(wanted):
        return 1
    STAMP.write_text(json.dumps({**expected, "groups": wanted}, indent=2), encoding="utf-8")
    return 0


def _read_stamp() -> str:
    try:
        return STAMP.read_text(encoding="utf-8")
    except OSError:
        return ""


def _unstamped_groups() -> set[str] | None:
    """Return no groups if the environment of an interrupted set-up has a working pip; None otherwise."""
    question = "import pip, sys; print(sys.version, sys.prefix)"
    with contextlib.suppress(OSError):
        answer = subprocess.run([str(_PYTHON), "-c", question], capture_output=True, text=True, check=False)
        if answer.returncode == 0 and answer.stdout.strip() == f"{sys.version} {ENVIRONMENT}":
            return set()
    return None


def _create() -> None:
    import venv  # noqa: PLC0415 - Debian's python3 may lack it; checked above

    venv.create(ENVIRONMENT, clear=True, with_pip=True, symlinks=True)


def _install(groups: list[str]) -> bool:
    from devstack.setup import locked  # noqa: PLC0415 - it needs Python 3.11; checked above

    began = time.monotonic()
    requirements = locked.requirements(set(groups))
    _say(f"Installing {len(requirements)} locked packages ({', '.join(groups)}) ...")
    path = ENVIRONMENT / "payouts-requirements.txt"
    path.write_text("\n".join(requirements) + "\n", encoding="utf-8")
    if not _run_pip(path, count=len(requirements)):
        return False
    _say("Compiling ...")
    _compile()
    _say(f"Set up in {time.monotonic() - began:.0f} s.")
    return True


def _run_pip(requirements: Path, *, count: int) -> bool:
    """Install and show progress. The output of pip goes to a file; its end is shown on failure."""
    command = [str(_PYTHON), "-m", "pip", "install", "--no-deps", "--require-hashes", "--no-compile", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "--requirement", str(requirements)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None
        _follow(pip.stdout, count=count)
    if pip.returncode == 0:
        return True
    sys.stderr.write("\n".join(_LOG.read_text(encoding="utf-8").splitlines()[-_TAIL_LINES:]) + "\n")
    _refuse(f"pip could not install the locked packages. Its whole output is in {_LOG}.")
    return False


def _follow(lines: Iterable[str], *, count: int) -> None:
    seen = 0
    with _LOG.open("w", encoding="utf-8") as log:
        for line in lines:
            log.write(line)
            seen += line.startswith(("Collecting ", "Requirement already satisfied: "))
            _progress(line, seen=seen, count=count)


def _progress(line: str, *, seen: int, count: int) -> None:
    """Show a counter on a terminal; elsewhere only the last step, to keep logs short."""
    if line.startswith("Collecting "):
        name = line.split()[1].partition("==")[0]
        if sys.stdout.isatty():
            _say(f"\r\033[K  {min(seen, count)}/{count} {name}", end="")
    elif line.startswith("Installing collected packages"):
        _say("\r\033[K  Unpacking ..." if sys.stdout.isatty() else "  Unpacking ...")


def _compile() -> None:
    """Compile on all cores (pip uses one). Uncompiled, the stack starts in 20 s instead of 3."""
    libraries = next(ENVIRONMENT.glob("lib/python3*/site-packages"))
    command = [str(_PYTHON), "-m", "compileall", "-q", "-q", "-j", "0", str(libraries)]
    # Some packages, such as Django, contain templates that do not compile. That is not a failure.
    subprocess.run(command, check=False)


def _with_another_python(groups: list[str]) -> int:
    """Use another Python of this machine: this one is too old or too new for the lock."""
    for name in _CANDIDATES:
        if path := shutil.which(name):
            return subprocess.run([path, "-m", "devstack.setup.install", *groups], cwd=CHECKOUT, check=False).returncode
    found = ".".join(map(str, sys.version_info[:3]))
    return _refuse(
        f"Python 3.11, 3.12 or 3.13 is needed, and {sys.executable} is {found}. "
        "Install one of them and name it: make run PYTHON=/path/to/python3.12"
    )


def _say(text: str, *, end: str = "\n") -> None:
    with contextlib.suppress(OSError):
        print(text, end=end, flush=True)


def _refuse(sentence: str, *, exit_code: int = 1) -> int:
    sys.stderr.write(f"{sentence}\n")
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
