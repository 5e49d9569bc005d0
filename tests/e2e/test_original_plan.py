"""What the plan that this platform was ordered with documents, played literally. Its examples are copied to the letter.

Where the plan cannot be kept to the letter:

* It shows no Authorization header. The platform has many merchants, so each request carries an API key.
* It names Django 4.2, whose security support ended in April 2026: Django 5.2 LTS (docs/adr/0002-versions.md).
* It has `payouts/middleware.py` for Idempotency-Key. A middleware cannot have the key, the payout and the answer commit
  together, so a decorator of the view does it: `idempotency/decorators.py` (docs/adr/0005-one-transaction-per-post.md).
* It has the tests in `payouts/tests/`: they are in `tests/`, by what they cost (CONTRIBUTING.md).
* A deletion is of what has not been paid: where money may move or has moved the answer is 409 (docs/states.md).
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.backend import client_of, statuses_of, wait_for
from tests.support.original_plan import BODY, FIELDS
from tests.support.stack import CHECKOUT, Stack

ENV_FILE = """
DJANGO_SECRET_KEY=dev-secret-key
DJANGO_DEBUG=1
DJANGO_ALLOWED_HOSTS=localhost,127.0.0.1

POSTGRES_DB=payouts
POSTGRES_USER=payouts
POSTGRES_PASSWORD=payouts
POSTGRES_HOST=db
POSTGRES_PORT=5432

CELERY_BROKER_URL=redis://redis:6379/0
CELERY_RESULT_BACKEND=redis://redis:6379/1
"""
ENVIRONMENT = dict(line.split("=", 1) for line in ENV_FILE.split())

#: The modules of the plan, with something that each is there for.
MODULES = {
    "payouts.models": "Payout",
    "payouts.api.serializers": "PayoutWriteSerializer",
    "payouts.api.views": "PayoutListView",
    "payouts.services": "create_payout",
    "payouts.tasks": "process_payout",
    # Instead of payouts/middleware.py.
    "idempotency.decorators": "idempotent",
}

COMPOSE: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

SHOW_SETTINGS = """
import json
from config import settings
from config.celery import app

database = settings.DATABASES["default"]
print(json.dumps({
    "DJANGO_SECRET_KEY": settings.SECRET_KEY,
    "DJANGO_DEBUG": settings.DEBUG,
    "DJANGO_ALLOWED_HOSTS": settings.ALLOWED_HOSTS,
    "POSTGRES_DB": database["NAME"],
    "POSTGRES_USER": database["USER"],
    "POSTGRES_PASSWORD": database["PASSWORD"],
    "POSTGRES_HOST": database["HOST"],
    "POSTGRES_PORT": database["PORT"],
    "CELERY_BROKER_URL": app.conf.broker_url,
    "CELERY_RESULT_BACKEND": app.conf.result_backend,
}))
"""


def post(client: httpx.Client, **headers: str) -> httpx.Response:
    """Send the plan's request, byte for byte."""
    return client.post("/api/payouts/", content=BODY, headers={"Content-Type": "application/json", **headers})


def fields_of(payout: dict[str, Any]) -> dict[str, Any]:
    return {name: payout[name] for name in FIELDS}


@pytest.fixture(scope="module")
def merchant(stack: Stack) -> Iterator[httpx.Client]:
    with client_of(stack, "planned") as client:
        yield client


@pytest.fixture(scope="module")
def paused(stack: Stack) -> Iterator[httpx.Client]:
    """The backend of a merchant of whose payouts none is sent, so that they stay pending."""
    with client_of(stack, "paused as planned") as client:
        assert stack.manage("pause_payouts", "--merchant", "paused as planned", "--reason", "a test").exit_code == 0
        yield client
        # Other test modules use the same stack, and expect no pause.
        assert stack.manage("resume_payouts", "--merchant", "paused as planned").exit_code == 0


