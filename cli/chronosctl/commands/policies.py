"""`chronosctl policy`: look up policies, change them, roll them back."""

from typing import Annotated, Any

import typer

from cli.chronosctl.client import resource_path
from cli.chronosctl.commands.apply import identified, put_all
from cli.chronosctl.commands.changes import Check, Etag
from cli.chronosctl.documents import POLICIES, read_all
from cli.chronosctl.policy_tables import POLICY_COLUMNS, VERSION_COLUMNS, policy_row, show_policy, version_row
from cli.chronosctl.session import Session

Json = dict[str, Any]
PolicyId = Annotated[str, typer.Argument(metavar="POLICY", help="Id of the policy.")]
Files = Annotated[list[str], typer.Option("--file", "-f", metavar="FILE", help="YAML or JSON file; repeatable.")]
Number = Annotated[int, typer.Argument(metavar="VERSION", min=1, help="Number of the version.")]


def list_policies(session: Session) -> None:
    """Lists policies, ordered by id. They hold for the whole cluster."""
    found = session.client.pages(_path(), "policies", {}, None)
    if session.output.is_table:
        session.output.table(POLICY_COLUMNS, [policy_row(policy) for policy in found])
    else:
        session.output.value({"policies": list(found)})


def get_policy(session: Session, policy: PolicyId) -> None:
    """Shows a policy and its rules. Its YAML (-o yaml) can be edited and given back to `policy apply`."""
    answer = session.client.call("GET", _path(policy))
    if session.output.is_table:
        show_policy(session.output, answer)
    else:
        session.output.value(answer)


def apply_policies(session: Session, file: Files, validate_only: Check = False) -> None:
    """Creates or replaces the policies of files. Goes on after a failure, and then exits 1.

    Each needs an `id`. Their `tests` stay here: `policy test` runs them.
    """
    wanted = [identified(POLICIES, policy) for source in file for policy in read_all(source, POLICIES)]
    put_all(session, [(POLICIES, policy) for policy in wanted], validate_only)


def delete_policy(session: Session, policy: PolicyId, etag: Etag = "") -> None:
    """Deletes a policy and its versions. One that is shipped comes back: disable it instead."""
    query = {"etag": etag} if etag else {}
    _tell(session, session.client.call("DELETE", _path(policy), query=query), f"Deleted {policy}.")


def enable_policy(session: Session, policy: PolicyId) -> None:
    """Lets a policy judge from now on."""
    _tell(session, session.client.call("POST", _path(policy, "enable"), body={}), f"Enabled {policy}.")


def disable_policy(session: Session, policy: PolicyId) -> None:
    """Keeps a policy from judging, from now on."""
    _tell(session, session.client.call("POST", _path(policy, "disable"), body={}), f"Disabled {policy}.")


def list_policy_versions(session: Session, policy: PolicyId) -> None:
    """Lists the versions of a policy, the newest first: the last 50 are kept."""
    answer = session.client.call("GET", _path(policy, "versions"))
    if session.output.is_table:
        session.output.table(VERSION_COLUMNS, [version_row(version) for version in answer.get("versions") or ()])
    else:
        session.output.value(answer)


def rollback_policy(session: Session, policy: PolicyId, number: Number) -> None:
    """Makes a policy what it was at a version. That is a new version; nothing is forgotten."""
    answer = session.client.call("POST", _path(policy, "rollback", str(number)), body={})
    _tell(session, answer, f"{policy} is as it was at version {number}: version {answer.get('version', '')}.")


def _tell(session: Session, answer: Json, sentence: str) -> None:
    if session.output.is_table:
        session.output.text(sentence)
    else:
        session.output.value(answer)


def _path(*parts: str) -> str:
    """Policies are in no namespace, whichever was chosen."""
    return resource_path(POLICIES.plural, *parts)
