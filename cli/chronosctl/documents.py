"""Job files: YAML or JSON, one job or several."""

import sys
from pathlib import Path
from typing import Any

import yaml

from cli.chronosctl.errors import UsageError
from cli.chronosctl.fields import with_json_durations

STANDARD_INPUT = "-"


def read_jobs(source: str) -> list[dict[str, Any]]:
    """The jobs in a file, or on standard input for `-`, with durations in JSON form. At least one.

    A file holds one job, a list of jobs, a mapping with the single key `jobs`, or several such documents.
    Raises UsageError.
    """
    jobs = [with_json_durations(job) for job in _jobs(_text(source), source)]
    if not jobs:
        raise UsageError(f"{source} holds no job")
    return jobs


def read_job(source: str) -> dict[str, Any]:
    """The only job in a file. Raises UsageError when there are several."""
    jobs = read_jobs(source)
    if len(jobs) != 1:
        raise UsageError(f"{source} holds {len(jobs)} jobs; this command takes one")
    return jobs[0]


def _text(source: str) -> str:
    try:
        return sys.stdin.read() if source == STANDARD_INPUT else Path(source).read_text()
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{source} is not a text file in UTF-8") from error


def _jobs(text: str, source: str) -> list[dict[str, Any]]:
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        advice = "; a schedule that begins with * needs quotes" if "alias" in str(error) else ""
        raise UsageError(f"{source} is neither YAML nor JSON{advice}:\n{error}") from error
    jobs: list[dict[str, Any]] = []
    for document in documents:
        jobs += _jobs_of(document, source)
    for number, job in enumerate(jobs, start=1):
        _check_keys(job, f"{source}: job {number}")
    return jobs


def _jobs_of(document: Any, source: str) -> list[dict[str, Any]]:
    match document:
        case None:
            return []
        case {"jobs": list(items), **rest} if not rest:
            pass
        case list(items):
            pass
        case dict():
            items = [document]
        case _:
            raise UsageError(f"{source} holds {type(document).__name__} where a job is wanted: fields such as `name:`")
    wrong = next((item for item in items if not isinstance(item, dict)), None)
    if wrong is not None:
        raise UsageError(f"{source}: {wrong!r} is not a job; a job has fields such as `name:` and `schedule:`")
    return items


def _check_keys(value: Any, where: str) -> None:
    """Refuses what YAML can say and JSON cannot: keys that are not text, dates."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise UsageError(f"{where}: the key {key!r} is not text; put it in quotes")
            _check_keys(item, f"{where}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_keys(item, f"{where}[{index}]")
    elif value is not None and not isinstance(value, str | int | float | bool):
        raise UsageError(f"{where}: {value} is read as {type(value).__name__}; put it in quotes")
