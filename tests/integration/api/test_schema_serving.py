"""How the OpenAPI documents are served: made once for each process, the same bytes for everybody, and never a 500."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.test import Client

from tests.support import processes

DOCUMENTS = ["/api/schema/", "/api/schema/?format=json", "/api/schema/?format=yaml", "/api/schema/bank/"]


class TestDocument:
    @pytest.mark.parametrize("url", DOCUMENTS)
    def test_is_sent_again_only_when_it_has_changed(self, client: Client, url: str) -> None:
        first = client.get(url)
        etag = first.headers["ETag"]

        seen = client.get(url, headers={"If-None-Match": etag})
        # A proxy that compresses makes it a weak one.
        seen_compressed = client.get(url, headers={"If-None-Match": f'"another", W/{etag}'})
        other = client.get(url, headers={"If-None-Match": '"another"'})

        assert (seen.status_code, seen.content, seen.headers["ETag"]) == (304, b"", etag)
        assert (seen_compressed.status_code, seen_compressed.content) == (304, b"")
        assert (other.status_code, other.content) == (200, first.content)
        assert first.headers["Content-Length"] == str(len(first.content))
        assert "Content-Length" not in seen.headers
        # It may be kept, and is asked for again each time.
        assert {answer.headers["Cache-Control"] for answer in (first, seen)} == {"no-cache"}

    @pytest.mark.parametrize("url", DOCUMENTS)
    def test_has_the_same_headers_for_head(self, client: Client, url: str) -> None:
        got = client.get(url)

        head = client.head(url)

        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Length"] == str(len(got.content))
        for name in ("ETag", "Content-Type", "Cache-Control"):
            assert head.headers[name] == got.headers[name]

    def test_is_one_document_in_two_formats(self, client: Client) -> None:
        as_json, as_yaml = (client.get("/api/schema/", {"format": name}) for name in ("json", "yaml"))

        assert json.loads(as_json.content) == yaml.safe_load(as_yaml.content)
        assert as_json.headers["ETag"] != as_yaml.headers["ETag"]

    @pytest.mark.parametrize(
        ("accept", "content_type"),
        [
            ("*/*", "application/vnd.oai.openapi; charset=utf-8"),
            ("application/vnd.oai.openapi", "application/vnd.oai.openapi; charset=utf-8"),
            ("application/yaml", "application/yaml; charset=utf-8"),
            ("application/vnd.oai.openapi+json", "application/vnd.oai.openapi+json"),
            ("application/json", "application/json"),
        ],
    )
    def test_is_negotiated(self, client: Client, accept: str, content_type: str) -> None:
        response = client.get("/api/schema/", headers={"Accept": accept})

        assert (response.status_code, response.headers["Content-Type"]) == (200, content_type)
        assert "Accept" in response.headers["Vary"]

    def test_is_made_before_the_web_server_forks(self, tmp_path: Path, settings: Any) -> None:
        """gunicorn calls on_starting in its first process: the others inherit what is there by then."""
        code = (
            "import runpy; hooks = runpy.run_path('deploy/gunicorn.conf.py'); hooks['on_starting'](None); "
            "from config import api_document; print(api_document.is_made())"
        )
        database = settings.DATABASES["default"]

        ended = processes.python(
            code,
            tmp_path,
            POSTGRES_HOST=database["HOST"],
            POSTGRES_PORT=str(database["PORT"]),
            POSTGRES_USER=database["USER"],
            POSTGRES_PASSWORD=database["PASSWORD"],
            POSTGRES_DB=database["NAME"],
            DJANGO_SETTINGS_MODULE="config.settings",
        )

        assert (ended.stdout, ended.stderr) == ("True\n", "")
