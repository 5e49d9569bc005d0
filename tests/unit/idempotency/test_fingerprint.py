from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idempotency import fingerprint

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def of(body: Any, *, method: str = "POST", path: str = "/api/payouts/") -> str:
    return fingerprint.of_request(asked(body, method=method, path=path))


def asked(body: Any, *, method: str = "POST", path: str = "/api/payouts/") -> fingerprint.Request:
    return fingerprint.Request(method, path, body)


class TestFingerprint:
    # A fingerprint is stored for ever: the same request must have the same one in each later release. This is what
    # sha256sum says of the four lines v1, POST, /api/payouts/ and the JSON with sorted names and without spaces.
    def test_never_changes(self) -> None:
        assert of({"recipient_details": {"name": "Zo\u00eb", "account": "x"}, "amount": "10.50"}) == (
            "v1:23afa024673ba1959c3e914ce91b7736d8e3e687df102c910cef8b1299a238e4"
        )

    def test_fits_the_column(self) -> None:
        assert len(of({})) == len("v1:") + 64

    def test_is_the_same_whatever_the_order_of_fields(self) -> None:
        assert of({"a": {"x": 1, "y": 2}, "b": [1]}) == of({"b": [1], "a": {"y": 2, "x": 1}})

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"a": "1"}, {"a": 1}),
            ({"a": "1"}, {"a": "1.0"}),
            ({"a": "x"}, {"a": "x "}),
            ({"a": None}, {}),
            ({"a": []}, {"a": {}}),
            ({"a": [1, 2]}, {"a": [2, 1]}),
            ({"a": True}, {"a": 1}),
            ({"a": "\u00e9"}, {"a": "e\u0301"}),
            ({"a": {"b": 1}}, {"a.b": 1}),
            ({"a": "1", "b": "2"}, {"a": '1","b":"2'}),
        ],
    )
    def test_differs_for_another_body(self, one: Any, other: Any) -> None:
        assert of(one) != of(other)

    def test_differs_for_another_method_or_path(self) -> None:
        assert len({of({}), of({}, method="PATCH"), of({}, path="/api/payouts/x/"), of({}, method="POST\n/api")}) == 4

    def test_parts_cannot_run_into_one_another(self) -> None:
        assert of("x", path="/a/b") != of("b/x", path="/a/")
        assert of({}, method="POS", path="T/api/") != of({}, method="POST", path="/api/")

    @given(JSON, JSON)
    def test_is_equal_for_equal_json_alone(self, one: Any, other: Any) -> None:
        same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

        assert (of(one) == of(other)) is same

    @given(JSON, st.text())
    def test_exists_for_every_request(self, body: Any, path: str) -> None:
        assert of(body, path=path).startswith("v1:")


class TestBelongsTo:
    def test_knows_the_request_again(self) -> None:
        assert fingerprint.belongs_to(asked({"a": "1", "b": "2"}), of({"b": "2", "a": "1"}))

    @pytest.mark.parametrize(
        "other",
        [asked({"a": "2"}), asked({"a": "1"}, method="PATCH"), asked({"a": "1"}, path="/api/payouts/x/cancel/")],
    )
    def test_knows_another_one(self, other: fingerprint.Request) -> None:
        assert not fingerprint.belongs_to(other, of({"a": "1"}))

    # What version 0.1 of the platform wrote; read for ever.
    def test_reads_the_first_version(self) -> None:
        old = "v1:23afa024673ba1959c3e914ce91b7736d8e3e687df102c910cef8b1299a238e4"

        body = {"recipient_details": {"name": "Zo\u00eb", "account": "x"}, "amount": "10.50"}
        assert fingerprint.belongs_to(asked(body), old)

    @pytest.mark.parametrize("fingerprint_of_later", ["v2:0000", "", "v10:1"])
    def test_says_neither_yes_nor_no_for_a_version_that_it_does_not_know(self, fingerprint_of_later: str) -> None:
        with pytest.raises(fingerprint.VersionUnknown):
            fingerprint.belongs_to(asked({}), fingerprint_of_later)
