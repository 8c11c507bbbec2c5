"""The command line of one process: words in, exit status out.

Every error ends here as one sentence on stderr and the exit status of its class.
"""

import os
import sys
from collections.abc import Sequence

import click

from trunkline.cli.command import Option, global_options
from trunkline.cli.grammar import OutputClosed, RootGroup
from trunkline.cli.session import Session, open_link
from trunkline.errors import TrunklineError, meant, plain, shown

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_CLOSED_PIPE = 141  # 128 + SIGPIPE


def run() -> int:
    """Run the command line of this process; gives its exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A file name that is no text in this locale must not break a listing.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    name = os.path.basename(sys.argv[0])
    session = Session(
        program="pachctl" if name.startswith("pachctl") else "trunkline",
        open_link=open_link,
        terminal=sys.stdout.isatty(),
    )
    return main(sys.argv[1:], session)


def main(args: Sequence[str], session: Session) -> int:
    """Carry out one command line; gives its exit status."""
    try:
        try:
            status: object = _root(session).main(
                list(args), prog_name=session.program, standalone_mode=False, obj=session
            )
            sys.stdout.flush()
        finally:
            session.close()
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except (BrokenPipeError, OutputClosed):
        return _quiet_after_closed_pipe()
    except SystemExit as left:  # how click ends after it has completed words for a shell
        return left.code if isinstance(left.code, int) else 1
    except Exception as error:
        return _report(error, verbose=session.verbose)
    return status if isinstance(status, int) else 0


def _root(session: Session) -> RootGroup:
    root = RootGroup(
        session.program,
        params=[
            Option(
                ["--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_print_version,
                help="Print the version of this program.",
            ),
            *global_options(hidden=False),
        ],
        help="Versioned data, and pipelines that run on it.",
        context_settings={"help_option_names": ["-h", "--help"]},
        options_metavar="[OPTIONS]",
        subcommand_metavar="COMMAND [ARGS]...",
        no_args_is_help=False,
        invoke_without_command=True,
        callback=_print_help,
    )
    return root


@click.pass_context
def _print_help(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _print_version(ctx: click.Context, _: click.Parameter, given: bool) -> None:
    if given:
        from trunkline.cli.release import program_version

        click.echo(f"{ctx.info_name} {program_version()}")
        ctx.exit()


def _report(error: Exception, *, verbose: bool) -> int:
    """Print what went wrong, as one sentence; gives the exit status."""
    if verbose and not isinstance(error, click.ClickException):
        import traceback

        traceback.print_exception(error)
    if isinstance(error, click.UsageError):
        _complain(plain(_usage_sentence(error)))
        if error.ctx is not None:
            sys.stderr.write(f"{error.ctx.get_usage()}\n")
            sys.stderr.write(f"Try '{error.ctx.command_path} --help' for help.\n")
        return 2
    if isinstance(error, click.ClickException):
        _complain(plain(error.format_message()))
        return error.exit_code
    if isinstance(error, TrunklineError):
        _complain(str(error))
        return error.exit_status
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        _complain(plain(f"{where}{error.strerror}"))
        return 1
    if isinstance(error, UnicodeEncodeError):  # a word that the shell gave us in another encoding
        _complain(f"{shown(str(error.object))} is not UTF-8 text")
        return 2
    _complain(f"{type(error).__name__}: {error} (a defect; -v shows where)")
    return 1


def _usage_sentence(error: click.UsageError) -> str:
    text = error.format_message()
    if isinstance(error, click.NoSuchOption):
        hint = meant(error.option_name, error.possibilities or [])
        return f"there is no option '{error.option_name}'{hint}"
    if isinstance(error, click.MissingParameter):
        text = text.replace("Missing argument", "missing argument").rstrip(".")
    if text.startswith("Option '"):
        text = text.replace("Option", "option", 1).rstrip(".")
    if text.startswith("Got unexpected extra argument"):
        text = f"too many arguments: {text[text.index('(') + 1 : text.rindex(')')]}"
    return text


def _complain(sentence: str) -> None:
    sys.stderr.write(f"error: {sentence}\n")


def _quiet_after_closed_pipe() -> int:
    # Whoever read our output is gone (`| head`); the interpreter's last flush must not complain.
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    return _CLOSED_PIPE
