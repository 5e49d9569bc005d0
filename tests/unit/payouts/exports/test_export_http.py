from __future__ import annotations

from datetime import UTC, datetime

import pytest

from payouts.exports import responses


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("br , gzip ; q=0.001", True),
        ("", False),
        ("br", False),
        ("identity", False),
        # Who takes anything has not asked for it.
        ("*", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=nonsense", False),
        ("gzipped", False),
        (";", False),
    ],
)
def test_gzip_is_sent_to_whom_it_was_asked_by(header: str, accepted: bool) -> None:  # noqa: FBT001 - a column of the table
    assert responses.accepts_gzip(header) is accepted


def test_a_file_is_named_after_what_it_is() -> None:
    moment = datetime(2026, 11, 23, 12, 5, 9, tzinfo=UTC)

    response = responses.file_response((), file_format="ndjson", mode="live", made_at=moment, compressed=False)

    assert dict(response.headers) == {
        "Content-Type": "application/x-ndjson",
        "Content-Disposition": 'attachment; filename="payouts-live-20261123-120509.ndjson"',
        "Cache-Control": "no-store",
        "Vary": "Accept-Encoding",
    }
    # A proxy stores nothing of what is still being made.
    assert responses.as_stream(response).headers["X-Accel-Buffering"] == "no"
