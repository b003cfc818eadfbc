"""The environment variables that configure Twit, parsed strictly. See docs/settings.md."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from backends import address

PERIODS_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
# Read by tests only.
TESTS = {"TWIT_STORMS", "TWIT_MOMENTS", "TWIT_PROTOCOL_EXAMPLES", "TWIT_PROTOCOL_STEPS"}
NO_SERVERS = (
    "no servers: run `make up` in this checkout, or set DATABASE_URL (Postgres) "
    "and REDIS_URL (Redis or Valkey)."
)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _rate(text: str) -> tuple[int, int] | None:
    if text == "off":
        return None
    found = re.fullmatch(r"([1-9]\d{0,8})/([1-9]\d{0,5})([smhd])", text, re.ASCII)
    if not found:
        raise ValueError
    return int(found[1]), int(found[2]) * PERIODS_SECONDS[found[3]]


def _postgres_url(url: str) -> str:
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


def _broker_url(url: str) -> str:
    if url.startswith("redis"):
        return _redis_url(url)
    if not re.fullmatch(r"amqps?://([^@/\s]+@)?[\w.-]+(:\d{1,5})?(/[^/?\s]*)?", url, re.ASCII):
        raise ValueError
    return url


Redis = Annotated[str, AfterValidator(_redis_url), Field(description=address.TAKES)]
Switch = Annotated[bool, Field(description="on or off")]
Rate = Annotated[
    tuple[int, int] | None,
    NoDecode,
    BeforeValidator(_rate),
    Field(description="a count and a period like 300/3h, 10/15m or 5/1d, or off"),
]
Host = Annotated[str, StringConstraints(pattern=r"^(\*|\.?[\w.-]+|\[[0-9A-Fa-f:]+\])$")]
Origin = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+$")]


class Environment(BaseSettings):
    """The variables."""

    model_config = SettingsConfigDict(
        case_sensitive=True, env_ignore_empty=True, extra="ignore", validate_default=False
    )

    DATABASE_URL: Annotated[
        str,
        AfterValidator(_postgres_url),
        Field(description="postgresql://user:password@host:5432/database"),
    ] = ""
    REDIS_URL: Redis = ""
    BROKER_URL: Annotated[
        str,
        AfterValidator(_broker_url),
        Field(description="amqp://user:password@host[:port][/vhost], amqps:// or a redis:// URL"),
    ] = ""
    LIMITS_URL: Redis = ""
    SECRET_KEY: str = ""
    DEBUG: Switch = False
    ALLOWED_HOSTS: Annotated[
        list[Host],
        NoDecode,
        BeforeValidator(_split),
        Field(description="host names, separated by commas"),
    ] = ["localhost", "127.0.0.1", "[::1]"]
    CSRF_TRUSTED_ORIGINS: Annotated[
        list[Origin],
        NoDecode,
        BeforeValidator(_split),
        Field(description="origins like https://twit.example, separated by commas"),
    ] = []
    TWIT_OPEN_API: Switch = False
    TWIT_OPEN_API_ANYWHERE: Switch = False
    TWIT_TOKEN_DAYS: Annotated[
        int, Field(description="a number from 1 to 36500", ge=1, le=36500)
    ] = 30
    TWIT_LIMIT_POSTS: Rate = None
    TWIT_LIMIT_REQUESTS: Rate = None
    TWIT_LIMIT_LOGINS: Rate = None
    TWIT_PROXIES: Annotated[int, Field(description="a number from 0 to 100", ge=0, le=100)] = 0
    TWIT_HTTPS: Switch = True
    TWIT_LOG_LEVEL: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
        Field(description="DEBUG, INFO, WARNING, ERROR or CRITICAL"),
    ] = "INFO"
    TWIT_PORT: Annotated[int, Field(description="a number from 1 to 65535", ge=1, le=65535)] = 8000

    @property
    def limits(self) -> dict[str, tuple[int, int] | None]:
        """The rate limits that are set: requests and seconds by scope, or None for off."""
        names = [name for name in self.model_fields_set if name.startswith("TWIT_LIMIT_")]
        return {name.removeprefix("TWIT_LIMIT_").lower(): getattr(self, name) for name in names}


def read(*, needs_secret: bool = True, needs_servers: bool = False) -> Environment:
    """Parse the environment. Raises ImproperlyConfigured, which lists all problems."""
    problems = []
    for name in sorted(os.environ):
        if name.startswith("TWIT_") and name not in Environment.model_fields.keys() | TESTS:
            like = get_close_matches(name, Environment.model_fields, 1, 0.8)
            hint = f"; did you mean {like[0]}?" if like else "."
            problems.append(f"{name} is not a variable of Twit{hint}")
    has_server = os.environ.get("DATABASE_URL") or os.environ.get("REDIS_URL")
    if needs_secret and has_server and not os.environ.get("SECRET_KEY"):
        problems.append("SECRET_KEY is not set: choose a long random value and keep it secret.")
    variables = None
    try:
        variables = Environment()
    except ValidationError as error:
        problems += [_problem(**found) for found in error.errors(include_url=False)]
    if variables is None or problems:
        raise ImproperlyConfigured("\n      ".join(problems))
    if needs_servers and not (variables.DATABASE_URL and variables.REDIS_URL):
        raise ImproperlyConfigured(NO_SERVERS)
    return variables


def _problem(loc: tuple[int | str, ...], ctx: dict[str, Any] | None = None, **_: Any) -> str:
    name = str(loc[0])
    detail = str((ctx or {}).get("error", ""))
    # A URL may hold a password.
    value = "is wrong" if name.endswith("_URL") else f"is {os.environ[name]!r}"
    takes = Environment.model_fields[name].description
    return f"{name} {value}{detail and ': '}{detail}; it takes {takes}."


@contextmanager
def plain_exit() -> Iterator[None]:
    """End the process with a message, not a traceback, when the configuration is wrong."""
    try:
        yield
    except ImproperlyConfigured as error:
        # Without a database Django complains about ENGINE, which nobody sets here.
        sys.exit(f"twit: {NO_SERVERS if 'ENGINE' in str(error) else error}")
