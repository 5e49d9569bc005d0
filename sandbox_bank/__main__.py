"""`python -m sandbox_bank`: the process."""

from __future__ import annotations

import argparse
import math
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from sandbox_bank import console, errors, scenarios, server, signatures
from sandbox_bank.bank import Bank, Configuration

_TIMING = scenarios.Timing()
_PORT_MAX = 65535
_SECONDS_MAX = 86_400.0
_VISIBLE = re.compile(r"[!-~]+")
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox_bank", description="A bank that moves no money.")
    add_arguments(parser)
    return run(parser.parse_args(arguments), os.environ)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options, for `python -m devstack bank` too."""
    parser.add_argument("--port", type=port, required=True, help="its port; 0 takes a free one")
    parser.add_argument("--book", type=Path, required=True, metavar="FILE", help="where everything is kept")
    parser.add_argument("--callback-url", type=_url, metavar="URL", help="whom to tell what changed")
    for name, default, text in (
        ("settle", _TIMING.settle, "from accepted to paid or rejected"),
        ("return", _TIMING.returned, "from paid to returned"),
        ("slow", _TIMING.slow, "until a slow answer"),
    ):
        described = f"{text} (default {default:g})"
        parser.add_argument(f"--{name}-seconds", type=_seconds, default=default, metavar="S", help=described)


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Serve until SIGTERM or SIGINT and return the exit code. An error is one sentence on standard error."""
    try:
        _serve(configure(options, environment))
    except errors.BankError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _serve(configuration: Configuration) -> None:
    # Before the first thread, because threads inherit the mask: the signals wait for `sigwait`.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    bank = Bank(configuration)
    bank.start()
    console.log(describe(configuration, port=bank.port))
    signal.sigwait(_STOP_SIGNALS)
    bank.stop()


def configure(options: argparse.Namespace, environment: Mapping[str, str]) -> Configuration:
    """Return the configuration; raise UsageError if a value is missing or cannot be used."""
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
    callbacks = (
        f"callbacks go to {configuration.callback_url}" if configuration.sends_callbacks else "there are no callbacks"
    )
    return (
        f"The sandbox bank serves http://{server.LOOPBACK}:{port}/v1 with the book {configuration.book}; {callbacks}. "
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


def port(text: str) -> int:
    """Return the port, for argparse; 0 means any free one."""
    if not text.isascii() or not text.isdigit() or int(text) > _PORT_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; take a number from 1 to {_PORT_MAX}, or 0 for any")
    return int(text)


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
