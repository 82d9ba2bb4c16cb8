"""`chronosctl policy dry-run`, `evaluate` and `decisions`: what policies would say, and what they said."""

from typing import Annotated, Any

import typer
from chronos.history.v1.policy_decision_pb2 import PolicyDecision
from chronos.policy.v1.policy_pb2 import Policy

from cli.chronosctl.client import resource_path
from cli.chronosctl.commands.changes import without_computed
from cli.chronosctl.documents import POLICIES, read_one
from cli.chronosctl.errors import UsageError
from cli.chronosctl.moments import moment_json
from cli.chronosctl.output import Row
from cli.chronosctl.policy_files import sendable
from cli.chronosctl.policy_tables import DECISION_COLUMNS, decision_row, show_decision, why
from cli.chronosctl.session import Session
from cli.chronosctl.values import enum_value
from cli.chronosctl.verdicts import outcome

Json = dict[str, Any]
KNOWN = "create, update, delete, enable, run, trigger, replay, backfill, calendar or namespace"
Operation = Annotated[str, typer.Option("--operation", metavar="OPERATION", help=f"What would happen: {KNOWN}.")]
Operations = Annotated[
    list[str] | None, typer.Option("--operation", metavar="OPERATION", help=f"Only {KNOWN}; may be repeated.")
]
Outcomes = Annotated[
    list[str] | None,
    typer.Option(
        "--outcome",
        metavar="OUTCOME",
        help="Only allowed, warned, denied, unreachable-denied or unreachable-allowed; may be repeated.",
    ),
]
HIT_COLUMNS = ("JOB", "WOULD BE", "WHY")


def dry_run_policy(
    session: Session,
    policy: Annotated[str, typer.Argument(metavar="[POLICY]", help="Id of a stored policy, enabled or not.")] = "",
    file: Annotated[str, typer.Option("--file", "-f", metavar="FILE", help="A policy that need not be stored.")] = "",
    operation: Operation = "",
) -> None:
    """Shows whom of a namespace's jobs a policy would hit, if each were updated now, or run. Changes nothing."""
    if bool(policy) == bool(file):
        raise UsageError("name a stored policy, or give one with --file")
    body = _operation(operation) | ({"policy": sendable(read_one(file, POLICIES))} if file else {})
    where = (POLICIES.plural, policy, "dry-run") if policy else (POLICIES.plural, "dry-run")
    answer = session.client.call("POST", session.client.path(*where), body=body)
    if not session.output.is_table:
        session.output.value(answer)
        return
    session.output.table(
        HIT_COLUMNS, [_hit_row(hit) for kind in ("denied", "warned") for hit in answer.get(kind) or ()]
    )
    session.output.say(_summary(answer))


def evaluate_policies(
    session: Session,
    file: Annotated[str, typer.Option("--file", "-f", metavar="FILE", help="YAML or JSON file with one job.")],
    policy: Annotated[str, typer.Option("--policy", metavar="FILE", help="Only by the policy in this file.")] = "",
    operation: Operation = "",
) -> None:
    """Asks what policies say to a job, stored or not, complete or not. Exits 1 when they would deny it."""
    job = without_computed(read_one(file))
    if session.client.namespace:
        job.setdefault("namespace", session.client.namespace)
    body = {"job": job} | _operation(operation)
    body |= {"policy": sendable(read_one(policy, POLICIES))} if policy else {}
    answer = session.client.call("POST", resource_path(POLICIES.plural, "evaluate"), body=body)
    if session.output.is_table:
        show_decision(session.output, answer)
    else:
        session.output.value(answer)
    if answer.get("violations"):
        raise typer.Exit(1)


def list_decisions(
    session: Session,
    job: Annotated[str, typer.Option("--job", metavar="JOB", help="Only about this job.")] = "",
    policy: Annotated[str, typer.Option("--policy", metavar="POLICY", help="Only where it said something.")] = "",
    decided: Outcomes = None,
    operation: Operations = None,
    begin: Annotated[str, typer.Option("--from", metavar="TIME", help="Then or later: 2026-11-01, -2h.")] = "",
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="Before then.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 20,
) -> None:
    """Lists what policies decided, the newest first: whom they denied, and whom they warned."""
    chosen = {
        "job_id": job,
        "policy_id": policy,
        "outcome": [enum_value(text, PolicyDecision.Outcome.DESCRIPTOR, "--outcome") for text in decided or ()],
        "operation": [enum_value(text, Policy.Operation.DESCRIPTOR, "--operation") for text in operation or ()],
        "from": moment_json(begin, session.now, "--from") if begin else "",
        "to": moment_json(end, session.now, "--to") if end else "",
    }
    query = {name: value for name, value in chosen.items() if value}
    found = session.client.pages(session.client.path("policy-decisions"), "decisions", query, limit)
    if session.output.is_table:
        session.output.table(DECISION_COLUMNS, [decision_row(decision) for decision in found])
    else:
        session.output.value({"decisions": list(found)})


def _operation(text: str) -> Json:
    return {"operation": enum_value(text, Policy.Operation.DESCRIPTOR, "--operation")} if text else {}


def _hit_row(hit: Json) -> Row:
    decision = hit.get("decision") or {}
    return (hit.get("job_id", ""), outcome(decision), why(decision))


def _summary(answer: Json) -> str:
    jobs, denied, warned, unaffected = (
        answer.get(name) or 0 for name in ("jobs", "denied_count", "warned_count", "unaffected_count")
    )
    shown = sum(len(answer.get(kind) or ()) for kind in ("denied", "warned"))
    rest = f" Shown are the first {shown}." if shown < denied + warned else ""
    return f"Of {jobs} jobs, {denied} would be denied, {warned} warned, {unaffected} unaffected.{rest}"
