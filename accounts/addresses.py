"""How a network address is written by proxies: with a port, in brackets, in quotes, with a zone. Pure."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

# An IPv6 address has its port outside of brackets. Without them, a colon is part of the address.
BRACKETED: Final = re.compile(r"\[([0-9A-Fa-f:.]+(?:%[^\]\s]+)?)\](?::[0-9]{1,5})?")
IPV4_WITH_PORT: Final = re.compile(r"([0-9.]+):[0-9]{1,5}")


def parse(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address that the text names, or None if it cannot be read.

    The zone of a link-local address is dropped: it is a name of the proxy's own interface. An IPv4 address is returned
    as such, however a server that listens on IPv6 writes it (::ffff:203.0.113.7).
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
