from __future__ import annotations

import pytest

from payouts.providers.http_bank import base_url


@pytest.mark.parametrize(
    "url",
    [
        "https://bank.example/v1",
        "https://bank.example",
        "https://Bank.Example:443/a/b",
        "http://127.0.0.1:9100/v1",
        "http://localhost:80/v1.2/%C3%A4",
        "http://[::1]:9100/v1",
        "https://[2001:db8::1]",
        "https://bank.example:65535/v1",
        "https://" + "a" * 63 + ".example",
    ],
)
def test_takes_a_plain_address(url: str) -> None:
    assert base_url.read_base_url(url) == url
    assert base_url.read_base_url(f"{url}/") == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "bank.example/v1",
        "ftp://bank.example/v1",
        "HTTPS://bank.example/v1",
        "https:/bank.example",
        "https:///v1",
        "https://user@bank.example/v1",
        "https://user:password@bank.example/v1",
        "https://bank.example/v1?",
        "https://bank.example/v1?a=b",
        "https://bank.example/v1#",
        "https://bank.example:0/v1",
        "https://bank.example:65536/v1",
        "https://bank.example:x/v1",
        "https://bank..example/v1",
        "https://" + "a" * 64 + ".example/v1",
        "https://bank.example/v1/../v2",
        "https://bank.example/.",
        "https://bank.example//v1",
        "https://bank.example/v 1",
        "https://bank.example/v1\n",
        " https://bank.example/v1",
        "https://bänk.example/v1",
        "https://[::1/v1",
        "https://[bank]/v1",
        "https://[::g]/v1",
        "https://[1::2::3]/v1",
    ],
)
def test_refuses_what_is_no_plain_address(url: str) -> None:
    with pytest.raises(ValueError, match="not ") as refusal:
        base_url.read_base_url(url)

    assert not url or url not in str(refusal.value)
