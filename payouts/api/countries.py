"""Countries: ISO 3166-1 says which there are. Pure."""

from __future__ import annotations

from typing import Final

import iso3166

#: Alpha-2 codes, and XK besides: ISO 3166 leaves it to its users, and banks, IBANs and BICs use it for Kosovo.
CODES: Final[frozenset[str]] = frozenset(iso3166.countries_by_alpha2) | {"XK"}

#: What is often sent instead of the code.
_MEANT: Final = {"UK": "GB", "EL": "GR"}


def problem(code: str) -> str | None:
    """Return what is wrong with a code and what to send instead, in a sentence; None where it is a country's."""
    if code in CODES:
        return None
    meant = _MEANT.get(code)
    return f"{code[:10]!r} is no country code of ISO 3166-1 alpha-2. Send one such as {meant or 'DE'}."
