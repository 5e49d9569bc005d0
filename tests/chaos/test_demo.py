from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stack import CHECKOUT


@pytest.mark.timeout(150)
class TestDemo:
    def test_plays_the_main_job(self, tmp_path: Path) -> None:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("POSTGRES_", "CELERY_", "DJANGO_", "PAYOUTS_"))
        }

        done = subprocess.run(
            [sys.executable, "-m", "devstack", "demo"],
            env={**environment, "TMPDIR": str(tmp_path)},
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

        assert done.returncode == 0, done.stdout + done.stderr
        assert "FAILED" not in done.stdout
        assert done.stdout.count("   ok: ") == 12
        assert "$ curl http://127.0.0.1:" in done.stdout
        assert "Idempotent-Replayed: true" in done.stdout
        assert "\033[" not in done.stdout
        # The temporary place is gone.
        assert list(tmp_path.iterdir()) == []
