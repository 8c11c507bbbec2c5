"""The hyphenated commands of Pachyderm 1.7, as a table that rewrites them to today's words.

`put-file training master iris.csv -f x` becomes `put file training@master:iris.csv -f x`: one
behaviour, two grammars. Where 1.7 did something else by default (it appended where 2.x replaces),
the table adds the option that asks for it.
"""

from collections.abc import Callable, Mapping

import click

from trunkline.values import dataclass, field

_GLUE = ("", "@", ":")  # repo@ref:path


@dataclass(frozen=True, slots=True, kw_only=True)
class Classic:
    """How one old command maps to a new one.

    Each of `groups` is a run of old positional words that join to one new argument: one word stays
    as it is, two become `repo@ref`, three `repo@ref:path`. `[WORD]` may be missing, a group in
    brackets is all or nothing, and `WORD...` takes all that is left. `options` renames old options
    ("" drops one); `added` comes first, so that what the user typed wins.
    """

    command: str  # verb and noun
    groups: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    added: tuple[str, ...] = ()


_FILE = "REPO COMMIT PATH"

CLASSIC: dict[str, Classic] = {
    "create-repo": Classic(command="create repo", groups=("REPO",)),
    "update-repo": Classic(command="update repo", groups=("REPO",)),
    "inspect-repo": Classic(command="inspect repo", groups=("REPO",)),
    "list-repo": Classic(command="list repo"),
    "delete-repo": Classic(command="delete repo", groups=("[REPO]",), added=("--yes",)),
    "start-commit": Classic(command="start commit", groups=("REPO [BRANCH]",)),
    "finish-commit": Classic(command="finish commit", groups=("REPO COMMIT",)),
    "inspect-commit": Classic(command="inspect commit", groups=("REPO COMMIT",)),
    "list-commit": Classic(command="list commit", groups=("REPO [COMMIT]",)),
    "flush-commit": Classic(command="flush commit", groups=("COMMIT...",)),
    "subscribe-commit": Classic(command="subscribe commit", groups=("REPO BRANCH",)),
    "delete-commit": Classic(command="delete commit", groups=("REPO COMMIT",)),
    "create-branch": Classic(command="create branch", groups=("REPO BRANCH",)),
    "set-branch": Classic(command="set branch", groups=("REPO COMMIT", "BRANCH")),
    "inspect-branch": Classic(command="inspect branch", groups=("REPO BRANCH",)),
    "list-branch": Classic(command="list branch", groups=("REPO",)),
    "delete-branch": Classic(command="delete branch", groups=("REPO BRANCH",)),
    "garbage-collect": Classic(command="gc"),
    "put-file": Classic(
        command="put file",
        groups=("REPO BRANCH [PATH]",),
        options={"--commit": "", "-c": ""},  # without an open commit, a put is one commit anyway
        added=("--full-path", "--append"),
    ),
    "copy-file": Classic(
        command="copy file",
        groups=("SRC_REPO SRC_COMMIT SRC_PATH", "DST_REPO DST_COMMIT DST_PATH"),
        added=("--append",),
    ),
    "get-file": Classic(command="get file", groups=(_FILE,)),
    "inspect-file": Classic(command="inspect file", groups=(_FILE,)),
    "list-file": Classic(command="list file", groups=("REPO COMMIT [PATH]",)),
    "glob-file": Classic(command="glob file", groups=("REPO COMMIT PATTERN",)),
    "diff-file": Classic(
        command="diff file",
        groups=("NEW_REPO NEW_COMMIT NEW_PATH", "[OLD_REPO OLD_COMMIT OLD_PATH]"),
    ),
    "delete-file": Classic(command="delete file", groups=(_FILE,)),
    "create-pipeline": Classic(command="create pipeline"),
    "update-pipeline": Classic(command="update pipeline"),
    "inspect-pipeline": Classic(command="inspect pipeline", groups=("PIPELINE",)),
    "list-pipeline": Classic(command="list pipeline"),
    "extract-pipeline": Classic(command="extract pipeline", groups=("PIPELINE",)),
    "edit-pipeline": Classic(command="edit pipeline", groups=("PIPELINE",)),
    "delete-pipeline": Classic(command="delete pipeline", groups=("[PIPELINE]",), added=("--yes",)),
    "start-pipeline": Classic(command="start pipeline", groups=("PIPELINE",)),
    "stop-pipeline": Classic(command="stop pipeline", groups=("PIPELINE",)),
    "inspect-job": Classic(command="inspect job", groups=("JOB",)),
    "list-job": Classic(
        command="list job", options={"-o": "--output-commit", "--output": "--output-commit"}
    ),
    "flush-job": Classic(command="flush job", groups=("COMMIT...",)),
    "stop-job": Classic(command="stop job", groups=("JOB",)),
    "delete-job": Classic(command="delete job", groups=("JOB",)),
    "list-datum": Classic(command="list datum", groups=("JOB",)),
    "inspect-datum": Classic(command="inspect datum", groups=("JOB", "DATUM")),
    "restart-datum": Classic(command="restart datum", groups=("JOB", "PATHS")),
    "get-logs": Classic(command="logs"),
    "delete-all": Classic(command="delete all"),
}


