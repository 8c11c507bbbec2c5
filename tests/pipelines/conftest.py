"""What the tests of pipelines share: the specs of the tutorial, and a way to read one spec."""

from collections.abc import Callable, Iterator

import pytest

from trunkline.errors import InvalidSpec
from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import EMPTY, RootId
from trunkline.files.tree import Trees
from trunkline.model.pipelines import PipelineSpec
from trunkline.pipelines.spec import read_specs
from trunkline.store.chunks import ChunkStore

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


class Forest:
    """A store with the trees that tests plant in it."""

    def __init__(self, trees: Trees) -> None:
        self.trees = trees

    def plant(self, files: dict[str, str]) -> RootId:
        """The root of a tree with these files."""
        writer = DeltaWriter(self.trees)
        for path, text in files.items():
            writer.put(path, [text.encode()])
        return self.trees.apply(EMPTY, writer.finish())


@pytest.fixture(scope="session")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forest]:
    chunks = ChunkStore(tmp_path_factory.mktemp("store"))
    yield Forest(Trees(chunks))
    chunks.close()
