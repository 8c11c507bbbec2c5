"""Times as the databases hold them: whole microseconds since 1970 (UTC)."""

from datetime import UTC, datetime, timedelta

from trunkline.errors import Corrupt

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_microseconds(time: datetime) -> int:
    """Exact, as a float would not be."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(value: int) -> datetime:
    """Raises Corrupt for what is no time, as a changed byte can make it."""
    try:
        return _EPOCH + timedelta(microseconds=value)
    except (TypeError, OverflowError) as error:
        raise Corrupt("a row of the database", "a time", repr(value)) from error
