"""What differs between two runs of one datum, of all that its result depends on.

`pipelines.identity` says what that is; here the parts are compared one by one, so that a person is
told which file, which variable, which line of the spec it was.
"""

from collections.abc import Iterator

from trunkline.errors import Corrupt
from trunkline.files.manifest import EMPTY, RootId
from trunkline.files.tree import Trees
from trunkline.jobs.search import FoundDatum
from trunkline.model.lineage import ChangedPart
from trunkline.model.versions import FileType, Side
from trunkline.pipelines import lifecycle
from trunkline.pipelines.datums import DatumFile
from trunkline.pipelines.lifecycle import PipelineRecord

_FILES_MAX = 20  # of a directory that are named
_TEXT_MAX = 200  # letters of a value

Places = tuple[tuple[str, str], ...]  # name of the input, and path or key of the group


def places_of(found: FoundDatum) -> Places:
    """What a datum is known by from one job to the next, whatever it is given there.

    A group may get and lose files; it is known by its key.
    """
    return tuple(
        dict.fromkeys(
            (file.name, file.path if file.group_by is None else file.group_by)
            for file in found.planned.datum.by_name()
        )
    )


def changed_inputs(trees: Trees, new: FoundDatum, old: FoundDatum) -> list[ChangedPart]:
    """What two datums of the same places were given that differs."""
    now = {(file.name, file.path): file for file in new.planned.datum.by_name()}
    was = {(file.name, file.path): file for file in old.planned.datum.by_name()}
    found: list[ChangedPart] = []
    for place in sorted({*now, *was}):
        after, before = now.get(place), was.get(place)
        if after is not None and before is not None:
            found += _changed_input(trees, after, before)
        else:
            found.append(_of_one_side(after, before))
    return found


def _of_one_side(new: DatumFile | None, old: DatumFile | None) -> ChangedPart:
    file = new or old
    assert file is not None, "it is on one of the sides"
    return ChangedPart(
        part="input",
        name=f"{file.repo}:/{file.path}",
        before=old.digest if old is not None else "",
        after=new.digest if new is not None else "",
    )


def _changed_input(trees: Trees, new: DatumFile, old: DatumFile) -> Iterator[ChangedPart]:
    for part, before, after in (
        ("join", old.join_on, new.join_on),
        ("group", old.group_by, new.group_by),
    ):
        if before != after:
            yield ChangedPart(part=part, name=new.name, before=before or "", after=after or "")
    if (new.digest, new.type) == (old.digest, old.type):
        return
    if new.type is FileType.DIR and old.type is FileType.DIR:
        found = _changed_files(trees, "input", f"{new.repo}:", new, old)
        if found:
            yield from found
            return
    yield ChangedPart(
        part="input", name=f"{new.repo}:/{new.path}", before=old.digest, after=new.digest
    )


def _changed_files(
    trees: Trees, part: str, prefix: str, new: DatumFile, old: DatumFile
) -> list[ChangedPart]:
    """The files of a directory that differ; none if an old tree can't be read any more."""
    try:
        return _of_trees(trees, part, prefix, (new.root, new.path), (old.root, old.path))
    except Corrupt:
        return []


def _of_trees(
    trees: Trees, part: str, prefix: str, new: tuple[RootId, str], old: tuple[RootId, str]
) -> list[ChangedPart]:
    sides: dict[str, dict[Side, str]] = {}
    for side, row in trees.diff(*new, *old):
        base = new[1] if side is Side.NEW else old[1]
        path = row.path[len(base) :].lstrip("/")
        if path not in sides and len(sides) == _FILES_MAX:
            break
        sides.setdefault(path, {})[side] = row.digest
    above = f"{prefix}/{new[1]}/" if new[1] else f"{prefix}/"
    return [
        ChangedPart(
            part=part,
            name=f"{above}{path}",
            before=found.get(Side.OLD, ""),
            after=found.get(Side.NEW, ""),
        )
        for path, found in sides.items()
    ]


def differing_parts(
    new: PipelineRecord, old: PipelineRecord
) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """What a salt covers and two versions have otherwise, though results may have been kept: the
    words before and after of each part.
    """
    now, was = lifecycle.salted_parts(new), lifecycle.salted_parts(old)
    sides = {part: (was.get(part, ()), now.get(part, ())) for part in sorted({*now, *was})}
    return {part: (before, after) for part, (before, after) in sides.items() if before != after}


def changed_pipeline(trees: Trees, new: PipelineRecord, old: PipelineRecord) -> list[ChangedPart]:
    """What differs between two versions that results depend on; nothing where results were kept."""
    if new.salt == old.salt:
        return []
    found: list[ChangedPart] = []
    for part, (before, after) in differing_parts(new, old).items():
        if part == "image":
            before, after = _image(old, before), _image(new, after)
        found += _changed_part(trees, part, before, after)
    # Earlier versions kept results through changes, which count from now on.
    return found or [ChangedPart(part="salt", name="", before=old.salt, after=new.salt)]


def _image(record: PipelineRecord, words: tuple[str, ...]) -> tuple[str, ...]:
    """The image of a version as people know it, where its id is what counts."""
    image = record.placement.image
    return words if image is None else (image.named,)


def _changed_part(
    trees: Trees, part: str, before: tuple[str, ...], after: tuple[str, ...]
) -> list[ChangedPart]:
    if part == "code":
        new, old = (RootId(words[0]) if words else EMPTY for words in (after, before))
        try:
            return _of_trees(trees, part, "", (new, ""), (old, ""))
        except Corrupt:
            return [ChangedPart(part=part, name="", before=old, after=new)]
    if part == "nonce":
        return [ChangedPart(part="reprocess", name="", before="", after="")]
    if part in ("env", "packages"):
        was, now = _named(part, before), _named(part, after)
        return [
            ChangedPart(part=part, name=name, before=was.get(name, ""), after=now.get(name, ""))
            for name in sorted({*was, *now})
            if was.get(name) != now.get(name)
        ]
    return [ChangedPart(part=part, name="", before=_text(before), after=_text(after))]


def _named(part: str, words: tuple[str, ...]) -> dict[str, str]:
    """Variables and packages by their names."""
    if part == "env":
        return {name: _text((value,)) for name, value in zip(words[::2], words[1::2], strict=True)}
    pairs = (word.partition("==") for word in words)
    return {name: version or name for name, _, version in pairs}


def _text(words: tuple[str, ...]) -> str:
    text = " ".join(words)
    return text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}..."
