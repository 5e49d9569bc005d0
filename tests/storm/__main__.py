"""Break a whole installation for a while, and see that not one payout is lost or paid twice.

    make chaos [SECONDS=180] [SEED=1]
    python -m tests.storm --seconds 180 --seed 1

PostgreSQL, Redis, a bank, a web server, two workers and two sweepers run as real processes. They are killed, frozen,
and cut off from each other, by a plan that follows from the seed; then comes peace, and the verdict. Exit code 0: all
is as promised; 1: it is not, and the logs are kept; 3: nothing is wrong, and too little occurred to prove anything.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

from devstack import errors
from devstack.processes import failure, output
from devstack.processes.launcher import Launcher, end_with_parent
from tests.storm import minima, plan, report
from tests.storm.course import Storm
from tests.storm.proxies import Wires
from tests.storm.stage import Stage

# The storm breaks its own services, never those that the caller uses.
_NOT_INHERITED = ("POSTGRES_", "CELERY_", "DJANGO_", "PAYOUTS_", "BANK_", "COV_", "PYTEST_", "PG")
_VIOLATED = 1
# 2 is an argument that cannot be used.
_NO_EVIDENCE = 3
_SECONDS_MIN = 5.0
_SECONDS_MAX = 86_400.0


def main(arguments: list[str]) -> int:
    options = _parse(arguments)
    if options.with_parent:
        end_with_parent()
    for name in [name for name in os.environ if name.startswith(_NOT_INHERITED)]:
        del os.environ[name]
    _say(f"seed {options.seed}, {options.seconds:g} s; the faults will be:")
    _say(plan.describe(plan.make(seed=options.seed, seconds=options.seconds)))
    directory = Path(tempfile.mkdtemp(prefix="payouts-storm-"))
    with Launcher(directory, terminal=output.Silence(), temporary=True) as launch:
        try:
            exit_code = _run(launch, seed=options.seed, seconds=options.seconds)
        except errors.StopRequestedError:
            return 130
        except errors.ProcessEndedError as ended:
            failure.explain(launch.children, ended, say=_say)
            exit_code = 1
        except errors.StackError as error:
            _say(str(error))
            exit_code = 1
        except Exception:  # noqa: BLE001 - whatever it was, the logs say more and would be gone
            _say(traceback.format_exc())
            exit_code = 1
        if exit_code or options.keep_logs:
            _say(f"The logs are in {_kept(launch)}.")
    return exit_code


def _run(launch: Launcher, *, seed: int, seconds: float) -> int:
    with Wires(seed=seed) as wires:
        stage = Stage(launch, wires, seed=seed)
        stage.start()
        storm = Storm(stage, seed=seed, seconds=seconds)
        storm.rage()
        outcome = storm.calm_down()
        _say(report.table(report.figures(outcome, stage, seed=seed, seconds=seconds)))
    for latecomer in outcome.latecomers:
        _say(f"not final for long: {latecomer}")
    if outcome.violations:
        _say(report.accusation(outcome))
        return _VIOLATED
    if lacking := minima.missing(outcome.occurred):
        _say("This storm is no evidence: take more seconds, or a quieter machine.")
        _say("\n".join(lacking))
        return _NO_EVIDENCE
    return 0


def _say(text: str) -> None:
    """Print at once: who waits for three minutes wants to see something."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _kept(launch: Launcher) -> Path:
    """Keep the logs and the bank's book: the place itself goes away."""
    kept = Path(tempfile.mkdtemp(prefix="payouts-storm-kept-"))
    shutil.copytree(launch.state.logs, kept / "logs")
    for file in launch.state.path.glob("bank.sqlite3*"):
        shutil.copy(file, kept)
    return kept


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description="Break a whole installation.")
    parser.add_argument("--seconds", type=_seconds, default=180.0, help="how long things go wrong (default 180)")
    parser.add_argument("--seed", type=int, default=1, help="decides what goes wrong when (default 1)")
    parser.add_argument("--keep-logs", action="store_true", help="keep them of a good storm, too")
    parser.add_argument("--with-parent", action="store_true", help="end when the calling process ends (Linux)")
    return parser.parse_args(arguments)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not _SECONDS_MIN <= seconds <= _SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"take a number from {_SECONDS_MIN:g} to {_SECONDS_MAX:g}")
    return seconds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
