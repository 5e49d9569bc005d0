"""docker-compose.yml, deploy/Dockerfile and deploy/nginx agree with the code and with each other.

No engine is needed: these tests read. `make lint` checks both files against their published schemas besides.
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from rest_framework.exceptions import ValidationError

from config import api_errors, request_ids, server_problems
from rest import pagination
from rest.parsers import StrictJSONParser

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
NGINX = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text(encoding="utf-8")
GUNICORN = (ROOT / "deploy" / "gunicorn.conf.py").read_text(encoding="utf-8")

# It refuses no path, expects nothing, and closes the connection of a slow client without an answer.
NOT_OF_NGINX = {403, 408, 417}
ONE_SHOT = {"secret-key", "migrate", "test"}
APPLICATION = {"secret-key", "migrate", "web", "worker", "sweeper"}
LONG_RUNNING = sorted(SERVICES.keys() - ONE_SHOT)


def seconds(duration: str) -> int:
    """'75s' of a compose file and of nginx."""
    assert duration.endswith("s")
    return int(duration[:-1])


def number(pattern: str, text: str) -> int:
    found = re.search(pattern, text, re.MULTILINE)
    assert found is not None, pattern
    return int(found[1])


class TestCompose:
    def test_has_the_processes_of_the_platform(self) -> None:
        assert SERVICES.keys() == APPLICATION | {"db", "redis", "proxy", "test"}

    @pytest.mark.parametrize("name", sorted(SERVICES))
    def test_gives_no_container_more_than_it_needs(self, name: str) -> None:
        service = SERVICES[name]

        assert service["init"] is True
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
        assert "cap_add" not in service
        # By number: a name would be looked up in an image that may change.
        assert int(service["user"].split(":")[0]) > 0
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}

    @pytest.mark.parametrize("name", LONG_RUNNING)
    def test_watches_and_restarts_what_runs_for_ever(self, name: str) -> None:
        service = SERVICES[name]

        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
        assert seconds(service["healthcheck"]["timeout"]) < seconds(service["healthcheck"]["interval"])
        assert "stop_grace_period" in service

    @pytest.mark.parametrize("name", sorted(ONE_SHOT))
    def test_runs_once_what_ends_by_itself(self, name: str) -> None:
        assert SERVICES[name]["restart"] == "no"

    def test_publishes_the_proxy_alone_and_on_this_machine_alone(self) -> None:
        published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

        assert published == {"proxy": ["${PAYOUTS_PUBLISH:-127.0.0.1:8000}:8080"]}

    def test_keeps_database_and_broker_in_a_network_without_a_way_out(self) -> None:
        assert COMPOSE["networks"]["data"] == {"internal": True}
        assert SERVICES["db"]["networks"] == ["data"]
        assert SERVICES["redis"]["networks"] == ["data"]
        assert SERVICES["proxy"]["networks"] == ["edge"]

    @pytest.mark.parametrize("name", ["web", "worker", "sweeper"])
    def test_starts_the_platform_on_a_migrated_database(self, name: str) -> None:
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}

    def test_accepts_payouts_while_redis_is_down(self) -> None:
        assert SERVICES["web"]["depends_on"]["redis"] == {"condition": "service_started"}
        assert "redis" not in SERVICES["sweeper"]["depends_on"]

    def test_lets_a_worker_settle_what_it_sent(self) -> None:
        # The hard limit of a task, and ten seconds in which to write down how it ended.
        assert seconds(SERVICES["worker"]["stop_grace_period"]) >= settings.CELERY_TASK_TIME_LIMIT + 10

    def test_lets_a_request_end(self) -> None:
        gunicorn_seconds = number(r"^timeout = (\d+)$", GUNICORN)
        proxy_seconds = number(r"proxy_read_timeout (\d+)s;", NGINX)

        assert gunicorn_seconds < proxy_seconds
        assert number(r"^graceful_timeout = (\d+)$", GUNICORN) < seconds(SERVICES["web"]["stop_grace_period"])

    def test_never_lets_redis_evict(self) -> None:
        configuration = SERVICES["redis"]["command"][0]

        assert "maxmemory-policy noeviction" in configuration
        assert "appendonly yes" in configuration

    def test_listens_to_each_queue_that_is_rung(self) -> None:
        routed = [route["queue"] for route in settings.CELERY_TASK_ROUTES.values()]

        assert f"--queues={','.join([settings.CELERY_TASK_DEFAULT_QUEUE, *routed])}" in SERVICES["worker"]["command"]

    @pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "CELERY_BROKER_URL", "DJANGO_ALLOWED_HOSTS"])
    def test_says_what_to_do_about_a_missing_setting(self, name: str) -> None:
        assert f"${{{name}:?is not set. Copy .env.example to .env" in COMPOSE["x-settings"][name]

    def test_asks_the_test_suite_into_places_of_its_own(self) -> None:
        environment = SERVICES["test"]["environment"]

        assert SERVICES["test"]["profiles"] == ["test"]
        assert environment["CELERY_BROKER_URL"].endswith("@redis:6379/15")
        assert "DJANGO_SECRET_KEY_FILE" not in environment


class TestDockerfile:
    def test_holds_every_app(self) -> None:
        apps = {app for app in settings.INSTALLED_APPS if (ROOT / app.split(".")[0] / "__init__.py").is_file()}

        assert apps >= {"accounts", "idempotency", "payouts"}
        assert {app for app in apps if f"COPY {app}/ {app}/\n" not in DOCKERFILE} == set()

    def test_holds_every_document_that_is_read(self) -> None:
        sources = [
            path.read_text(encoding="utf-8") for at in ("config", "payouts/api") for path in (ROOT / at).glob("*.py")
        ]
        reads = re.compile(r'BASE_DIR(?: /|,) "docs"(?: /|,) "([^"]+)"')
        documents = {name for text in sources for name in reads.findall(text)}

        assert documents == {"api-introduction.md", "bank-api.yaml"}
        assert {name for name in documents if f"COPY docs/{name} docs/\n" not in DOCKERFILE} == set()

    def test_installs_what_the_platform_needs_and_no_more(self) -> None:
        stage = DOCKERFILE.split(" AS dependencies\n")[1].split("\nFROM ")[0]

        assert "devstack.setup.locked main >" in stage
        assert "--require-hashes" in stage

    def test_ends_in_the_stage_that_runs_without_root(self) -> None:
        last = DOCKERFILE.split("\nFROM ")[-1]

        assert last.startswith("application AS runtime\n")
        assert "\nUSER 10001:10001\n" in last
        assert SERVICES["web"]["build"]["target"] == "runtime"
        assert SERVICES["test"]["build"]["target"] == "test"

    def test_starts_the_same_server_as_compose(self) -> None:
        command = json.loads(DOCKERFILE.split("\nCMD ")[-1])

        assert command == SERVICES["web"]["command"]

    def test_leaves_secrets_and_local_data_out(self) -> None:
        ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()

        assert {".env", ".env.*", ".git", ".local", ".venv"} <= set(ignored)


class TestProxy:
    def test_has_the_body_limit_of_the_application(self) -> None:
        api = NGINX.split("location /api/ {")[1].split("}")[0]

        assert number(r"client_max_body_size (\d+)k;", api) * 1024 == settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    def test_takes_the_request_ids_that_the_application_takes(self) -> None:
        assert f'"~^{request_ids.REQUEST_ID.pattern}$" $http_x_request_id;' in NGINX

    def test_answers_a_body_over_the_limit_as_the_application_does(self) -> None:
        body = io.BytesIO(b" " * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1))
        with pytest.raises(ValidationError) as caught:
            StrictJSONParser().parse(body)
        detail: Any = caught.value.detail
        [message] = detail["body"]

        problem = self._problem("@body_too_large")

        assert problem["errors"] == [{"field": "body", "code": message.code, "message": str(message)}]
        assert (problem["status"], problem["code"], problem["title"]) == (
            api_errors.INVALID_REQUEST.status,
            api_errors.INVALID_REQUEST.code,
            api_errors.INVALID_REQUEST.title,
        )

    def test_says_like_the_application_that_an_outcome_is_unknown(self) -> None:
        problem = self._problem("@web_unavailable")

        assert problem["status"] == api_errors.OUTCOME_UNKNOWN.status
        assert f"default {api_errors.OUTCOME_UNKNOWN.code};" in NGINX
        for method in api_errors.SAFE_METHODS:
            assert f"{method} service_unavailable;" in NGINX

    @pytest.mark.parametrize("location", ["@body_too_large", "@web_unavailable"])
    def test_writes_problem_documents_with_every_member(self, location: str) -> None:
        expected = api_errors.document(api_errors.INVALID_REQUEST, detail="", instance="").keys()

        assert self._problem(location).keys() - {"errors"} == expected

    @pytest.mark.parametrize("status", sorted(server_problems.PROBLEMS.keys() - NOT_OF_NGINX))
    def test_refuses_what_it_cannot_read_as_the_server_does(self, status: int) -> None:
        told = self._problem(f"= /problems/{status}")

        expected = server_problems.PROBLEMS[status]
        assert (told["status"], told["code"], told["title"]) == (status, expected.code, expected.title)
        assert told["detail"] == (expected.detail or "The request could not be understood.")
        assert told.keys() == server_problems.document(ValueError(), status=status, request_id="").keys()

    def test_refuses_nothing_in_another_way(self) -> None:
        by_itself = set(re.findall(r"^        error_page (.+?)(?: =\d+)? (\S+);$", NGINX, re.MULTILINE))

        assert by_itself == {
            ("502 503 504", "@web_unavailable"),
            ("494", "/problems/431"),
            *((str(status), f"/problems/{status}") for status in (400, 405, 413, 414, 500, 501, 505)),
        }

    def test_takes_the_lines_of_our_links(self) -> None:
        assert number(r"large_client_header_buffers \d+ (\d+)k;", NGINX) * 1024 > pagination.REQUEST_LINE_BYTES_MAX
        assert number(r"^limit_request_line = (\d+)$", GUNICORN) >= pagination.REQUEST_LINE_BYTES_MAX

    def test_waits_for_a_client_longer_than_the_server(self) -> None:
        assert number(r"send_timeout (\d+)s;", NGINX) > settings.SEND_TIMEOUT_SECONDS

    def test_hands_on_what_gunicorn_is_to_refuse(self) -> None:
        """A header with an underscore, which either of them would drop by itself."""
        assert re.search(r"^    underscores_in_headers on;$", NGINX, re.MULTILINE)
        assert re.search(r'^header_map = "refuse"$', GUNICORN, re.MULTILINE)

    @pytest.mark.parametrize(
        ("target", "instance"),
        [
            ("/api/payouts/?search=Jane", "/api/payouts/"),
            ("/api/a%20b%22%00%FF/", "/api/a%20b%22%00%FF/"),
            ("/api/it's(1)/~x?", "/api/it's(1)/~x"),
            ('/api/"/', ""),
            ("/api/\\/", ""),
            ("/api/\u00e9/", ""),
            ("/" + "x" * 401, ""),
        ],
    )
    def test_writes_the_path_as_it_came(self, target: str, instance: str) -> None:
        source = re.search(r'map \$request_uri \$problem_instance \{.*?"~(.*?)" \$raw_path;', NGINX, re.DOTALL)
        assert source is not None
        found = re.search(source[1].replace("?<", "?P<"), target)

        assert (found["raw_path"] if found else "") == instance

    def test_keeps_the_figures_inside(self) -> None:
        assert "return 404;" in NGINX.split("location = /metrics {")[1].split("}")[0]

    def _problem(self, location: str) -> dict[str, Any]:
        text = NGINX.split(f"location {location} {{")[1]
        found = re.search(r"return \d+ '(.*)';", text)
        assert found is not None
        problem: dict[str, Any] = json.loads(found[1])
        return problem
