from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable

import httpx
import pytest

from tests.support.stack import STOP_SECONDS, Stack, wait_until_gone

# What `attach` must find by itself, and what a key of the first start can do.
PAYOUT = {
    "amount": "10.50",
    "currency": "EUR",
    "recipient_details": {"name": "Jane Doe", "account": "sandbox_paid"},
}


def printed_key(output: str) -> str:
    match = re.search(r"API key\s+(\S+)", output)
    assert match, output
    return match[1]


def create_payout(base_url: str, api_key: str) -> httpx.Response:
    headers = {"Authorization": f"Api-Key {api_key}"}
    return httpx.post(f"{base_url}/api/payouts/", json=PAYOUT, headers=headers, trust_env=False)


def list_payouts(base_url: str, api_key: str) -> list[str]:
    response = httpx.get(f"{base_url}/api/payouts/", headers={"Authorization": f"Api-Key {api_key}"}, trust_env=False)
    return [payout["id"] for payout in response.json()["results"]]


@pytest.mark.timeout(120)
class TestLifecycle:
    def test_keeps_its_data_from_start_to_start(self, make_stack: Callable[..., Stack]) -> None:
        # A path with spaces, and longer than the 107 bytes that a socket's may have.
        stack = make_stack(f"a place with spaces and {'x' * 100}")
        stack.start()
        api_key = printed_key(stack.output)
        payout_id = create_payout(stack.base_url, api_key).json()["id"]
        secret_key = stack.description["environment"]["DJANGO_SECRET_KEY"]
        processes = stack.everything()

        began = time.monotonic()
        assert stack.stop() == 0
        assert time.monotonic() - began < STOP_SECONDS
        assert wait_until_gone(processes, seconds=0.5) == []
        assert not (stack.directory / "stack.json").exists()

        stack.start()

        assert list_payouts(stack.base_url, api_key) == [payout_id]
        assert stack.description["environment"]["DJANGO_SECRET_KEY"] == secret_key
        assert "API key  " not in stack.output
        assert "issue_api_key" in stack.output
        assert stack.stop(signal.SIGINT) == 0

    def test_leaves_nothing_when_the_launcher_is_killed_and_starts_again(
        self, make_stack: Callable[..., Stack]
    ) -> None:
        stack = make_stack()
        stack.start()
        api_key = printed_key(stack.output)
        payout_id = create_payout(stack.base_url, api_key).json()["id"]
        processes = stack.everything()

        stack.launcher.kill()
        stack.launcher.wait()
        # At once, while the guardian is still at work: the next launcher waits for it.
        stack.start()

        assert wait_until_gone(processes, seconds=0.5) == []
        assert list_payouts(stack.base_url, api_key) == [payout_id]

        processes = stack.everything()
        guardian = next(process for process in processes if "devstack.processes.guardian" in process.command)
        os.kill(guardian.pid, signal.SIGKILL)
        stack.launcher.kill()
        stack.launcher.wait()

        if sys.platform == "linux":
            assert wait_until_gone(processes) == []

    def test_ends_with_the_process_that_ends_and_starts_again(self, make_stack: Callable[..., Stack]) -> None:
        stack = make_stack()
        stack.start()
        processes = stack.everything()

        stack.send_signal("postgres", signal.SIGKILL)

        assert stack.launcher.wait(STOP_SECONDS) == 128 + signal.SIGKILL
        assert "postgres ended with exit code 137." in stack.output
        assert wait_until_gone(processes, seconds=0.5) == []

        # What a killed server leaves, after a restart of the machine: its pid belongs to a stranger now.
        lock_file = stack.directory / "postgres" / "postmaster.pid"
        lock_file.write_text(f"{os.getpid()}\n{stack.directory}\n1\n5432\n\n127.0.0.1\n 1 1\nready\n", encoding="utf-8")
        stack.start()

        assert httpx.get(f"{stack.base_url}/readyz", trust_env=False).status_code == 200

        stack.send_signal("worker", signal.SIGKILL)

        assert stack.launcher.wait(STOP_SECONDS) == 128 + signal.SIGKILL
        assert "worker ended with exit code 137." in stack.output
