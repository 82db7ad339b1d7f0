"""Methods: a function's signature is its declaration, its docstring the documentation.

How a function runs follows from how it is registered:

* `task`: a coroutine, on the event loop; must not touch the chain's lock.
* `read`: in a reader thread, under the chain's lock: all it sees belongs to one tip.
* `scan`: in a reader thread, without the lock: for what walks over the database at length.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeVar

import msgspec

from .errors import Code, RpcFailure

F = TypeVar("F", bound=Callable[..., Any])


class Where(Enum):
    """Where a method runs."""

    LOOP = "loop"
    LOCKED = "locked"
    UNLOCKED = "unlocked"


@dataclass(frozen=True, slots=True)
class Method:
    """One method that clients may call."""

    name: str
    function: Callable[..., Any]
    where: Where
    needs_token: bool
    parameters: type[msgspec.Struct]

    def bind(self, params: Any) -> dict[str, Any]:
        """Return keyword arguments for the function. Raises RpcFailure for misfits.

        `params` is what the request has: an object, a list, or None for no parameters.
        """
        names = self.parameters.__struct_fields__
        if params is None:
            params = {}
        if isinstance(params, list):
            if len(params) > len(names):
                raise _invalid(f"{self.name} takes at most {len(names)} parameters")
            params = dict(zip(names, params, strict=False))
        if not isinstance(params, dict):
            raise _invalid("params must be an object or a list")
        try:
            bound = msgspec.convert(params, self.parameters)
        except (msgspec.ValidationError, UnicodeError, RecursionError) as error:
            raise _invalid(f"{self.name}: {error}") from None
        return {name: getattr(bound, name) for name in names}


class MethodTable:
    """The methods of one subject, or of all."""

    def __init__(self, tables: "Iterable[MethodTable]" = ()) -> None:
        """Begin with the methods of other tables."""
        self._methods: Final[dict[str, Method]] = {}
        for table in tables:
            self._methods.update(table._methods)

    def __iter__(self) -> Iterator[Method]:
        return iter(self._methods.values())

    def get(self, name: str) -> Method | None:
        """Return the method of this name."""
        return self._methods.get(name)

    def read(self, function: F) -> F:
        """Register a function that reads one consistent state."""
        return self._add(function, Where.LOCKED, needs_token=False)

    def scan(self, function: F) -> F:
        """Register a function that walks over the database."""
        return self._add(function, Where.UNLOCKED, needs_token=False)

    def task(self, function: F) -> F:
        """Register a coroutine that anybody may call."""
        return self._add(function, Where.LOOP, needs_token=False)

    def guarded(self, function: F) -> F:
        """Register a coroutine that spends, changes or mines: it needs the token."""
        return self._add(function, Where.LOOP, needs_token=True)

    def _add(self, function: F, where: Where, *, needs_token: bool) -> F:
        name = function.__name__
        self._methods[name] = Method(name, function, where, needs_token, _parameters(function))
        return function


def _parameters(function: Callable[..., Any]) -> type[msgspec.Struct]:
    """Make a struct of a signature, its first parameter (the context) left out."""
    _, *declared = inspect.signature(function).parameters.values()
    fields: list[Any] = []
    for parameter in declared:
        if parameter.default is inspect.Parameter.empty:
            fields.append((parameter.name, parameter.annotation))
        else:
            fields.append((parameter.name, parameter.annotation, parameter.default))
    return msgspec.defstruct(function.__name__, fields, forbid_unknown_fields=True)


def _invalid(message: str) -> RpcFailure:
    return RpcFailure(Code.INVALID_PARAMS, message)
