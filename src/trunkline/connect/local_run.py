"""Calls a pipeline's function for each datum of local files, in this process.

The datums are those that a job would have: the names of the files become trees without content in
a store that is thrown away, and the code that plans jobs enumerates them.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.connect import inputs
from trunkline.connect.parameters import Datum, files_below
from trunkline.errors import DuplicateOutput, LocalFileNotFound
from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import EMPTY
from trunkline.files.tree import Trees
from trunkline.model.versions import BranchName
from trunkline.pipelines.datums import Head, Heads, enumerate_datums
from trunkline.pipelines.spec import spec_from_document
from trunkline.store.chunks import ChunkStore

if TYPE_CHECKING:
    from trunkline.model.pipelines import Input, PipelineSpec
    from trunkline.pipelines.datums import Datum as PlannedDatum


def run_local(
    document: Mapping[str, object],
    call: Callable[[Datum], object],
    directory: Path,
    out: Path | None,
) -> Path:
    """See `PipelineFunction.run_local`. Raises DuplicateOutput, and what the call raises."""
    spec = spec_from_document(document)
    places = _places(inputs.names(spec.document["input"]), directory)
    root = _by_name(spec.input)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        return _run_into(out, spec, root, places, call)
    target = Path(tempfile.mkdtemp(prefix="trunkline-out-"))
    try:
        return _run_into(target, spec, root, places, call)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)  # nobody would know its name
        raise


def _run_into(
    target: Path,
    spec: "PipelineSpec",
    root: "Input",
    places: dict[str, Path],
    call: Callable[[Datum], object],
) -> Path:
    written: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="trunkline-local-") as aside:
        store = ChunkStore(Path(aside, "store"), writer="local")
        trees = Trees(store)
        found = {name: _head(trees, place) for name, place in places.items()}
        heads: Heads = {
            BranchName(repo=leaf.repo, branch=leaf.branch): found[leaf.name]
            for leaf in _leaves(root)
        }
        for number, planned in enumerate(enumerate_datums(root, heads, trees)):
            mine = Path(aside, "out")
            mine.mkdir()
            datum = _datum(planned, places, mine, number)
            call(datum)
            _collect(mine, target, written, datum.id, concat=spec.output_merge == "concat")
        store.close()
    return target


def _places(names: list[str], directory: Path) -> dict[str, Path]:
    """Where the files of each input are."""
    found = {name: directory / name for name in names if (directory / name).is_dir()}
    if not found and len(names) == 1 and directory.is_dir():
        return {names[0]: directory}
    for name in names:
        if name not in found:
            raise LocalFileNotFound(str(directory / name), f"the input '{name}'")
    return found


def _leaves(root: Any) -> Iterator[Any]:
    """The inputs that read files; all that have members combine others."""
    members = getattr(root, "members", None)
    if members is None:
        yield root
    else:
        for member in members:
            yield from _leaves(member)


def _by_name(root: Any) -> Any:
    """The input with each repo called as its directory is."""
    if hasattr(root, "members"):
        return replace(root, members=tuple(map(_by_name, root.members)))
    return replace(root, repo=root.name)


def _head(trees: Trees, place: Path) -> Head:
    writer = DeltaWriter(trees)
    for file in files_below(place):
        writer.put(file.relative_to(place).as_posix(), [])
    return Head(commit="local", root=trees.apply(EMPTY, writer.finish()))


def _datum(planned: "PlannedDatum", places: dict[str, Path], out: Path, number: int) -> Datum:
    def below(name: str) -> Iterator[Path]:
        for file in planned.files:
            if file.name == name:
                found = places[name] / file.path
                yield from files_below(found) if found.is_dir() else (found,)

    given = {file.name: places[file.name] / file.path for file in planned.files}
    return Datum(id=str(number), job="local", out=out, given=given, below=below)


def _collect(mine: Path, out: Path, written: dict[str, str], datum: str, *, concat: bool) -> None:
    """Move the outputs of a datum to those of the others."""
    for file in sorted(files_below(mine)):
        path = file.relative_to(mine).as_posix()
        first = written.setdefault(path, datum)
        target = out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if first == datum:
            shutil.move(file, target)
        elif concat:
            with file.open("rb") as source, target.open("ab") as sink:
                shutil.copyfileobj(source, sink)
        else:
            raise DuplicateOutput(path, first, datum)
    shutil.rmtree(mine)
