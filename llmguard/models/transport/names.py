"""The addresses of a host: read from an address in its name, else looked up, which no timeout can stop."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from itertools import zip_longest
from typing import NamedTuple, TypeAlias

SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]


class Address(NamedTuple):
    """Where to connect to, without another look-up."""

    family: socket.AddressFamily
    socket_address: SocketAddress

    @property
    def host(self) -> str:
        return self.socket_address[0]


def literal_address(host: str, port: int) -> tuple[Address, ...]:
    """The address that a host is written as, `127.0.0.1` or `::1`; empty for a name."""
    try:
        address = ip_address(host)
    except ValueError:
        return ()
    if address.version == 4:
        return (Address(socket.AF_INET, (host, port)),)
    if "%" in host:  # an interface, whose number only the system knows
        return ()
    return (Address(socket.AF_INET6, (host, port, 0, 0)),)


def resolve_name(host: str, port: int) -> tuple[Address, ...]:
    """The addresses of a name in the system's order, IPv6 and IPv4 in turn (RFC 8305, section 4), so that one that leads
    nowhere costs one attempt. Takes as long as the name server takes."""
    found = [
        Address(family, address)  # type: ignore[arg-type]
        for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if family in (socket.AF_INET, socket.AF_INET6)
    ]
    first = [each for each in found if each.family == found[0].family]
    others = [each for each in found if each.family != found[0].family]
    return tuple(each for pair in zip_longest(first, others) for each in pair if each is not None)
