"""What the documents claim and a program can check."""

from __future__ import annotations

import os
import re
import tomllib
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from config import api_errors
from devstack.servers import environment
from payouts.management.commands import draw_states
from payouts.states import TRANSITIONS, PayoutStatus

ROOT = Path(__file__).resolve().parents[2]
ADR_FOLDER = ROOT / "docs" / "adr"
ADRS = sorted(path for path in ADR_FOLDER.glob("*.md") if path.name != "README.md")

# Made by tools, or somebody's own.
SKIPPED_FOLDERS = {"node_modules", "htmlcov", "staticfiles", "__pycache__"}

READER = re.compile(r'env\.(?:text|boolean|integer|choice|items|host|url)\(\s*"([A-Z][A-Z0-9_]*)"')
# Set by docker-compose.yml for each process, whatever .env says.
SET_BY_COMPOSE = {"PAYOUTS_PROCESS_NAME", "PAYOUTS_WEB_BIND"}

# Whatever is written like a setting; a name that ends in an underscore stands for all that begin like it.
LIKE_A_SETTING = re.compile(r"\b(?:CELERY|DJANGO|PAYOUTS|POSTGRES)_[A-Z0-9_]+")
# Read by others than config/: docker-compose.yml, devstack, Django, PostgreSQL's image, the tests, documented scripts.
READ_ELSEWHERE = {
    "DJANGO_SETTINGS_MODULE", "DJANGO_SUPERUSER_PASSWORD", "PAYOUTS_IMAGE_TAG", "PAYOUTS_PUBLISH",
    "PAYOUTS_PGBOUNCER_SECONDS", "PAYOUTS_REQUIRE_BROWSER", "PAYOUTS_REQUIRE_PGBOUNCER", "PAYOUTS_REQUIRE_RABBITMQ",
    "PAYOUTS_STATE_DIR", "PAYOUTS_TEST_SETTING", "PAYOUTS_URL", "POSTGRES_INITDB_ARGS",
}  # fmt: skip
# Members of enumerations.
NOT_SETTINGS = {"PAYOUTS_PAUSED", "PAYOUTS_READ", "PAYOUTS_WRITE"}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def repository_texts() -> Iterator[tuple[str, str]]:
    """Each text file of the repository, without what tools left in it (folders with a dot in front among them)."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in SKIPPED_FOLDERS]
        for name in files:
            path = Path(folder, name)
            # .env and .coverage are not ours.
            if name == ".env" or name.startswith(".coverage"):
                continue
            try:
                yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def settings_read() -> set[str]:
    sources = [*(ROOT / "config").glob("*.py"), ROOT / "deploy" / "gunicorn.conf.py"]
    return {name for path in sources for name in READER.findall(path.read_text(encoding="utf-8"))}


class TestSettings:
    def test_are_all_in_the_example(self) -> None:
        compose = read("docker-compose.yml")
        arguments = yaml.safe_load(compose)["x-application"]["build"]["args"]
        for_compose = set(re.findall(r"\$\{([A-Z_]+)", compose)) | arguments.keys()
        example = re.findall(r"^#?([A-Z][A-Z0-9_]*)=", read(".env.example"), re.MULTILINE)

        assert len(example) == len(set(example))
        assert set(example) == settings_read() | for_compose

    def test_are_all_passed_on_to_the_containers(self) -> None:
        passed = {name.removesuffix("_FILE") for name in yaml.safe_load(read("docker-compose.yml"))["x-settings"]}

        assert passed | SET_BY_COMPOSE == settings_read()

    def test_are_all_explained_to_the_operator(self) -> None:
        table = read("docs/operations.md").split("## Settings")[1].split("\n## ")[0]
        rows = {
            name
            for line in table.splitlines()
            if line.startswith("| `")
            for name in re.findall(r"`(\w+)`", line.split("|")[1])
        }

        assert rows == settings_read()

    def test_are_written_everywhere_as_they_are_read(self) -> None:
        known = settings_read() | READ_ELSEWHERE | NOT_SETTINGS
        misspelt = {
            f"{name}: {setting}"
            for name, text in repository_texts()
            # The changelog names what is gone, too.
            if name != "CHANGELOG.md"
            for setting in LIKE_A_SETTING.findall(text)
            if not self._is_known(setting, known)
        }

        assert misspelt == set()

    def _is_known(self, setting: str, known: set[str]) -> bool:
        if setting.endswith("_"):
            return any(name.startswith(setting) for name in known)
        # Celery reads its own from Django's settings.
        return setting.removesuffix("_FILE") in known or (setting.startswith("CELERY_") and hasattr(settings, setting))

    def test_of_a_bank_or_replica_are_all_that_devstack_takes_away(self) -> None:
        of_any = {
            "PAYOUTS_HTTP_BANK_CONCURRENCY_MAX", "PAYOUTS_HTTP_BANK_IDEMPOTENCY_SECONDS",
            "PAYOUTS_HTTP_BANK_SETTLE_SECONDS", "PAYOUTS_HTTP_BANK_RETURN_SECONDS", "PAYOUTS_REPLICA_LAG_MAX_SECONDS",
        }  # fmt: skip
        given = {
            name: "another" for name in settings_read() if name.startswith(("PAYOUTS_HTTP_BANK_", "PAYOUTS_REPLICA_"))
        }

        with_bank = environment.with_bank(given, url="ours", secret="ours", callback_secret="ours")
        left = environment.with_database(with_bank, {})

        assert {name for name, value in left.items() if value == "another"} == of_any

    def test_come_without_a_secret_key(self) -> None:
        # One that is published would sign the sessions of every installation that forgot to change it.
        assert "\nDJANGO_SECRET_KEY=\n" in read(".env.example")


class TestPromise:
    SENTENCES = (
        "For one merchant and mode, an `Idempotency-Key` creates at most one payout, for ever.",
        (
            "When we answered 2xx, the payout is in PostgreSQL and will reach a final state, or `requires_attention`, "
            "whatever happens to Redis, Celery, a worker or the caller."
        ),
        "A payout is never reported `failed` unless we have evidence that no money moved.",
    )

    @pytest.mark.parametrize("name", ["README.md", "docs/architecture.md", "docs/idempotency.md"])
    def test_is_the_same_wherever_it_is_given(self, name: str) -> None:
        text = " ".join(line.removeprefix(">").strip() for line in read(name).splitlines())

        assert [sentence for sentence in self.SENTENCES if sentence not in text] == []


class TestMap:
    """docs/architecture.md draws the tree: each package, and each room of the subject."""

    MAP = read("docs/architecture.md").split("## The map")[1].split("## One POST")[0]
    TREE = MAP.split("```text\n")[1].split("```")[0].splitlines()

    def test_has_every_package(self) -> None:
        packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}

        assert self._named(indent=0) == {f"{name}/" for name in packages}

    def test_has_every_room_of_the_subject(self) -> None:
        packages = {f"{path.parent.name}/" for path in (ROOT / "payouts").glob("*/*") if path.suffix in {".py", ""}}
        files = {path.name for path in (ROOT / "payouts").glob("*.py") if path.name != "__init__.py"}

        assert self._named(indent=2) == {name for name in packages if not name.startswith("__")} | files

    def test_walks_along_files_that_there_are(self) -> None:
        walked = re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", self.MAP)

        assert [name for name in walked if not (ROOT / name).is_file()] == []

    @pytest.mark.parametrize(
        ("walk", "files_max"),
        [("A POST", 14), ("The processing of a payout", 10), ("An export", 12)],
    )
    def test_walks_are_short(self, walk: str, files_max: int) -> None:
        steps = self.MAP.split(f"### {walk}, file by file")[1].split("###")[0]
        files = re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", steps)

        assert len(files) == len(set(files)) <= files_max

    def _named(self, *, indent: int) -> set[str]:
        lines = (line for line in self.TREE if len(line) - len(line.lstrip()) == indent)
        return {line.split()[0] for line in lines}


class TestVersion:
    def test_is_the_newest_of_the_changelog(self) -> None:
        version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
        versions = re.findall(r"^## \[([^\]]+)\]", read("CHANGELOG.md"), re.MULTILINE)

        assert next(name for name in versions if name != "Unreleased") == version
        assert settings.SPECTACULAR_SETTINGS["VERSION"] == version


class TestLinks:
    LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)")

    def test_lead_somewhere(self) -> None:
        broken = [
            f"{name}: {target}"
            for name, text in repository_texts()
            if name.endswith(".md")
            for target in self.LINK.findall(text)
            if not self._resolves(Path(name).parent, target)
        ]

        assert broken == []

    def _resolves(self, folder: Path, target: str) -> bool:
        path, _, anchor = target.partition("#")
        if "://" in path or path.startswith("mailto:"):
            return True
        file = ROOT / folder / path if path else None
        if file is not None and not file.exists():
            return False
        if not anchor or file is None or file.suffix != ".md":
            return True
        return anchor in {self._anchor(line) for line in file.read_text(encoding="utf-8").splitlines()}

    def _anchor(self, line: str) -> str:
        """A heading's address as repository hosts make it: lower case, blanks to hyphens, no other punctuation."""
        return re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower()).replace(" ", "-")


