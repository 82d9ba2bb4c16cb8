"""Option lists that several commands share, declared once."""

import functools
import inspect
from collections.abc import Callable
from typing import Any


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a function with their annotations resolved, each to be given by name."""
    found = inspect.signature(function, eval_str=True).parameters.values()
    return [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in found]


def declared(function: Callable[..., Any], parameters: list[inspect.Parameter]) -> None:
    """Makes a function look as if it had these parameters; typer reads its command line from them."""
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}


def splice(options: Callable[..., Any], into: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator: in place of its parameter `into`, a command takes the parameters of `options`.

    The command is given what `options` makes of them. A parameter that both have goes to `options` only.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        shared = parameters_of(options)
        names = {parameter.name for parameter in shared}
        own = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) if index else parameter
            for index, parameter in enumerate(inspect.signature(command, eval_str=True).parameters.values())
            if parameter.name != into
        ]

        @functools.wraps(command)
        def spliced(*args: Any, **kwargs: Any) -> Any:
            taken = {name: kwargs.pop(name) for name in names if name in kwargs}
            return command(*args, **kwargs, **{into: options(**taken)})

        declared(spliced, [*own, *shared])
        return spliced

    return decorate