class TestOperations:
    def test_creates_a_payout(self, merchant: httpx.Client) -> None:
        created = post(merchant)

        assert created.status_code == 201
        assert fields_of(created.json()) == FIELDS
        assert created.headers["Location"] == f"/api/payouts/{created.json()['id']}/"

    def test_lists_payouts(self, merchant: httpx.Client) -> None:
        made = post(merchant).json()

        listed = merchant.get("/api/payouts/")

        assert listed.status_code == 200
        newest = listed.json()["results"][0]
        assert (newest["id"], fields_of(newest)) == (made["id"], FIELDS)

    def test_retrieves_a_payout(self, merchant: httpx.Client) -> None:
        made = post(merchant).json()

        retrieved = merchant.get(f"/api/payouts/{made['id']}/")

        assert (retrieved.status_code, retrieved.json()["id"]) == (200, made["id"])
        assert fields_of(retrieved.json()) == FIELDS

    def test_updates_a_part_of_a_payout(self, paused: httpx.Client) -> None:
        path = post(paused).headers["Location"]

        updated = paused.patch(path, json={"comment": "Test payout, changed", "recipient_details": "Card ****4321"})

        expected = {**FIELDS, "comment": "Test payout, changed", "recipient_details": "Card ****4321"}
        assert (updated.status_code, fields_of(updated.json())) == (200, expected)
        assert fields_of(paused.get(path).json()) == expected

    def test_deletes_a_payout(self, paused: httpx.Client) -> None:
        made = post(paused)
        path = made.headers["Location"]

        deleted = paused.delete(path)

        assert (deleted.status_code, deleted.content) == (204, b"")
        assert paused.get(path).status_code == 404
        assert made.json()["id"] not in {payout["id"] for payout in paused.get("/api/payouts/").json()["results"]}

    def test_is_processed_to_its_end(self, merchant: httpx.Client) -> None:
        path = post(merchant).headers["Location"]

        paid = wait_for(merchant, path, "paid")

        assert (paid["status"], fields_of(paid)) == ("paid", FIELDS)
        assert statuses_of(merchant, path) == ["pending", "processing", "paid"]


class TestIdempotencyKey:
    def test_creates_no_second_payout_and_answers_what_is_stored(self, merchant: httpx.Client) -> None:
        key = str(uuid.uuid4())

        first = post(merchant, **{"Idempotency-Key": key})
        # The stored answer is the first one, whatever has become of the payout since.
        wait_for(merchant, first.headers["Location"], "paid")
        second = post(merchant, **{"Idempotency-Key": key})

        assert (first.status_code, second.status_code) == (201, 201)
        assert second.content == first.content
        assert second.headers["Idempotent-Replayed"] == "true"
        found = merchant.get("/api/payouts/", params={"idempotency_key": key}).json()["results"]
        assert [payout["id"] for payout in found] == [first.json()["id"]]

    def test_is_optional(self, merchant: httpx.Client) -> None:
        first, second = post(merchant), post(merchant)

        assert first.json()["id"] != second.json()["id"]


class TestDocumentation:
    @pytest.mark.parametrize(
        ("path", "content_type"),
        [
            ("/api/schema/swagger-ui/", "text/html"),
            ("/api/schema/redoc/", "text/html"),
            ("/api/schema/", "application/vnd.oai.openapi"),
        ],
    )
    def test_is_served_at_its_path(self, stack: Stack, path: str, content_type: str) -> None:
        answer = httpx.get(f"{stack.base_url}{path}")

        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith(content_type)

    def test_begins_with_the_request(self, stack: Stack) -> None:
        document = httpx.get(f"{stack.base_url}/api/schema/?format=json").json()

        body = document["paths"]["/api/payouts/"]["post"]["requestBody"]["content"]["application/json"]
        assert next(iter(body["examples"].values()))["value"] == FIELDS


class TestEnvironment:
    def test_is_accepted_and_meant(self) -> None:
        assert held_by_settings(ENVIRONMENT) == {
            "DJANGO_SECRET_KEY": "dev-secret-key",
            "DJANGO_DEBUG": True,
            "DJANGO_ALLOWED_HOSTS": ["localhost", "127.0.0.1"],
            "POSTGRES_DB": "payouts",
            "POSTGRES_USER": "payouts",
            "POSTGRES_PASSWORD": "payouts",
            "POSTGRES_HOST": "db",
            "POSTGRES_PORT": 5432,
            "CELERY_BROKER_URL": "redis://redis:6379/0",
            "CELERY_RESULT_BACKEND": "redis://redis:6379/1",
        }

    def test_passes_the_checks_that_a_process_makes_at_its_start(self) -> None:
        done = python(["-c", "from config import startup; startup.require_settings(); startup.require_checks()"])

        assert (done.returncode, done.stderr) == (0, "")

    def test_is_named_in_the_example(self) -> None:
        example = (CHECKOUT / ".env.example").read_text(encoding="utf-8")

        named = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", example, flags=re.MULTILINE))

        assert ENVIRONMENT.keys() <= named


