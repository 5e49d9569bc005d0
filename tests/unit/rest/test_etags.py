"""ETags as RFC 9110 writes and compares them."""

from __future__ import annotations

import re

import pytest

from rest import etags, refusals

DOCUMENT = {"id": "1", "status": "pending", "waiting_reason": ""}
ETAG = etags.of_document(3, DOCUMENT)
DIGEST = ETAG[3:-1]

MALFORMED = [
    "",
    " ",
    "3",
    '"3',
    '3"',
    "nonsense",
    "W/3",
    'w/"3"',
    '"3" "4"',
    '"3";"4"',
    '*, "3"',
    '"\x00"',
    '"a b"',
    ",",
]


class TestOfDocument:
    def test_begins_with_the_version(self) -> None:
        assert re.fullmatch(r'"3-[0-9a-f]{16}"', ETAG)

    def test_is_the_same_for_the_same_document(self) -> None:
        assert etags.of_document(3, dict(reversed(DOCUMENT.items()))) == ETAG

    @pytest.mark.parametrize("change", [{"waiting_reason": "payouts_paused"}, {"added_by_a_release": None}])
    def test_is_another_for_another_document_of_the_version(self, change: dict[str, str | None]) -> None:
        assert etags.of_document(3, {**DOCUMENT, **change}) != ETAG


class TestExpectedVersions:
    @pytest.mark.parametrize("header", [None, "*", " * "])
    def test_is_any(self, header: str | None) -> None:
        assert etags.expected_versions(header) is None

    @pytest.mark.parametrize(
        ("header", "versions"),
        [
            ('"1"', {1}),
            (' "1" ', {1}),
            (f'"3-{DIGEST}"', {3}),
            ('"7", "1"', {7, 1}),
            ('"7","1" ,"2"', {7, 1, 2}),
            (f'"7", , "1-{DIGEST}",', {7, 1}),
            # RFC 9110 compares If-Match strongly, so a weak tag never matches.
            ('W/"1"', set()),
            ('W/"1", "2"', {2}),
            # Well-formed, and none of ours.
            ('""', set()),
            ('"01"', set()),
            ('"0"', set()),
            ('"1-"', set()),
            ('"1-9f86"', set()),
            (f'"1-{DIGEST.upper()}x"', set()),
            ('"-1"', set()),
            ('"1.0"', set()),
            ('"a,b"', set()),
            ('"1, 2"', None),
            ('"\u0661"', None),
            ('"99999999999"', set()),
            ('"' + "9" * 5000 + '"', set()),
        ],
    )
    def test_are_those_of_the_strong_tags(self, header: str, versions: set[int] | None) -> None:
        if versions is None:
            with pytest.raises(refusals.IfMatchMalformed):
                etags.expected_versions(header)
        else:
            assert etags.expected_versions(header) == frozenset(versions)

    @pytest.mark.parametrize("header", MALFORMED)
    def test_refuses_what_is_no_etag(self, header: str) -> None:
        with pytest.raises(refusals.IfMatchMalformed) as refused:
            etags.expected_versions(header)

        assert refused.value.field == "If-Match"

    def test_takes_no_time_for_a_long_header(self) -> None:
        with pytest.raises(refusals.IfMatchMalformed):
            etags.expected_versions('"1",' * 20_000 + " " * 20_000 + "x")


class TestIsKnown:
    @pytest.mark.parametrize(
        "header", ["*", ETAG, f"W/{ETAG}", f'"1", {ETAG}', f'W/"1",W/{ETAG}', f" {ETAG} ", f'"1",, {ETAG}']
    )
    def test_compares_weakly(self, header: str) -> None:
        assert etags.is_known(ETAG, if_none_match=header)

    @pytest.mark.parametrize("header", [None, '"3"', 'W/"3"', f'"2-{DIGEST}"', f'"3-{"0" * 16}"', '""'])
    def test_of_another(self, header: str | None) -> None:
        assert not etags.is_known(ETAG, if_none_match=header)

    @pytest.mark.parametrize("header", MALFORMED)
    def test_refuses_what_is_no_etag(self, header: str) -> None:
        with pytest.raises(refusals.IfNoneMatchMalformed) as refused:
            etags.is_known(ETAG, if_none_match=header)

        assert refused.value.field == "If-None-Match"
