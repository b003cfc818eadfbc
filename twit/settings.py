"""Twit's Django settings. They read environment variables: see docs/settings.md."""

import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict

import twit.celery  # noqa: F401 (every Django process sends its tasks through this application)
from api.headers import HEADERS
from twit import environment, logs
from twit.openapi import SPECTACULAR_SETTINGS  # noqa: F401 (Django's settings include it)

BASE_DIR = Path(__file__).resolve().parent.parent
NO_SERVERS = environment.NO_SERVERS

# What differs between installations

env = environment.read()
DEBUG = env.DEBUG
DATABASE_URL = env.DATABASE_URL
REDIS_URL = env.REDIS_URL
BROKER_URL = env.BROKER_URL or REDIS_URL
LIMITS_URL = env.LIMITS_URL or REDIS_URL
# Without servers there is nothing to sign: commands such as makemigrations need no secret.
SECRET_KEY = env.SECRET_KEY or "no-servers"
SECRET_KEY_FALLBACKS = env.SECRET_KEY_FALLBACKS
ALLOWED_HOSTS = env.ALLOWED_HOSTS
CSRF_TRUSTED_ORIGINS = env.CSRF_TRUSTED_ORIGINS
CORS_ALLOWED_ORIGINS = env.TWIT_CORS_ORIGINS
TWIT_OPEN_API = env.TWIT_OPEN_API
TWIT_OPEN_API_ANYWHERE = env.TWIT_OPEN_API_ANYWHERE
TWIT_SIGN_UP = env.TWIT_SIGN_UP
TWIT_LIMITS = env.limits
TWIT_PENDING_SECONDS = env.TWIT_PENDING_SECONDS
TWIT_STREAMS = env.TWIT_STREAMS
TWIT_STREAMS_PER_USER = env.TWIT_STREAMS_PER_USER
TWIT_STREAMS_PER_ADDRESS = env.TWIT_STREAMS_PER_ADDRESS

# Servers

DATABASES: dict[str, dict[str, Any]] = {"default": {}}
if DATABASE_URL:
    parts = conninfo_to_dict(DATABASE_URL)
    # Planning a page's query takes longer than running it. A prepared statement is planned once.
    options = {"server_side_binding": True, "prepare_threshold": 5}
    DATABASES["default"] = {
        "ENGINE": "backends.engine",
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        "NAME": parts.pop("dbname"),
        **{name.upper(): parts.pop(name, "") for name in ("user", "password", "host", "port")},
        "OPTIONS": options | parts,
    }
CELERY_BROKER_URL = BROKER_URL
if BROKER_URL.startswith("rediss://"):
    # Used unless the URL has options of its own. Celery's default is not to verify the server.
    CELERY_BROKER_USE_SSL: dict[str, Any] = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
elif BROKER_URL.startswith("amqps://"):
    CELERY_BROKER_USE_SSL = {"server_hostname": None}  # verify the certificate for the URL's host
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # workers wait for their broker without a limit
# A worker waits for a broker that answers with errors: out of memory, read-only, loading, ...
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
if BROKER_URL.startswith("amqp"):
    CELERY_TASK_DEFAULT_QUEUE_TYPE = "quorum"  # replicated, if RabbitMQ is a cluster
    CELERY_BROKER_HEARTBEAT = 4
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
        "confirm_publish": True,  # otherwise a message may be lost without an error
        **dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), 5.0),
    }
else:
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        **dict.fromkeys(("socket_connect_timeout", "socket_timeout"), 5.0),
        # A worker notices within 1 + 2 x 2 s that a connection was lost silently (kombu's docs).
        "health_check_interval": 2,
    }
# A request that can't publish a task logs that and goes on. It does not wait for a broker.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
# On SIGTERM a worker finishes what it has fetched: one or two tasks of a second each.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Tasks between two reconnections to the database. By default Celery closes the connection before
# and after each task, which costs five times the throughput.
CELERY_DB_REUSE_MAX = 100_000
# The longest task works for seconds. A process that takes longer is killed and replaced.
CELERY_TASK_TIME_LIMIT = 60
CELERY_BEAT_SCHEDULE: dict[str, Any] = {
    "forget expired sign-ins": {"task": "users.clear_sign_ins", "schedule": 24 * 3600.0},
    "forget old idempotency keys": {"task": "tweets.clear_keys", "schedule": 3600.0},
    "tell that the scheduler works": {"task": "timelines.heartbeat", "schedule": 60.0},
}

# Django

CONTRIB = "admin auth contenttypes sessions messages staticfiles postgres"
INSTALLED_APPS = [
    *(f"django.contrib.{app}" for app in CONTRIB.split()),
    *("rest_framework", "knox", "drf_spectacular", "drf_spectacular_sidecar"),
    *("api", "users", "tweets", "timelines"),
]
# Requests by programs need nothing between a shortcut and its end: see api.middleware.shortcut.
MIDDLEWARE = [
    *("api.health.probes", "api.measuring.measured"),
    "django.middleware.security.SecurityMiddleware",
    "api.middleware.shortcut",
    "api.middleware.content_security",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "api.middleware.end_of_shortcut",
    "api.middleware.conditional",
    "api.middleware.private",
    "api.middleware.same_origin",
    "api.middleware.whole_forms",
    "django.middleware.common.CommonMiddleware",
    "api.middleware.shortcut",
    "api.middleware.session_keys",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "users.authentication.SessionUserMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "api.middleware.end_of_shortcut",
]
if CORS_ALLOWED_ORIGINS:  # otherwise no request pays for it
    INSTALLED_APPS.append("corsheaders")
    MIDDLEWARE.insert(1, "corsheaders.middleware.CorsMiddleware")  # also for errors of the others
CORS_ALLOW_HEADERS = [
    *("authorization", "content-type", "idempotency-key", "if-none-match", "last-event-id")
]
CORS_EXPOSE_HEADERS = [*HEADERS]
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
    {"NAME": f"django.contrib.auth.password_validation.{name}Validator"}
    for name in ("UserAttributeSimilarity", "MinimumLength", "CommonPassword", "NumericPassword")
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
LOGIN_REDIRECT_URL = "/"
TIME_ZONE = "UTC"
USE_I18N = False  # or Django would remember every language that a query asks for
STATIC_URL = "static/"
# Serves the admin's files from the installed packages, without collectstatic.
WHITENOISE_USE_FINDERS = True

SECURE_SSL_REDIRECT = env.TWIT_HTTPS
# Without a proxy that sets the header, any client could.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.TWIT_PROXIES else None
SECURE_HSTS_SECONDS = env.TWIT_HSTS_SECONDS
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]  # HSTS for subdomains; preloading
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.TWIT_HTTPS

REST_FRAMEWORK = {
    "EXCEPTION_HANDLER": "api.errors.api_error",
    "DEFAULT_RENDERER_CLASSES": [
        "api.json.JSONRenderer",
        "rest_framework.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "api.json.Negotiation",
    "DEFAULT_PARSER_CLASSES": [
        "api.json.JSONParser",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "users.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticatedOrReadOnly"],
    "DEFAULT_THROTTLE_CLASSES": ["api.limits.Limit"],
    "NUM_PROXIES": env.TWIT_PROXIES,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
REST_KNOX = {"TOKEN_TTL": timedelta(days=env.TWIT_TOKEN_DAYS)}

LOGGING = logs.configuration(env.TWIT_LOG_LEVEL, is_json=env.TWIT_LOG_FORMAT == "json")
