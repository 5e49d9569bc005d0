from __future__ import annotations

import pytest

from payouts.api import countries


@pytest.mark.parametrize("code", ["DE", "GB", "GR", "US", "AX", "SS", "CW", "TW", "PS", "EH"])
def test_a_country_of_iso_3166_is_one(code: str) -> None:
    assert countries.problem(code) is None


# Kosovo's banks have IBANs and BICs with XK. No other country can be given it: XA to XZ are left to users.
def test_kosovo_is_one() -> None:
    assert countries.problem("XK") is None


@pytest.mark.parametrize(
    ("code", "meant"),
    [
        ("UK", "GB"),
        ("EL", "GR"),
        # Never assigned, left to users, left to the standard, withdrawn, and a union.
        ("ZZ", "DE"),
        ("XX", "DE"),
        ("AA", "DE"),
        ("AN", "DE"),
        ("EU", "DE"),
        ("de", "DE"),
        ("", "DE"),
    ],
)
def test_nothing_else_is_one(code: str, meant: str) -> None:
    assert countries.problem(code) == f"{code!r} is no country code of ISO 3166-1 alpha-2. Send one such as {meant}."


def test_there_are_249_of_them_and_kosovo() -> None:
    assert len(countries.CODES) == 250
    assert all(len(code) == 2 and code.isascii() and code.isupper() for code in countries.CODES)
