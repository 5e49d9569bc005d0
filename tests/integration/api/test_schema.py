"""The published OpenAPI document: made without a warning, valid, whole, and true to what the API answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openapi_spec_validator
import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from openapi_schema_validator import OAS30ReadValidator, OAS30Validator, oas30_format_checker

from config import api_errors
from payouts.api import openapi_fields
from payouts.models import Payout
from tests.support import answers, factories
from tests.support.routes import KEPT, LINKS, ROUTES

DOCUMENTS = Path(__file__).parents[3] / "docs"
METHODS = {"get", "post", "patch", "put", "delete"}
# What asks for no API key, for the link is proof enough.
WITHOUT_KEY = {"download_export"}


# What each text may be, by field, as far as a pattern can say it: the document and the server agree.
SENT = {
    "amount": ["10", "10.5", "0.01", "999999999999", "0", "0.00", "1000000000000", "1e3", "-1", "+1", "01", "1.", ".5",
               "1.00001", "", "1,5", "\u0661"],
    "currency": ["EUR", "JPY", "eur", "EU", "EURO", "", "E\u00dcR"],
    "comment": ["", "a", "a" * 500, "a" * 501, "two\nlines", "\x00"],
    "reference": ["", "a" * 255, "a" * 256, "a\nb", "a\x7fb"],
    "recipient_details": ["Card ****1234", "a" * 500, "a" * 501, "", " ", "\u200b", "a\u2028b", "a\u202eb", "a\x85b"],
    "recipient_details.name": ["Jane", "a" * 140, "a" * 141, "", "a\nb", " "],
    "recipient_details.country": ["DE", "de", "DEU", ""],
}  # fmt: skip


def nested(value: Any, name: str, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object of the document that has this name, with its place."""
    if isinstance(value, list):
        for index, below in enumerate(value):
            yield from nested(below, name, f"{where}/{index}")
    elif isinstance(value, dict):
        if name in value and not isinstance(value[name], str):
            yield where, value
        for key, below in value.items():
            yield from nested(below, name, f"{where}/{key}")


def parts_of(schema: Any, start: Any) -> Iterator[dict[str, Any]]:
    """Yield each object that these are made of, references followed, once."""
    waiting, seen = [start], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict) and id(value) not in seen:
            seen.add(id(value))
            yield value
            waiting += [below for name, below in value.items() if name not in {"example", "examples"}]
            if "$ref" in value:
                waiting.append(schema["components"]["schemas"][value["$ref"].rsplit("/", 1)[1]])


def problems_of(schema: Any, part: Any, value: Any, *, read: bool = False) -> list[str]:
    """Return what keeps a value from being what this part of the document describes."""
    whole = {**part, "components": schema["components"]}
    # As of an answer: what is read only has to be there in one.
    validator = (OAS30ReadValidator if read else OAS30Validator)(whole, format_checker=oas30_format_checker)
    return [error.message for error in validator.iter_errors(value)]


@pytest.fixture(scope="module")
def schema() -> Any:
    generator: Any = SchemaGenerator
    return generator().get_schema(request=None, public=True)


