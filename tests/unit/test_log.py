"""What a log line holds."""

import json
import subprocess
import sys

from libs.log import describe_errors

PROGRAM = """
import logging, warnings
from libs import log
log.configure("info", "widget", "widget-7")
logger = log.get_logger()
logger.debug("not written")
logger.info("made widget", widget="w-ü", count=2)
try:
    try:
        raise KeyError("inner")
    except KeyError as error:
        raise ExceptionGroup("loops", [ValueError("a"), ExceptionGroup("more", [OSError("b")])]) from error
except ExceptionGroup:
    logger.exception("crashed")
logging.getLogger("library").warning("careful: %s", "hot")
logging.getLogger("library").info("chatter")
warnings.warn("old")
"""


def lines_of(program: str) -> list[dict[str, object]]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_every_line_is_one_json_object_with_its_origin() -> None:
    made, crashed, library, *_ = lines_of(PROGRAM)
    assert made["message"] == "made widget"
    assert (made["level"], made["service"], made["replica"]) == ("info", "widget", "widget-7")
    assert (made["widget"], made["count"]) == ("w-ü", 2)
    assert str(made["time"]).endswith("Z")
    assert crashed["level"] == "error"
    assert (library["message"], library["logger"], library["level"]) == ("careful: hot", "library", "warning")


def test_an_exception_group_is_told_error_by_error_and_only_once() -> None:
    crashed = lines_of(PROGRAM)[1]
    errors = crashed["errors"]
    assert isinstance(errors, list)
    assert [(error["type"], error["message"]) for error in errors] == [("ValueError", "a"), ("OSError", "b")]


def test_warnings_of_libraries_are_logged_too() -> None:
    assert "old" in str(lines_of(PROGRAM)[-1]["message"])


def test_the_stack_of_an_error_names_file_line_and_function() -> None:
    try:
        raise ValueError("x")
    except ValueError as error:
        event = describe_errors(None, "error", {"event": "e", "exc_info": error})
    (described,) = event["errors"]
    assert described["stack"][-1].endswith("test_the_stack_of_an_error_names_file_line_and_function")
    assert "test_log.py:" in described["stack"][-1]


def test_the_cause_of_an_error_is_kept() -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error
    except ValueError:
        event = describe_errors(None, "error", {"event": "e", "exc_info": True})
    assert event["errors"][0]["cause"] == "KeyError: 'inner'"


def test_a_line_without_an_error_stays_as_it_is() -> None:
    assert describe_errors(None, "info", {"event": "e", "exc_info": True}) == {"event": "e"}