class TestCompose:
    def test_has_the_services(self) -> None:
        assert {"web", "worker", "db", "redis", "test"} <= SERVICES.keys()

    @pytest.mark.parametrize("service", ["web", "worker"])
    def test_hands_the_settings_on(self, service: str, tmp_path: Path) -> None:
        """What the process of the container holds, with nothing in `.env` but the lines of the plan."""
        environment = environment_of(service)
        # Another service of the file has written it there.
        secret_key = tmp_path / "secret-key"
        secret_key.write_text(str(resolved(SERVICES["secret-key"]["environment"], ENVIRONMENT)["DJANGO_SECRET_KEY"]))

        held = held_by_settings({**environment, "DJANGO_SECRET_KEY_FILE": str(secret_key)})

        assert held == {
            **held_by_settings(ENVIRONMENT),
            # The name under which the health check calls the process.
            "DJANGO_ALLOWED_HOSTS": ["localhost", "127.0.0.1", "web"],
        }

    def test_makes_the_database_and_the_broker_that_the_settings_name(self) -> None:
        database, broker = environment_of("db"), environment_of("redis")

        assert database == {
            **{name: ENVIRONMENT[name] for name in ("POSTGRES_DB", "POSTGRES_USER", "POSTGRES_PASSWORD")},
            "POSTGRES_INITDB_ARGS": database["POSTGRES_INITDB_ARGS"],
        }
        # The address of the plan has no password, so Redis must ask for none.
        assert broker == {"REDIS_PASSWORD": ""}
        assert SERVICES["db"]["image"].startswith("postgres:16")
        assert SERVICES["redis"]["image"].startswith("redis:7")

    def test_is_reached_at_the_address(self) -> None:
        """http://localhost:8000"""
        assert interpolated(SERVICES["proxy"]["ports"][0], ENVIRONMENT).startswith("127.0.0.1:8000:")

    def test_migrates_in_the_web_service(self) -> None:
        """docker compose exec web python manage.py migrate"""
        dockerfile = (CHECKOUT / "deploy" / "Dockerfile").read_text(encoding="utf-8")

        assert "COPY manage.py ./" in dockerfile
        # It is the image that is made to migrate at each start, and the environment is the same.
        assert SERVICES["web"]["image"] == SERVICES["migrate"]["image"]
        assert SERVICES["migrate"]["command"][:3] == ["python", "manage.py", "migrate"]

    def test_runs_the_tests_in_a_container_of_their_own(self) -> None:
        """docker compose run --rm test"""
        dockerfile = (CHECKOUT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
        stage = dockerfile.split(" AS test\n")[1].split("\nFROM ")[0]

        assert SERVICES["test"]["build"]["target"] == "test"
        # A command of the service would take the place of the image's.
        assert "command" not in SERVICES["test"]
        assert 'CMD ["python", "-m", "pytest"' in stage
        assert environment_of("test")["CELERY_BROKER_URL"] == "redis://:@redis:6379/15"
        assert SERVICES["test"]["depends_on"].keys() == {"db", "redis"}


class TestArchitecture:
    @pytest.mark.parametrize(("module", "content"), MODULES.items())
    def test_has_the_modules(self, module: str, content: str) -> None:
        assert callable(getattr(importlib.import_module(module), content))

    def test_has_locked_dependencies_and_the_python_that_was_named(self) -> None:
        assert (CHECKOUT / "poetry.lock").is_file()
        assert "FROM python:3.12" in (CHECKOUT / "deploy" / "Dockerfile").read_text(encoding="utf-8")


def python(arguments: list[str], environment: dict[str, str] = ENVIRONMENT) -> subprocess.CompletedProcess[str]:
    """Run Python in a process that has this environment and nothing else."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def held_by_settings(environment: dict[str, str]) -> dict[str, Any]:
    """Return what the settings of such a process hold, by the names of the variables."""
    done = python(["-c", SHOW_SETTINGS], environment)
    assert done.returncode == 0, done.stderr
    held: dict[str, Any] = json.loads(done.stdout)
    return held


def environment_of(service: str) -> dict[str, str]:
    """Return the environment of the service's container where `.env` has the lines of the plan alone."""
    return resolved(SERVICES[service]["environment"], ENVIRONMENT)


def resolved(given: dict[str, str | None], dotenv: dict[str, str]) -> dict[str, str]:
    """Return an `environment` of the compose file: a name without a value is passed on from `.env`, if it is there."""
    passed_on = {name: dotenv[name] for name, value in given.items() if value is None and name in dotenv}
    return passed_on | {name: interpolated(value, dotenv) for name, value in given.items() if value is not None}


def interpolated(text: str, dotenv: dict[str, str]) -> str:
    """Return the text with the values of ${NAME}, ${NAME:-default} and ${NAME:?message}, as Compose fills them in."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        found = dotenv.get(name, "")
        assert found or kind != ":?", f"{name} {rest}"
        return found or (rest if kind == ":-" else "")

    return re.sub(r"\$\{([A-Z_][A-Z0-9_]*)(?:(:[-?])([^}]*))?\}", value, text)
