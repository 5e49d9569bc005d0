"""`demo`: start a temporary stack, play the main job on it and check every answer."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import httpx

from devstack import application, errors
from devstack.demo_story import DemoStory, UnexpectedAnswerError
from devstack.demo_terminal import DemoTerminal
from devstack.processes import failure, launcher, output, ports


def demo() -> int:
    """Return 0 when every answer was as it should be, 1 otherwise."""
    began = time.monotonic()
    terminal = DemoTerminal()
    terminal.say("Starting PostgreSQL, Redis, a sandbox bank and the platform in a temporary place ...", "dim")
    directory = Path(tempfile.mkdtemp(prefix="payouts-demo-"))
    with (
        ports.reserve(0) as listener,
        launcher.Launcher(directory, terminal=output.Silence(), temporary=True) as launch,
    ):
        app = application.Application(launch, listener=listener, durable=False)
        exit_code = _play(launch, app, terminal, began=began)
        if exit_code == 1:
            _keep_logs(launch, terminal)
    return exit_code


def _play(launch: launcher.Launcher, app: application.Application, terminal: DemoTerminal, *, began: float) -> int:
    try:
        app.start(first_merchant=False)
        terminal.say(f"Ready in {time.monotonic() - began:.1f} s at {app.base_url}", "dim")
        story = DemoStory(
            terminal,
            base_url=app.base_url,
            environment=app.environment,
            check=launch.children.check,
            has_bank=app.bank is not None,
        )
        story.play()
    except errors.StopRequestedError:
        terminal.say("Stopping ...")
        return 130
    except errors.ProcessEndedError as ended:
        failure.explain(launch.children, ended, say=terminal.failed)
        return 1
    except (UnexpectedAnswerError, httpx.HTTPError) as error:
        terminal.failed(str(error))
        return 1
    terminal.say(f"\nAll as it should be, in {time.monotonic() - began:.0f} s. Now yours: make run", "bold green")
    return 0


def _keep_logs(launch: launcher.Launcher, terminal: DemoTerminal) -> None:
    """Show the last log lines of our processes and keep their logs; the temporary directory is removed."""
    kept = Path(tempfile.mkdtemp(prefix="payouts-demo-logs-"))
    shutil.copytree(launch.state.logs, kept, dirs_exist_ok=True)
    for name in application.PROCESSES:
        for line in launch.children.tail(name):
            terminal.note(f"{name:<8} | {line}")
    terminal.say(f"The logs are in {kept}.")
