"""`chronosctl namespace`: rooms for jobs, with limits."""

from typing import Annotated, Any

import typer
from chronos.scheduler.v1.namespace_pb2 import Namespace

from cli.chronosctl.client import resource_path
from cli.chronosctl.commands.changes import Check, Etag
from cli.chronosctl.documents import NAMESPACES, read_one
from cli.chronosctl.errors import UsageError
from cli.chronosctl.moments import shown_time
from cli.chronosctl.session import Session
from cli.chronosctl.tables import known
from cli.chronosctl.values import enum_value

Json = dict[str, Any]
Id = Annotated[str, typer.Argument(metavar="NAME", help="Name of the namespace.")]
OptionalId = Annotated[str, typer.Argument(metavar="[NAME]", help="Name; without it, that in the file.")]
File = Annotated[str, typer.Option("--file", "-f", metavar="FILE", help="YAML or JSON file; - reads stdin.")]
Description = Annotated[str, typer.Option("--description", help="Free text.")]
MaxJobs = Annotated[int | None, typer.Option("--max-jobs", min=-1, help="Most jobs; -1 means unlimited.")]
MaxRuns = Annotated[
    int | None, typer.Option("--max-concurrent-runs", min=-1, help="Most runs at a time; -1 means unlimited.")
]
MaxHourly = Annotated[
    int | None, typer.Option("--max-executions-per-hour", min=-1, help="Most runs in a clock hour; -1 means unlimited.")
]
PolicyFailure = Annotated[
    str,
    typer.Option("--policy-failure", metavar="RULE", help="When policies cannot be asked: deny, or allow."),
]
COLUMNS = ("NAME", "MAX JOBS", "MAX RUNS", "MAX PER HOUR", "DESCRIPTION", "CHANGED")
QUOTAS = ("max_jobs", "max_concurrent_runs", "max_executions_per_hour")
COMPUTED = ("created_at", "updated_at", "updated_by")


def list_namespaces(session: Session) -> None:
    """Lists the namespaces that were created, ordered by name."""
    found = session.client.pages(resource_path("namespaces"), "namespaces", {}, None)
    if session.output.is_table:
        session.output.table(COLUMNS, [_row(namespace) for namespace in found])
    else:
        session.output.value({"namespaces": list(found)})


def get_namespace(session: Session, name: Id) -> None:
    """Shows a namespace and its limits."""
    _show(session, session.client.call("GET", resource_path("namespaces", name)))


def create_namespace(
    session: Session,
    name: OptionalId = "",
    file: File = "",
    description: Description = "",
    max_jobs: MaxJobs = None,
    max_concurrent_runs: MaxRuns = None,
    max_executions_per_hour: MaxHourly = None,
    policy_failure: PolicyFailure = "",
    validate_only: Check = False,
) -> None:
    """Creates a namespace. Limits that are not given are none."""
    limits = _given((max_jobs, max_concurrent_runs, max_executions_per_hour), policy_failure)
    body = _namespace(name, file, description, limits)
    body.pop("etag", None)
    query = {"validate_only": "true"} if validate_only else {}
    _show(session, session.client.call("POST", resource_path("namespaces"), query=query, body=body))


def replace_namespace(
    session: Session,
    name: OptionalId = "",
    file: File = "",
    description: Description = "",
    max_jobs: MaxJobs = None,
    max_concurrent_runs: MaxRuns = None,
    max_executions_per_hour: MaxHourly = None,
    policy_failure: PolicyFailure = "",
    validate_only: Check = False,
) -> None:
    """Replaces a namespace. Limits that are not given are none from then on."""
    limits = _given((max_jobs, max_concurrent_runs, max_executions_per_hour), policy_failure)
    body = _namespace(name, file, description, limits)
    query = {"validate_only": "true"} if validate_only else {}
    _show(session, session.client.call("PUT", resource_path("namespaces", body["id"]), query=query, body=body))


def delete_namespace(session: Session, name: Id, etag: Etag = "") -> None:
    """Deletes a namespace. Refused while it holds jobs."""
    query = {"etag": etag} if etag else {}
    answer = session.client.call("DELETE", resource_path("namespaces", name), query=query)
    if session.output.is_table:
        session.output.text(f"Deleted {name}.")
    else:
        session.output.value(answer)


def without_computed(namespace: Json) -> Json:
    """The namespace without what only the server sets."""
    return {name: value for name, value in namespace.items() if name not in COMPUTED}


def _given(quotas: tuple[int | None, ...], policy_failure: str) -> Json:
    """The fields that options give."""
    limits = {key: value for key, value in zip(QUOTAS, quotas, strict=True) if value is not None}
    rule = enum_value(policy_failure, Namespace.PolicyFailure.DESCRIPTOR, "--policy-failure") if policy_failure else ""
    return ({"quotas": limits} if limits else {}) | ({"policy_failure": rule} if rule else {})


def _namespace(name: str, file: str, description: str, given: Json) -> Json:
    if file and (given or description):
        raise UsageError("give either --file or the limits, not both")
    found = without_computed(read_one(file, NAMESPACES)) if file else {}
    found |= {"id": name} if name else {}
    found |= {"description": description} if description else {}
    found |= given
    if not found.get("id"):
        raise UsageError("name the namespace")
    return found


def _limits(namespace: Json) -> list[Any]:
    quotas = namespace.get("quotas") or {}
    return ["unlimited" if (limit := quotas.get(key)) in (None, -1) else limit for key in QUOTAS]


def _row(namespace: Json) -> tuple[object, ...]:
    description, changed = namespace.get("description", ""), shown_time(namespace.get("updated_at") or "")
    return (namespace.get("id", ""), *_limits(namespace), description, changed)


def _show(session: Session, namespace: Json) -> None:
    if not session.output.is_table:
        session.output.value(namespace)
        return
    changed = f"{shown_time(namespace.get('updated_at') or '')} by {namespace.get('updated_by') or 'nobody'}"
    session.output.facts(
        [
            ("name", namespace.get("id", "")),
            ("description", namespace.get("description", "")),
            *zip(("jobs", "runs at a time", "runs per hour"), _limits(namespace), strict=True),
            ("policy failure", known(namespace.get("policy_failure"), "DENY")),
            ("changed", changed),
            ("etag", namespace.get("etag", "")),
        ]
    )
