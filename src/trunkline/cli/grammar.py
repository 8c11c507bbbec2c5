"""Every command by its words, and the file that holds it; nothing is imported before it is used.

`create repo` is the function `create_repo` of `repos.py`, `fsck` is the function `fsck` of
`admin.py`. Plurals (`list repos`) are synonyms; the hyphenated forms are in `classic.py`.
"""

import importlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from trunkline.cli.command import Command, help_option

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# noun → (file, verbs), in the order of the help page
NOUNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "project": ("projects", ("create", "update", "inspect", "list", "delete")),
    "repo": ("repos", ("create", "update", "inspect", "list", "delete")),
    "branch": ("branches", ("create", "set", "inspect", "list", "delete")),
    "tag": ("tags", ("create", "inspect", "list", "delete")),
    "retention": ("retention", ("set", "inspect", "list", "delete", "apply")),
    "commit": (
        "commits",
        (
            *("start", "finish", "inspect", "list", "wait", "flush", "subscribe"),
            *("squash", "drop", "delete"),
        ),
    ),
    "file": ("files", ("put", "get", "copy", "inspect", "list", "glob", "delete")),
    "pipeline": (
        "pipelines",
        (
            *("create", "update", "validate", "inspect", "list", "extract"),
            *("start", "stop", "rerun", "delete"),
        ),
    ),
    "defaults": ("defaults", ("create", "update", "inspect", "delete")),
    "secret": ("secrets", ("create", "update", "inspect", "list", "delete")),
    "job": ("jobs", ("inspect", "list", "wait", "flush", "stop", "delete")),
    "run": ("runs", ("inspect", "list", "wait", "stop")),
    "cron": ("pipelines", ("run",)),
    "git": ("pipelines", ("run",)),
    "datum": ("datums", ("inspect", "list", "restart")),
    "worker": ("jobs", ("list",)),
    "deleted": ("trash", ("list",)),
    "purge": ("purges", ("inspect", "list")),
    "purged": ("purges", ("list",)),
    "transaction": (
        "transactions",
        ("start", "finish", "inspect", "list", "stop", "resume", "delete"),
    ),
    "setting": ("admin", ("list",)),
    "token": ("tokens", ("create", "inspect", "list", "delete")),
    "audit": ("audit", ("list",)),
    "context": ("contexts", ("list", "inspect", "set", "delete")),
}
SECTIONS: dict[str, tuple[str, ...]] = {
    "Data": (
        "project",
        "repo",
        "branch",
        "tag",
        "retention",
        "commit",
        "file",
        "transaction",
        "deleted",
        "purge",
        "purged",
    ),
    "Work": ("pipeline", "defaults", "secret", "cron", "git", "job", "run", "datum", "worker"),
    "Servers": ("context", "setting", "token", "audit"),
}

# commands of one word → file, in the order of the help page
WORDS: dict[str, str] = {
    "checkout": "checkouts",
    "log": "differences",
    "logs": "datums",
    "plan": "plans",
    "why": "lineage",
    "impact": "lineage",
    "ui": "console",
    "version": "admin",
    "status": "checkouts",
    "doctor": "doctor",
    "fsck": "lifetime",
    "gc": "lifetime",
    "du": "lifetime",
    "purge": "purges",
    "backup": "backups",
    "restore": "backups",
    "upgrade": "upgrades",
    "up": "admin",
    "down": "admin",
    "serve": "admin",
    "connect": "contexts",
    "config": "contexts",
    "completion": "admin",
}
# commands of two words that have a file of their own
SPECIAL: dict[str, dict[str, str]] = {
    "delete": {"all": "admin"},
    "debug": {"datum": "debugging"},
    "deploy": {"kubernetes": "deploying"},
    "diff": {"file": "differences", "pipeline": "pipeline_versions"},
    "edit": {"pipeline": "pipeline_versions"},
    "list": {"output": "datums"},
    "next": {"datum": "batching"},
    "put": {"output": "handing_in"},
    "explain": dict.fromkeys(("job", "datum", "file", "pipeline"), "lineage"),
    "profile": {"job": "profiles"},
    "undelete": dict.fromkeys(("repo", "branch", "tag", "commit", "pipeline"), "trash"),
}
_PLURALS = {"branches": "branch", "commitV2": "commit"}


