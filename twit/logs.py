"""The configuration of logging, and how a task learns which request it was sent for."""

import logging.config
from typing import Any

from celery.signals import before_task_publish, setup_logging, task_postrun, task_prerun

from api import logs
from api.logs import Cause

HEADER = "request_id"  # of messages
JSON = {
    "()": "pythonjsonlogger.json.JsonFormatter",
    "fmt": ["levelname", "name", "process", "message"],
    "rename_fields": {"levelname": "level", "name": "logger", "exc_info": "exception"},
    "timestamp": "time",
}


def configuration(level: str, *, is_json: bool) -> dict[str, Any]:
    """Return what `logging.config.dictConfig` takes."""
    console = {"class": "logging.StreamHandler", "formatter": "line", "filters": ["cause"]}
    # Wake-ups are too frequent to be logged. With DEBUG Celery logs each task.
    of_tasks = {"level": "NOTSET" if level == "DEBUG" else "WARNING"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"cause": {"()": "api.logs.NameCause"}},
        "formatters": {"line": JSON if is_json else {"()": "api.logs.TextFormatter"}},
        "handlers": {"console": console},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "celery.worker.strategy": of_tasks,
            "celery.app.trace": of_tasks,
            "celery.apps.worker": {"level": "INFO"},  # says when a worker is ready
            "uvicorn.error": {"level": "ERROR"},  # not a line for each invalid request
        },
    }


@setup_logging.connect
def configure(**signal: Any) -> None:
    """Configure logging in a worker or the scheduler. Lines in Celery's format could be forged."""
    from django.conf import settings

    logging.config.dictConfig(settings.LOGGING)


@before_task_publish.connect
def hand_over(headers: dict[str, Any], **signal: Any) -> None:
    """Name the request in the message of a task that it causes."""
    if known := logs.cause.get():
        headers[HEADER] = known.request_id


@task_prerun.connect
def take_over(task: Any, **signal: Any) -> None:
    """Let the task's lines name the request that caused it."""
    request_id = task.request.get(HEADER)
    logs.cause.set(Cause(request_id) if request_id else None)


@task_postrun.connect
def forget(**signal: Any) -> None:
    """Stop naming the request once the task has ended."""
    logs.cause.set(None)
