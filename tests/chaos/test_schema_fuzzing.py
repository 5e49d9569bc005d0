"""schemathesis makes requests of the OpenAPI document, right and wrong ones, one by one and in sequences.

No answer is a 5xx, each is documented, valid data is taken, and data that breaks the schema is refused. What it is to
try, and the one check that cannot hold, are in fuzzing/.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.stack import Stack

FUZZING = Path(__file__).with_name("fuzzing")
FUZZED_SECONDS = 75
# The process reads the document and writes the report as well, which takes longer on a machine that is busy.
ENDS_WITHIN_SECONDS = FUZZED_SECONDS + 60


def fuzz(stack: Stack, api_key: str, directory: Path) -> tuple[dict[str, Any], str]:
    """Return the report, and what was said."""
    report = directory / "report.json"
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            *("--config-file", str(FUZZING / "schemathesis.toml")),
            *("run", f"{stack.base_url}/api/schema/", "--header", f"Authorization: Api-Key {api_key}"),
            *("--max-time", str(FUZZED_SECONDS), "--report", "json", "--report-json-path", str(report), "--no-color"),
        ],
        # Nothing of this process's settings, and no proxy: all that it calls is on this machine.
        env={"PATH": os.environ["PATH"], "HOME": str(directory), "PYTHONDONTWRITEBYTECODE": "1"},
        # Where the configuration finds the hooks.
        cwd=FUZZING,
        capture_output=True,
        text=True,
        check=False,
        timeout=ENDS_WITHIN_SECONDS,
    )
    said = done.stdout + done.stderr
    assert report.exists(), said
    return json.loads(report.read_text(encoding="utf-8")), said


@pytest.mark.timeout(ENDS_WITHIN_SECONDS + 90)
def test_the_api_does_what_its_document_says(make_stack: Callable[..., Stack], tmp_path: Path) -> None:
    # More requests than a merchant would send.
    stack = make_stack(PAYOUTS_THROTTLE_REQUESTS_PER_MINUTE="0")
    stack.start()

    report, said = fuzz(stack, stack.issue_api_key("acme"), tmp_path)

    assert report["failures"] == [], said
    assert report["errors"] == [], said
    assert report["exit_code"] == 0, said
    operations = report["operations"]
    assert (operations["tested"], operations["errored"], operations["skipped"]) == (operations["total"], 0, 0)
    assert {phase["status"] for phase in report["phases"].values()} == {"success"}, said
    # It got through the door: otherwise each answer is 401, and nothing fails.
    assert report["test_cases"]["generated"] > 100, said