class OutputClosed(Exception):
    """Whoever read the output has gone."""


def verbs() -> dict[str, dict[str, str]]:
    """verb → noun → file, over all commands of two words."""
    table: dict[str, dict[str, str]] = {}
    for noun, (file, known) in NOUNS.items():
        for verb in known:
            table.setdefault(verb, {})[noun] = file
    for verb, nouns in SPECIAL.items():
        table.setdefault(verb, {}).update(nouns)
    return table


VERBS = verbs()


def singular(noun: str) -> str:
    return _PLURALS.get(noun) or noun.removesuffix("s")


def load(file: str, function: str) -> Command:
    """The command of a noun file; this is what imports the file."""
    module = importlib.import_module(f"trunkline.cli.{file}")
    found = getattr(module, function.replace("-", "_"))
    assert isinstance(found, Command), f"{file}.{function} is in the table but is no command"
    return found


def spaced(verb: str, noun: str) -> Command:
    return load(VERBS[verb][noun], f"{verb}_{noun}")


def classic(name: str) -> Command:
    """A hyphenated command: today's command, reading yesterday's words."""
    from trunkline.cli.classic import CLASSIC

    entry = CLASSIC[name]
    verb, _, noun = entry.command.partition(" ")
    target = spaced(verb, noun) if noun else load(WORDS[verb], verb)
    return target.in_classic_words(entry)


class VerbGroup(click.Group):
    """The commands of one verb; each is imported when it is asked for."""

    get_help_option = help_option

    def __init__(self, verb: str) -> None:
        super().__init__(verb, help=f"{verb.capitalize()} {_any_of(VERBS[verb])}.")
        self.verb = verb

    def list_commands(self, _: click.Context) -> list[str]:
        return list(VERBS[self.verb])

    def get_command(self, _: click.Context, cmd_name: str) -> click.Command | None:
        nouns = VERBS[self.verb]
        noun = cmd_name if cmd_name in nouns else singular(cmd_name)
        return spaced(self.verb, noun) if noun in nouns else None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            from trunkline.cli.elsewhere import lacking

            nouns = ", ".join(VERBS[self.verb])
            raise click.UsageError(f"{self.verb} what? {nouns}{lacking(self.verb)}", ctx=ctx)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.get_command(ctx, args[0])
        if known is None:
            raise unknown_command(f"{self.verb} {args[0]}", ctx)
        return args[0], known, args[1:]


