"""Scratch directories can be emptied and measured whatever is in them."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import OperationFailed
from trunkline.runtimes import scratch

NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20
).filter(lambda name: name not in {".", ".."})
TREES = st.recursive(
    st.none(), lambda children: st.dictionaries(NAMES, children, max_size=5), max_leaves=30
)


def grow(directory: Path, tree: dict[str, object] | None) -> None:
    for name, below in (tree or {}).items():
        if below is None:
            (directory / name).write_bytes(b"12345")
        else:
            (directory / name).mkdir()
            grow(directory / name, below)  # type: ignore[arg-type]


def files_in(tree: object) -> int:
    return sum(map(files_in, tree.values())) if isinstance(tree, dict) else 1


@given(st.dictionaries(NAMES, TREES, max_size=5))
def test_any_tree_is_measured_and_emptied(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, object]
) -> None:
    directory = tmp_path_factory.mktemp("tree")
    grow(directory, tree)

    assert scratch.bytes_below(directory, most=10**9) == 5 * files_in(tree)
    scratch.empty(directory)
    assert os.listdir(directory) == []


@given(st.dictionaries(NAMES, TREES, max_size=5))
def test_a_tree_of_any_width_is_emptied_some_entries_at_a_time(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, object]
) -> None:
    directory = tmp_path_factory.mktemp("tree")
    grow(directory, {**tree, "kept": {"file": None}})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch, "_LISTED_MAX", 2)
        scratch.empty(directory, keep=("kept",))

    assert os.listdir(directory) == ["kept"]


def test_one_entry_may_be_kept(tmp_path: Path) -> None:
    grow(tmp_path, {"out": {"out": None}, "in": {"out": None}})

    scratch.empty(tmp_path, keep=("out",))

    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.rglob("*"))] == ["out", "out/out"]


def test_a_directory_that_became_a_link_is_not_emptied(tmp_path: Path) -> None:
    grow(tmp_path, {"precious": {"file": None}})
    (tmp_path / "out").symlink_to("precious")

    with pytest.raises(OperationFailed, match="can't be emptied"):
        scratch.empty(tmp_path / "out")
    with pytest.raises(OperationFailed, match="is a link"):
        scratch.ensure_directory(tmp_path / "out")

    assert (tmp_path / "precious" / "file").exists()


def test_measuring_follows_no_link_and_stops_early(tmp_path: Path) -> None:
    grow(tmp_path, {"big": {str(n): None for n in range(100)}, "out": {"a": None}})
    (tmp_path / "out" / "link").symlink_to(tmp_path / "big")

    assert scratch.bytes_below(tmp_path / "out", most=10**9) == 5
    assert 10 < scratch.bytes_below(tmp_path, most=10) <= 505


def test_measuring_what_is_gone_gives_nothing(tmp_path: Path) -> None:
    assert scratch.bytes_below(tmp_path / "gone", most=1) == 0


def test_protecting_takes_every_write_permission_but_one(tmp_path: Path) -> None:
    grow(tmp_path, {"in": {"a": {"b": None}}, "out": {"c": None}})

    scratch.protect(tmp_path, except_for="out")

    writable = {
        str(path.relative_to(tmp_path))
        for path in tmp_path.rglob("*")
        if stat.S_IMODE(path.stat().st_mode) & 0o222
    }
    assert writable == {"out", "out/c"}
    scratch.empty(tmp_path)
    assert os.listdir(tmp_path) == []
