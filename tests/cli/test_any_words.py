"""Every command with arguments of every bad kind: one sentence and a status, never a traceback."""

import inspect
import io
import itertools
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from trunkline.api.changes import PutFile
from trunkline.cli.grammar import all_spaced
from trunkline.cli.main import main
from trunkline.cli.session import Link, Session
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.errors import TrunklineError

UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]")

COMMANDS = [
    pytest.param(words, command, id=words)
    for words, command in all_spaced()
    # They do what they say without a server, start one, or wait for one.
    if words
    not in ("completion", "serve", "up", "down", "ui", "doctor", "restore", "edit pipeline")
]
BAD = [
    *("", " ", "-", "--", "\n", "a\nb", "\x1b[2J", "\udcff", "é", "😀", "x" * 300),
    *(
        "@",
        ":",
        "/",
        "a@",
        "@b",
        "a@b@c",
        "a@b:",
        "a@b:/",
        "a:b",
        "a@b:/../c",
        "a@b://c",
        "a@b:c\x7f",
    ),
    *("data@master^", "data@^", "data@master^99999999999", "data@master^-1", "data@master^^3~"),
    *("data@a..b", "data@..", "data@a..b..c", "p/data@m", "p//d@m", "/data@m", "p/q/r@m:/x"),
    *("data@m:/[", "data@m:/{a,b", "data@m:/**{", "data@m:/(", "data@m:/[z-a]", "data@m:/\\"),
    *(
        "-1",
        "0",
        "1",
        "1e400",
        "nan",
        "inf",
        "9" * 5000,
        "0x10",
        "٣",
        "1.5",
        "1h-3m",
        "5 m",
        "3 weeks",
    ),
    *("10MB", "-10MB", "10XB", "1e3KB", "9" * 400 + "GB", "MB", "* * * * *", "* * *", "@never"),
    *("61 * * * *", "@every 0s", "{}", "[]", "null", "data", "a@b", "train", "data@master:/x"),
    *("http://", "http://[", "http://[::1", "s3://", "s3:///x", "ftp://a/b", "file:///etc/passwd"),
    *("http://a:99999/", "unix:", "unix:/", "tcp://a", "a:b:c", "true", "false", "json", "csv"),
]
# What a shell can give: no NUL, and half surrogates only for bytes that are no text.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=10)
WORDS = st.one_of(st.sampled_from(BAD), TEXT)
VERBOSE = re.compile("-[^-]*v|--verb")  # who says so asks for tracebacks


@st.composite
def lines(draw: st.DrawFn, words: str, command: click.Command) -> list[str]:
    """Words behind a command: options with values, and arguments, more or fewer than it takes."""
    line: list[str] = []
    options = [
        param
        for param in command.params
        if isinstance(param, click.Option) and param.name != "verbose"
    ]
    for option in draw(st.lists(st.sampled_from(options), max_size=3)):
        line.append(draw(st.sampled_from(option.opts)))
        if takes_value(option):
            line.append(draw(WORDS))
    count = sum(isinstance(param, click.Argument) for param in command.params)
    line += draw(st.lists(WORDS, min_size=max(0, count - 1), max_size=count + 1))
    assume(not any(VERBOSE.match(word) for word in line))
    return [*words.split(), *line]


class Impatient:
    """Operations of an engine that wait for nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, noun: str) -> Any:
        return ImpatientNoun(getattr(self._engine, noun))

    def close(self) -> None:
        pass


class ImpatientNoun:
    def __init__(self, noun: object) -> None:
        self._noun = noun

    def __getattr__(self, operation: str) -> Any:
        real = getattr(self._noun, operation)
        takes = inspect.signature(real).parameters

        def call(*args: object, **given: object) -> Any:
            given |= {"timeout_s": 0.0} if "timeout_s" in takes else {}
            given |= {"follow": False} if "follow" in takes else {}
            return real(*args, **given)

        return call


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    directory = tmp_path_factory.mktemp("words")
    opened = Engine(load({"HOME": str(directory), "PATH": ""}, home=directory / "home"))
    yield opened
    opened.close()


def furnish(engine: Engine) -> None:
    """What the words name, as far as it is not there."""
    with suppress(TrunklineError):
        engine.repos.create_repo("data")
    with suppress(TrunklineError):
        engine.branches.inspect_branch("data", "master")
        return
    files = [PutFile(path="x", content=[b"a\n"]), PutFile(path="y.csv", content=[b"a,b\n1,2\n"])]
    engine.files.modify_files("data", "master", files)
    engine.tags.create_tag("data", "v1", commit="master", force=True)


class Typed:
    """One who types commands, in a directory of his own."""

    def __init__(self, engine: Engine, capture: Any, patch: pytest.MonkeyPatch) -> None:
        self._engine = engine
        self._link = Link(operations=Impatient(engine), local=True)  # type: ignore[arg-type]
        self._capture = capture
        self._patch = patch

    def __call__(self, words: list[str]) -> None:
        """Run a command, and check that it does what it says or says in a sentence why not."""
        furnish(self._engine)
        self._patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b""), encoding="utf-8"))
        session = Session(
            program="trunkline",
            open_link=lambda _: self._link,
            find_project=lambda _: "default",
        )
        status = main(words, session)
        err = self._capture.readouterr().err.decode("utf-8")

        assert status in (0, 1, 2, 3, 4, 5, 6, 10), (words, status, err)
        assert "Traceback" not in err, (words, err)
        assert "a defect" not in err, (words, err)
        assert "server failed" not in err, (words, err)
        if status not in (0, 10):
            *before, last = err.split("error: ", 1)
            sentence = last.split("\nUsage: ")[0].strip()
            assert before, (words, err)
            assert sentence, (words, err)
            assert not UNPRINTABLE.search(sentence), (words, sentence)


@pytest.fixture
def typed(
    engine: Engine,
    capsysbinary: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Typed:
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CONFIG_HOME", "TRUNKLINE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("EDITOR", "false")
    return Typed(engine, capsysbinary, monkeypatch)


@pytest.mark.parametrize(("words", "command"), COMMANDS)
@settings(
    max_examples=settings().max_examples // 2,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_command_takes_its_words_or_says_in_a_sentence_why_not(
    typed: Typed, words: str, command: click.Command, data: st.DataObject
) -> None:
    typed(data.draw(lines(words, command)))


@pytest.mark.parametrize(("words", "command"), COMMANDS)
def test_each_option_with_each_bad_value(typed: Typed, words: str, command: click.Command) -> None:
    needed = [p for p in command.params if isinstance(p, click.Argument) and p.required]
    valued = [p for p in command.params if isinstance(p, click.Option) and takes_value(p)]

    for option, value in itertools.product(valued, BAD):
        typed([*words.split(), *(["data@master:/x"] * len(needed)), f"{option.opts[-1]}={value}"])


def takes_value(option: click.Option) -> bool:
    return not option.is_flag and not option.count and not option.hidden
