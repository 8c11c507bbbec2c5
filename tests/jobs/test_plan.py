"""Which datums are fresh, and how they are written down."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import Corrupt
from trunkline.files.manifest import RootId
from trunkline.jobs.plan import batch_size, lease_size, plan_datums
from trunkline.jobs.segments import (
    SEGMENT_DATUMS,
    SEGMENT_FILES,
    PlannedDatum,
    decode_segment,
    encode_segment,
    first_datum,
    fresh_of_segment,
    keys_of_segment,
)
from trunkline.model.pipelines import Batches
from trunkline.model.versions import FileType
from trunkline.pipelines.datums import Datum, DatumFile

GOLDEN = Path(__file__).parents[1] / "golden" / "datum-segment"


def _datum(number: int, name: str = "training", **keys: str | None) -> Datum:
    file = DatumFile(
        name=name,
        repo="training",
        commit="c" * 32,
        root=RootId("r" * 64),
        path=f"file-{number}",
        type=FileType.FILE,
        size_bytes=number,
        digest=f"{number:064x}",
        **keys,
    )
    return Datum(files=(file,))


def _key(datum: Datum) -> str:
    return datum.files[0].digest


def test_datums_with_a_remembered_result_are_not_fresh() -> None:
    datums = [_datum(n) for n in range(5)]
    known = {_key(datums[1]), _key(datums[3])}

    [segment] = plan_datums(
        datums, key_of=_key, remembered=lambda keys: known & set(keys), may_repeat=False
    )

    assert [planned.fresh for planned in segment.datums] == [True, False, True, False, True]
    assert segment.fresh == 3


def test_reprocessing_makes_every_datum_fresh() -> None:
    datums = [_datum(n) for n in range(3)]

    [segment] = plan_datums(datums, key_of=_key, remembered=set, may_repeat=False, reprocess=True)

    assert segment.fresh == 3


def test_a_datum_that_a_union_yields_twice_is_planned_once() -> None:
    datums = [_datum(1), _datum(2), _datum(1)]

    [segment] = plan_datums(datums, key_of=_key, remembered=lambda _: set(), may_repeat=True)

    assert [planned.datum for planned in segment.datums] == datums[:2]


def test_a_large_job_is_planned_in_segments_of_bounded_size() -> None:
    datums = (_datum(n) for n in range(2 * SEGMENT_DATUMS + 1))

    segments = list(plan_datums(datums, key_of=_key, remembered=lambda _: set(), may_repeat=False))

    assert [len(s.datums) for s in segments] == [SEGMENT_DATUMS, SEGMENT_DATUMS, 1]


def test_a_segment_holds_a_bounded_number_of_files_unless_one_datum_has_more() -> None:
    def of(files: int) -> Datum:
        return Datum(files=_datum(1).files * files)

    sizes = [SEGMENT_FILES - 1, 1, 1, SEGMENT_FILES + 5, 1]
    segments = plan_datums(
        map(of, sizes), key_of=_key, remembered=lambda _: set(), may_repeat=False
    )

    assert [len(segment.datums) for segment in segments] == [2, 1, 1, 1]


KEYS = st.none() | st.text(max_size=2)


@given(
    st.lists(
        st.tuples(st.integers(0, 99), st.booleans(), st.sampled_from("ab"), KEYS, KEYS),
        max_size=30,
    )
)
def test_a_segment_reads_back_as_it_was_written(rows: list[tuple]) -> None:
    planned = [
        PlannedDatum(
            key=f"{number:064x}",
            fresh=fresh,
            datum=_datum(number, name, join_on=join_on, group_by=group_by),
        )
        for number, fresh, name, join_on, group_by in rows
    ]

    data = encode_segment(planned)
    assert decode_segment(data) == planned
    assert fresh_of_segment(data) == [one for one in planned if one.fresh]
    assert fresh_of_segment(bytes(bytearray(data))) is fresh_of_segment(data)  # decoded once
    assert keys_of_segment(data) == [one.key for one in planned]
    if planned:
        assert first_datum(data) == planned[0].datum


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"format":"trunkline-datums","version":3}'])
@pytest.mark.parametrize("read", [decode_segment, keys_of_segment, first_datum])
def test_what_is_not_a_segment_is_reported_as_damaged(
    read: Callable[[bytes], object], data: bytes
) -> None:
    with pytest.raises(Corrupt, match="datum segment"):
        read(data)


def test_the_segment_format_is_the_one_that_is_documented() -> None:
    planned = [
        PlannedDatum(key=f"{7:064x}", fresh=True, datum=_datum(7)),
        PlannedDatum(key=f"{8:064x}", fresh=False, datum=_datum(8)),
    ]

    golden = (GOLDEN / "v1.json").read_bytes()
    assert encode_segment(planned) == golden
    assert decode_segment(golden) == planned


def test_a_segment_with_the_keys_of_joins_and_groups_is_of_the_second_version() -> None:
    both = Datum(files=(*_datum(7, join_on="a").files, *_datum(8, join_on="a", group_by="").files))
    planned = [
        PlannedDatum(key=f"{7:064x}", fresh=True, datum=both),
        PlannedDatum(key=f"{8:064x}", fresh=False, datum=_datum(8)),
    ]

    golden = (GOLDEN / "v2.json").read_bytes()
    assert encode_segment(planned) == golden
    assert decode_segment(golden) == planned


@given(
    st.integers(1, 10**6),
    st.integers(1, 64),
    st.none() | st.floats(0, 1e4, allow_nan=False),
)
def test_a_lease_never_takes_more_than_a_fair_share_or_what_is_done_in_a_moment(
    remaining: int, workers: int, datum_s: float | None
) -> None:
    size = lease_size(remaining=remaining, workers=workers, datum_s=datum_s)

    moment = int(0.02 / max(datum_s, 0.0005)) if datum_s is not None else 1
    assert 1 <= size <= max(1, remaining // (2 * workers), min(remaining, moment))


def test_slow_datums_are_handed_out_one_by_one_and_quick_ones_in_batches() -> None:
    assert lease_size(remaining=1000, workers=2, datum_s=10.0) == 1
    assert lease_size(remaining=1000, workers=2, datum_s=0.002) == 250
    assert lease_size(remaining=30, workers=2, datum_s=0.002) == 10
    assert lease_size(remaining=3, workers=2, datum_s=0.002) == 3


@given(
    st.integers(1, 5000),
    st.integers(0, 3000),
    st.integers(0, 500),
    st.integers(0, 20),
    st.integers(1, 16),
    st.lists(st.integers(0, 100), min_size=1, max_size=50),
)
def test_a_batch_is_the_smallest_that_the_spec_asks_for(
    fresh: int, number: int, size_bytes: int, per_worker: int, workers: int, sizes: list[int]
) -> None:
    batches = Batches(number=number, size_bytes=size_bytes, per_worker=per_worker)
    size = batch_size(batches, fresh=fresh, workers=workers, sizes=lambda: sizes)

    asked = []
    if number:
        asked.append(number)
    if per_worker:
        asked.append(math.ceil(fresh / (workers * per_worker)))
    if size_bytes:
        enough = [n for n in range(1, len(sizes) + 1) if sum(sizes[:n]) >= size_bytes]
        asked.append(enough[0] if enough else len(sizes) + 1)
    assert size == min(asked, default=None)


def test_a_wish_comes_before_the_time_that_datums_take_and_a_limit_before_both() -> None:
    assert lease_size(remaining=1000, workers=2, datum_s=10.0, wish=40) == 40
    assert lease_size(remaining=1000, workers=2, datum_s=10.0, wish=40, most=7) == 7
    assert lease_size(remaining=1000, workers=2, datum_s=0.002, most=7) == 7
    assert lease_size(remaining=10**6, workers=2, datum_s=None, wish=10**6) == 1000
