"""Which part of a file a Range header asks for."""

from __future__ import annotations

import pytest

from rest import ranges, refusals


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", range(1)),
        ("bytes=2-5", range(2, 6)),
        ("bytes=2-", range(2, 10)),
        ("bytes=9-9", range(9, 10)),
        # Beyond the end.
        ("bytes=2-99", range(2, 10)),
        ("bytes=-3", range(7, 10)),
        ("bytes=-99", range(10)),
        ("Bytes=1-2", range(1, 3)),
        ("bytes= 1-2 ", range(1, 3)),
        # The whole file: no header, one that is malformed, another unit, several parts.
        (None, None),
        ("", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=5-2", None),
        ("bytes=a-b", None),
        ("bytes=0x1-2", None),
        ("bytes=1-2,4-5", None),
        ("bytes=\u0661-\u0662", None),
        (f"bytes={'9' * 19}-", None),
        ("lines=1-2", None),
    ],
)
def test_of_ten_bytes(header: str | None, part: range | None) -> None:
    assert ranges.part_of(header, size=10) == part


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", f"bytes={'9' * 18}-", "bytes=-0"])
def test_that_there_is_not(header: str) -> None:
    with pytest.raises(refusals.RangeNotSatisfiable) as caught:
        ranges.part_of(header, size=10)

    assert caught.value.size == 10


def test_is_written() -> None:
    assert ranges.content_range(range(2, 6), size=10) == "bytes 2-5/10"
