from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from sandbox_bank import __main__ as command
from sandbox_bank import errors, scenarios

ENVIRONMENT = {"BANK_TOKEN": "token", "BANK_SECRET": "secret", "BANK_CALLBACK_SECRET": "whsec_c2VjcmV0"}
URL = "http://127.0.0.1:8000/api/callbacks/http_bank/"


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(["--port", "1", "--book", "book.sqlite3", *arguments])


class TestConfigure:
    def test_has_the_times_of_the_documentation(self) -> None:
        configuration = command.configure(options(), ENVIRONMENT)

        assert configuration.timing == scenarios.Timing(settle=2.0, returned=4.0, slow=5.0)
        assert (configuration.backoff.first_seconds, configuration.backoff.max_seconds) == (0.2, 10.0)
        assert configuration.book == Path("book.sqlite3")

    def test_takes_other_times(self) -> None:
        given = options("--settle-seconds", "0.1", "--return-seconds", "0", "--slow-seconds", "86400")

        timing = command.configure(given, ENVIRONMENT).timing

        assert timing == scenarios.Timing(settle=0.1, returned=0.0, slow=86_400.0)

    @pytest.mark.parametrize(
        ("arguments", "environment", "sends_callbacks"),
        [
            (["--callback-url", URL], {}, True),
            ([], {}, False),
            (["--callback-url", URL], {"BANK_CALLBACK_SECRET": ""}, False),
        ],
    )
    def test_tells_whom_it_can_prove_itself_to(
        self,
        arguments: list[str],
        environment: dict[str, str],
        sends_callbacks: bool,  # noqa: FBT001 - a column of the table
    ) -> None:
        assert command.configure(options(*arguments), {**ENVIRONMENT, **environment}).sends_callbacks is sends_callbacks

    @pytest.mark.parametrize("missing", ["BANK_TOKEN", "BANK_SECRET"])
    def test_needs_one_proof_only(self, missing: str) -> None:
        command.configure(options(), {name: value for name, value in ENVIRONMENT.items() if name != missing})

    @pytest.mark.parametrize(
        ("environment", "sentence"),
        [
            (
                {"BANK_TOKEN": "", "BANK_SECRET": ""},
                "Set BANK_TOKEN or BANK_SECRET, or both: the bank must know whose requests to take.",
            ),
            ({"BANK_TOKEN": "two words"}, "BANK_TOKEN must be visible ASCII characters: it is sent in a header."),
            (
                {"BANK_CALLBACK_SECRET": "whsec_?"},
                "BANK_CALLBACK_SECRET cannot be used: what follows whsec_ is not base64.",
            ),
        ],
    )
    def test_refuses_secrets_that_cannot_be_used(self, environment: dict[str, str], sentence: str) -> None:
        with pytest.raises(errors.UsageError) as refused:
            command.configure(options(), {**ENVIRONMENT, **environment})

        assert str(refused.value) == sentence

    def test_shows_no_secret(self) -> None:
        shown = repr(command.configure(options("--callback-url", URL), ENVIRONMENT))

        assert "secret'" not in shown
        assert "token'" not in shown


class TestDescribe:
    def test_says_where_it_is_and_whom_it_tells(self) -> None:
        configuration = command.configure(options("--callback-url", URL), ENVIRONMENT)

        assert command.describe(configuration, port=9100) == (
            "The sandbox bank serves http://127.0.0.1:9100/v1 with the book book.sqlite3; "
            f"callbacks go to {URL}. It moves no money."
        )


class TestMain:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--book", "b"], "the following arguments are required: --port"),
            (["--port", "1"], "the following arguments are required: --book"),
            (["--port", "x", "--book", "b"], "'x' is no port; take a number from 1 to 65535"),
            (
                ["--port", "1", "--book", "b", "--settle-seconds", "-1"],
                "'-1' is no time; take a number of seconds from",
            ),
            (
                ["--port", "1", "--book", "b", "--slow-seconds", "nan"],
                "'nan' is no time; take a number of seconds from",
            ),
            (["--port", "1", "--book", "b", "--return-seconds", "soon"], "'soon' is no time; take a number of seconds"),
            (["--port", "1", "--book", "b", "--callback-url", ""], "'' is no address; write it like http://"),
            (["--port", "1", "--book", "b", "--callback-url", "ftp://a/"], "is no address; write it like http://"),
            (["--port", "1", "--book", "b", "--callback-url", "http://a"], "is no address; write it like http://"),
            (["--port", "1", "--book", "b", "--callback-url", "http:///a"], "is no address; write it like http://"),
            (
                ["--port", "1", "--book", "b", "--callback-url", "http://a:99999/"],
                "is no address; write it like http://",
            ),
            (["--port", "1", "--book", "b", "--callback-url", "http://a/b c"], "is no address; write it like http://"),
        ],
    )
    def test_refuses_what_makes_no_sense(
        self, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as refused:
            command.main(arguments)

        assert refused.value.code == 2
        assert words in capsys.readouterr().err

    def test_refuses_in_one_sentence(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for name in ENVIRONMENT:
            monkeypatch.delenv(name, raising=False)

        assert command.main(["--port", "1", "--book", str(tmp_path / "book")]) == 2
        assert capsys.readouterr().err == (
            "Set BANK_TOKEN or BANK_SECRET, or both: the bank must know whose requests to take.\n"
        )
        assert list(tmp_path.iterdir()) == []
