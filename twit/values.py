"""The values of environment variables, and how they are parsed."""

import re
from typing import Annotated

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints
from pydantic_settings import NoDecode

from backends import address

MAX_PORT = 65_535
PERIODS_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}


def split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _rate(text: str) -> tuple[int, int] | None:
    if text == "off":
        return None
    found = re.fullmatch(r"([1-9]\d{0,8})/([1-9]\d{0,5})([smhd])", text, re.ASCII)
    if not found:
        raise ValueError
    return int(found[1]), int(found[2]) * PERIODS_SECONDS[found[3]]


def _listen(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?:([\w.-]+|\[[0-9A-Fa-f:]+\]):)?(\d{1,5})", text, re.ASCII)
    if not found or not 1 <= int(found[2]) <= MAX_PORT:
        raise ValueError
    return (found[1] or "127.0.0.1").strip("[]"), int(found[2])


def postgres_url(url: str) -> str:
    try:
        has_name = "dbname" in conninfo_to_dict(url)
    except ProgrammingError as error:
        raise ValueError from error
    if not has_name or not url.startswith(("postgresql://", "postgres://")):
        raise ValueError
    return url


def _redis_url(url: str) -> str:
    address.Address.parse(url)
    return url


def _timelines_url(url: str) -> str:
    if address.is_cluster(url):
        address.parse_cluster(url)
        return url
    return _redis_url(url)


def broker_url(url: str) -> str:
    if url.startswith("redis"):
        return _redis_url(url)
    if not re.fullmatch(r"amqps?://([^@/\s]+@)?[\w.-]+(:\d{1,5})?(/[^/?\s]*)?", url, re.ASCII):
        raise ValueError
    return url


Redis = Annotated[str, AfterValidator(_redis_url), Field(description=address.TAKES)]
Timelines = Annotated[
    str,
    AfterValidator(_timelines_url),
    Field(description=f"{address.TAKES}, or {address.CLUSTER_TAKES}"),
]
Count = Annotated[int, Field(description="a number from 0 to 1000000", ge=0, le=1_000_000)]
Switch = Annotated[bool, Field(description="on or off")]
Rate = Annotated[
    tuple[int, int] | None,
    NoDecode,
    BeforeValidator(_rate),
    Field(description="a count and a period like 300/3h, 10/15m or 5/1d, or off"),
]
Listen = Annotated[
    tuple[str, int] | None,
    NoDecode,
    BeforeValidator(_listen),
    Field(description="a port of 127.0.0.1, or host:port"),
]
Host = Annotated[str, StringConstraints(pattern=r"^(\*|\.?[\w.-]+|\[[0-9A-Fa-f:]+\])$")]
Origin = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+$")]
# As a browser sends it: in lower case, without the scheme's own port. An app's may be capacitor://.
_WEB_ORIGIN = (
    r"^(?!http:.*:80$|https:.*:443$)[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:]+\])(:\d{1,5})?$"
)
WebOrigin = Annotated[str, StringConstraints(pattern=_WEB_ORIGIN)]
