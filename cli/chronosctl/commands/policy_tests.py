"""`chronosctl policy test`: the tests that policy files hold, run here, without a server."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.chronosctl.documents import POLICIES, read_bundle
from cli.chronosctl.errors import CommandError, UsageError
from cli.chronosctl.output import Output, Row
from cli.chronosctl.policy_files import TESTS
from cli.chronosctl.settings import Flags, OutputFormat

if TYPE_CHECKING:
    from cli.chronosctl.policy_cases import Result

COLUMNS = ("", "POLICY", "TEST", "EXPECTED", "GOT", "WHY")


def run_tests(
    ctx: typer.Context,
    file: Annotated[list[str], typer.Argument(metavar="FILE…", help="YAML or JSON files; - reads stdin.")],
    output: Annotated[OutputFormat | None, typer.Option("--output", "-o", help="How to print the result.")] = None,
) -> None:
    """Runs the tests that policies hold (`tests:`), without a server. Exits 1 when one fails."""
    printer = Output(Flags(output=output).over(ctx.obj or Flags()).output or OutputFormat.TABLE)
    results = [result for source in file for result in _results(source, printer)]
    if not results:
        raise UsageError(f"{', '.join(file)}: there are no tests; write them under `{TESTS}:` of a policy")
    failed = sum(not result.passed for result in results)
    if printer.is_table:
        printer.table(COLUMNS, [_row(result) for result in results])
    else:
        printer.value({"tests": [_value(result) for result in results], "failed": failed})
    if failed:
        raise CommandError(f"{failed} of {len(results)} tests failed")
    printer.say(f"All {len(results)} tests passed.")


def _results(source: str, printer: Output) -> "list[Result]":
    """What came of the tests in a file. Raises UsageError, also when it holds no policy."""
    # The language takes half a second to load; the other commands do not need it.
    from cli.chronosctl.policy_cases import cases_of, run_case

    policies = read_bundle(source, POLICIES)[POLICIES]
    if not policies:
        raise UsageError(f"{source} holds no policy")
    try:
        cases = cases_of(policies)
    except UsageError as error:
        raise UsageError(f"{source}:\n{error}") from error
    for policy in policies:
        if not policy.get(TESTS):
            printer.say(f"{source}: {policy.get('id') or policy.get('name')} has no tests.", "yellow")
    return [run_case(case) for case in cases]


def _row(result: "Result") -> Row:
    case, why = result.case, "\n".join(result.why)
    return ("ok" if result.passed else "FAILED", case.policy.policy.id, case.name, case.expected, result.actual, why)


def _value(result: "Result") -> dict[str, Any]:
    case = result.case
    return {
        "policy": case.policy.policy.id,
        "test": case.name,
        "expected": case.expected,
        "actual": result.actual,
        "passed": result.passed,
        "why": list(result.why),
    }
