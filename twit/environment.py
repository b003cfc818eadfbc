"""The environment variables that configure Twit, parsed strictly. See docs/settings.md."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self

from django.core.exceptions import ImproperlyConfigured
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from backends import address
from twit.values import (
    Count,
    Host,
    Listen,
    Origin,
    Rate,
    Redis,
    Switch,
    Timelines,
    WebOrigin,
    broker_url,
    postgres_url,
    split,
)

# Read by tests only.
TESTS = {
    *("TWIT_STORMS", "TWIT_MOMENTS", "TWIT_PROTOCOL_EXAMPLES", "TWIT_PROTOCOL_STEPS"),
    *("TWIT_HELD_SECONDS", "TWIT_POLLING_SECONDS", "TWIT_PICTURES"),
}
NO_SERVERS = (
    "no servers: run `make up` in this checkout, or set DATABASE_URL (Postgres) "
    "and REDIS_URL (Redis or Valkey)."
)


class Environment(BaseSettings):
    """The variables and their defaults."""

    model_config = SettingsConfigDict(
        case_sensitive=True,
        env_ignore_empty=True,
        extra="ignore",
        validate_default=False,
        regex_engine="python-re",
    )

    DATABASE_URL: Annotated[
        str,
        AfterValidator(postgres_url),
        Field(description="postgresql://user:password@host:5432/database"),
    ] = ""
    REDIS_URL: Timelines = ""
    BROKER_URL: Annotated[
        str,
        AfterValidator(broker_url),
        Field(description="amqp://user:password@host[:port][/vhost], amqps:// or a redis:// URL"),
    ] = ""
    LIMITS_URL: Redis = ""
    REDIS_PASSWORD: str = ""
    SECRET_KEY: str = ""
    SECRET_KEY_FALLBACKS: Annotated[list[str], NoDecode, BeforeValidator(split)] = []
    DEBUG: Switch = False
    ALLOWED_HOSTS: Annotated[
        list[Host],
        NoDecode,
        BeforeValidator(split),
        Field(description="host names, separated by commas"),
    ] = ["localhost", "127.0.0.1", "[::1]"]
    CSRF_TRUSTED_ORIGINS: Annotated[
        list[Origin],
        NoDecode,
        BeforeValidator(split),
        Field(description="origins like https://twit.example, separated by commas"),
    ] = []
    TWIT_CORS_ORIGINS: Annotated[
        list[WebOrigin],
        NoDecode,
        BeforeValidator(split),
        Field(description="browsers' origins like https://app.example, separated by commas"),
    ] = []
    TWIT_OPEN_API: Switch = False
    TWIT_OPEN_API_ANYWHERE: Switch = False
    TWIT_TOKEN_DAYS: Annotated[
        int, Field(description="a number from 1 to 36500", ge=1, le=36500)
    ] = 30
    TWIT_SIGN_UP: Switch = False
    TWIT_LIMIT_POSTS: Rate = None
    TWIT_LIMIT_FOLLOWS: Rate = None
    TWIT_LIMIT_REQUESTS: Rate = None
    TWIT_LIMIT_LOGINS: Rate = None
    TWIT_LIMIT_SIGN_UPS: Rate = None
    TWIT_STREAMS: Count = 10_000
    TWIT_STREAMS_PER_USER: Count = 20
    TWIT_STREAMS_PER_ADDRESS: Count = 5_000
    TWIT_PENDING_SECONDS: Count = 60
    TWIT_PROXIES: Annotated[int, Field(description="a number from 0 to 100", ge=0, le=100)] = 0
    TWIT_HTTPS: Switch = True
    TWIT_HSTS_SECONDS: Annotated[
        int, Field(description="a number from 0 to 100000000", ge=0, le=100_000_000)
    ] = 0
    TWIT_LOG_LEVEL: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
        Field(description="DEBUG, INFO, WARNING, ERROR or CRITICAL"),
    ] = "INFO"
    TWIT_LOG_FORMAT: Annotated[Literal["text", "json"], Field(description="text or json")] = "text"
    TWIT_PORT: Annotated[int, Field(description="a number from 1 to 65535", ge=1, le=65535)] = 8000
    TWIT_METRICS_WEB: Listen = None
    TWIT_METRICS_WORKER: Listen = None
    TWIT_VALKEYS: Annotated[int, Field(description="a number from 1 to 16", ge=1, le=16)] = 1

    @model_validator(mode="after")
    def _add_password(self) -> Self:
        if self.REDIS_PASSWORD:
            for name in ("REDIS_URL", "BROKER_URL", "LIMITS_URL"):
                setattr(self, name, address.with_password(getattr(self, name), self.REDIS_PASSWORD))
        return self

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
    if variables and address.is_cluster(variables.REDIS_URL):
        problems += [
            f"{name} is not set: with a cluster in REDIS_URL, {role} need a server of their own."
            for name, role in (("BROKER_URL", "Celery's queues"), ("LIMITS_URL", "the rate limits"))
            if not getattr(variables, name)
        ]
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
        # Without a database Django complains about ENGINE, which is not a setting of Twit's.
        sys.exit(f"twit: {NO_SERVERS if 'ENGINE' in str(error) else error}")
