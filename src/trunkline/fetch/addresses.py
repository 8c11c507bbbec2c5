"""What kind of place an IP address is: public, or one that only its own machine or network reaches.

A table of our own: what Python's `ipaddress` calls global has changed from release to release.
Sources: the IANA registries of special-purpose addresses.
"""

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_KINDS: dict[str, str] = {
    "0.0.0.0/8": "unspecified",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "private (of a carrier)",
    "127.0.0.0/8": "loopback",
    "169.254.0.0/16": "link-local",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "reserved",
    "192.0.2.0/24": "reserved",
    "192.88.99.0/24": "reserved",
    "192.168.0.0/16": "private",
    "198.18.0.0/15": "private (for benchmarks)",
    "198.51.100.0/24": "reserved",
    "203.0.113.0/24": "reserved",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
    "::/128": "unspecified",
    "::1/128": "loopback",
    "::/96": "reserved",
    "64:ff9b:1::/48": "private",
    "100::/64": "reserved",
    "2001::/23": "reserved",
    "2001:db8::/32": "reserved",
    "3fff::/20": "reserved",
    "5f00::/16": "reserved",
    "fc00::/7": "private",
    "fe80::/10": "link-local",
    "fec0::/10": "private",
    "ff00::/8": "multicast",
}
_TABLE: list[tuple[Network, str]] = [
    (ipaddress.ip_network(network), kind) for network, kind in _KINDS.items()
]
# IPv6 addresses that stand for an IPv4 address: how many bits from the right it begins.
_TRANSLATED: list[tuple[ipaddress.IPv6Network, int]] = [
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
]
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")


def plain(address: Address) -> Address:
    """The address that is reached in the end: for a translated one, the IPv4 address in it."""
    if isinstance(address, ipaddress.IPv6Address):
        for network, shift in _TRANSLATED:
            if address in network:
                return ipaddress.IPv4Address(int(address) >> shift & 0xFFFFFFFF)
    return address


def kind_of(address: Address) -> str | None:
    """`loopback`, `private`, `link-local`, `multicast`, …; None for a public address."""
    reached = plain(address)
    for network, kind in _TABLE:
        if reached.version == network.version and reached in network:
            return kind
    if isinstance(reached, ipaddress.IPv6Address) and reached not in _PUBLIC_V6:
        return "reserved"
    return None
