"""docs/bank-api.yaml and docs/http-bank.md say what the code does."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import openapi_schema_validator
import openapi_spec_validator
import pytest
import yaml

from payouts.providers import base
from payouts.providers.http_bank import documents, provider, responses, signatures, sockets, transport
from payouts.providers.http_bank.responses import Answer
from tests.unit.payouts.providers import banks

DOCUMENTS = Path(__file__).resolve().parents[4] / "docs"
PAGE = (DOCUMENTS / "http-bank.md").read_text(encoding="utf-8")
API: dict[str, Any] = yaml.safe_load((DOCUMENTS / "bank-api.yaml").read_text(encoding="utf-8"))

REQUEST = re.compile(r"```http\n(\w+) (\S+) HTTP/1.1\n(.*?)\n(?:\n(.*?)\n)?```", re.DOTALL)
SECRET = "correct-horse-battery-staple"
CALLBACK_SECRET = "whsec_Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ=="


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    found: Any = API
    for name in node["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return resolve(found)


def examples() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each example of an answer, with method and status."""
    for method, operation in API["paths"]["/transfers/{reference}"].items():
        if method != "parameters":
            for status, answer in operation["responses"].items():
                for example in resolve(answer)["content"]["application/json"]["examples"].values():
                    yield method, status, resolve(example)


def is_valid(value: object, schema: str) -> bool:
    validator = openapi_schema_validator.OAS31Validator(
        {"$ref": f"#/components/schemas/{schema}", "components": API["components"]}
    )
    return bool(validator.is_valid(value))


def outcome(method: str, status: int, document: object) -> str:
    read = responses.read_send if method == "put" else responses.read_ask
    try:
        return read(Answer(status, json.dumps(document).encode()), banks.INSTRUCTION).kind.value
    except base.Rejected as error:
        return f"rejected {error.code}"
    except base.Unavailable as error:
        return f"unavailable {error.code}"
    except base.OutcomeUnknown as error:
        return f"unknown {error.code}"


class TestApi:
    def test_follows_the_specification(self) -> None:
        assert API["openapi"].startswith("3.1.")
        openapi_spec_validator.validate(API)

    @pytest.mark.parametrize(("method", "status", "example"), list(examples()))
    def test_has_examples_that_mean_what_they_say(self, method: str, status: str, example: dict[str, Any]) -> None:
        schema = {"200": "Transfer", "201": "Transfer", "422": "Refusal"}.get(status, "Problem")

        assert is_valid(example["value"], schema)
        assert outcome(method, 500 if status == "default" else int(status), example["value"]) == example["x-outcome"]

    def test_has_an_example_of_each_status(self) -> None:
        shown = {example["value"]["status"] for _, status, example in examples() if status in {"200", "201"}}

        assert shown == {status.value for status in documents.TransferStatus}
        assert shown == set(API["components"]["schemas"]["Transfer"]["properties"]["status"]["enum"])

    def test_has_examples_of_the_terms_as_they_are_sent(self) -> None:
        content = API["paths"]["/transfers/{reference}"]["put"]["requestBody"]["content"]["application/json"]
        for example in content["examples"].values():
            told = banks.instruction(
                amount=Decimal(example["value"]["amount"]),
                currency=example["value"]["currency"],
                recipient_details=example["value"]["recipient"],
            )
            assert is_valid(example["value"], "Terms")
            assert json.loads(provider._order(told)) == example["value"]

    # What the schema allows is read, and what is not read it does not allow.
    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"more": 1},
            {"amount": "10"},
            {"amount": "010"},
            {"amount": 10},
            {"amount": "9" * 34},
            {"amount": "9" * 35},
            {"currency": "eur"},
            {"reference": "a_b"},
            {"reference": "x" * 65},
            {"id": ""},
            {"id": "x" * 256},
            {"status": "lost"},
            {"final": 1},
            {"final": False},
            {"status": "accepted", "final": False},
            {"status": "accepted", "final": True},
            {"status": "rejected", "final": False},
            {"status": "returned", "final": False},
            {"code": None},
            {"message": None},
        ],
    )
    def test_allows_just_what_is_read(self, changes: dict[str, Any]) -> None:
        document = banks.transfer(**changes)
        try:
            documents.read_transfer(banks.as_json(document))
            is_read = True
        except documents.Unreadable:
            is_read = False

        assert is_valid(document, "Transfer") is is_read
        assert is_valid({"type": "transfer.updated", "transfer": document}, "TransferUpdated") is is_read

    @pytest.mark.parametrize("name", banks.transfer().keys())
    def test_requires_every_field(self, name: str) -> None:
        document = banks.transfer()
        del document[name]

        assert not is_valid(document, "Transfer")

    @pytest.mark.parametrize("name", ["code", "message", "reference"])
    def test_requires_every_field_of_a_refusal(self, name: str) -> None:
        document = banks.refusal()
        assert is_valid(document, "Refusal")
        del document[name]

        assert not is_valid(document, "Refusal")

    def test_has_the_callback_of_the_page(self) -> None:
        operation = API["webhooks"]["transfer.updated"]["post"]
        (example,) = operation["requestBody"]["content"]["application/json"]["examples"].values()
        _, headers, body = page_request("POST")

        assert is_valid(example["value"], "TransferUpdated")
        assert example["value"] == json.loads(body)
        for parameter in operation["parameters"]:
            assert parameter["example"] == headers[parameter["name"]]
            assert re.search(parameter["schema"]["pattern"], parameter["example"])


