"""What the tests of pipelines share: the specs of the tutorial, and a way to read one spec."""

import re
from collections.abc import Callable, Iterator

import pytest
from blake3 import blake3
from trunkline.files.tree import Entry

from trunkline.errors import InvalidSpec
from trunkline.files.manifest import RootId
from trunkline.model.pipelines import PipelineSpec
from trunkline.model.versions import FileType
from trunkline.pipelines.spec import read_specs

PRE_PROCESS = """{
  "pipeline": {"name": "pre_process"},
  "transform": {
    "image": "nb-to-prod:pre-process",
    "cmd": ["/bin/bash"],
    "stdin": ["python3 /code/pre_process.py $training /pfs/out/"]
  },
  "parallelism_spec": {"constant": "1"},
  "input": {"atom": {"repo": "training", "glob": "/*"}}
}
"""

TRAIN = """{
  "pipeline": {"name": "train"},
  "transform": {
    "image": "nb-to-prod:train",
    "cmd": ["/bin/bash"],
    "stdin": ["python3 /code/train.py /pfs/pre_process/ /pfs/out/"]
  },
  "parallelism_spec": {"constant": "1"},
  "input": {"atom": {"repo": "pre_process", "glob": "/"}}
}
"""

INFER = """{
  "pipeline": {"name": "inference"},
  "transform": {
    "image": "nb-to-prod:infer",
    "cmd": ["/bin/bash"],
    "stdin": ["python3 /code/infer.py /pfs/train/model.pt $attributes /pfs/out/"]
  },
  "parallelism_spec": {"constant": "1"},
  "input": {
    "cross": [
      {"atom": {"repo": "attributes", "glob": "/*"}},
      {"atom": {"repo": "train", "glob": "/"}}
    ]
  }
}
"""


@pytest.fixture(scope="session")
def tutorial() -> dict[str, str]:
    """The three specs of the tutorial, by pipeline."""
    return {"pre_process": PRE_PROCESS, "train": TRAIN, "inference": INFER}


@pytest.fixture
def read() -> Callable[..., list[PipelineSpec]]:
    """Reads specs from a text."""

    def read_text(text: str, source: str = "spec") -> list[PipelineSpec]:
        return read_specs(text, source=source, bytes_max=1_000_000)

    return read_text


@pytest.fixture
def refusal() -> Callable[..., str]:
    """The sentence (with its excerpt) that refuses a text."""

    def refuse(text: str, source: str = "spec") -> str:
        with pytest.raises(InvalidSpec) as caught:
            read_specs(text, source=source, bytes_max=1_000_000)
        return str(caught.value)

    return refuse


@pytest.fixture
def minimal() -> dict[str, object]:
    """The smallest document that is a pipeline."""
    return {
        "pipeline": {"name": "copy"},
        "transform": {"cmd": ["cp"]},
        "input": {"pfs": {"repo": "images", "glob": "/*"}},
    }


class PlainTrees:
    """Trees as plain dicts, with the part of their interface that datums need."""

    def __init__(self) -> None:
        self._trees: dict[str, dict[str, str]] = {}
        self.walks = 0  # globs that were begun

    def plant(self, files: dict[str, str]) -> RootId:
        root = RootId(f"{len(self._trees):064x}")
        self._trees[root] = files
        return root

    def totals(self, root: RootId) -> tuple[int, int]:
        files = self._trees[root]
        return len(files), sum(map(len, files.values()))

    def glob(self, root: RootId, pattern: str, *, digest: bool = False) -> Iterator[Entry]:
        self.walks += 1
        files = self._trees[root]
        paths = set(files)
        for path in files:
            parts = path.split("/")
            paths |= {"/".join(parts[:length]) for length in range(len(parts))}
        wanted = re.compile(
            re.escape(pattern.strip("/")).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
        )
        for path in sorted(paths, key=lambda path: path.encode()):
            if wanted.fullmatch(path) and bool(path) == bool(pattern.strip("/")):
                below = {p: text for p, text in files.items() if f"/{p}/".startswith(f"/{path}/")}
                below = below if path else files
                content = repr(sorted(below.items())).encode()
                yield Entry(
                    path=path,
                    type=FileType.FILE if path in files else FileType.DIR,
                    size_bytes=sum(map(len, below.values())),
                    digest=blake3(content).hexdigest() if digest else "",
                    datum="",
                )


@pytest.fixture
def trees() -> PlainTrees:
    return PlainTrees()


@pytest.fixture(scope="session")
def forest() -> type[PlainTrees]:
    """Makes empty trees, for tests that need new ones in each example."""
    return PlainTrees