class TestPaths:
    PATH = re.compile(
        r"`((?:accounts|config|deploy|devstack|docs|idempotency|payouts|sandbox_bank|tests)/[a-z0-9_./-]*)`"
    )

    def test_of_code_exist(self) -> None:
        missing = {
            f"{name}: {path}"
            for name, text in repository_texts()
            if name.endswith(".md")
            for path in self.PATH.findall(text)
            if not (ROOT / path).exists()
        }

        assert missing == set()


class TestDecisionRecords:
    def test_are_numbered_without_gaps(self) -> None:
        numbers = [int(path.name[:4]) for path in ADRS]

        assert numbers == list(range(1, len(ADRS) + 1))
        assert len(ADRS) >= 10

    @pytest.mark.parametrize("path", ADRS, ids=lambda path: path.stem)
    def test_have_every_section(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")

        assert text.startswith(f"# {path.name[:4]} ")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
            "Context",
            "Decision",
            "Consequences",
            "Alternatives considered",
            "References",
        ]

    def test_are_all_in_the_index(self) -> None:
        rows = re.findall(r"^\| \[(\d{4})\]\(([^)]+)\) \| (.+?) \|", read("docs/adr/README.md"), re.MULTILINE)
        titles = [(path.name[:4], path.name, path.read_text(encoding="utf-8").split("\n")[0][7:]) for path in ADRS]

        assert rows == titles


