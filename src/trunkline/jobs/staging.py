"""What the inputs of a datum put where user code finds it, and that no two put it in one place."""

from collections.abc import Iterable, Iterator

from trunkline.errors import InputsClash
from trunkline.files.manifest import FileRow
from trunkline.model.versions import FileType
from trunkline.pipelines.datums import DatumFile


class Places:
    """Who puts what below the directory of an input, where several commits have its name."""

    def __init__(self, files: Iterable[DatumFile]) -> None:
        commits: dict[str, set[tuple[str, str]]] = {}
        for file in files:
            commits.setdefault(file.name, set()).add((file.repo, file.commit))
        self._shared = {name for name, sources in commits.items() if len(sources) > 1}
        self._files: dict[tuple[str, str], DatumFile] = {}
        self._directories: dict[tuple[str, str], list[DatumFile]] = {}

    def shared(self, name: str) -> bool:
        """Whether several commits have this name."""
        return name in self._shared

    def claimed(self, file: DatumFile, rows: Iterator[FileRow]) -> Iterator[FileRow]:
        """The rows of what an input gave, which raise InputsClash where another commit puts them.

        Directories may come from several, files may not.
        """
        if file.name not in self._shared:
            return rows
        if file.type is FileType.DIR:
            self._claim_directories(file, file.path)
        return self._claim(file, rows)

    def _claim(self, file: DatumFile, rows: Iterator[FileRow]) -> Iterator[FileRow]:
        for row in rows:
            self._claim_directories(file, row.path.rpartition("/")[0])
            place = (file.name, row.path)
            self._check(file, row.path, [self._files.setdefault(place, file)])
            self._check(file, row.path, self._directories.get(place, []))
            yield row

    def _claim_directories(self, file: DatumFile, path: str) -> None:
        while path:
            owners = self._directories.setdefault((file.name, path), [])
            if any(_same(file, owner) for owner in owners):
                return  # and so are those above it
            self._check(file, path, filter(None, [self._files.get((file.name, path))]))
            owners.append(file)
            path = path.rpartition("/")[0]

    def _check(self, file: DatumFile, path: str, owners: Iterable[DatumFile]) -> None:
        for owner in owners:
            if not _same(file, owner):
                raise InputsClash(file.name, path, map(_source, (owner, file)))


def _same(file: DatumFile, other: DatumFile) -> bool:
    return (file.repo, file.commit) == (other.repo, other.commit)


def _source(file: DatumFile) -> str:
    return f"{file.repo}@{file.commit}"
