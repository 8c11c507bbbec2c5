"""How a command is declared: a function with click's arguments, plus what all commands share.

Every command takes the global flags behind its own words too, because both generations of pachctl
do. Options that only say how to print write into the session, not into the function's arguments.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from trunkline.cli.session import Session, Shape
from trunkline.model.names import check_project

if TYPE_CHECKING:
    from trunkline.cli.classic import Classic


class Option(click.Option):
    """An option whose help is taken as it stands: click's own would load `inspect` to clean it."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        taken = attributes.pop("help", None)
        super().__init__(*args, **attributes)
        self.help = taken

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        super().add_to_parser(parser, ctx)
        # Short options stand among the long ones, too. Click looks there first, and makes
        # an error with suggestions for what it does not find.
        long, short = getattr(parser, "_long_opt", {}), getattr(parser, "_short_opt", {})
        long.update((name, short[name]) for name in self.opts if name in short)


_HELP = "trunkline.help"  # in what all contexts of a command line share

option = functools.partial(click.option, cls=Option)


def help_option(asked: click.Command, ctx: click.Context) -> click.Option | None:
    """`get_help_option` of every class of commands: click's would look for a translation of it."""

    def show(ctx: click.Context, _: click.Parameter, given: bool) -> None:
        if given and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()

    kept: click.Option | None = ctx.meta.get(_HELP)
    names = asked.get_help_option_names(ctx)
    if kept is not None and set(kept.opts) == set(
        names
    ):  # one and the same: click compares by identity
        return kept
    if names:
        ctx.meta[_HELP] = kept = Option(
            [*names, "_help_is_asked_for"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=show,
            help="Show this message and exit.",
        )
    return kept


class Command(click.Command):
    """A click command with examples at its end, callable in the words of 1.7 as well."""

    examples: tuple[str, ...] = ()
    classic: Classic | None = None
    get_help_option = help_option

    def in_classic_words(self, classic: Classic) -> Command:
        """The same command, taking the positional arguments and options that 1.7 took."""
        import copy

        twin = copy.copy(self)
        twin.classic = classic
        others = {
            param.name
            for param in self.params
            if isinstance(param, click.Option) and set(param.opts) & set(classic.added)
        }
        twin.params = [
            _with_default_told(param, classic) if param.name in others else param
            for param in self.params
        ]
        return twin

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if self.classic is not None:
            from trunkline.cli.classic import rewrite

            session_of(ctx).classic = True
            # A shell that completes has half a line: nothing there to count.
            if not _asks_for_help(args) and not ctx.resilient_parsing:
                args = rewrite(self.classic, args, takes_value=self._takes_value, ctx=ctx)
        return super().parse_args(ctx, args)

    def _takes_value(self, option: str) -> bool:
        for param in self.params:
            if isinstance(param, click.Option) and option in param.opts:
                return not param.is_flag and not param.count
        return False

    def shown_examples(self, ctx: click.Context) -> tuple[str, ...]:
        """The examples in the grammar of this command; what 1.7 had no words for is left out."""
        if self.classic is None:
            return self.examples
        from trunkline.cli.classic import in_classic_grammar, rewrite

        name = ctx.info_name or self.classic.command.replace(" ", "-")
        found = []
        for example in self.examples:
            words = in_classic_grammar(self.classic, example, takes_value=self._takes_value)
            with contextlib.suppress(click.UsageError):
                rewrite(self.classic, words.split(), takes_value=self._takes_value, ctx=ctx)
                found.append(f"{name} {words}".rstrip())
        return tuple(found)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        if self.classic is not None:
            return ["[OPTIONS]", *self.classic.groups]
        return super().collect_usage_pieces(ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if not self.examples:
            return
        with formatter.section("Examples"):
            program = ctx.find_root().info_name or "trunkline"
            for example in self.shown_examples(ctx):
                formatter.write(f"{' ' * formatter.current_indent}{program} {example}\n")


def command(
    *, examples: Sequence[str] = (), shows: bool = False
) -> Callable[[Callable[..., object]], Command]:
    """Declare a function as a command; `shows` adds the options that say how values are printed."""

    def build(function: Callable[..., object]) -> Command:
        built = click.command(cls=Command)(function)
        built.examples = tuple(examples)
        if shows:
            built.params.extend(_printing_options())
        built.params.extend(global_options(hidden=True))
        return built

    return build


def session_of(ctx: click.Context) -> Session:
    session = ctx.find_object(Session)
    assert session is not None, "every context of the command line is made below a session"
    return session


@functools.cache
def global_options(*, hidden: bool) -> list[click.Parameter]:
    """The flags that every command takes, before or behind its words."""
    return [
        _setting(["-v", "--verbose"], "verbose", "Show the traceback of an error.", hidden),
        _setting(["--no-color"], "color", "No colours on a terminal.", hidden, value=False),
        Option(
            ["--context", "context_name"],
            metavar="NAME",
            expose_value=False,
            hidden=hidden,
            callback=_set_context,
            help="Use this context instead of the active one.",
        ),
        Option(["--no-metrics"], is_flag=True, expose_value=False, hidden=True),
        Option(
            ["--project", "project_name"],
            metavar="NAME",
            expose_value=False,
            hidden=hidden,
            callback=_set_project,
            help="The project of all that is named without one.",
        ),
    ]


@functools.cache
def _printing_options() -> list[click.Parameter]:
    return [
        Option(
            ["--raw"],
            is_flag=True,
            expose_value=False,
            callback=_set_raw,
            help="Print JSON values, one after another.",
        ),
        Option(
            ["-o", "--output"],
            type=click.Choice(["json", "yaml"]),
            expose_value=False,
            callback=_set_shape,
            help="Print JSON (a list is an array) or YAML.",
        ),
        _setting(["--full-timestamps"], "full_timestamps", "Print moments instead of ages.", False),
    ]


def _setting(
    names: list[str], attribute: str, words: str, hidden: bool, *, value: bool = True
) -> click.Option:
    def callback(ctx: click.Context, _: click.Parameter, given: bool) -> None:
        if given:
            setattr(session_of(ctx), attribute, value)

    return Option(
        names, is_flag=True, expose_value=False, callback=callback, help=words, hidden=hidden
    )


def _set_raw(ctx: click.Context, _: click.Parameter, given: bool) -> None:
    if given:
        session_of(ctx).shape = Shape.RAW


def _set_shape(ctx: click.Context, _: click.Parameter, given: str | None) -> None:
    if given:
        session_of(ctx).shape = Shape(given)


def _set_context(ctx: click.Context, _: click.Parameter, given: str | None) -> None:
    if given:
        session_of(ctx).context = given


def _set_project(ctx: click.Context, _: click.Parameter, given: str | None) -> None:
    if given:
        session_of(ctx).chosen_project = check_project(given)


def _with_default_told(param: click.Parameter, classic: Classic) -> click.Parameter:
    """The option, its help saying what happens when nothing is said in the old words."""
    assert isinstance(param, click.Option), "what a table adds are options"
    told = (param.help or "").removesuffix(".").removesuffix(" (default)")
    import copy

    twin = copy.copy(param)
    twin.help = f"{told} (default)." if set(param.opts) & set(classic.added) else f"{told}."
    return twin


def _asks_for_help(args: list[str]) -> bool:
    ahead = args[: args.index("--")] if "--" in args else args
    return "--help" in ahead or "-h" in ahead
