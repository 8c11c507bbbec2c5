"""The operations as pages of the console have them: for one caller, as far as his role goes.

Whatever a page forgets to look at, what the role is not enough for is refused, and what changes
something is noted in the audit log.
"""

from typing import Any, cast

from trunkline.api.connection import NOUNS, Operations, Served
from trunkline.api.operation import Operation, operation_of
from trunkline.server.audit import carried_out
from trunkline.server.callers import Caller, check_allowed


def limited(served: Served, caller: Caller) -> Operations:
    """All operations, for a caller."""
    return cast(Operations, _Limited(served, caller))


class _Limited:
    def __init__(self, served: Served, caller: Caller) -> None:
        self._served = served
        self._caller = caller

    def __getattr__(self, noun: str) -> "_LimitedNoun":
        return _LimitedNoun(self._served, noun, self._caller)


class _LimitedNoun:
    def __init__(self, served: Served, noun: str, caller: Caller) -> None:
        self._served = served
        self._noun = noun
        self._caller = caller

    def __getattr__(self, name: str) -> Any:
        operation = operation_of(NOUNS[self._noun], name)
        if operation is None:
            raise AttributeError(name)
        check_allowed(operation, self._caller)
        call = getattr(getattr(self._served, self._noun), name)
        if not operation.changes:
            return call
        return _noted(self._served, operation, call, self._caller)


def _noted(served: Served, operation: Operation, call: Any, caller: Caller) -> Any:
    def ask(*args: Any, **named: Any) -> Any:
        arguments = operation.bound(args, named)
        return carried_out(served, operation, call, arguments, caller=caller, door="console")

    return ask