def page_request(method: str) -> tuple[str, dict[str, str], bytes]:
    """Return target, headers and body of the page's example."""
    ((target, head, body),) = [found[1:] for found in REQUEST.findall(PAGE) if found[0] == method]
    return target, dict(line.split(": ", 1) for line in head.splitlines()), body.encode()


class TestPage:
    @pytest.mark.parametrize("method", ["PUT", "GET"])
    def test_has_signatures_that_are_right(self, method: str) -> None:
        target, headers, body = page_request(method)

        signed = signatures.sign_request(
            SECRET, timestamp=int(headers["Payouts-Timestamp"]), method=method, target=target, body=body
        )
        assert signed == {name: value for name, value in headers.items() if name.startswith("Payouts-")}
        assert f"`{SECRET}`" in PAGE

    def test_has_a_body_as_it_is_sent(self) -> None:
        _, _, body = page_request("PUT")

        assert provider._order(banks.INSTRUCTION) == body
        assert f"body='{body.decode()}'" in PAGE

    def test_has_a_callback_that_is_authentic(self) -> None:
        target, headers, body = page_request("POST")
        keys = [signatures.callback_key(CALLBACK_SECRET)]

        event_id = signatures.verify_callback(keys, headers, body, now=int(headers["webhook-timestamp"]))

        assert (target, event_id) == ("/api/callbacks/http_bank/", "ev_7f3a")
        assert documents.read_callback(body).id == "tr_01"
        assert f"`{CALLBACK_SECRET}`" in PAGE

    def test_names_every_code(self) -> None:
        sources = "".join(inspect.getsource(module) for module in (responses, sockets, transport, provider))
        raised = set(re.findall(r'(?m)(?:(?:Rejected|Unavailable|OutcomeUnknown)\(\s*|^    \(\S+, )"(\w+)"', sources))
        tables = PAGE.split("## What each answer means")[1].split("\n## ")[0]
        named = {code for row in tables.splitlines() if row.startswith("| ") for code in re.findall(r"`(\w+)`", row)}

        assert len(raised) > 15
        assert raised - named == set()

    def test_names_the_settings_that_are_asked_for(self) -> None:
        source = inspect.getsource(provider)
        table = PAGE.split("## Settings")[1].split("\n## ")[0]

        assert set(re.findall(r"PAYOUTS_[A-Z_]+", source)) <= set(re.findall(r"PAYOUTS_[A-Z_]+", table))

    def test_has_the_figures_of_the_code(self) -> None:
        assert f"kept for {transport.IDLE_SECONDS_MAX:g} s" in PAGE
        assert f"up to {transport.IDLE_CONNECTIONS_MAX} for each process" in PAGE
        assert f"over {sockets.ANSWER_BYTES_MAX // 1024} kB of answer" in PAGE
        assert f"over {signatures.TOLERANCE_SECONDS} s from your clock" in PAGE
        assert f"words {responses.WORDS_LENGTH_MAX} characters are kept" in PAGE
