"""What can go wrong, each with what to do about it.

CommandError          exit 1
├── UsageError        exit 2: the command line or a file is wrong
├── UnreachableError  the server does not answer
└── RefusedError      the server answered with an error
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import httpx

from cli.chronosctl.verdicts import verdict_line

HINTS = {
    401: "Pass a key with --api-key, CHRONOS_API_KEY or `chronosctl profile set`. "
    "A mesh started by `chronos up` writes its first key to <data-dir>/admin.key.",
    403: "Use a key that has the permission and the namespace.",
    404: "`chronosctl job list` and `chronosctl execution list JOB` show what there is; look at --namespace too.",
    413: "Send less at once: the edge limits the size of a request.",
    429: "You are faster than the edge allows; wait a moment and repeat.",
    503: "A service is not there at the moment; `chronosctl cluster status` and `chronos status` tell which.",
}
HINTS_BY_REASON = {
    "ALREADY_EXISTS": "Choose another id, or change the job with `chronosctl job replace` or `chronosctl job update`.",
    "POLICY_VIOLATION": "`chronosctl policy get POLICY` shows the rules; `chronosctl policy evaluate` tries a job.",
    "JOB_QUOTA_REACHED": "`chronosctl namespace get NAME` shows the limits.",
    "STALE_ETAG": "Somebody changed it in between: get it again, and repeat your change on that.",
}


class CommandError(Exception):
    """A command that failed; its text is shown as it is."""

    exit_status: ClassVar[int] = 1


class UsageError(CommandError):
    """The command line, a file or a profile is wrong."""

    exit_status = 2


class UnreachableError(CommandError):
    """The server does not answer."""

    def __init__(self, server: str, error: httpx.TransportError) -> None:
        what = "did not answer in time" if isinstance(error, httpx.TimeoutException) else "cannot be reached"
        super().__init__(
            f"{server} {what} ({str(error) or type(error).__name__}).\n"
            "Is the mesh up? `chronos up` starts one here; --server or CHRONOS_SERVER chooses another."
        )


class RefusedError(CommandError):
    """The server answered with an error."""

    def __init__(self, answer: "ErrorAnswer") -> None:
        super().__init__(answer.text())
        self.answer = answer


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorAnswer:
    """An error as the edge gives it: a `google.rpc.Status` in JSON."""

    status: int
    message: str
    reason: str = ""
    violations: tuple[tuple[str, str], ...] = ()
    # What policies say, a line for each rule.
    verdicts: tuple[str, ...] = ()

    @classmethod
    def of(cls, response: httpx.Response) -> "ErrorAnswer":
        """Reads an answer whose body was read; also one that is not JSON."""
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return cls(status=response.status_code, message=" ".join(response.text.split())[:300])
        details = [item for item in body.get("details", ()) if isinstance(item, dict)]
        return cls(
            status=response.status_code,
            message=str(body.get("message", "")),
            reason=next((str(item["reason"]) for item in details if "reason" in item), ""),
            violations=tuple(pair for item in details for pair in _violations(item)),
            verdicts=tuple(line for item in details for line in _verdicts(item)),
        )

    def text(self) -> str:
        """The error for a person: what is wrong, then what to do."""
        lines = [f"the server refused it ({self.status}): {self.message or 'no reason given'}"]
        if self.verdicts:
            lines = [f"policies refuse it ({self.status}):", *(f"  {line}" for line in self.verdicts)]
        elif self.violations:
            lines = [f"the server refused it ({self.status}):"]
            lines += [f"  {field or 'request'}: {description}" for field, description in self.violations]
        hint = HINTS_BY_REASON.get(self.reason) or HINTS.get(self.status)
        return "\n".join([*lines, hint] if hint else lines)


def _violations(detail: dict[str, Any]) -> list[tuple[str, str]]:
    items = detail.get("field_violations") or detail.get("fieldViolations") or ()
    return [(str(item.get("field", "")), str(item.get("description", ""))) for item in items]


def _verdicts(detail: dict[str, Any]) -> list[str]:
    """Who refused, of a chronos.policy.v1.Decision."""
    is_decision = str(detail.get("@type", "")).endswith("/chronos.policy.v1.Decision")
    return [verdict_line(result) for result in detail.get("violations") or ()] if is_decision else []
