"""An open API serves this machine only, unless TWIT_OPEN_API_ANYWHERE is on."""

import ipaddress
from functools import lru_cache

from django.conf import settings

from api import access
from twit.web.messages import Refused


@lru_cache
def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def is_allowed(address: str) -> bool:
    """Return whether requests that arrive at this address of the server may be served."""
    return not access.is_open() or settings.TWIT_OPEN_API_ANYWHERE or _is_loopback(address)


def check(address: str) -> None:
    """Raise Refused unless requests that arrive at this address may be served."""
    if not is_allowed(address):
        raise Refused(403, "This open API serves only the machine that it runs on.")