def operations(schema: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in schema["paths"].items():
        for method in METHODS & item.keys():
            yield path, method, item[method]


class TestDocument:
    def test_is_made_without_a_warning(self, capsys: pytest.CaptureFixture[str]) -> None:
        call_command("spectacular", "--validate", "--fail-on-warn")

        assert capsys.readouterr().err == ""

    def test_is_the_one_in_the_documents(self, tmp_path: Path) -> None:
        """`make schema` writes it."""
        now = tmp_path / "openapi.yaml"

        call_command("spectacular", "--file", str(now))

        assert now.read_text(encoding="utf-8") == (DOCUMENTS / "openapi.yaml").read_text(encoding="utf-8")

    def test_follows_the_specification(self, schema: Any) -> None:
        openapi_spec_validator.validate(schema)

    def test_has_every_operation(self, schema: Any) -> None:
        expected = {
            (re.sub(r"<\w+:(\w+)>", r"{\1}", f"/{route}"), name)
            for route in {*KEPT, *LINKS}
            for name in METHODS & set(ROUTES[route].http_method_names)
            if hasattr(ROUTES[route], name)
        }

        assert {(path, method) for path, method, _ in operations(schema)} == expected

    def test_describes_every_operation(self, schema: Any) -> None:
        ids = [operation["operationId"] for _, _, operation in operations(schema)]
        assert len(ids) == len(set(ids))
        tags = {tag["name"] for tag in schema["tags"]}
        for path, method, operation in operations(schema):
            assert operation["summary"], (path, method)
            assert len(operation["description"]) > 20, (path, method)
            assert set(operation["tags"]) <= tags, (path, method)

    def test_has_no_internal_words(self, schema: Any) -> None:
        """What a reader of Swagger sees is meant for integrators: a docstring of ours must not get there."""
        text = json.dumps(schema)

        found = [word for word in ("REST framework", "serializer", "queryset", "partial", "told", "whoever", "anew")
                 if re.search(rf"\b{word}\b", text)]  # fmt: skip
        assert found == []

    def test_describes_every_component(self, schema: Any) -> None:
        for name, component in schema["components"]["schemas"].items():
            # A list is described by its answer, and alternatives by themselves.
            described = name.startswith("Paginated") or "oneOf" in component
            assert component.get("description") or described, name

    def test_names_every_choice_for_clients(self, schema: Any) -> None:
        """A client makes a name of each value, and numbers those of which it cannot."""
        for where, choices in nested(schema, "enum"):
            names = choices.get("x-enum-varnames", choices["enum"])
            identifiers = [re.sub(r"[^a-z0-9_]", "_", name.lower()) for name in names]
            assert all(re.match("[a-z]", name) for name in identifiers), where
            assert len(set(identifiers)) == len(choices["enum"]), where

    def test_has_each_set_of_choices_once(self, schema: Any) -> None:
        sets = [frozenset(choices["enum"]) for _, choices in nested(schema, "enum")]
        # Only those of single parameters are left.
        shared = {values for values in sets if sets.count(values) > 1}
        assert shared == set()

    def test_closes_what_is_sent_and_leaves_open_what_is_answered(self, schema: Any) -> None:
        sent = [body for _, _, one in operations(schema) if "requestBody" in one for body in [one["requestBody"]]]
        answered = [one["responses"] for _, _, one in operations(schema)]

        closed = [part["additionalProperties"] for part in parts_of(schema, sent) if "properties" in part]
        opened = [part.get("additionalProperties") for part in parts_of(schema, answered) if "properties" in part]

        assert closed
        assert set(closed) == {False}
        # The receipt is told apart from a payout by having nothing else.
        assert opened.count(False) == 1
        assert set(opened) == {None, False}

    def test_limits_every_text_that_is_sent(self, schema: Any) -> None:
        sent = [one[key] for _, _, one in operations(schema) for key in ("requestBody", "parameters") if key in one]

        for part in parts_of(schema, sent):
            if part.get("type") == "string":
                assert {"enum", "format", "pattern"} & part.keys() or part.keys() >= {"minLength", "maxLength"}, part

    def test_has_examples_that_are_valid(self, schema: Any) -> None:
        count = 0
        for where, owner in nested(schema, "schema"):
            examples = [one["value"] for one in owner.get("examples", {}).values()]
            examples += [owner["example"]] if "example" in owner else []
            for example in examples:
                count += 1
                assert problems_of(schema, owner["schema"], example, read="/responses/" in where) == [], (
                    where,
                    example,
                )
        assert count > 100

    def test_describes_every_parameter(self, schema: Any) -> None:
        for path, method, operation in operations(schema):
            for parameter in operation.get("parameters", []):
                if parameter["in"] != "path":
                    assert parameter.get("description"), (path, method, parameter["name"])

    def test_has_an_example_of_every_body(self, schema: Any) -> None:
        for path, method, operation in operations(schema):
            bodies = [answer for status, answer in operation["responses"].items() if status not in {"204", "304"}]
            bodies += [operation["requestBody"]] if "requestBody" in operation else []
            for body in bodies:
                for content in body["content"].values():
                    assert content.get("examples") or content.get("example"), (path, method)

    def test_asks_for_the_api_key_everywhere(self, schema: Any) -> None:
        (name,) = schema["components"]["securitySchemes"]
        scheme = schema["components"]["securitySchemes"][name]
        assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "Authorization")
        for path, method, operation in operations(schema):
            is_open = operation["operationId"] in WITHOUT_KEY
            assert operation.get("security") == (None if is_open else [{name: []}]), (path, method)

    def test_names_the_error_answers(self, schema: Any) -> None:
        for path, method, operation in operations(schema):
            expected = {"403", "503"}
            if operation["operationId"] not in WITHOUT_KEY:
                expected |= {"401", "429"}
                expected |= {"404"} if re.search(r"{(payout|export)_id}", path) else set()
            assert expected <= operation["responses"].keys(), (path, method)
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert answer["content"].keys() == {api_errors.CONTENT_TYPE}, (path, method, status)

    def test_names_every_code_of_the_table(self, schema: Any) -> None:
        found = {
            example["value"]["code"]
            for _, _, operation in operations(schema)
            for status, answer in operation["responses"].items()
            if status >= "400"
            for example in answer["content"][api_errors.CONTENT_TYPE]["examples"].values()
        }
        codes = {problem.code for problem in api_errors.PROBLEMS.values()}
        # 405 is for methods that no operation has, 406 is the documentation's own, Django's own refusal is raised by no
        # view of ours, decimals are found to be too many while another request changes the currency: else that is
        # `invalid_request` too; and what a provider is told is in the document for providers.
        assert codes - found <= {
            "method_not_allowed",
            "not_acceptable",
            "permission_denied",
            "too_many_decimals",
            "callback_refused",
        }

    def test_names_idempotency_key_and_if_match(self, schema: Any) -> None:
        headers = {
            (operation["operationId"], parameter["name"])
            for _, _, operation in operations(schema)
            for parameter in operation.get("parameters", [])
            if parameter["in"] == "header"
        }

        assert headers == {
            ("create_payout", "Idempotency-Key"),
            ("update_payout", "Idempotency-Key"),
            ("cancel_payout", "Idempotency-Key"),
            ("create_export", "Idempotency-Key"),
            ("cancel_export", "Idempotency-Key"),
            ("update_payout", "If-Match"),
            ("cancel_payout", "If-Match"),
            ("retrieve_payout", "If-None-Match"),
            ("delete_payout", "If-Match"),
        }

    def test_names_every_filter(self, schema: Any) -> None:
        parameters = {
            path: {parameter["name"] for parameter in schema["paths"][path]["get"]["parameters"]}
            for path in ("/api/payouts/", "/api/payouts/summary/", "/api/payouts/export/")
        }
        filters = {
            "status",
            "currency",
            "amount_min",
            "amount_max",
            "created_after",
            "created_before",
            "updated_after",
            "updated_before",
            "reference",
            "idempotency_key",
            "search",
            "metadata",
        }

        assert parameters["/api/payouts/summary/"] == filters | {"group_by", "timezone"}
        assert parameters["/api/payouts/"] == filters | {"cursor", "page_size", "ordering", "include"}
        assert parameters["/api/payouts/export/"] - {"Link", "Payouts-Export-Id"} == filters | {
            "format",
            "ordering",
            "bom",
        }

    def test_has_the_fields_of_a_payout(
        self, schema: Any, api: Client, make_processed_payout: Callable[..., Payout]
    ) -> None:
        answered = api.get(f"/api/payouts/{make_processed_payout().id}/").json()

        described = schema["components"]["schemas"]["Payout"]
        assert described["properties"].keys() == answered.keys()
        assert set(described["required"]) == answered.keys()

    def test_has_the_fields_that_may_be_sent(self, schema: Any) -> None:
        schemas = schema["components"]["schemas"]
        write, update = "CreatePayoutRequest", "UpdatePayoutRequest"
        fields = {"amount", "currency", "recipient_details", "comment", "reference", "metadata", "expires_at"}

        assert schemas[write]["properties"].keys() == fields
        assert set(schemas[write]["required"]) == {"amount", "currency", "recipient_details"}
        assert schemas[update]["properties"].keys() == fields
        assert "required" not in schemas[update]

    def test_shows_both_forms_of_a_recipient(self, schema: Any) -> None:
        schemas = schema["components"]["schemas"]
        forms = [
            schemas[name]["properties"]["recipient_details"]["oneOf"]
            for name in ("CreatePayoutRequest", "UpdatePayoutRequest", "Payout")
        ]
        operation = schema["paths"]["/api/payouts/"]["post"]
        bodies = [operation["requestBody"], operation["responses"]["201"]]
        examples = [list(body["content"]["application/json"]["examples"].values()) for body in bodies]

        text = {"type": "string", "minLength": 1, "maxLength": 500}
        sent = {**text, "pattern": openapi_fields.ONE_LINE_NOT_BLANK}
        assert forms == [
            [sent, {"$ref": "#/components/schemas/RecipientDetailsRequest"}],
            [sent, {"$ref": "#/components/schemas/RecipientDetailsRequest"}],
            [text, {"$ref": "#/components/schemas/RecipientDetails"}],
        ]
        # The first is the request of the plan that this platform was ordered with.
        assert examples[0][0]["value"] == {
            "amount": "100.00",
            "currency": "USD",
            "recipient_details": "Card ****1234",
            "comment": "Test payout",
        }
        assert [type(example["value"]["recipient_details"]) for example in examples[0]] == [str, dict]
        answered = [example["value"].get("recipient_details") for example in examples[1]]
        assert [type(recipient) for recipient in answered if recipient] == [str, dict]


