"""`chronosctl apply`: makes the cluster what files say."""

from typing import Annotated, Any

import httpx
import typer

from cli.chronosctl.client import resource_path
from cli.chronosctl.commands import calendars, changes, namespaces
from cli.chronosctl.documents import CALENDARS, KINDS, NAMESPACES, POLICIES, Kind, read_bundle
from cli.chronosctl.errors import CommandError, RefusedError, UsageError
from cli.chronosctl.policy_files import sendable
from cli.chronosctl.session import Session

Json = dict[str, Any]


def apply_files(
    session: Session,
    file: Annotated[list[str], typer.Option("--file", "-f", metavar="FILE", help="YAML or JSON file; repeatable.")],
    validate_only: changes.Check = False,
) -> None:
    """Creates or replaces everything in files, namespaces to jobs. Goes on after a failure, and then exits 1.

    A file holds `namespaces:`, `calendars:`, `policies:` and `jobs:`, or jobs alone. Everything in it needs an `id`.
    """
    bundles = [read_bundle(source) for source in file]
    wanted = [(kind, identified(kind, item)) for kind in KINDS for bundle in bundles for item in bundle[kind]]
    if not wanted:
        raise UsageError(f"{', '.join(file)}: there is nothing in it")
    put_all(session, wanted, validate_only)


def put_all(session: Session, wanted: list[tuple[Kind, Json]], validate_only: bool) -> None:
    """Creates or replaces things, one after the other, and tells each. Raises CommandError when some were refused."""
    answers: dict[str, list[Json]] = {}
    refused = []
    for kind, item in wanted:
        label = f"{kind.name} {item['id']}"
        try:
            answer, did = _put(session, kind, item, validate_only)
        except RefusedError as error:
            refused.append(label)
            session.output.say(f"{label}: {error}", "red")
            continue
        answers.setdefault(kind.plural, []).append(answer)
        if session.output.is_table:
            session.output.text(f"{did} {label}.")
    if not session.output.is_table:
        session.output.value(answers)
    if refused:
        raise CommandError(f"{len(refused)} of {len(wanted)} were not applied: {', '.join(refused)}")


def _put(session: Session, kind: Kind, item: Json, validate_only: bool) -> tuple[Json, str]:
    """Replaces the thing, or creates it when there is none. Returns it, and what was done."""
    query = {"validate_only": "true"} if validate_only else {}
    would = "Would replace" if validate_only else "Replaced", "Would create" if validate_only else "Created"
    collection = _collection(session, kind, item)
    if _is_there(session, f"{collection}/{item['id']}"):
        return session.client.call("PUT", f"{collection}/{item['id']}", query=query, body=item), would[0]
    new = {name: value for name, value in item.items() if name != "etag"}
    return session.client.call("POST", collection, query=query, body=new), would[1]


def _is_there(session: Session, path: str) -> bool:
    try:
        session.client.call("GET", path)
    except RefusedError as error:
        if error.answer.status == httpx.codes.NOT_FOUND:
            return False
        raise
    return True


def _collection(session: Session, kind: Kind, item: Json) -> str:
    if kind in (NAMESPACES, POLICIES):
        return resource_path(kind.plural)
    own = item.get("namespace")
    return resource_path("namespaces", own, kind.plural) if own else session.client.path(kind.plural)


def identified(kind: Kind, item: Json) -> Json:
    """The thing without what only the server sets. Raises UsageError when it has no id."""
    found = item.get("id")
    if not isinstance(found, str) or not found.replace("-", "").isalnum():
        what = item.get("name") or found or f"a {kind.name}"
        raise UsageError(f"{what}: `apply` finds a {kind.name} by its `id:`; give it one, for example nightly-report")
    if kind is NAMESPACES:
        return namespaces.without_computed(item)
    if kind is POLICIES:
        return sendable(item)
    return calendars.without_computed(item) if kind is CALENDARS else changes.without_computed(item)
