from __future__ import annotations

import json
import sys

import pytest

from devstack.setup import install

EXPECTED = {"lock": "one", "python": "3.11.7", "interpreter": "/usr/bin/python3", "path": "/checkout/.venv"}


def stamp(**changes: object) -> str:
    return json.dumps({**EXPECTED, "groups": ["devstack", "main"], **changes})


class TestInstalledGroups:
    def test_trusts_a_stamp_of_the_same_environment(self) -> None:
        assert install.installed_groups(stamp(), EXPECTED) == {"devstack", "main"}

    def test_installs_again_after_another_lock(self) -> None:
        assert install.installed_groups(stamp(lock="two"), EXPECTED) == set()

    @pytest.mark.parametrize(
        "text",
        [
            stamp(python="3.12.1"),
            stamp(interpreter="/opt/python3"),
            # The checkout was moved: every script in the environment starts with its path.
            stamp(path="/elsewhere/.venv"),
            "",
            "{",
            "[]",
            "{}",
        ],
    )
    def test_starts_anew_otherwise(self, text: str) -> None:
        assert install.installed_groups(text, EXPECTED) is None


class TestMain:
    def test_refuses_another_python_with_a_sentence(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "version_info", (3, 9, 2))
        monkeypatch.setenv("PATH", "/nonexistent")

        assert install.main(["main"]) == 1
        assert "3.11, 3.12 or 3.13 is needed" in capsys.readouterr().err

    def test_names_the_package_that_debian_splits_off(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(install, "missing_modules", lambda: ["ensurepip"])

        assert install.main(["main"]) == 1
        assert "apt install python3" in capsys.readouterr().err
