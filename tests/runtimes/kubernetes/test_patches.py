"""Patches of pods do what RFC 6902 and RFC 7386 say, and tell what can't be done."""

import copy
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import InvalidInput
from trunkline.runtimes.kubernetes.patches import merged, patched

POD = {
    "containers": [{"name": "user", "env": []}, {"name": "storage"}],
    "nodeSelector": {"a/b": "1", "x~y": "2"},
    "priority": 1,
}


@pytest.mark.parametrize(
    ("operation", "changed"),
    [
        ({"op": "add", "path": "/hostNetwork", "value": True}, {"hostNetwork": True}),
        ({"op": "add", "path": "/priority", "value": 2}, {"priority": 2}),
        ({"op": "replace", "path": "/priority", "value": 2}, {"priority": 2}),
        ({"op": "remove", "path": "/nodeSelector/a~1b"}, {"nodeSelector": {"x~y": "2"}}),
        ({"op": "remove", "path": "/nodeSelector/x~0y"}, {"nodeSelector": {"a/b": "1"}}),
        ({"op": "test", "path": "/priority", "value": 1}, {}),
        ({"op": "copy", "from": "/priority", "path": "/weight"}, {"weight": 1}),
        (
            {"op": "add", "path": "/containers/-", "value": {"name": "more"}},
            {"containers": [*POD["containers"], {"name": "more"}]},  # type: ignore[misc]
        ),
        (
            {"op": "add", "path": "/containers/0", "value": {"name": "first"}},
            {"containers": [{"name": "first"}, *POD["containers"]]},  # type: ignore[misc]
        ),
    ],
    ids=str,
)
def test_an_operation_changes_what_it_names(
    operation: dict[str, Any], changed: dict[str, Any]
) -> None:
    before = copy.deepcopy(POD)

    after = patched(before, json.dumps([operation]), field="pod_patch")

    assert after == {**POD, **changed}
    assert before == POD


def test_a_move_takes_away_and_adds() -> None:
    operation = {"op": "move", "from": "/priority", "path": "/nodeSelector/p"}

    after = patched(POD, json.dumps([operation]), field="pod_patch")

    assert "priority" not in after
    assert after["nodeSelector"]["p"] == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "pod_patch is no JSON"),
        ("{}", "must be a list of operations"),
        ('["a"]', "operation 1: it is no object"),
        ('[{"op": "add", "path": "/a"}]', "operation 1: it has no value"),
        ('[{"op": "grow", "path": "/a"}]', "its op must be add"),
        ('[{"op": "remove", "path": "a"}]', "its path must be a text such as"),
        ('[{"op": "remove", "path": "/nothing"}]', "the pod has no '/nothing'"),
        ('[{"op": "replace", "path": "/containers/7", "value": 1}]', "no '/containers/7'"),
        ('[{"op": "add", "path": "/containers/01", "value": 1}]', "nothing can be at"),
        ('[{"op": "test", "path": "/priority", "value": true}]', "'/priority' is something else"),
        ('[{"op": "move", "from": "/containers", "path": "/containers/0/x"}]', "into itself"),
        ('[{"op": "replace", "path": "", "value": 1}]', "leaves no object"),
    ],
)
def test_what_can_not_be_applied_is_told_in_one_sentence(text: str, told: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        patched(POD, text, field="pod_patch")

    assert told in str(raised.value)


def test_a_merge_reaches_containers_by_their_names_and_null_takes_away() -> None:
    given_text = {
        "priority": None,
        "nodeSelector": {"a/b": None, "c": "3"},
        "containers": [{"name": "user", "tty": True}, {"name": "more"}],
    }

    after = merged(POD, json.dumps(given_text), field="pod_spec")

    assert after == {
        "containers": [
            {"name": "user", "env": [], "tty": True},
            {"name": "storage"},
            {"name": "more"},
        ],
        "nodeSelector": {"x~y": "2", "c": "3"},
    }


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(document=st.dictionaries(st.text(max_size=3), _JSON), value=_JSON, name=st.text(max_size=4))
def test_what_is_added_is_found_and_what_is_removed_is_not(
    document: dict[str, Any], value: Any, name: str
) -> None:
    path = "/" + name.replace("~", "~0").replace("/", "~1")
    add = {"op": "add", "path": path, "value": value}
    test = {"op": "test", "path": path, "value": value}

    added = patched(document, json.dumps([add, test]), field="p")
    removed = patched(added, json.dumps([{"op": "remove", "path": path}]), field="p")

    assert added == {**document, name: value}
    assert removed == {key: kept for key, kept in document.items() if key != name}


@given(text=st.text(max_size=40) | _JSON.map(json.dumps))
def test_no_text_gives_anything_but_a_document_or_a_sentence(text: str) -> None:
    for act in (patched, merged):
        with suppress(InvalidInput):
            assert isinstance(act(POD, text, field="f"), dict)
