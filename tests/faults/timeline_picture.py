"""Draws a history: runs against targets, faults, phases and lateness, as one HTML file that needs nothing else."""

from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from tests.faults.checks.evidence import Scene
from tests.faults.history import SECOND_US, FaultSpan, History, Limits
from tests.faults.timeline_marks import BINS, Lane, Look, lanes
from tests.faults.verdict import BUCKETS_US, Lateness, Verdict, report, seconds

LEFT, WIDTH, LANE, ROW = 190, 1_000, 16, 14
MOST_TICKS = 12
MOST_LANES = 250
MOST_WORDS = 100
LOOKS = {
    Look.ON_TIME: "on time",
    Look.LATE_IN_FAULT: "late, excused by a fault, a retry or another run",
    Look.EXPLAINED: "not run, for a true reason",
    Look.DUPLICATE: "came twice inside a fault, with the same id",
    Look.VIOLATION: "violation",
}
STYLE = """
:root{--ground:#fff;--ink:#1a1d21;--soft:#5d6670;--line:#d9dee3;--band:#e8a33d33;--edge:#b5730f;
--ok:#2f7d4f;--late:#c07a00;--told:#8a94a0;--twice:#7a4fc0;--bad:#d1242f}
@media(prefers-color-scheme:dark){:root{--ground:#14171a;--ink:#e6e9ec;--soft:#9aa4ae;--line:#32383e;--band:#e8a33d2e;
--edge:#e0a24a;--ok:#4cb27a;--late:#e3a63c;--told:#77818c;--twice:#a98be6;--bad:#ff5d66}}
body{font:14px/1.45 system-ui,sans-serif;background:var(--ground);color:var(--ink);max-width:1240px;margin:24px auto;
padding:0 16px}h1{font-size:24px;margin:0 0 4px}h2{font-size:16px;margin:28px 0 8px}p{margin:4px 0}
.kept{color:var(--ok)}.broken{color:var(--bad)}.soft{color:var(--soft)}svg{display:block;width:100%;height:auto}
text{font:11px system-ui,sans-serif;fill:var(--ink)}text.soft{fill:var(--soft)}
.k0{fill:var(--ok)}.k1{fill:var(--told)}.k2{fill:var(--late)}.k3{fill:var(--twice)}.k4{fill:var(--bad)}
.band{fill:var(--band)}.edge{fill:var(--edge)}.line{stroke:var(--line)}.phase{fill:none;stroke:var(--soft)}
table{border-collapse:collapse}td,th{padding:2px 10px 2px 0;text-align:right;font-variant-numeric:tabular-nums}
td:first-child,th:first-child{text-align:left}th{font-weight:600;color:var(--soft)}.bar{fill:var(--ok)}
.legend span{margin-right:18px;white-space:nowrap}.legend svg{display:inline;width:14px;height:12px;vertical-align:-1px}
"""


def write_picture(path: Path, history: History, verdict: Verdict, limits: Limits | None = None) -> None:
    """Writes the picture of a history and what the checker made of it."""
    path.write_text(picture(history, verdict, limits or Limits()), encoding="utf-8")


def picture(history: History, verdict: Verdict, limits: Limits) -> str:
    """The page. A pure function of the history."""
    head = "Every promise was kept" if verdict.is_kept else f"{len(verdict.violations):,} violations"
    mood = "kept" if verdict.is_kept else "broken"
    lines = report(verdict).split("\n")[1:3]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>{head}</title><style>{STYLE}</style></head><body>",
            f'<h1 class="{mood}">{head}</h1><p class="soft">{_clock(history.began_us)} to {_clock(history.ended_us)}'
            f"; runs are judged until {_clock(history.judged_until_us)}</p>",
            *(f"<p>{escape(line)}</p>" for line in lines),
            "<h2>Runs against targets</h2>",
            _legend(),
            *_timeline(history, lanes(Scene(history, limits), verdict)),
            "<h2>Lateness</h2>",
            *_lateness(verdict.lateness),
            *_violations(verdict),
            *_faults(history),
            "</body></html>\n",
        ]
    )


class Scale:
    """Moments to places."""

    def __init__(self, history: History) -> None:
        self._began_us = history.began_us
        self._span_us = max(1, history.ended_us - history.began_us)

    def x(self, moment_us: int) -> float:
        """Pixels from the left, kept inside the picture."""
        part = (moment_us - self._began_us) / self._span_us
        return round(LEFT + WIDTH * min(1.0, max(0.0, part)), 1)


def _legend() -> str:
    items = "".join(
        f'<span><svg viewBox="0 0 14 12">{_shape(7, 6, look, "")}</svg> {escape(words)}</span>'
        for look, words in LOOKS.items()
    )
    return (
        f'<p class="legend">{items}<span><svg viewBox="0 0 14 12"><rect class="band" width="14" height="12"/></svg>'
        " fault</span></p>"
    )


