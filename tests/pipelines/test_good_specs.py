"""Specs that are accepted, and what they come to."""

import json
from collections.abc import Callable

import pytest
from composed import composed
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import InvalidSpec
from trunkline.model.pipelines import CrossInput, Parallelism, PfsInput, PipelineSpec, SecretUse
from trunkline.pipelines.field_types import ListOf, Message
from trunkline.pipelines.fields import MESSAGES, lower_camel
from trunkline.pipelines.spec import draft, read_specs, spec_from_document, worker_count

Read = Callable[..., list[PipelineSpec]]


def leaf(repo: str, glob: str) -> PfsInput:
    return PfsInput(name=repo, repo=repo, branch="master", glob=glob)


def test_the_first_spec_of_the_tutorial_reads_as_written(
    tutorial: dict[str, str], read: Read
) -> None:
    [spec] = read(tutorial["pre_process"], "pre-process.json")

    assert spec.name == "pre_process"
    assert spec.transform.cmd == ("/bin/bash",)
    assert spec.transform.stdin == ("python3 /code/pre_process.py $training /pfs/out/",)
    assert spec.parallelism == Parallelism(constant=1)
    assert spec.input == leaf("training", "/*")
    assert (spec.output_branch, spec.datum_tries, spec.output_merge) == ("master", 3, "error")


def test_the_last_spec_of_the_tutorial_crosses_two_inputs(
    tutorial: dict[str, str], read: Read
) -> None:
    [spec] = read(tutorial["inference"], "infer.json")

    assert spec.input == CrossInput(members=(leaf("attributes", "/*"), leaf("train", "/")))


def test_the_canonical_document_fills_in_what_the_input_left_out(
    tutorial: dict[str, str], read: Read
) -> None:
    [spec] = read(tutorial["train"])

    assert spec.document["input"] == {
        "atom": {"name": "pre_process", "repo": "pre_process", "branch": "master", "glob": "/"}
    }
    assert spec.document["parallelism_spec"] == {"constant": 1}


def test_an_image_is_kept_with_a_warning_that_it_is_not_started(
    tutorial: dict[str, str], read: Read
) -> None:
    [spec] = read(tutorial["train"])

    assert draft(spec).warnings == (
        "image 'nb-to-prod:train' is not started: cmd runs directly on this machine",
    )


def test_a_stream_a_list_and_yaml_documents_give_the_same_specs(
    tutorial: dict[str, str], read: Read
) -> None:
    texts = list(tutorial.values())
    documents = [json.loads(text) for text in texts]

    stream = read("".join(texts))
    listed = read(json.dumps(documents))
    yaml_stream = read("---\n" + "\n---\n".join(texts), "all.yaml")

    assert [spec.name for spec in stream] == ["pre_process", "train", "inference"]
    assert listed == stream
    assert yaml_stream == stream


def test_block_yaml_reads_like_json(tutorial: dict[str, str], read: Read) -> None:
    text = """
    # Comments are fine here.
    pipeline: {name: pre_process}
    transform:
      image: nb-to-prod:pre-process
      cmd: [/bin/bash]
      stdin:
        - python3 /code/pre_process.py $training /pfs/out/
    parallelismSpec: {constant: "1"}
    description:
    input:
      atom:
        repo: training
        glob: /*
    """

    assert read(text) == read(tutorial["pre_process"])


def test_words_that_old_yaml_takes_for_booleans_stay_strings(read: Read) -> None:
    [spec] = read(
        "pipeline: {name: no}\n"
        "transform: {cmd: [yes, off, 12:30, 2020-01-01, 0x1f, '1'], env: {NO: on}}\n"
        "input: {pfs: {repo: y, glob: /}}\n"
    )

    assert spec.name == "no"
    assert spec.transform.cmd == ("yes", "off", "12:30", "2020-01-01", "0x1f", "1")
    assert spec.transform.env == {"NO": "on"}


def test_an_alias_stands_for_what_it_names(read: Read) -> None:
    [first, second] = read(
        "pipeline: {name: a}\n"
        "transform: {cmd: &c [x, y], err_cmd: *c}\n"
        "input: &i {pfs: {repo: r, glob: /}}\n"
        "---\n"
        "pipeline: {name: b}\n"
        "transform: {cmd: [z]}\n"
        "input: {pfs: {repo: r, glob: /}}\n"
    )

    assert first.transform.err_cmd == ("x", "y")
    assert second.transform.err_cmd == ()