class TestServer:
    """It takes what the document describes, and nothing else."""

    @pytest.mark.parametrize(("field", "text"), [(field, text) for field, texts in SENT.items() for text in texts])
    def test_agrees_about_a_text(self, schema: Any, api: Client, field: str, text: str) -> None:
        body: dict[str, Any] = factories.payout_body(amount="10")
        *above, name = field.split(".")
        (body[above[0]] if above else body)[name] = text
        component = schema["components"]["schemas"]["CreatePayoutRequest"]

        response = api.post("/api/payouts/", body, content_type="application/json")

        assert (response.status_code == 201) == (problems_of(schema, component, body) == []), response.json()

    def test_takes_each_default(self, schema: Any, api: Client) -> None:
        payout_id = factories.post_payout(api).json()["id"]
        for path, method, operation in operations(schema):
            for parameter in operation.get("parameters", []):
                if method == "get" and "default" in parameter["schema"]:
                    address = path.replace("{payout_id}", payout_id)
                    assert "{" not in address
                    default = parameter["schema"]["default"]
                    given = {parameter["name"]: str(default).lower() if isinstance(default, bool) else default}
                    # An export is not sent for HEAD.
                    assert api.head(address, given).status_code == 200, (path, given)

    def test_refuses_a_body_of_another_type_as_documented(self, schema: Any, api: Client) -> None:
        for path, method, operation in operations(schema):
            if method in {"post", "patch"}:
                address = re.sub("{.*?}", "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f", path)
                response = getattr(api, method)(address, b"<a/>", content_type="text/xml")
                assert str(response.status_code) in operation["responses"], (path, method)


