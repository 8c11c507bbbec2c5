"""Operations that note how they were called and answer what they were told to."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, get_args, get_origin

from hypothesis import strategies as st

from trunkline.api.connection import NOUNS
from trunkline.api.operation import Operation
from trunkline.model.tokens import TokenInfo

# What JSON keeps apart; a half surrogate pair is no text.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
st.register_type_strategy(object, JSON_VALUES)
st.register_type_strategy(str, TEXT)
st.register_type_strategy(datetime, st.datetimes(timezones=st.just(UTC)))
st.register_type_strategy(int, st.integers(-(2**53), 2**53))
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a declared type."""
    if kind is type(None):
        return st.none()
    if get_origin(kind) is Iterator:
        item = get_args(kind)[0]
        return st.lists(
            st.binary(min_size=1, max_size=50) if item is bytes else st.from_type(item), max_size=4
        )
    return st.from_type(kind)


def arguments_of(operation: Operation) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments that the operation may be called with, those with a default sometimes left out."""
    required = {}
    optional = {}
    for name, kind in operation.arguments.items():
        if name == operation.upload:
            continue
        values = values_of(kind)
        if kind == list[str] | None and operation.method == "GET":
            values = st.none() | st.lists(TEXT, min_size=1, max_size=3)  # [] is None in a query
        (optional if name in operation.defaults else required)[name] = values
    return st.fixed_dictionaries(required, optional=optional)


class RecordingOperations:
    """`answer` is given by every call; `calls` are (noun, operation, arguments)."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.answer: Any = None
        self.known_tokens: dict[str, TokenInfo] = {}  # by digest
        self.noted: list[dict[str, str]] = []  # for the audit log
        for noun in NOUNS:
            setattr(self, noun, _RecordingNoun(self, noun))

    def find_token(self, digest: str) -> TokenInfo | None:
        return self.known_tokens.get(digest)

    def revision(self) -> int:
        return 0

    def note_change(self, **entry: str) -> None:
        self.noted.append(entry)

    def close(self) -> None:
        pass


class _RecordingNoun:
    def __init__(self, owner: RecordingOperations, noun: str) -> None:
        self._owner = owner
        self._noun = noun

    def __getattr__(self, name: str) -> Any:
        def record(**arguments: Any) -> Any:
            if "changes" in arguments:
                arguments["changes"] = [
                    (type(c).__name__, c.path, b"".join(getattr(c, "content", ())))
                    for c in arguments["changes"]
                ]
            self._owner.calls.append((self._noun, name, arguments))
            answer = self._owner.answer
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return record
