"""Network addresses as proxies write them: with a port, in brackets, in quotes, with a zone. Pure."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

# The port of an IPv6 address follows the brackets. Without brackets, a colon is part of the address.
BRACKETED: Final = re.compile(r"\[([0-9A-Fa-f:.]+(?:%[^\]\s]+)?)\](?::[0-9]{1,5})?")
IPV4_WITH_PORT: Final = re.compile(r"([0-9.]+):[0-9]{1,5}")


def parse(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address, or None if the text is not an address.

    The zone of a link-local address is dropped: it names an interface of the proxy. An IPv4 address that a server on
    IPv6 writes as ::ffff:203.0.113.7 is returned as IPv4.
    """
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    found = BRACKETED.fullmatch(text) or IPV4_WITH_PORT.fullmatch(text)
    try:
        address = ip_address(found[1] if found else text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))
