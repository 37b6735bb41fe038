"""Which addresses may be connected to: a target's name must not lead into the system's own networks."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network


def refusal(addresses: Sequence[str], allowed: Sequence[Network]) -> str | None:
    """Why a host with these addresses may not be connected to; None when each one is public, or in `allowed`.

    Every address counts: a name that has one good address and one of ours is refused. An IPv4 address within an IPv6
    one is judged as what it is.
    """
    if not addresses:
        return "it has no address"
    for text in addresses:
        address = ip_address(text.split("%")[0])
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address.sixtofour or address
        if any(address in network for network in allowed if network.version == address.version):
            continue
        if not address.is_global or address.is_multicast:
            return f"{address} is not a public address; name its network in `networks` if it is meant"
    return None
