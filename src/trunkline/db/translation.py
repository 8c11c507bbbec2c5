"""A driver's errors as ours, so that no caller needs to know the driver."""

from collections.abc import Callable

from trunkline.errors import TrunklineError


class Translation:
    """While inside, what the driver raises becomes what `ours` makes of it; None: it stays.

    Has no state, and may be entered any number of times: around a transaction, and around each
    statement in it.
    """

    __slots__ = ("_ours",)

    def __init__(self, ours: Callable[[BaseException], TrunklineError | None]) -> None:
        self._ours = ours

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if error is not None and (ours := self._ours(error)) is not None:
            raise ours from error