def test_a_byte_order_mark_is_no_part_of_the_spec(tutorial: dict[str, str], read: Read) -> None:
    assert read("\ufeff" + tutorial["train"]) == read(tutorial["train"])


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("10s", 10.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1.5h", 5400.0),
        ("250ms", 0.25),
        ("2h0m3.5s", 7203.5),
        ("0s", None),
        ("0", None),
    ],
)
def test_durations_are_written_as_in_go(
    given: str, seconds: float | None, minimal: dict[str, object]
) -> None:
    spec = spec_from_document(minimal | {"datum_timeout": given, "job_timeout": given})

    assert spec.datum_timeout_s == pytest.approx(seconds) if seconds else not spec.datum_timeout_s
    assert spec.job_timeout_s == spec.datum_timeout_s


def test_every_setting_reaches_the_spec(minimal: dict[str, object]) -> None:
    spec = spec_from_document(
        minimal
        | {
            "description": "copies",
            "output_branch": "results",
            "output_merge": "concat",
            "datum_tries": "5",
            "reprocess_spec": "every_job",
            "autoscaling": True,
            "parallelism_spec": {"coefficient": "0.5"},
            "transform": {
                "cmd": ["cp"],
                "err_cmd": ["true"],
                "err_stdin": ["bye"],
                "env": {"A": "1"},
                "user": "nobody",
                "working_dir": "/tmp",
                "accept_return_code": [3, "4"],
                "code": "src",
            },
        }
    )

    assert (spec.description, spec.output_branch, spec.output_merge) == (
        "copies",
        "results",
        "concat",
    )
    assert (spec.datum_tries, spec.reprocess_every_job, spec.autoscaling) == (5, True, True)
    assert spec.parallelism == Parallelism(constant=0, coefficient=0.5)
    assert spec.transform.err_cmd == ("true",)
    assert spec.transform.err_stdin == ("bye",)
    assert spec.transform.env == {"A": "1"}
    assert (spec.transform.user, spec.transform.working_dir) == ("nobody", "/tmp")
    assert (spec.transform.accept_return_code, spec.transform.code) == ((3, 4), "src")


def test_fields_that_do_nothing_yet_are_kept_and_listed(minimal: dict[str, object]) -> None:
    kept = {
        "resource_requests": {"cpu": 0.5, "memory": "64M", "gpu": {"type": "a", "number": 1}},
        "resource_limits": {"gpu": "2"},
        "scheduling_spec": {"node_selector": {"disk": "ssd"}},
        "pod_spec": "{}",
        "batch": True,
        "input": {"union": [{"pfs": {"repo": "a", "glob": "/", "s3": True}}]},
    }

    found = draft(spec_from_document(minimal | kept))

    assert found.warnings == (
        "these fields are kept but do nothing yet: input.union.pfs.s3, "
        "batch, scheduling_spec, pod_spec",
    )
    assert found.spec["resource_limits"] == {"gpu": 2}
    assert found.spec["scheduling_spec"] == {"node_selector": {"disk": "ssd"}}


def test_secrets_are_read(minimal: dict[str, object]) -> None:
    secrets = [
        {"name": "s", "env_var": "S", "key": "k"},
        {"name": "t", "mount_path": "/t"},
    ]

    spec = spec_from_document(minimal | {"transform": {"cmd": ["cp"], "secrets": secrets}})

    assert spec.transform.secrets == (
        SecretUse(name="s", env_var="S", key="k"),
        SecretUse(name="t", mount_path="/t"),
    )
    assert draft(spec).warnings == ()
    assert spec.document["transform"] == {"cmd": ["cp"], "secrets": secrets}


def test_fields_at_their_default_are_not_worth_a_warning(minimal: dict[str, object]) -> None:
    idle = {"batch": False, "resource_limits": {}, "tolerations": [], "pod_patch": "", "salt": None}

    assert draft(spec_from_document(minimal | idle)).warnings == ()


