"""Which body a REST call takes, and whether the one that came fits."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from libs.faults import InvalidArgument, NotFound, Violation
from services.gateway.domain.fit import misfits
from services.gateway.domain.json_text import parse
from services.gateway.domain.shapes import Kind, Shape

WRONG_MEDIA_TYPE = "WRONG_MEDIA_TYPE"


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyRule:
    """A REST call. `shape` is that of its body, None when it takes none."""

    verb: str
    path: re.Pattern[str]
    shape: Shape | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bodies:
    """All REST calls, in the order in which their paths must be tried."""

    rules: Sequence[BodyRule]

    def check(self, verb: str, path: str, headers: "BodyHeaders", body: bytes) -> None:
        """Returns when the body may go on. Raises InvalidArgument; NotFound when there is no such call.

        A body that is empty is fine: whether one is needed is the service's to say.
        """
        rule = next((rule for rule in self.rules if rule.verb == verb and rule.path.fullmatch(path)), None)
        if rule is None:
            raise NotFound(f"{verb} {path} is not part of the API; /openapi.json lists every path")
        if not body:
            return
        if rule.shape is None:
            _refuse_body(f"{verb} takes no body here; leave it out")
        headers.check()
        _check_value(rule.shape, body)


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyHeaders:
    """What a request says about its body."""

    content_type: str
    content_encoding: str

    def check(self) -> None:
        """Raises InvalidArgument with the reason WRONG_MEDIA_TYPE unless the body is plain JSON."""
        media_type, _, parameters = self.content_type.lower().partition(";")
        charset = parameters.replace('"', "").replace(" ", "")
        if media_type.strip() != "application/json" or charset not in ("", "charset=utf-8", "charset=utf8"):
            shown = f'"{self.content_type}"' if self.content_type else "nothing"
            self._refuse("content-type", f"the Content-Type header says {shown}; send application/json")
        if self.content_encoding.lower() not in ("", "identity"):
            self._refuse("content-encoding", f'send the body without the encoding "{self.content_encoding}"')

    def _refuse(self, header: str, problem: str) -> None:
        fault = InvalidArgument([Violation(field=header, description=problem)], message=problem)
        fault.reason = WRONG_MEDIA_TYPE
        raise fault


def _check_value(shape: Shape, body: bytes) -> None:
    value = parse(body)
    if shape.kind is Kind.MESSAGE and value is None:
        _refuse_body("the body must be an object, not null")
    violations = misfits(shape, value)
    if violations and not violations[0].field:
        _refuse_body(f"the body {violations[0].description}")
    if violations:
        raise InvalidArgument(violations)


def _refuse_body(problem: str) -> NoReturn:
    raise InvalidArgument([Violation(field="", description=problem)], message=problem)