def rewrite(
    classic: Classic,
    args: list[str],
    *,
    takes_value: Callable[[str], bool],
    ctx: click.Context,
) -> list[str]:
    """The old words in today's grammar.

    `takes_value` tells whether a (new) option is followed by a value. Raises click.UsageError for a
    wrong number of arguments.
    """
    options: list[str] = []
    words: list[str] = []
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == "--":
            words += rest
            break
        if word.startswith("--"):
            _long(classic, word, rest, options, takes_value)
        elif word.startswith("-") and len(word) > 1:
            _short(classic, word, rest, options, takes_value)
        else:
            words.append(word)
    return [*classic.added, *options, "--", *_join(classic, words, ctx)]


def in_classic_grammar(
    classic: Classic, example: str, *, takes_value: Callable[[str], bool]
) -> str:
    """What follows the command in an example of today's grammar, in the old one."""
    groups = iter(classic.groups)
    group, value, words = "", False, []
    for word in example.split()[len(classic.command.split()) :]:
        if value or word.startswith("-") or word == "<":
            value = word == "<" or (not value and takes_value(word))
            words.append(word)
            continue
        group = group if group.endswith("...") else next(groups, "")
        quote = "'" if word.startswith("'") else ""
        ref, _, path = word.strip("'").partition(":")
        if "@" not in ref:
            words.append(word)
        elif " " not in group:  # COMMIT... was written with a slash; the id of a job is as it is
            words.append(word.replace("@", "/") if group == "COMMIT..." else word)
        else:
            parts = [*ref.split("@"), *([path.lstrip("/") or "/"] if path else [])]
            words += [*parts[:-1], f"{quote}{parts[-1]}{quote}"]
    return " ".join(words)


def _long(
    classic: Classic,
    word: str,
    rest: list[str],
    options: list[str],
    takes_value: Callable[[str], bool],
) -> None:
    name, equals, value = word.partition("=")
    new = classic.options.get(name, name)
    if not new:
        return
    if not equals:
        options.append(new)
        if takes_value(new) and rest:
            options.append(rest.pop(0))
    elif takes_value(new) or value not in ("true", "false"):
        options.append(f"{new}={value}")
    elif value == "true":  # 1.7 took --raw=true and --raw=false
        options.append(new)


def _short(
    classic: Classic,
    word: str,
    rest: list[str],
    options: list[str],
    takes_value: Callable[[str], bool],
) -> None:
    letters = word[1:]
    while letters:
        name, letters = f"-{letters[0]}", letters[1:]
        new = classic.options.get(name, name)
        if new and takes_value(new):
            # -fdata, -f=data and -f data are one and the same
            options.append(new)
            if letters:
                options.append(letters.removeprefix("="))
            elif rest:
                options.append(rest.pop(0))
            return
        if letters in ("=true", "=false"):
            new, letters = new if letters == "=true" else "", ""
        if new:
            options.append(new)


def _join(classic: Classic, words: list[str], ctx: click.Context) -> list[str]:
    counts = _counts(classic)
    if counts and len(words) not in counts:
        raise click.UsageError(f"expected {_shown(counts)}, got {len(words)}", ctx=ctx)
    joined: list[str] = []
    rest = list(words)
    for group in classic.groups:
        if group.endswith("..."):
            joined += rest
            break
        names = group.strip("[]").split() if group.startswith("[") else group.split()
        taken, rest = rest[: len(names)], rest[len(names) :]
        if len(names) == 1:
            joined += taken
        elif taken:
            joined.append(_address(taken))
    return joined


def _address(parts: list[str]) -> str:
    from trunkline.errors import InvalidReference
    from trunkline.model.names import check_full_name

    # The joined text is taken apart again: no part may have a mark that would move its borders.
    if len(parts) > 1:
        check_full_name("repo", parts[0])
        if ":" in parts[1]:
            raise InvalidReference(parts[1], "use a branch or commit id, then ^, ~n or .n")
    return "".join(glue + part for glue, part in zip(_GLUE, parts, strict=False))


def _counts(classic: Classic) -> list[int]:
    """The numbers of words that the groups can take; empty where any number will do."""
    counts = [0]
    for group in classic.groups:
        if group.endswith("..."):
            return []
        words = group.strip("[]").split() if group.startswith("[") else group.split()
        whole = len(words)
        if group.startswith("["):
            counts += [count + whole for count in counts]
            continue
        required = sum(1 for word in words if not word.startswith("["))
        counts = [count + n for count in counts for n in range(required, whole + 1)]
    return sorted(set(counts))


def _shown(counts: list[int]) -> str:
    if len(counts) == 1:
        from trunkline.cli.output import counted

        return counted(counts[0], "argument")
    if counts == list(range(counts[0], counts[-1] + 1)):
        return f"{counts[0]} to {counts[-1]} arguments"
    return f"either {' or '.join(str(count) for count in counts)} arguments"