@pytest.mark.parametrize(
    ("parallelism", "cores", "workers"),
    [
        (Parallelism(), 8, 1),
        (Parallelism(constant=3), 1, 3),
        (Parallelism(constant=0, coefficient=1.0), 8, 8),
        (Parallelism(constant=0, coefficient=0.5), 3, 2),
        (Parallelism(constant=0, coefficient=0.01), 2, 1),
        (Parallelism(constant=0), 4, 1),
    ],
)
def test_workers_are_counted(parallelism: Parallelism, cores: int, workers: int) -> None:
    assert worker_count(parallelism, cores) == workers


def test_two_ways_to_count_workers_contradict_each_other() -> None:
    with pytest.raises(InvalidSpec, match="contradictory parallelism strategies"):
        worker_count(Parallelism(constant=1, coefficient=1.0), 2)


def camel(document: object, message: str) -> object:
    """The document in lower camel case; free names (of env and the like) stay as they are."""
    assert isinstance(document, dict)
    fields = {field.name: field.type for field in MESSAGES[message]}
    found: dict[str, object] = {}
    for name, value in document.items():
        kind = fields[name]
        inner = kind.item if isinstance(kind, ListOf) else kind
        if isinstance(inner, Message) and isinstance(value, list):
            value = [camel(item, inner.name) for item in value]
        elif isinstance(inner, Message):
            value = camel(value, inner.name)
        found[lower_camel(name)] = value
    return found


NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True).filter(
    lambda name: name not in ("out", "__spec__")
)
LEAVES = st.fixed_dictionaries(
    {"repo": NAMES, "glob": st.sampled_from(["/", "/*", "*.csv", "/a/**"])},
    optional={"branch": NAMES, "name": NAMES, "empty_files": st.booleans()},
).map(lambda leaf: {"pfs": leaf})
INPUTS = composed(LEAVES, ["union"], max_leaves=100)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)
DOCUMENTS = st.fixed_dictionaries(
    {
        "pipeline": st.builds(lambda name: {"name": name}, NAMES),
        "transform": st.fixed_dictionaries(
            {"cmd": st.lists(st.just("cp"), min_size=1, max_size=3)},
            optional={
                "err_cmd": st.lists(TEXTS, max_size=2),
                "err_stdin": st.lists(TEXTS, max_size=2),
                "working_dir": TEXTS,
                "env": st.dictionaries(NAMES, TEXTS, max_size=3),
                "accept_return_code": st.lists(st.integers(0, 255), max_size=3),
            },
        ),
        "input": INPUTS,
    },
    optional={
        "output_branch": NAMES,
        "datum_tries": st.integers(0, 9),
        "datum_timeout": st.sampled_from(["10s", "1h30m"]),
        "parallelism_spec": st.sampled_from([{"constant": 3}, {"coefficient": 0.5}]),
        "datum_set_spec": st.builds(lambda n: {"size_bytes": n}, st.integers(0, 2**63 - 1)),
        "description": TEXTS,
    },
)


@given(document=DOCUMENTS)
def test_both_spellings_and_both_notations_mean_the_same(document: dict[str, object]) -> None:
    snake = spec_from_document(document)

    spelled = spec_from_document(camel(document, "spec"))  # type: ignore[arg-type]
    text = json.dumps(camel(document, "spec"))
    [from_json] = read_specs(text, source="a.json", bytes_max=10**6)

    assert spelled == snake
    assert from_json == snake


@given(document=DOCUMENTS)
def test_a_canonical_document_says_the_same_as_the_spec_that_it_came_from(
    document: dict[str, object],
) -> None:
    spec = spec_from_document(document)

    assert spec_from_document(spec.document) == spec
    assert json.loads(json.dumps(spec.document)) == spec.document


def test_what_is_not_done_yet_beside_the_datums_is_kept_and_said(
    minimal: dict[str, object],
) -> None:
    asked = {"scheduling_spec": {"priority_class_name": "high"}, "s3_out": True}

    spec = spec_from_document(minimal | asked)

    assert spec.document.items() >= asked.items()
    assert draft(spec).warnings == (
        "these fields are kept but do nothing yet: s3_out, scheduling_spec",
    )
