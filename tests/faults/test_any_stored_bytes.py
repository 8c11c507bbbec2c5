"""Readers of stored bytes refuse what they can't read with one of our errors, and nothing else.

Those of packs, manifests and deltas are tried in tests/store and tests/files.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.api.changes import PutFile, read_changes
from trunkline.connect.contexts import list_contexts
from trunkline.errors import TrunklineError
from trunkline.jobs.logs import stored_entries
from trunkline.jobs.segments import decode_segment

GOLDEN = next(p for p in Path(__file__).resolve().parents if p.name == "tests") / "golden"


class OneBlob:
    """A store whose every chunk is the same."""

    def __init__(self, blob: bytes) -> None:
        self.blob = blob

    def get(self, _chunk: str) -> bytes:
        return self.blob


def changes(blob: bytes) -> None:
    for change in read_changes(iter([blob])):
        if isinstance(change, PutFile):
            list(change.content)


READERS: dict[str, Callable[[bytes], object]] = {
    "datum-segment/v1.json": decode_segment,
    "log/v1.jsonl": lambda blob: list(stored_entries(OneBlob(blob), ["00" * 32])),
    "change-stream/v1.bin": changes,
}
JSON_PIECES = [b"[" * 5000, b'{"a":' * 3000, b"1e999", b"null", b"-1", b'"\\ud800"', b"9" * 5000]


def damaged(whole: bytes, data: st.DataObject) -> bytes:
    blob = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(blob) - 1))
        how = data.draw(st.sampled_from(["flip", "piece", "cut"]))
        if how == "flip":
            blob[at] = data.draw(st.integers(0, 255))
        elif how == "piece":
            blob[at : at + data.draw(st.integers(0, 8))] = data.draw(st.sampled_from(JSON_PIECES))
        elif at:
            del blob[at:]
    return bytes(blob)


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
def test_a_damaged_object_is_refused_or_read(name: str, data: st.DataObject) -> None:
    blob = damaged((GOLDEN / name).read_bytes(), data)

    with suppress(TrunklineError):
        READERS[name](blob)


@pytest.mark.parametrize("name", READERS)
@given(blob=st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(name: str, blob: bytes) -> None:
    for start in (0, 20, 40):
        with suppress(TrunklineError):
            READERS[name]((GOLDEN / name).read_bytes()[:start] + blob)


@given(
    text=st.one_of(
        st.text(max_size=80),
        st.recursive(
            st.sampled_from(["1", "true", '"x"', "[]", "2020-01-01"]),
            lambda inner: inner.map(lambda value: f"[{value}]"),
        ).map(lambda value: f"active = {value}\n[contexts.a]\naddress = {value}\ntoken = {value}"),
    )
)
def test_any_file_of_contexts_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "config.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))

    with suppress(TrunklineError):
        list_contexts(file)
