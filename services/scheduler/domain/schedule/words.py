"""Pieces of an expression that know where they stand."""

import re
from dataclasses import dataclass

WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an expression: its text as written, and the character it begins at, from 0."""

    text: str
    at: int

    @property
    def folded(self) -> str:
        """The text in capitals."""
        return self.text.upper()

    def split(self, separator: str) -> list["Piece"]:
        """The pieces between separators, empty ones included."""
        pieces, at = [], self.at
        for text in self.text.split(separator):
            pieces.append(Piece(text, at))
            at += len(text) + len(separator)
        return pieces

    def tail(self, start: int) -> "Piece":
        """What follows its first `start` characters."""
        return Piece(self.text[start:], self.at + start)


def words_of(text: str) -> list[Piece]:
    """What white space separates."""
    return [Piece(found.group(), found.start()) for found in WORD.finditer(text)]
