"""Twit's settings, from environment variables; README.md has them in a table.

While `make up` runs in this checkout, its variables stand in `.twit/env` and serve every command
here; a variable that is set in the environment wins over it, and an environment that names other
servers is left alone.
"""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from twit.local.place import Place

BASE_DIR = Path(__file__).resolve().parent.parent
SERVERS = ("DATABASE_URL", "REDIS_URL")
NO_SERVERS = (
    "no servers: run `make up` in this checkout, or set DATABASE_URL (Postgres) "
    "and REDIS_URL (Redis or Valkey)."
)

_local = Place(BASE_DIR).variables()
# An environment that names other servers than `make up` has nothing to do with it.
if all(os.environ.get(name, _local.get(name)) == _local.get(name) for name in SERVERS):
    os.environ.update(_local | os.environ)
env = environ.Env()


def limit(name: str, default: str) -> tuple[int, int] | None:
    """How many in how many seconds, from a variable like 300/3h; None if it says off."""
    text = env.str(name, default=default)
    if text == "off":
        return None
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)([smhd])", text)
    if not found:
        raise ImproperlyConfigured(
            f"{name} is {text!r}: a count and a period like 300/3h, 10/15m or 5/1d, or off."
        )
    return int(found[1]), int(found[2]) * {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}[found[3]]


# What differs from one installation to the next

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="")
DATABASE_URL = env.str("DATABASE_URL", default="")
REDIS_URL = env.str("REDIS_URL", default="")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
TWIT_OPEN_API = env.bool("TWIT_OPEN_API", default=False)
TWIT_OPEN_API_ANYWHERE = env.bool("TWIT_OPEN_API_ANYWHERE", default=False)
TWIT_HTTPS = env.bool("TWIT_HTTPS", default=True)
TWIT_LOG_LEVEL = env.str("TWIT_LOG_LEVEL", default="INFO")
TWIT_TOKEN_DAYS = env.int("TWIT_TOKEN_DAYS", default=30)
TWIT_PROXIES = env.int("TWIT_PROXIES", default=0)
# An open API knows nobody whom it could count.
TWIT_LIMITS = {
    "posts": limit("TWIT_LIMIT_POSTS", default="off" if TWIT_OPEN_API else "300/3h"),
    "requests": limit("TWIT_LIMIT_REQUESTS", default="off" if TWIT_OPEN_API else "900/15m"),
    "logins": limit("TWIT_LIMIT_LOGINS", default="10/15m"),
}

if not SECRET_KEY:
    if DATABASE_URL or REDIS_URL:
        raise ImproperlyConfigured(
            "SECRET_KEY is not set: choose a long random value and keep it secret."
        )
    # No servers, so nothing that this key could sign: enough for `check` or `makemigrations`.
    SECRET_KEY = "no-servers"  # noqa: S105

# Home timelines

HOME_TIMELINE_CAP = 800  # elements kept of each home timeline
HOME_TIMELINE_SLACK = 80  # by which a list may grow before it is cut to the cap and marked
HOME_TIMELINE_EXPIRY_SECONDS = 30 * 24 * 3600  # after its owner's last read

# Servers

DATABASES: dict[str, dict[str, Any]] = {"default": {}}
if DATABASE_URL:
    database = env.db_url_config(DATABASE_URL, engine="twit.postgresql")
    # To plan the query of a page takes longer than to run it; prepared, it is planned once.
    options = {"server_side_binding": True, "prepare_threshold": 5, **database.get("OPTIONS", {})}
    settings = {"CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True, "OPTIONS": options}
    DATABASES["default"] = database | settings
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # workers wait for their broker as long as it takes
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 5.0, "socket_timeout": 5.0}
# A request that can't publish says so in the log and goes on; it does not wait for a broker.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
# A worker that is told to end finishes what it has fetched: a task or two, of a second each.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Tasks between two closings of a worker's database connection; Celery's default is to close it
# before and after each, which costs five times the throughput.
CELERY_DB_REUSE_MAX = 100_000
SWEEP_SECONDS = 2.0
CELERY_BEAT_SCHEDULE: dict[str, Any] = {
    # What no wake-up reached: rows written past Django, a broker that was away, a killed worker.
    "deliver": {
        "task": "timelines.fan_out",
        "schedule": SWEEP_SECONDS,
        "options": {"expires": SWEEP_SECONDS},  # sweeps don't pile up while no worker runs
    },
    "forget expired sign-ins": {"task": "users.clear_sign_ins", "schedule": 24 * 3600.0},
    "forget old idempotency keys": {"task": "tweets.clear_keys", "schedule": 3600.0},
}

# Django

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "users",
    "tweets",
    "timelines",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "twit.middleware.conditional",
    "twit.middleware.bounded",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "twit.urls"
WSGI_APPLICATION = "twit.wsgi.application"
FIXTURE_DIRS = [BASE_DIR / "fixtures"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "users.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
LOGIN_REDIRECT_URL = "/"
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
STATIC_URL = "static/"
# The admin's files are served from the installed packages: no collectstatic step.
WHITENOISE_USE_FINDERS = True

SECURE_SSL_REDIRECT = TWIT_HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if TWIT_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = TWIT_HTTPS
SECURE_HSTS_PRELOAD = TWIT_HTTPS
SESSION_COOKIE_SECURE = TWIT_HTTPS
CSRF_COOKIE_SECURE = TWIT_HTTPS

REST_FRAMEWORK = {
    "EXCEPTION_HANDLER": "twit.errors.api_error",
    "DEFAULT_RENDERER_CLASSES": [
        "tweets.json.JSONRenderer",
        "rest_framework.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_PARSER_CLASSES": [
        "tweets.json.JSONParser",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_AUTHENTICATION_CLASSES": []
    if TWIT_OPEN_API
    else [
        "users.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.AllowAny"
        if TWIT_OPEN_API
        else "rest_framework.permissions.IsAuthenticatedOrReadOnly"
    ],
    "DEFAULT_THROTTLE_CLASSES": ["twit.limits.Limit"],
    "NUM_PROXIES": TWIT_PROXIES,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Twit",
    "DESCRIPTION": "A home-timeline service: tweets in, home timelines out. Bodies may also be "
    "sent as forms.",
    "VERSION": "0.1.0",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",  # served from here, not from the network
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # Clients that are generated take one form of each body; the others are for people.
    "RENDERER_WHITELIST": ["tweets.json.JSONRenderer"],
    "PARSER_WHITELIST": ["tweets.json.JSONParser"],
    "POSTPROCESSING_HOOKS": ["tweets.schema.complete"],
}
REST_KNOX = {"TOKEN_TTL": timedelta(days=TWIT_TOKEN_DAYS)}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": TWIT_LOG_LEVEL},
}
