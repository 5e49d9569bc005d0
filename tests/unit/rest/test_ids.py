"""Ids in the spellings of RFC 9562."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.test import RequestFactory
from django.urls import ResolverMatch

from rest import ids

ID = "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f"
SPELLINGS = [ID, ID.upper(), ID.replace("-", ""), ID.replace("-", "").upper(), "01936F3e-7c4a-7D2b-9e1f-3a5b6c7d8E9f"]


class TestParse:
    @pytest.mark.parametrize("text", SPELLINGS)
    def test_takes_each_spelling(self, text: str) -> None:
        assert ids.parse(text) == UUID(ID)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            ID[:-1],
            ID + "0",
            ID + "\n",
            f"{{{ID}}}",
            f"urn:uuid:{ID}",
            ID.replace("-", "", 1),
            "0193-6f3e7c4a7d2b9e1f3a5b6c7d8e9f",
            ID.replace("-", "\u2010"),
            ID.replace("0", "\u0660"),
            ID.replace("0", "g"),
        ],
    )
    def test_takes_nothing_else(self, text: str) -> None:
        assert ids.parse(text) is None


class TestConverter:
    def test_writes_the_canonical_form(self) -> None:
        converter = ids.IdConverter()

        assert {converter.to_url(converter.to_python(text)) for text in SPELLINGS} == {ID}


class TestCanonicalPath:
    def path_of(self, path: str, **kwargs: Any) -> str:
        request = RequestFactory().get(path)
        request.resolver_match = ResolverMatch(lambda: None, (), kwargs)
        return ids.canonical_path(request)

    @pytest.mark.parametrize("text", SPELLINGS)
    def test_has_ids_in_canonical_form(self, text: str) -> None:
        assert self.path_of(f"/api/payouts/{text}/cancel/", payout_id=UUID(ID)) == f"/api/payouts/{ID}/cancel/"

    def test_leaves_alone_what_the_route_does_not_take_for_an_id(self) -> None:
        path = f"/api/idempotency-keys/{ID.upper()}/"

        assert self.path_of(path, key=ID.upper()) == path

    def test_of_a_path_that_leads_nowhere_is_that_path(self) -> None:
        assert ids.canonical_path(RequestFactory().get(f"/x/{ID.upper()}/")) == f"/x/{ID.upper()}/"