def _timeline(history: History, drawn: list[Lane]) -> Iterator[str]:
    scale = Scale(history)
    faults = sorted(history.faults, key=lambda fault: fault.began_us)
    rows = list(_rows(faults, scale))
    top = 26 + (ROW + 6 if history.phases else 0) + ROW * (max(rows, default=-1) + 1)
    shown = drawn[:MOST_LANES]
    height = top + LANE * len(shown) + 24
    yield f'<svg viewBox="0 0 {LEFT + WIDTH + 20} {height}" role="img" aria-label="Runs against targets">'
    yield from _phases(history, scale)
    label_top = top - ROW * (max(rows, default=-1) + 1)
    for fault, row in zip(faults, rows, strict=True):
        yield from _band(fault, scale, label_top + ROW * row, height - 20)
    for elapsed_s in _ticks(history):
        x = scale.x(history.began_us + elapsed_s * SECOND_US)
        yield f'<line class="line" x1="{x}" x2="{x}" y1="{top - 2}" y2="{height - 20}"/>'
        yield f'<text class="soft" x="{x}" y="{height - 6}" text-anchor="middle">{elapsed_s:,} s</text>'
    for number, lane in enumerate(shown):
        yield from _draw_lane(lane, scale, top + LANE * number + LANE / 2)
    yield "</svg>"
    if len(drawn) > len(shown):
        yield f'<p class="soft">and {len(drawn) - len(shown):,} more jobs, none of them with more violations</p>'


def _ticks(history: History) -> range:
    """Round numbers of seconds since the begin, at most a dozen or so."""
    span_s = (history.ended_us - history.began_us) // SECOND_US
    step_s = next(
        (unit * 10**power for power in range(10) for unit in (1, 2, 5) if unit * 10**power * MOST_TICKS >= span_s), 1
    )
    return range(0, span_s + 1, step_s)


def _rows(faults: list[FaultSpan], scale: Scale) -> Iterator[int]:
    """The row of each fault's name: the first in which it overlaps with no other."""
    free: list[float] = []
    for fault in faults:
        begin = scale.x(fault.began_us)
        end = begin + 6.2 * len(_name(fault)) + 8
        row = next((row for row, until in enumerate(free) if until <= begin), len(free))
        free[row : row + 1] = [end]
        yield row


def _name(fault: FaultSpan) -> str:
    nodes = ", ".join(fault.nodes)
    text = f"{fault.kind} {nodes}" if nodes else fault.kind
    return text if len(text) <= 40 else text[:39] + "…"


def _band(fault: FaultSpan, scale: Scale, y: float, bottom: float) -> Iterator[str]:
    x, end = scale.x(fault.began_us), scale.x(fault.ended_us)
    words = escape(f"{fault.kind} {', '.join(fault.nodes)}: {seconds(fault.ended_us - fault.began_us)}")
    yield f'<g><title>{words}</title><rect class="band" x="{x}" y="{y}" width="{max(1, end - x):.1f}" '
    yield f'height="{bottom - y}"/><rect class="edge" x="{x}" y="{y}" width="1" height="{ROW - 2}"/>'
    yield f'<text x="{x + 3}" y="{y + 10}">{escape(_name(fault))}</text></g>'


def _phases(history: History, scale: Scale) -> Iterator[str]:
    for phase in history.phases:
        x, end = scale.x(phase.began_us), scale.x(phase.ended_us)
        name = phase.name if 6.5 * len(phase.name) + 8 < end - x else ""
        yield f"<g><title>{escape(phase.name)}: {seconds(phase.ended_us - phase.began_us)}</title>"
        yield f'<rect class="phase" x="{x}" y="4" width="{max(1, end - x):.1f}" height="{ROW + 2}" rx="3" '
        yield f'pointer-events="all"/><text class="soft" x="{x + 4}" y="16">{escape(name)}</text></g>'


def _draw_lane(lane: Lane, scale: Scale, y: float) -> Iterator[str]:
    mood = ' class="k4"' if lane.violations else ""
    name = lane.job if len(lane.job) <= 28 else "…" + lane.job[-27:]
    yield f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end"{mood}>{escape(name)}</text>'
    yield f'<line class="line" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y}" y2="{y}"/>'
    if not lane.is_binned:
        for mark in lane.marks:
            yield _shape(scale.x(mark.at_us), y, mark.look, mark.words)
        return
    yield _ordinary(lane, scale, y)
    for mark in lane.marks:
        if mark.look is not Look.ON_TIME:
            yield (
                f'<rect class="k{mark.look.value}" x="{scale.x(mark.at_us)}" y="{y - LANE / 2 + 2:g}" '
                f'width="{WIDTH / BINS:g}" height="{LANE - 4}"><title>{mark.runs:,} {LOOKS[mark.look]}</title></rect>'
            )


