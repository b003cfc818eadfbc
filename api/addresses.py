"""The address that a request counts against."""

import ipaddress
from typing import cast

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle


def client_address(
    request: HttpRequest | Request,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the client's address, or None if there is no valid one.

    TWIT_PROXIES decides which entry of X-Forwarded-For is the client's.
    """
    try:
        address = ipaddress.ip_address(BaseThrottle().get_ident(cast(Request, request)))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped  # a server that listens on :: sees IPv4 clients like this
    return address


def counted_address(request: HttpRequest | Request) -> str:
    """Return the client's IPv4 address, or the /64 network of its IPv6 address.

    A single IPv6 client usually has a whole /64 to choose addresses from. Text that is not an
    address counts as "unknown", so that a client can't make up keys.
    """
    address = client_address(request)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address), 64), strict=False))
    return str(address or "unknown")
