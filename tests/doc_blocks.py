"""Code that stands in the documentation."""

import re
from collections.abc import Callable
from typing import Any

from tests.architecture.tree import ROOT


def code_block(page: str, language: str, name: str) -> str:
    """The code block of a page that defines `name`."""
    text = (ROOT / "docs" / page).read_text()
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if re.search(rf"\b{name}\(", block)]
    return str(found)


def python_function(page: str, name: str) -> Callable[..., Any]:
    """A function as a page has it, ready to be called."""
    names: dict[str, Any] = {}
    exec(compile(code_block(page, "python", name), page, "exec"), names)
    function: Callable[..., Any] = names[name]
    return function
