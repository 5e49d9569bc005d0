"""python -m devstack run | demo | exec -- COMMAND | bank"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from devstack import demo, errors, execute, run
from devstack.processes import launcher, state
from sandbox_bank import __main__ as bank


def main(arguments: Sequence[str]) -> int:
    """Run one subcommand. An error is one sentence on standard error, never a traceback."""
    try:
        options = _parse(arguments)
        if options.with_parent:
            launcher.end_with_parent()
        return _dispatch(options)
    except errors.StackError as error:
        return _refuse(str(error), exit_code=error.exit_code)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return _refuse("The disk is full: free some space and start again.")
        return _refuse(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.")


def _dispatch(options: argparse.Namespace) -> int:
    if options.subcommand == "run":
        return run.run(state.directory_from(os.environ), port=options.port, with_replica=options.replica)
    if options.subcommand == "demo":
        return demo.demo()
    if options.subcommand == "bank":
        return bank.run(options, os.environ)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise errors.UsageError("Say what to run: python -m devstack exec -- COMMAND")
    return execute.execute(command)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devstack", description="The platform on this machine alone.")
    parser.add_argument("--with-parent", action="store_true", help="end when the calling process ends (Linux)")
    commands = parser.add_subparsers(dest="subcommand", required=True)
    serve = commands.add_parser("run", help="serve until Ctrl-C")
    serve.add_argument("--port", type=bank.port, default=8000, help="port of the web server; 0 takes a free one")
    serve.add_argument("--replica", action="store_true", help="start a replica of PostgreSQL too, to read lists from")
    commands.add_parser("demo", help="play the main job from end to end in a temporary place")
    execute_parser = commands.add_parser("exec", help="run a command beside throw-away PostgreSQL and Redis")
    execute_parser.add_argument("command", nargs=argparse.REMAINDER, help="-- COMMAND [ARGUMENT ...]")
    bank_parser = commands.add_parser("bank", help="serve the sandbox bank alone (docs/sandbox-bank.md)")
    bank.add_arguments(bank_parser)
    return parser.parse_args(arguments)


def _refuse(sentence: str, *, exit_code: int = 1) -> int:
    print(sentence, file=sys.stderr)
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
