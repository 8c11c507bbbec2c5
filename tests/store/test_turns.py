"""One collection at a time, and each that waits has its turn."""

from contextlib import ExitStack

import pytest

from trunkline.errors import Conflict


def test_a_second_collector_is_refused(open_store) -> None:
    other = open_store().collection()

    with (
        open_store().collection().exclusive(),
        pytest.raises(Conflict, match="is being collected"),
        other.exclusive(),
    ):
        pass


def test_who_waits_for_the_end_of_a_collection_is_the_next(open_store) -> None:
    """One that comes again and again, as a collector does, got ahead of a backup for hours."""
    at_work, waiting, coming = (open_store(writer=w).collection() for w in ("a", "b", "c"))
    first = ExitStack()
    first.enter_context(at_work.exclusive())
    looks = []

    def come_again() -> None:
        looks.append("again")
        first.close()
        with pytest.raises(Conflict), coming.exclusive():
            pass

    with waiting.exclusive(come_again), pytest.raises(Conflict), coming.exclusive():
        pass
    with coming.exclusive():
        pass

    assert looks == ["again"]
