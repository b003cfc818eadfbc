"""The environment variables that configure Twit, parsed strictly.

docs/settings.md describes each of them; a test compares its table with this class.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from backends import address

SWITCH = "on or off"
RATE = "a count and a period like 300/3h, 10/15m or 5/1d, or off"
PERIODS_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
# Read by the tests only.
TESTS = {"TWIT_STORMS", "TWIT_PROTOCOL_EXAMPLES", "TWIT_PROTOCOL_STEPS"}
NO_SERVERS = (
    "no servers: run `make up` in this checkout, or set DATABASE_URL (Postgres) "
    "and REDIS_URL (Redis or Valkey)."
)


def _switch(text: str) -> bool:
    return {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}[
        text.lower()
    ]


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError
    return int(text)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(re.fullmatch(r"\*|\.?[\w.-]+|\[[0-9A-Fa-f:]+\]", name) for name in names):
        raise ValueError
    return names


def _origins(text: str) -> list[str]:
    origins = [origin.strip() for origin in text.split(",")]
    if not all(re.fullmatch(r"https?://[^\s/]+", origin) for origin in origins):
        raise ValueError
    return origins


def _rate(text: str) -> tuple[int, int] | None:
    if text == "off":
        return None
    found = re.fullmatch(r"([1-9]\d{0,8})/([1-9]\d{0,5})([smhd])", text, re.ASCII)
    if not found:
        raise ValueError
    return int(found[1]), int(found[2]) * PERIODS_SECONDS[found[3]]


def _postgres_url(url: str) -> str:
    try:
        parts = conninfo_to_dict(url)
    except ProgrammingError as error:
        raise ValueError from error
    if not url.startswith(("postgresql://", "postgres://")) or not parts.get("dbname"):
        raise ValueError
    return url


def _redis_url(url: str) -> str:
    address.Address.parse(url)
    return url


def _parsed(parse: Callable[[str], Any]) -> BeforeValidator:
    def validate(value: Any) -> Any:
        try:
            return parse(value)
        except KeyError as error:
            raise ValueError from error

    return BeforeValidator(validate)


Switch = Annotated[bool, _parsed(_switch)]
Number = Annotated[int, _parsed(_number)]
Limit = Annotated[tuple[int, int] | None, NoDecode, _parsed(_rate)]


class Environment(BaseSettings):
    """The variables. A field's description completes "it takes ..."; `repr=False` hides secrets."""

    model_config = SettingsConfigDict(
        case_sensitive=True, env_ignore_empty=True, extra="ignore", validate_default=False
    )

    DATABASE_URL: Annotated[str, _parsed(_postgres_url)] = Field(
        default="", repr=False, description="postgresql://user:password@host:5432/database"
    )
    REDIS_URL: Annotated[str, _parsed(_redis_url)] = Field(
        default="", repr=False, description=address.TAKES
    )
    SECRET_KEY: str = Field(default="", repr=False, description="a long random value")
    DEBUG: Switch = Field(default=False, description=SWITCH)
    ALLOWED_HOSTS: Annotated[list[str], NoDecode, _parsed(_names)] = Field(
        default=["localhost", "127.0.0.1", "[::1]"], description="host names, separated by commas"
    )
    CSRF_TRUSTED_ORIGINS: Annotated[list[str], NoDecode, _parsed(_origins)] = Field(
        default=[], description="origins like https://twit.example, separated by commas"
    )
    TWIT_OPEN_API: Switch = Field(default=False, description=SWITCH)
    TWIT_OPEN_API_ANYWHERE: Switch = Field(default=False, description=SWITCH)
    TWIT_TOKEN_DAYS: Number = Field(
        default=30, ge=1, le=36500, description="a number from 1 to 36500"
    )
    TWIT_LIMIT_POSTS: Limit = Field(default=None, description=RATE)
    TWIT_LIMIT_REQUESTS: Limit = Field(default=None, description=RATE)
    TWIT_LIMIT_LOGINS: Limit = Field(default=None, description=RATE)
    TWIT_PROXIES: Number = Field(default=0, le=100, description="a number from 0 to 100")
    TWIT_HTTPS: Switch = Field(default=True, description=SWITCH)
    TWIT_LOG_LEVEL: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        default="INFO", description="DEBUG, INFO, WARNING, ERROR or CRITICAL"
    )
    TWIT_PORT: Number = Field(default=8000, ge=1, le=65535, description="a number from 1 to 65535")

    @property
    def limits(self) -> dict[str, tuple[int, int] | None]:
        """The rate limits that are set, by scope: (requests, seconds), or None for off."""
        prefix = "TWIT_LIMIT_"
        return {
            name.removeprefix(prefix).lower(): getattr(self, name)
            for name in self.model_fields_set
            if name.startswith(prefix)
        }


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
    variables = None
    try:
        variables = Environment()
    except ValidationError as error:
        problems += [_problem(str(found["loc"][0]), found) for found in error.errors()]
    has_server = os.environ.get("DATABASE_URL") or os.environ.get("REDIS_URL")
    if needs_secret and has_server and not os.environ.get("SECRET_KEY"):
        problems.append("SECRET_KEY is not set: choose a long random value and keep it secret.")
    if variables is None or problems:
        raise ImproperlyConfigured("\n      ".join(problems))
    return variables


def _problem(name: str, found: Any) -> str:
    field = Environment.model_fields[name]
    detail = str(found.get("ctx", {}).get("error", "")) if found["type"] == "value_error" else ""
    value = f"is {found['input']!r}" if field.repr else "is wrong"
    return f"{name} {value}{detail and ': '}{detail}; it takes {field.description}."


@contextmanager
def plain_exit() -> Iterator[None]:
    """End the process with a message, not a traceback, when the configuration is wrong."""
    try:
        yield
    except ImproperlyConfigured as error:
        sys.exit(f"twit: {error}")
