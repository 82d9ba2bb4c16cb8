"""Numbers, days and times as English words."""

from collections.abc import Sequence
from itertools import pairwise

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NTH = ("", "first", "second", "third", "fourth", "fifth")
MOST_TIMES = 6


def listed(words: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def plural(count: int, noun: str) -> str:
    """`minute`, `2 minutes`: what follows "every"."""
    return noun if count == 1 else f"{count} {noun}s"


def ordinal(number: int) -> str:
    """`1st`, `22nd`, `13th`."""
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def nth(number: int) -> str:
    """`first`, `last`, `7th`, `second-last`."""
    size = abs(number)
    word = NTH[size] if size < len(NTH) else ordinal(size)
    return word if number > 0 else "last" if number == -1 else f"{word}-last"


def step_of(numbers: Sequence[int]) -> int:
    """The step between rising numbers when it is the same everywhere and there are three at least; else 0."""
    steps = {second - first for first, second in pairwise(numbers)}
    return steps.pop() if len(steps) == 1 and len(numbers) > 2 else 0


def spans(numbers: Sequence[int], names: Sequence[str] | None = None) -> str:
    """`1, 5 to 9 and 12`: rising numbers, or what they are called (`names[number]`), neighbours put together."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words: list[str] = []
    for run in runs:
        called = [names[number] if names else str(number) for number in run]
        words += called if len(run) < 3 else [f"{called[0]} to {called[-1]}"]
    return listed(words)


def weekdays(days: Sequence[int]) -> str:
    """`Monday to Friday`, `on Saturday and Sunday`. Days are numbers with Monday = 0."""
    from_monday, from_sunday = sorted(days), sorted((day + 1) % 7 for day in days)
    names = ("Sunday", *WEEKDAYS[:6])
    if step_of(from_monday) != 1 and step_of(from_sunday) == 1:
        return spans(from_sunday, names)
    text = spans(from_monday, WEEKDAYS)
    return text if step_of(from_monday) == 1 else f"on {text}"


def clock(hour: int, minute: int, second: int = 0) -> str:
    """`09:00`, `09:00:30`."""
    return f"{hour:02}:{minute:02}" + (f":{second:02}" if second else "")


def times(hours: Sequence[int], minutes: Sequence[int], seconds: Sequence[int]) -> str:
    """`at 09:00 and 17:00`; of many times, `every hour from 09:30 to 17:30`, `every minute, from 09:00 to 17:59`."""
    if len(hours) > 3 and _covers_day(hours) and list(minutes) == list(seconds) == [0]:
        return f"every {plural(step_of(hours), 'hour')}"
    if len(hours) * len(minutes) * len(seconds) <= MOST_TIMES and len(hours) < 24:
        return "at " + listed([clock(h, m, s) for h in hours for m in minutes for s in seconds])
    if len(minutes) == len(seconds) == 1:
        return _hourly(hours, minutes[0], seconds[0])
    phrase = _within(minutes, "minute", "hour") if len(seconds) == 1 else _within(seconds, "second", "minute")
    if len(seconds) == 1:
        phrase += f", at second {seconds[0]}" if seconds[0] else ""
    elif len(minutes) < 60:
        phrase += f", in {'minute' if len(minutes) == 1 else 'minutes'} {spans(minutes)}"
        phrase += " of every hour" if len(hours) == 24 else ""
    if len(hours) == 24:
        return phrase if phrase.startswith("every") or len(seconds) > 1 else f"{phrase} past every hour"
    return f"{phrase}, {_in_hours(hours)}"


def _hourly(hours: Sequence[int], minute: int, second: int) -> str:
    step, first, last = step_of(hours), clock(hours[0], minute, second), clock(hours[-1], minute, second)
    if len(hours) == 24:
        past = f"{minute} {'minute' if minute == 1 else 'minutes'}" + (f" and {second} seconds" if second else "")
        return f"at {past} past every hour"
    if step:
        return f"every {plural(step, 'hour')} from {first} to {last}"
    return f"at {minute} minutes{f' and {second} seconds' if second else ''} past the hours {spans(hours)}"


def _covers_day(hours: Sequence[int]) -> bool:
    return step_of(hours) > 0 and hours[0] == 0 and hours[-1] + step_of(hours) == 24


def _within(numbers: Sequence[int], unit: str, whole: str) -> str:
    step = step_of(numbers)
    if len(numbers) == 2 and numbers[1] - numbers[0] == 30:
        step = 30
    is_whole = step and 60 % step == 0 and numbers[0] < step and numbers[-1] + step >= 60
    if is_whole and (numbers[0] == 0 or step == 1):
        return f"every {plural(step, unit)}"
    if is_whole:
        return f"every {plural(step, unit)} from {unit} {numbers[0]} of the {whole} on"
    if step and len(numbers) > MOST_TIMES:
        return f"every {plural(step, unit)} from {unit} {numbers[0]} to {numbers[-1]} of the {whole}"
    return f"at {spans(numbers)} {unit}{'' if list(numbers) == [1] else 's'}" + (
        " past every minute" if unit == "second" else ""
    )


def _in_hours(hours: Sequence[int]) -> str:
    step = step_of(hours)
    if len(hours) == 1 or step == 1 or (len(hours) == 2 and hours[1] == hours[0] + 1):
        return f"from {hours[0]:02}:00 to {hours[-1]:02}:59"
    if step and len(hours) > 3:
        return f"in every {ordinal(step)} hour from {hours[0]} to {hours[-1]}"
    return f"in the hours {spans(hours)}"
