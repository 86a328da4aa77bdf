"""A hook as it is called: with what it asks for, by names; its mistakes are told as its own."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from twinrun.errors import InputError, shorten
from twinrun.hooks.loading import check_settings, load
from twinrun.hooks.mistakes import own_mistake
from twinrun.hooks.own_code import FILE, OwnCode
from twinrun.hooks.table import HOOKS, SETTINGS, Hook
from twinrun.memory import is_short_of_memory


@dataclass(frozen=True)
class OwnHook:
    """A competitor's function, called with what it asks for.

    Attributes:
        hook: Which.
        function: The competitor's own.
        place: `competition/hooks.py, line 12`.
        settings: The table [hooks], as it gets it.
    """

    hook: Hook
    function: Callable[..., Any]
    place: str
    settings: Any

    def __call__(self, **given: Any) -> Any:
        """Call it.

        Args:
            given: All that it can be given but `settings`, by the names of `Hook.gets`.

        Raises:
            InputError: It raises an error, told as the competitor's: file, line, the last lines of
                theirs; or it asks for what is not given.
        """
        # A copy: what a hook does to the table is not seen by the next call.
        given = {**given, SETTINGS: copy.deepcopy(self.settings)}
        with telling_mistakes():
            return self.function(**{name: given[name] for name in self._asked(given)})

    def refuse(self, given: object) -> InputError:
        """The error for a result that is not what is expected.

        Args:
            given: In words what it gave: "an array of float64, (2, 3)".
        """
        return InputError(
            f"{self.place}: `{self.hook.name}` gives {given}",
            fix=f"It has to give {self.hook.gives}.",
        )

    def _asked(self, given: Mapping[str, Any]) -> list[str]:
        try:
            parameters = list(inspect.signature(self.function).parameters.values())
        except (TypeError, ValueError):  # written in C
            parameters = []
        by_place = [
            each.name
            for each in parameters
            if each.kind is each.POSITIONAL_ONLY and each.default is each.empty
        ]
        if by_place:
            raise InputError(
                f"{self.place}: `{self.hook.name}` takes {', '.join(by_place)} by place alone",
                fix="It is called with names: give it parameters that have some.",
            )
        asked = [
            each.name
            for each in parameters
            if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
            and (each.name in given or each.default is each.empty)
        ]
        unknown = [name for name in asked if name not in given]
        if unknown:
            raise InputError(
                f"{self.place}: `{self.hook.name}` asks for {', '.join(unknown)}, which is not "
                "given",
                fix=f"It may ask for: {', '.join(given)}.",
            )
        return asked


@contextmanager
def telling_mistakes() -> Iterator[None]:
    """Within this context an error that went through a competitor's code is told as theirs.

    Raises:
        InputError: One did.
    """
    try:
        yield
    except Exception as error:
        mistake = None if is_short_of_memory(error) else own_mistake(error)
        if mistake is None:
            raise
        raise mistake from error


def find_hook(code: OwnCode, name: str, settings: Mapping[str, Any]) -> OwnHook | None:
    """A competitor's function; None where hooks.py has none of this name. Imports hooks.py.

    Args:
        code: Of the competition.
        name: Of `HOOKS`.
        settings: The table [hooks].

    Raises:
        InputError: The code cannot be imported, or what has this name is no function.
    """
    hook = HOOKS.get(name)
    if name not in code.hooks:
        return None
    place = f"{code.folder.name}/{FILE}, line {code.hooks[name].line}"
    function = getattr(load(code), name, None)
    if not callable(function):
        raise InputError(
            f"{place}: `{name}` is {type(function).__name__}, and has to be a function",
            fix=f"It gets {', '.join(shorten(hook.gets))} and gives {hook.gives}.",
        )
    return OwnHook(hook, function, place, check_settings(code, settings))
