"""Who depends on whom."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from libs.faults import Violation

FIELD = "dependencies.depends_on"
MOST_NAMED = 5


def dependency_violations(
    job_id: str, depends_on: Sequence[str], *, missing: Collection[str], parents_of: Mapping[str, Collection[str]]
) -> Iterator[Violation]:
    """What is wrong with the jobs that a job is to depend on. For the arguments see `find_cycle`."""
    for index, parent in enumerate(depends_on):
        if parent == job_id:
            description = f'names the job itself, "{job_id}"; leave it out'
            yield Violation(field=f"{FIELD}[{index}]", description=description)
        elif parent in missing:
            description = f'names the job "{parent}", which does not exist in the namespace; create it first'
            yield Violation(field=f"{FIELD}[{index}]", description=description)
    cycle = find_cycle(job_id, [parent for parent in depends_on if parent != job_id], parents_of)
    if cycle:
        way = " → ".join(cycle)
        description = f"makes jobs wait for each other ({way}); leave {cycle[1]} out, or cut the circle elsewhere"
        yield Violation(field=f"{FIELD}[{list(depends_on).index(cycle[1])}]", description=description)


def dependants_text(job_id: str, children: Sequence[str]) -> str:
    """The sentence that says why a job cannot be deleted; of its `children` the first 5 are named."""
    more = " and others" if len(children) > MOST_NAMED else ""
    named = ", ".join(children[:MOST_NAMED])
    return f'the job "{job_id}" cannot be deleted while {named}{more} depend(s) on it; change or delete those first'


def find_cycle(job_id: str, parents: Collection[str], parents_of: Mapping[str, Collection[str]]) -> list[str]:
    """The way from a job over jobs that depend on each other back to it, if it came to depend on `parents`.

    `parents_of` is the graph, at least as far as its jobs come after `job_id`, and without cycles. The shortest way:
    `[a, b, a]` when a is to depend on b, and b depends on a. Empty when there is none.
    """
    ways = [[job_id, parent] for parent in sorted(parents)]
    seen: set[str] = set()
    for way in ways:  # Grows while it is walked: breadth first.
        if way[-1] == job_id:
            return way
        if way[-1] not in seen:
            seen.add(way[-1])
            ways += [[*way, parent] for parent in sorted(parents_of.get(way[-1], ()))]
    return []
