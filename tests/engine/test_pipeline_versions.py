"""The versions of a pipeline: found by number, listed, compared; embedded and over HTTP."""

import pytest

from trunkline.api.changes import PutFile
from trunkline.connect.connection import Connection
from trunkline.errors import InvalidInput, NotFound, PipelineNotFound
from trunkline.model.versions import Change


@pytest.fixture(params=["engine", "remote"])
def data(request: pytest.FixtureRequest):
    driver = request.getfixturevalue(request.param)
    driver.engine.repos.create_repo("data")
    return driver


def code(driver, **files: str) -> str:
    changes = [PutFile(path=f"{name}.py", content=[text.encode()]) for name, text in files.items()]
    return driver.engine.files.create_file_set(changes).root


def make(driver, tries: int, *, files: str = "", update: bool = True) -> None:
    spec = {
        "pipeline": {"name": "copy"},
        "input": {"pfs": {"repo": "data", "glob": "/*"}},
        "transform": {"cmd": ["true"]},
        "datum_tries": tries,
    }
    driver.engine.pipelines.create_pipeline(spec, code=files or None, update=update)


@pytest.fixture
def three(data):
    """A pipeline with three versions: another spec, then another code."""
    make(data, 1, files=code(data, a="one", b="same"), update=False)
    make(data, 2, files=code(data, a="one", b="same"))
    make(data, 2, files=code(data, a="two", b="same", c="new"))
    return data


def test_a_version_is_found_by_its_number_or_from_the_newest_back(three) -> None:
    inspect = three.engine.pipelines.inspect_pipeline

    numbers = [inspect("copy", version=v).version for v in (None, 1, 2, 3, 0, -1, -2)]

    assert numbers == [3, 1, 2, 3, 3, 2, 1]
    for missing in (4, -3, -(10**9)):
        with pytest.raises(NotFound, match="its newest is 3"):
            inspect("copy", version=missing)


def test_versions_are_listed_newest_first_as_far_back_as_asked(three) -> None:
    def versions(**wanted):
        return [one.version for one in three.engine.pipelines.list_pipelines(**wanted)]

    assert versions() == versions(name="copy") == [3]
    assert versions(history=1) == [3, 2]
    assert versions(name="copy", history=-1) == versions(history=9) == [3, 2, 1]
    with pytest.raises(PipelineNotFound):
        versions(name="copi", history=1)
    with pytest.raises(InvalidInput, match="history is -2"):
        versions(history=-2)


def test_the_difference_of_two_versions_is_that_of_their_specs_and_code(three) -> None:
    diff = three.engine.pipelines.diff_pipeline

    spec_only, code_only = diff("copy", new_version=2), diff("copy")
    back = diff("copy", old_version=3, new_version=1)
    nothing = diff("copy", old_version=2, new_version=-1)

    assert (spec_only.old_version, spec_only.new_version, spec_only.code) == (1, 2, ())
    assert [line for line in spec_only.spec if line[0] in "+-"] == [
        '-  "datum_tries": 1',
        '+  "datum_tries": 2',
    ]
    assert spec_only.keeps_results
    assert (code_only.spec, code_only.keeps_results) == ((), False)
    assert [(c.change, c.path) for c in code_only.code] == [
        (Change.CHANGED, "a.py"),
        (Change.ADDED, "c.py"),
    ]
    for change in code_only.code:
        stored = three.engine.files.inspect_file("__spec__", "copy", f"/code/{change.path}")
        assert stored.digest == change.new_digest
    assert [c.change for c in back.code] == [Change.CHANGED, Change.DELETED]
    assert nothing.empty


def test_a_first_version_has_none_to_be_compared_with(data) -> None:
    make(data, 1, update=False)

    with pytest.raises(NotFound, match="no version before 1"):
        data.engine.pipelines.diff_pipeline("copy")


def test_a_handle_tells_versions_and_differences(three) -> None:
    pipeline = Connection(three.engine).pipeline("copy")

    assert [info.version for info in pipeline.versions()] == [3, 2, 1]
    assert pipeline.diff(1, 2).keeps_results