class TestPages:
    @pytest.mark.parametrize(
        ("url", "content_type"),
        [
            ("/api/schema/", "application/vnd.oai.openapi"),
            ("/api/schema/swagger-ui/", "text/html"),
            ("/api/schema/redoc/", "text/html"),
            ("/api/schema/bank/", "application/vnd.oai.openapi"),
            ("/api/schema/bank/redoc/", "text/html"),
        ],
    )
    def test_are_shown_without_a_key(self, client: Client, url: str, content_type: str) -> None:
        response = client.get(url)

        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith(content_type)

    @pytest.mark.parametrize("url", ["/api/schema/swagger-ui/", "/api/schema/redoc/", "/api/schema/bank/redoc/"])
    def test_load_nothing_from_another_host(self, client: Client, url: str) -> None:
        response = client.get(url)

        page = response.content.decode()
        assert "http://" not in page.replace("http://testserver", "")
        assert "https://" not in page
        assert django_settings.STATIC_URL + "drf_spectacular_sidecar/" in page
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]

    def test_show_a_bank_its_contract(self, client: Client) -> None:
        shown = client.get("/api/schema/bank/")

        assert shown.content == (DOCUMENTS / "bank-api.yaml").read_bytes()
        # It is to be read, and nothing else.
        assert [client.generic(method, "/api/schema/bank/").status_code for method in ("HEAD", "POST", "PUT")] == [
            200,
            405,
            405,
        ]

    def test_have_the_document_in_two_formats(self, client: Client) -> None:
        assert client.get("/api/schema/?format=json").json()["openapi"].startswith("3.")
        assert client.get("/api/schema/?format=yaml").content.startswith(b"openapi: 3.")

    def test_refuse_every_other_format_with_a_problem_document(self, client: Client) -> None:
        answers_to = [client.get("/api/schema/?format=xml"), client.get("/api/schema/", headers={"Accept": "text/csv"})]

        assert [answers.code(response) for response in answers_to] == [(404, "not_found"), (406, "not_acceptable")]
        assert {response.headers["Content-Type"] for response in answers_to} == {api_errors.CONTENT_TYPE}
