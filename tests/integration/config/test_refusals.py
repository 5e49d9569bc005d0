"""A process with a wrong environment ends with one sentence that names the variable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import processes

PRINT_SECRET_KEY = "from config import settings; print(settings.SECRET_KEY)"
PRINT_BROKER = "from config import settings; print(settings.CELERY_BROKER_URL)"
# A process spends its time on imports, so one reads them all.
PRINT_REFUSALS = """
import json, os, runpy, sys
from django.core.exceptions import ImproperlyConfigured
complete = dict(os.environ)
for given in json.loads({given!r}):
    os.environ.clear()
    os.environ.update({{name: value for name, value in {{**complete, **given}}.items() if value}})
    try:
        runpy.run_module("config.settings")
    except ImproperlyConfigured as error:
        print(json.dumps(str(error)))
    else:
        print(json.dumps(None))
"""


# What is given, and how the refusal begins.
REFUSED = [
    ({"DJANGO_SECRET_KEY": ""}, "DJANGO_SECRET_KEY is not set: "),
    ({"DJANGO_ALLOWED_HOSTS": ""}, "DJANGO_ALLOWED_HOSTS is not set: "),
    ({"DJANGO_DEBUG": "maybe"}, "DJANGO_DEBUG must be true or false, not 'maybe'."),
    ({"POSTGRES_PORT": "abc"}, "POSTGRES_PORT must be a whole number from 1 to 65535, not 'abc'."),
    ({"POSTGRES_PORT": "9" * 5000}, "POSTGRES_PORT must be a whole number from 1 to 65535, not '999"),
    ({"POSTGRES_PORT": "70000"}, "POSTGRES_PORT must be a whole number from 1 to 65535, not '70000'."),
    ({"PAYOUTS_LOG_FORMAT": "xml"}, "PAYOUTS_LOG_FORMAT must be one of 'json', 'console', not 'xml'."),
    ({"PAYOUTS_IDEMPOTENCY_RESPONSE_DAYS": "0"}, "PAYOUTS_IDEMPOTENCY_RESPONSE_DAYS must be a whole number from 1 to "),
    ({"CELERY_BROKER_URL": "localhost:6379"}, "CELERY_BROKER_URL is not a URL of the kind redis://, "),
    ({"DJANGO_SECRET_KEY": "x"}, "DJANGO_SECRET_KEY is so short that it can be guessed: give it 16 or more "),
    ({"POSTGRES_PASSWORD": "1234567"}, "POSTGRES_PASSWORD is so short that it can be guessed: give it 8 or more "),
    ({"POSTGRES_PASSWORD": "for-a-first-try-only"}, "POSTGRES_PASSWORD is the one of .env.example, which anyone can "),
    ({"CELERY_BROKER_URL": "redis://:for-a-first-try-only@redis:6379/0"}, "CELERY_BROKER_URL is the one of .env.ex"),
    (
        {"DJANGO_SECRET_KEY": "", "DJANGO_SECRET_KEY_FILE": "/nowhere/key"},
        "DJANGO_SECRET_KEY_FILE points to /nowhere/key, which cannot be read: ",
    ),
    ({"DJANGO_SECRET_KEY_FILE": "/nowhere/key"}, "DJANGO_SECRET_KEY and DJANGO_SECRET_KEY_FILE are both set: "),
]


class TestSettings:
    def test_are_refused_with_a_sentence(self, tmp_path: Path) -> None:
        ended = processes.python(PRINT_REFUSALS.format(given=json.dumps([given for given, _ in REFUSED])), tmp_path)

        sentences = [json.loads(line) for line in ended.stdout.splitlines()]
        assert [one and one[: len(words)] for one, (_, words) in zip(sentences, REFUSED, strict=True)] == [
            words for _, words in REFUSED
        ]
        assert [one for one in sentences if "\n" in one] == []

    def test_a_password_in_a_url_is_not_repeated(self, tmp_path: Path) -> None:
        ended = processes.run(
            processes.COMMANDS["manage.py"], tmp_path, CELERY_BROKER_URL="redis://:hunter2@localhost:99999/0"
        )

        assert ended.exit_code == 1
        assert "CELERY_BROKER_URL" in ended.stderr
        assert "hunter2" not in ended.stderr + ended.stdout

    @pytest.mark.parametrize("process", processes.COMMANDS)
    def test_every_process_refuses(self, tmp_path: Path, process: str) -> None:
        ended = processes.run(processes.COMMANDS[process], tmp_path, DJANGO_SECRET_KEY="")

        assert ended.exit_code == 1
        assert [sentence.startswith("DJANGO_SECRET_KEY is not set: ") for sentence in ended.sentences] == [True]
        assert "Traceback" not in ended.stderr

    def test_the_web_servers_own_settings_too(self, tmp_path: Path) -> None:
        ended = processes.run(processes.COMMANDS["web"], tmp_path, PAYOUTS_WEB_WORKERS="many")

        assert ended.exit_code == 1
        assert ended.sentences == ["PAYOUTS_WEB_WORKERS must be a whole number from 1 to 128, not 'many'."]
        assert "Traceback" not in ended.stderr


class TestFiles:
    def test_a_secret_may_stand_in_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "key"
        file.write_text("  secret-from-the-file\n", encoding="utf-8")

        ended = processes.python(PRINT_SECRET_KEY, tmp_path, DJANGO_SECRET_KEY="", DJANGO_SECRET_KEY_FILE=str(file))

        assert (ended.exit_code, ended.stdout) == (0, "secret-from-the-file\n")

    def test_every_setting_may_stand_in_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "url"
        file.write_text("redis://broker:6379/3", encoding="utf-8")

        ended = processes.python(PRINT_BROKER, tmp_path, CELERY_BROKER_URL="", CELERY_BROKER_URL_FILE=str(file))

        assert (ended.exit_code, ended.stdout) == (0, "redis://broker:6379/3\n")

    def test_a_broker_inside_the_process_is_one(self, tmp_path: Path) -> None:
        assert processes.python(PRINT_BROKER, tmp_path, CELERY_BROKER_URL="memory://").stdout == "memory://\n"
