"""How long it takes to read a cron expression and to find the next time: ours, cronsim and croniter.

`python -m bench.schedule [--count N]`; microseconds of processor time, single runs on one core.
"""

import argparse
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count as numbers
from time import process_time
from zoneinfo import ZoneInfo

from croniter import croniter
from cronsim import CronSim

from services.scheduler.domain.schedule.cron import CronSchedule
from services.scheduler.domain.schedule.cron_text import read_cron
from services.scheduler.domain.schedule.spec import DstPolicy

START = datetime(2026, 1, 1, tzinfo=UTC)
EXPRESSIONS = ["* * * * *", "*/5 * * * *", "30 9 * * MON-FRI", "*/5 9-17 * * MON-FRI", "0 0 L * *", "0 0 1 1 *"]
ZONES = ["UTC", "Europe/Berlin"]
Stepper = Callable[[str, ZoneInfo], Iterator[datetime]]


def ours(expression: str, zone: ZoneInfo) -> Iterator[datetime]:
    schedule, moment = CronSchedule(read_cron(expression), zone, DstPolicy()), START
    while (following := schedule.next_after(moment)) is not None:
        yield following
        moment = following


def cronsim(expression: str, zone: ZoneInfo) -> Iterator[datetime]:
    return iter(CronSim(expression, START.astimezone(zone)))


def by_croniter(expression: str, zone: ZoneInfo) -> Iterator[datetime]:
    found = croniter(expression, START.astimezone(zone))
    return (found.get_next(datetime) for _ in numbers())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=3000)
    count = parser.parse_args().count
    steppers: dict[str, Stepper] = {"ours": ours, "cronsim": cronsim, "croniter": by_croniter}
    heads = "".join(f"{name + ' ' + what:>16}" for name in steppers for what in ("first", "next"))
    print(f"{'µs':36}{heads}")
    for expression in EXPRESSIONS:
        for key in ZONES:
            figures = [figure for stepper in steppers.values() for figure in measure(stepper, expression, key, count)]
            print(f"{expression:21} {key:14}" + "".join(f"{figure:16.1f}" for figure in figures))


def measure(stepper: Stepper, expression: str, key: str, count: int) -> tuple[float, float]:
    """Microseconds to read an expression and find the first time, and for each time after that.

    Steps once unmeasured, so that the zone's years are known: all jobs of a process share them.
    """
    zone = ZoneInfo(key)
    steps = stepper(expression, zone)
    for _ in range(count):
        next(steps)
    begin = process_time()
    for _ in range(200):
        next(stepper(expression, zone))
    first = (process_time() - begin) / 200
    steps = stepper(expression, zone)
    begin = process_time()
    for _ in range(count):
        next(steps)
    return first * 1e6, (process_time() - begin) / count * 1e6


if __name__ == "__main__":
    main()
