"""What user code is told in its environment."""

from trunkline.files.manifest import RootId
from trunkline.model.versions import FileType
from trunkline.pipelines.datums import Datum, DatumFile
from trunkline.pipelines.environment import datum_environment


def file(name: str, path: str, commit: str = "c1", **keys: str) -> DatumFile:
    return DatumFile(
        name=name,
        repo="repo",
        commit=commit,
        root=RootId("0" * 64),
        path=path,
        type=FileType.FILE,
        size_bytes=1,
        digest="1" * 64,
        **keys,
    )


def environment(*files: DatumFile, **env: str) -> dict[str, str]:
    return datum_environment(
        Datum(files=files),
        env=env,
        pipeline="inference",
        job="j1",
        output_commit="o1",
        datum_id="d1",
        spec_commit="s1",
    )


def test_each_input_is_a_variable_with_the_path_of_its_file() -> None:
    found = environment(file("attributes", "test1.csv", "c1"), file("train", "", "c2"))

    assert found == {
        "attributes": "/pfs/attributes/test1.csv",
        "attributes_COMMIT": "c1",
        "train": "/pfs/train",
        "train_COMMIT": "c2",
        "PACH_JOB_ID": "j1",
        "PACH_OUTPUT_COMMIT_ID": "o1",
        "PACH_DATUM_ID": "d1",
        "PPS_PIPELINE_NAME": "inference",
        "PPS_PROJECT_NAME": "default",
        "PPS_SPEC_COMMIT": "s1",
        "TRUNKLINE_JOB_ID": "j1",
        "TRUNKLINE_OUTPUT_COMMIT_ID": "o1",
        "TRUNKLINE_DATUM_ID": "d1",
        "TRUNKLINE_PIPELINE_NAME": "inference",
        "TRUNKLINE_PROJECT_NAME": "default",
        "TRUNKLINE_SPEC_COMMIT": "s1",
    }


def test_the_spec_may_add_variables_but_not_replace_ours() -> None:
    found = environment(file("train", "m"), GREETING="hi", train="x", PACH_JOB_ID="y")

    assert (found["GREETING"], found["train"], found["PACH_JOB_ID"]) == (
        "hi",
        "/pfs/train/m",
        "j1",
    )


def test_a_name_that_no_shell_can_spell_has_a_second_one() -> None:
    found = environment(file("raw-data", "a"), file("2024", "b", "c2"))

    assert found["raw-data"] == found["raw_data"] == "/pfs/raw-data/a"
    assert found["raw-data_COMMIT"] == found["raw_data_COMMIT"] == "c1"
    assert found["2024"] == found["_2024"] == "/pfs/2024/b"
    assert found["_2024_COMMIT"] == "c2"


def test_an_input_keeps_its_name_beside_one_that_is_spelled_almost_so() -> None:
    found = environment(file("a_b", "mine"), file("a-b", "other"))

    assert found["a_b"] == "/pfs/a_b/mine"
    assert found["a-b"] == "/pfs/a-b/other"


def test_the_code_is_told_the_keys_of_a_join_and_a_group() -> None:
    found = environment(
        file("raw-data", "a-1", join_on="a"), file("list", "b", join_on="a", group_by="")
    )

    assert {
        name: key for name, key in found.items() if "JOIN_ON" in name or "GROUP_BY" in name
    } == {
        "PACH_DATUM_raw-data_JOIN_ON": "a",
        "PACH_DATUM_raw_data_JOIN_ON": "a",
        "PACH_DATUM_list_JOIN_ON": "a",
        "PACH_DATUM_list_GROUP_BY": "",
        "TRUNKLINE_DATUM_raw-data_JOIN_ON": "a",
        "TRUNKLINE_DATUM_raw_data_JOIN_ON": "a",
        "TRUNKLINE_DATUM_list_JOIN_ON": "a",
        "TRUNKLINE_DATUM_list_GROUP_BY": "",
    }


def test_of_several_files_of_an_input_the_variable_names_the_last_by_path() -> None:
    one, other = file("in", "a", "c1", group_by="x"), file("in", "b", "c2", group_by="x")

    assert environment(one, other)["in"] == environment(other, one)["in"] == "/pfs/in/b"
    assert environment(other, one)["in_COMMIT"] == "c2"
