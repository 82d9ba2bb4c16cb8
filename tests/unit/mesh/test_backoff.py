from datetime import timedelta

from cli.chronos.backoff import Backoff

SHORT = timedelta(seconds=1)


def test_pauses_double_up_to_five_seconds() -> None:
    pause, pauses = None, []
    for _ in range(7):
        pause = Backoff().pause(pause, ran_for=SHORT)
        pauses.append(pause.total_seconds())
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_stable_run_starts_the_pauses_over() -> None:
    assert Backoff().pause(timedelta(seconds=5), ran_for=timedelta(seconds=10)) == timedelta(milliseconds=200)