class RootGroup(click.Group):
    """The whole command line: verbs, single words and the hyphenated forms."""

    get_help_option = help_option

    def list_commands(self, _: click.Context) -> list[str]:
        return [*VERBS, *WORDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in VERBS:
            return VerbGroup(cmd_name)
        if cmd_name in WORDS:
            return load(WORDS[cmd_name], cmd_name)
        from trunkline.cli.classic import CLASSIC  # most commands are in today's words

        if cmd_name in CLASSIC:
            return classic(cmd_name)
        # What came after 1.7 (list-worker) has no words of its own: only the hyphen is read.
        verb, hyphen, noun = cmd_name.partition("-")
        return VerbGroup(verb).get_command(ctx, noun) if hyphen and verb in VERBS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] == "help":
            if args[1:]:
                return self.resolve_command(ctx, [*args[1:], "--help"])
            click.echo(ctx.get_help())
            ctx.exit()
        known = self.get_command(ctx, args[0])
        if known is None:
            typed = args[0]
            # `repo list`: the words of another order are worth a hint
            if len(args) > 1 and args[1] in VERBS and singular(args[0]) in VERBS[args[1]]:
                raise click.UsageError(
                    f"there is no command '{args[0]} {args[1]}'; "
                    f"did you mean '{args[1]} {singular(args[0])}'?",
                    ctx=ctx,
                )
            raise unknown_command(typed, ctx, *args[1:2])
        return args[0], known, args[1:]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list["CompletionItem"]:
        from click.shell_completion import CompletionItem

        from trunkline.cli.classic import CLASSIC

        found = super().shell_complete(ctx, incomplete)
        if "-" in incomplete:  # who wants the old words shows it by the hyphen
            found += [CompletionItem(name) for name in CLASSIC if name.startswith(incomplete)]
        return found

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        with _noticing_closed_output():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        with _noticing_closed_output():
            return super().invoke(ctx)

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        for title, nouns in SECTIONS.items():
            with formatter.section(f"{title} (VERB NOUN, as in `list {nouns[0]}`)"):
                formatter.write_dl([(noun, ", ".join(_verbs_of(noun))) for noun in nouns])
        with formatter.section("Commands of one word"):
            formatter.write_dl([(word, _summary(load(WORDS[word], word))) for word in WORDS])
            formatter.write_dl([("delete all", _summary(spaced("delete", "all")))])
            formatter.write_dl(
                [("undelete", "Bring back a repo, branch, tag, commit or pipeline.")]
            )
            formatter.write_dl([("deploy kubernetes", _summary(spaced("deploy", "kubernetes")))])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        program = ctx.info_name or "trunkline"
        formatter.write_paragraph()
        formatter.write_text(
            "The hyphenated forms of Pachyderm 1.7 (create-repo NAME, "
            "put-file REPO BRANCH [PATH] -f FILE) work too."
        )
        with formatter.section("Examples"):
            for words in (
                "create repo training",
                "put file training@master:/iris.csv -f iris.csv",
                "create pipeline -f pre-process.json",
                "list job",
                "get file pre_process@master:/x_train.csv",
                "put file --help",
            ):
                formatter.write(f"{' ' * formatter.current_indent}{program} {words}\n")


@contextmanager
def _noticing_closed_output() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        # click itself would leave the process with exit status 1
        raise OutputClosed from error


def unknown_command(typed: str, ctx: click.Context, behind: str = "") -> click.UsageError:
    """The sentence for words that are no command, with the closest ones that are.

    `behind` is the word behind them, which may be part of what was meant.
    """
    from trunkline.cli.classic import CLASSIC
    from trunkline.cli.elsewhere import lacking
    from trunkline.errors import meant

    mark = " " if " " in typed else "-"
    verb, _, noun = typed.partition(mark)
    if verb in VERBS:  # `list secret` is no typing error of `list repo`, alike as the verbs are
        hint = meant(f"{mark}{noun}", [f"{mark}{known}" for known in VERBS[verb]])
        hint = hint.replace(f"'{mark}", f"'{verb}{mark}")
    else:
        spaced_words = [f"{verb} {noun}" for verb, nouns in VERBS.items() for noun in nouns]
        hint = meant(typed, [*WORDS, *CLASSIC, *spaced_words, *VERBS])
    hint = lacking(typed) or lacking(f"{typed} {behind}") or hint
    return click.UsageError(f"there is no command '{typed}'{hint}", ctx=ctx)


def all_spaced() -> Iterable[tuple[str, Command]]:
    """Every command in today's grammar with its words; imports them all."""
    for noun, (_, known) in NOUNS.items():
        for verb in known:
            yield f"{verb} {noun}", spaced(verb, noun)
    for verb, nouns in SPECIAL.items():
        for noun in nouns:
            yield f"{verb} {noun}", spaced(verb, noun)
    for word, file in WORDS.items():
        yield word, load(file, word)


def _verbs_of(noun: str) -> list[str]:
    return [*NOUNS[noun][1], *(verb for verb, nouns in SPECIAL.items() if noun in nouns)]


def _summary(command: Command) -> str:
    return command.get_short_help_str(limit=80)


def _any_of(nouns: Iterable[str]) -> str:
    *first, last = [f"a {noun}" if noun != "all" else "everything" for noun in nouns]
    return f"{', '.join(first)} or {last}" if first else last
