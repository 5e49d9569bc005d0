"""`run`: the platform in the foreground until Ctrl-C."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path

from devstack import application, bootstrap, errors
from devstack.processes import attach, failure, launcher, output, ports

_WATCH_SECONDS = 0.1
_PAYOUT = '{"amount": "100.00", "currency": "USD", "recipient_details": "Card ****1234", "comment": "Test payout"}'


def run(directory: Path, *, port: int, with_replica: bool = False) -> int:
    """Serve until a request to stop or the end of a process; return the exit code."""
    if with_replica and attach.is_set(os.environ, "POSTGRES_HOST"):
        raise errors.UsageError(
            "The replica is a copy of the PostgreSQL that is started here, and POSTGRES_HOST names another. "
            "Unset it, or name the replica of that one with PAYOUTS_REPLICA_HOST."
        )
    began = time.monotonic()
    terminal = output.Terminal()
    try:
        # The port first: if it is taken, nothing has to be started.
        with ports.reserve(port) as listener, launcher.Launcher(directory, terminal=terminal) as launch:
            terminal.say("Starting PostgreSQL, Redis and the platform. Ctrl-C stops everything.")
            app = application.Application(launch, listener=listener, durable=True, with_replica=with_replica)
            return _serve(launch, app, began=began)
    finally:
        terminal.close()


def _serve(launch: launcher.Launcher, app: application.Application, *, began: float) -> int:
    try:
        first = app.start(first_merchant=True)
        for line in describe(launch, app, first, seconds=time.monotonic() - began):
            launch.terminal.say(line)
        if first:
            launch.state.first_start_mark.touch()
        while True:
            launch.children.check()
            time.sleep(_WATCH_SECONDS)
    except errors.StopRequestedError:
        launch.terminal.say("Stopping ...")
        return 0
    except errors.ProcessEndedError as ended:
        failure.explain(launch.children, ended, say=launch.terminal.say)
        launch.terminal.say("Stopping the rest ...")
        return ended.exit_code


def describe(
    launch: launcher.Launcher, app: application.Application, first: bootstrap.FirstStart | None, *, seconds: float
) -> list[str]:
    """Return the lines that show the addresses."""
    places = {
        "API": f"{app.base_url}/api/payouts/",
        "Swagger": f"{app.base_url}/api/schema/swagger-ui/",
        "Redoc": f"{app.base_url}/api/schema/redoc/",
        "Admin": f"{app.base_url}/admin/",
        **({"Replica": "of PostgreSQL, for lists, sums and exports"} if app.with_replica else {}),
        **({"Bank": f"{app.bank.address} (sandbox bank of live payouts: no money moves)"} if app.bank else {}),
        "Logs": str(launch.state.logs),
    }
    lines = ["", launch.terminal.paint(f"Ready in {seconds:.1f} s", 1), ""]
    lines += [f"  {name:<10} {place}" for name, place in places.items()]
    return [*lines, "", *(_describe_first(app, first) if first else []), *_describe_keys(), ""]


def _describe_first(app: application.Application, first: bootstrap.FirstStart) -> list[str]:
    admin = (
        [f"  Admin      {bootstrap.ADMIN}", f"  Password   {first.admin_password}"]
        if first.admin_password
        else [f"  Admin      {bootstrap.ADMIN} was there already; its password is unchanged"]
    )
    return [
        "Shown once, keep it:",
        f"  Merchant   {bootstrap.MERCHANT} ({first.merchant_id})",
        f"  API key    {first.api_key} (test mode: no money moves)",
        *admin,
        "",
        "Your first payout:",
        f"  {curl(app.base_url, first.api_key)}",
        "",
    ]


def _describe_keys() -> list[str]:
    return [
        f"Another key: .venv/bin/python manage.py issue_api_key {bootstrap.MERCHANT} --mode test",
        f"A key for live payouts: .venv/bin/python manage.py issue_api_key {bootstrap.MERCHANT} --mode live",
        f"Another admin password: .venv/bin/python manage.py changepassword {bootstrap.ADMIN}",
    ]


def curl(base_url: str, api_key: str) -> str:
    """Return a shell command that creates a payout."""
    headers = ["Content-Type: application/json", f"Authorization: Api-Key {api_key}", "Idempotency-Key: first-payout"]
    options = [option for header in headers for option in ("-H", header)]
    return shlex.join(["curl", "-i", f"{base_url}/api/payouts/", *options, "-d", _PAYOUT])
