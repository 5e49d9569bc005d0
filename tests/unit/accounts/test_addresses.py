from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import addresses


class TestParse:
    @pytest.mark.parametrize(
        ("text", "address"),
        [
            ("203.0.113.7", "203.0.113.7"),
            (" 203.0.113.7\t", "203.0.113.7"),
            ("203.0.113.7:51234", "203.0.113.7"),
            ('"203.0.113.7:51234"', "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("[::ffff:203.0.113.7]:443", "203.0.113.7"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ('"[2001:db8::1]:443"', "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25eth0]:443", "fe80::1"),
            # Without brackets it is one more group of the address, as anywhere.
            ("2001:db8::1:443", "2001:db8::1:443"),
        ],
    )
    def test_reads_what_proxies_write(self, text: str, address: str) -> None:
        assert addresses.parse(text) == ip_address(address)

    @pytest.mark.parametrize(
        "text",
        [
            *("", " ", '"', '""', "[]", "[]:443", "unknown", "_hidden", "localhost", "unix:", "unix:/run/x", "-"),
            *("203.0.113.7:", "203.0.113.7:x", "203.0.113.7:123456", "203.0.113.7:1:2", "203.0.113", "203.0.113.007"),
            *("[203.0.113.7", "203.0.113.7]", "[203.0.113.7]]:1", "[[2001:db8::1]]", "[2001:db8::1]443", "[::1]:"),
            *("203.0.113.7 x", "203.0.113.7, 203.0.113.8", "203.0.113.7/32", "for=203.0.113.7", "3405803783"),
            *(
                '"203.0.113.7',
                "203.0.113.7\x00",
                "\uff11.1.1.1",
                "1.1.1.\u0661",
                "1.1.1.1%eth0",
                "fe80::1%",
                "[fe80::1%]",
                "0x7f.1",
                "::1::",
                "%eth0",
            ),
        ],
    )
    def test_reads_nothing_into_garbage(self, text: str) -> None:
        assert addresses.parse(text) is None

    @given(st.text() | st.from_regex(r'"?\[?[0-9a-f:.%]{0,40}\]?(:[0-9]{0,6})?"?'))
    def test_never_fails(self, text: str) -> None:
        address = addresses.parse(text)

        assert address is None or addresses.parse(str(address)) == address

    @given(st.ip_addresses(), st.integers(min_value=0, max_value=65_535))
    def test_finds_the_address_in_each_form(self, address: object, port: int) -> None:
        bare = addresses.parse(str(address))

        assert bare is not None
        host = f"[{address}]" if ":" in str(address) else str(address)
        assert {addresses.parse(text) for text in (host, f"{host}:{port}", f'"{host}:{port}"')} == {bare}
