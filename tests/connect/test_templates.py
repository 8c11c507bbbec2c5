"""Jsonnet templates: what they may be given, import and use, and how what is wrong is told."""

import json
import sys

import pytest

from trunkline.connect.templates import evaluated
from trunkline.errors import InvalidSpec, NotSupported

pytest.importorskip("_jsonnet", reason="needs the extra 'jsonnet'")


def refusal(text: str, root=None, **arguments: str) -> str:
    with pytest.raises(InvalidSpec) as caught:
        evaluated(text, arguments, name="my template.jsonnet", root=root)
    return str(caught.value)


def test_arguments_are_strings_of_the_top_level_function() -> None:
    made = evaluated("function(a, b='2') {a: a, b: b}", {"a": "1 é\n"}, name="t")

    assert json.loads(made) == {"a": "1 é\n", "b": "2"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{\n a: 1,, }", "my template.jsonnet, line 2: "),
        ("{\n\n a: nothing }", "my template.jsonnet, line 3: Unknown variable: nothing"),
        ("{\n a: error 'no\\nway' }", "my template.jsonnet, line 2: no way"),
        ("function(a) {a: a}", "my template.jsonnet: function parameter a not bound in call"),
        ("local f(x) =\n f(x + 1); f(1)", "my template.jsonnet, line 2: max stack frames exceeded"),
        ("std.length(1)", "my template.jsonnet, line 1: length operates on"),
        ("import 'x'", 'line 1: couldn\'t open import "x": only a template that is a file'),
    ],
)
def test_what_is_wrong_is_one_sentence_with_file_and_line(text, sentence) -> None:
    assert sentence in refusal(text)
    assert "\n" not in refusal(text)


def test_an_argument_that_the_template_does_not_take_is_refused() -> None:
    assert refusal("function(a) {}", a="1", b="2").endswith("function has no parameter b")


def test_files_of_the_directory_and_below_can_be_imported_and_no_others(tmp_path) -> None:
    inside = tmp_path / "in"
    (inside / "deep").mkdir(parents=True)
    (inside / "deep" / "a.libsonnet").write_text("{a: import '../b.libsonnet'}")
    (inside / "b.libsonnet").write_text("1")
    (tmp_path / "secret.txt").write_text("secret")
    (inside / "link").symlink_to(tmp_path / "secret.txt")
    name = str(inside / "t.jsonnet")

    found = evaluated("import 'deep/a.libsonnet'", {}, name=name, root=inside)

    assert json.loads(found) == {"a": 1}
    for place in ("../secret.txt", "link", str(tmp_path / "secret.txt"), "/etc/passwd"):
        with pytest.raises(InvalidSpec, match="not in the directory of the template") as caught:
            evaluated(f"importstr '{place}'", {}, name=name, root=inside)
        assert "t.jsonnet, line 1: couldn't open import" in str(caught.value)
    with pytest.raises(InvalidSpec, match="No such file"):
        evaluated("import 'gone'", {}, name=name, root=inside)


def test_a_template_that_would_fill_the_memory_is_ended(monkeypatch) -> None:
    monkeypatch.setattr("trunkline.connect.templates.MEMORY_BYTES_MAX", 256 * 1024 * 1024)
    text = "std.foldl(function(a, b) a + a, std.range(1, 60), 'xxxxxxxx')"

    assert "of processor time or" in refusal(text)


def test_without_the_package_a_template_is_refused_with_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "_jsonnet", None)

    with pytest.raises(NotSupported, match=r"pip install 'trunkline\[jsonnet\]'"):
        evaluated("{}", {}, name="t")