def _ordinary(lane: Lane, scale: Scale, y: float) -> str:
    """The runs that were on time as one shape: a bar for each bin, as high as there are runs."""
    ordinary = [mark for mark in lane.marks if mark.look is Look.ON_TIME]
    most = max((mark.runs for mark in ordinary), default=1)
    bars = []
    for mark in ordinary:
        height = max(3, round((LANE - 4) * mark.runs / most))
        bars.append(f"M{scale.x(mark.at_us):g} {y - height / 2:g}h{WIDTH / BINS:g}v{height}h-{WIDTH / BINS:g}z")
    return f'<path class="k0" d="{"".join(bars)}"/>'


def _shape(x: float, y: float, look: Look, words: str) -> str:
    """Each look has a shape of its own, so that no one needs the colours."""
    title = f"<title>{escape(words)}</title>" if words else ""
    match look:
        case Look.ON_TIME:
            return f'<circle class="k0" cx="{x}" cy="{y}" r="2.4">{title}</circle>'
        case Look.EXPLAINED:
            return f'<rect class="k1" x="{x - 3}" y="{y - 1}" width="6" height="2">{title}</rect>'
        case Look.LATE_IN_FAULT:
            return f'<path class="k2" d="M{x - 4} {y - 4}L{x + 4} {y}L{x - 4} {y + 4}z">{title}</path>'
        case Look.DUPLICATE:
            return f'<path class="k3" d="M{x} {y - 5}l5 5l-5 5l-5 -5z">{title}</path>'
        case Look.VIOLATION:
            cross = "l4 4l4 -4l2 2l-4 4l4 4l-2 2l-4 -4l-4 4l-2 -2l4 -4l-4 -4z"
            return f'<path class="k4" d="M{x - 4} {y - 6}{cross}">{title}</path>'


def _lateness(found: tuple[Lateness, ...]) -> Iterator[str]:
    heads = "".join(f"<th>≤ {_short(bound)}</th>" for bound in BUCKETS_US)
    yield f"<table><tr><th>phase</th><th>runs</th><th>p50</th><th>p99</th><th>most</th>{heads}<th>more</th></tr>"
    for each in found:
        most = max(each.counts, default=0) or 1
        cells = "".join(f"<td>{_bar(count, most)}{count:,}</td>" for count in each.counts)
        yield f"<tr><td>{escape(each.phase)}</td><td>{each.runs:,}</td><td>{seconds(each.p50_us)}</td>"
        yield f"<td>{seconds(each.p99_us)}</td><td>{seconds(each.max_us)}</td>{cells}</tr>"
    yield "</table>"


def _bar(count: int, most: int) -> str:
    height = 0 if count == 0 else max(1, round(28 * count / most))
    return (
        f'<svg viewBox="0 0 30 28" style="width:30px;height:28px;margin-left:auto">'
        f'<rect class="bar" x="8" y="{28 - height}" width="22" height="{height}"/></svg>'
    )


def _short(span_us: int) -> str:
    return f"{span_us // SECOND_US} s" if span_us >= SECOND_US else f"{span_us // 1_000} ms"


def _violations(verdict: Verdict) -> Iterator[str]:
    if verdict.is_kept:
        return
    yield "<h2>Violations</h2><table><tr><th>kind</th><th>job</th><th>when</th><th>what</th></tr>"
    for each in verdict.violations[:MOST_WORDS]:
        cells = "".join(
            f'<td style="text-align:left">{escape(text)}</td>'
            for text in (each.job, _clock(each.at_us), f"{each.execution_id} {each.sentence}")
        )
        yield f'<tr><td class="broken">{each.kind}</td>{cells}</tr>'
    yield "</table>"
    if (left := len(verdict.violations) - MOST_WORDS) > 0:
        yield f'<p class="soft">and {left:,} more</p>'


def _faults(history: History) -> Iterator[str]:
    if not history.faults:
        return
    yield "<h2>Faults</h2><table><tr><th>fault</th><th>at</th><th>for</th></tr>"
    for fault in sorted(history.faults, key=lambda fault: fault.began_us):
        began = seconds(fault.began_us - history.began_us)
        words = escape(f"{fault.kind} {', '.join(fault.nodes)}")
        yield f"<tr><td>{words}</td><td>{began}</td><td>{seconds(fault.ended_us - fault.began_us)}</td></tr>"
    yield "</table>"


def _clock(moment_us: int) -> str:
    return f"{datetime.fromtimestamp(moment_us / SECOND_US, UTC):%Y-%m-%d %H:%M:%S} UTC"
