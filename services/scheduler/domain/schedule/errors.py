"""What is wrong with a schedule, and where."""


class ScheduleError(ValueError):
    """Something about a schedule that means nothing; the text says what, where, and how to write it.

    `field` is the field of the job that is wrong (`schedule`, `timezone`, `active_windows[0].start`). `part` is the
    piece of its text that is wrong, `position` where that begins, in characters from 0, -1 when there is no such
    place. `example` is correct.
    """

    def __init__(
        self, problem: str, *, field: str = "schedule", part: str = "", position: int = -1, example: str = ""
    ) -> None:
        self.problem = problem
        self.field = field
        self.part = part
        self.position = position
        self.example = example
        super().__init__(self._sentence())

    def within(self, field: str, *, offset: int = 0) -> "ScheduleError":
        """The same error of a text that is part of another one, or of another field."""
        position = self.position + offset if self.position >= 0 else -1
        return ScheduleError(self.problem, field=field, part=self.part, position=position, example=self.example)

    def _sentence(self) -> str:
        where = f" (at character {self.position + 1})" if self.position >= 0 else ""
        example = f"; for example: {self.example}" if self.example else ""
        return f"{self.problem}{where}{example}"
