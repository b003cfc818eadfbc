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

SWITCH = "on or off"
RATE = "a count and a period like 300/3h, 10/15m or 5/1d, or off"
PERIODS_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
TESTS = {"TWIT_STORMS", "TWIT_PROTOCOL_EXAMPLES", "TWIT_PROTOCOL_STEPS"}  # read by tests only
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


Limit = Annotated[tuple[int, int] | None, NoDecode, BeforeValidator(_rate)]
Host = Annotated[str, StringConstraints(pattern=r"^(\*|\.?[\w.-]+|\[[0-9A-Fa-f:]+\])$")]
Origin = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+$")]


class Environment(BaseSettings):
    """The variables. A description completes "it takes ...", and `repr=False` hides the value."""

    model_config = SettingsConfigDict(
        case_sensitive=True, env_ignore_empty=True, extra="ignore", validate_default=False
    )

    DATABASE_URL: Annotated[str, AfterValidator(_postgres_url)] = Field(
        default="", repr=False, description="postgresql://user:password@host:5432/database"
    )
    REDIS_URL: Annotated[str, AfterValidator(_redis_url)] = Field(
        default="", repr=False, description=address.TAKES
    )
    SECRET_KEY: str = Field(default="", repr=False)
    DEBUG: bool = Field(default=False, description=SWITCH)
    ALLOWED_HOSTS: Annotated[list[Host], NoDecode, BeforeValidator(_split)] = Field(
        default=["localhost", "127.0.0.1", "[::1]"], description="host names, separated by commas"
    )
    CSRF_TRUSTED_ORIGINS: Annotated[list[Origin], NoDecode, BeforeValidator(_split)] = Field(
        default=[], description="origins like https://twit.example, separated by commas"
    )
    TWIT_OPEN_API: bool = Field(default=False, description=SWITCH)
    TWIT_OPEN_API_ANYWHERE: bool = Field(default=False, description=SWITCH)
    TWIT_TOKEN_DAYS: int = Field(default=30, ge=1, le=36500, description="a number from 1 to 36500")
    TWIT_LIMIT_POSTS: Limit = Field(default=None, description=RATE)
    TWIT_LIMIT_REQUESTS: Limit = Field(default=None, description=RATE)
    TWIT_LIMIT_LOGINS: Limit = Field(default=None, description=RATE)
    TWIT_PROXIES: int = Field(default=0, ge=0, le=100, description="a number from 0 to 100")
    TWIT_HTTPS: bool = Field(default=True, description=SWITCH)
    TWIT_LOG_LEVEL: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        default="INFO", description="DEBUG, INFO, WARNING, ERROR or CRITICAL"
    )
    TWIT_PORT: int = Field(default=8000, ge=1, le=65535, description="a number from 1 to 65535")

    @property
    def limits(self) -> dict[str, tuple[int, int] | None]:
        """The rate limits that are set: requests and seconds by scope, or None for off."""
        names = [name for name in self.model_fields_set if name.startswith("TWIT_LIMIT_")]
        return {name.removeprefix("TWIT_LIMIT_").lower(): getattr(self, name) for name in names}


def read(*, needs_secret: bool = True) -> Environment:
    """Parse the environment. Raises ImproperlyConfigured, which lists all problems.

    `needs_secret`: SECRET_KEY must be set if a server is.
    """
    problems = []
    for name in sorted(os.environ):
        if name.startswith("TWIT_") and name not in Environment.model_fields.keys() | TESTS:
            like = get_close_matches(name, Environment.model_fields, 1)
            hint = f"; did you mean {like[0]}?" if like else "."
            problems.append(f"{name} is not a variable of Twit{hint}")
    if needs_secret and not os.environ.get("SECRET_KEY"):
        if os.environ.get("DATABASE_URL") or os.environ.get("REDIS_URL"):
            problems.append("SECRET_KEY is not set: choose a long random value and keep it secret.")
    variables = None
    try:
        variables = Environment()
    except ValidationError as error:
        problems += [_problem(**found) for found in error.errors(include_url=False)]
    if variables is None or problems:
        raise ImproperlyConfigured("\n      ".join(problems))
    return variables


def _problem(loc: tuple[int | str, ...], ctx: dict[str, Any] | None = None, **_: Any) -> str:
    name = str(loc[0])
    field = Environment.model_fields[name]
    detail = str((ctx or {}).get("error", ""))
    value = f"is {os.environ[name]!r}" if field.repr else "is wrong"
    return f"{name} {value}{detail and ': '}{detail}; it takes {field.description}."


@contextmanager
def plain_exit() -> Iterator[None]:
    """End the process with a message, not a traceback, when the configuration is wrong."""
    try:
        yield
    except ImproperlyConfigured as error:
        sys.exit(f"twit: {error}")