class TestStatuses:
    TEXT = read("docs/states.md")

    def test_have_the_transitions_of_the_code_in_the_table(self) -> None:
        rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", self.TEXT, re.MULTILINE)

        assert {source: set(re.findall(r"`(\w+)`", targets)) for source, targets in rows} == self._expected()

    def test_are_drawn_as_the_code_has_them(self) -> None:
        assert draw_states.insert(self.TEXT) == self.TEXT

    def test_have_each_transition_of_the_code_in_the_diagram(self) -> None:
        arrows = re.findall(r"^ +(\w+) --> (\w+)", self.TEXT, re.MULTILINE)
        drawn: dict[str, set[str]] = {status.value: set() for status in PayoutStatus}
        for source, target in arrows:
            drawn[source].add(target)

        assert drawn == self._expected()

    def _expected(self) -> dict[str, set[str]]:
        return {source.value: {target.value for target in targets} for source, targets in TRANSITIONS.items()}


class TestErrors:
    def test_to_be_repeated_are_codes_that_exist(self) -> None:
        table = read("docs/errors.md").split("## When to send a request again")[1]
        named = {
            code
            for row in re.findall(r"^\| \d{3} \|([^|]*)\|", table, re.MULTILINE)
            for code in re.findall(r"`(\w+)`", row)
        }
        others = (api_errors.OUTCOME_UNKNOWN, api_errors.DATABASE_BUSY, api_errors.DATABASE_UNAVAILABLE)
        codes = {problem.code for problem in [*api_errors.PROBLEMS.values(), *others, api_errors.INTERNAL_ERROR]}

        assert named - codes == {"service_unavailable"}
        assert "service_unavailable" in read("deploy/nginx/nginx.conf")

    def test_to_be_repeated_are_all_that_say_when(self) -> None:
        table = read("docs/errors.md").split("## When to send a request again")[1]
        problems: list[Any] = [
            *api_errors.PROBLEMS.values(),
            api_errors.OUTCOME_UNKNOWN,
            api_errors.DATABASE_UNAVAILABLE,
        ]

        missing = {
            problem.code for problem in problems if problem.retry_after_seconds and f"`{problem.code}`" not in table
        }

        assert missing == set()


class TestRepository:
    def test_names_no_package_index(self) -> None:
        # The address of an index ends in /simple/. Whoever installs says which one theirs is.
        address = re.compile(r"https?://[^\s'\"]+/simple\b|(?:INDEX_URL|index-url)[= ]+['\"]?https?://")
        found = [name for name, text in repository_texts() if address.search(text)]

        assert found == []
        # What Poetry writes when a package came from another index than its default.
        assert "[package.source]" not in read("poetry.lock")

    def test_hides_no_control_characters(self) -> None:
        found = {
            f"{name}: U+{ord(character):04X}"
            for name, text in repository_texts()
            for character in set(text) - {"\n", "\t"}
            if unicodedata.category(character) in {"Cc", "Cf"}
        }

        assert found == set()
