"""`python -m devstack bank`: the process."""

from __future__ import annotations

import argparse
import math
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from devstack import errors
from devstack.processes import ports
from sandbox_bank import console, scenarios, signatures
from sandbox_bank.bank import Bank, Configuration

_TIMING = scenarios.Timing()
_SECONDS_MAX = 86_400.0
_VISIBLE = re.compile(r"[!-~]+")
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options; the port is checked by the caller's type."""
    parser.add_argument("--book", type=Path, required=True, metavar="FILE", help="where everything is kept")
    parser.add_argument("--callback-url", type=_url, metavar="URL", help="whom to tell what changed")
    for name, default, text in (
        ("settle", _TIMING.settle, "from accepted to paid or rejected"),
        ("return", _TIMING.returned, "from paid to returned"),
        ("slow", _TIMING.slow, "until a slow answer"),
    ):
        described = f"{text} (default {default:g})"
        parser.add_argument(f"--{name}-seconds", type=_seconds, default=default, metavar="S", help=described)


def serve(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Serve until SIGTERM or SIGINT; raise StackError when it cannot start."""
    configuration = configure(options, environment)
    # Before there are threads, which inherit it: the signals wait for `sigwait` and interrupt nobody.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    bank = Bank(configuration)
    bank.start()
    console.say(describe(configuration, port=bank.port))
    signal.sigwait(_STOP_SIGNALS)
    bank.stop()
    return 0


def configure(options: argparse.Namespace, environment: Mapping[str, str]) -> Configuration:
    """Return what the command line and the environment ask for; raise UsageError when it is not enough."""
    return Configuration(
        port=options.port,
        book=options.book,
        credentials=_credentials(environment),
        callback_url=options.callback_url or "",
        callback_key=_callback_key(environment),
        timing=scenarios.Timing(
            settle=options.settle_seconds, returned=options.return_seconds, slow=options.slow_seconds
        ),
    )


def describe(configuration: Configuration, *, port: int) -> str:
    told = f"callbacks go to {configuration.callback_url}" if configuration.tells else "there are no callbacks"
    return (
        f"The sandbox bank serves http://{ports.LOOPBACK}:{port}/v1 with the book {configuration.book}; {told}. "
        "It moves no money."
    )


def _credentials(environment: Mapping[str, str]) -> signatures.Credentials:
    credentials = signatures.Credentials(
        token=environment.get("BANK_TOKEN", ""), secret=environment.get("BANK_SECRET", "")
    )
    if not credentials.token and not credentials.secret:
        raise errors.UsageError("Set BANK_TOKEN or BANK_SECRET, or both: the bank must know whose requests to take.")
    if credentials.token and not _VISIBLE.fullmatch(credentials.token):
        raise errors.UsageError("BANK_TOKEN must be visible ASCII characters: it is sent in a header.")
    return credentials


def _callback_key(environment: Mapping[str, str]) -> bytes:
    try:
        return signatures.webhook_key(environment.get("BANK_CALLBACK_SECRET", ""))
    except ValueError as error:
        raise errors.UsageError(f"BANK_CALLBACK_SECRET cannot be used: {error}.") from error


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or not _VISIBLE.fullmatch(text) or not parts.path.startswith("/"):
        raise argparse.ArgumentTypeError(f"{text!r} is no address; write it like http://127.0.0.1:8000/callbacks/")
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= _SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; take a number of seconds from 0 to {_SECONDS_MAX:g}")
    return seconds
