"""The root of the command line: sub-commands, common options, error output and exit codes.

Exit codes: 0 done, 1 finished with failed tasks, 2 bad input or usage, 3 something of the environment is missing,
4 an audit failed (coverage, look-ahead, damaged artifacts, a replay that differs), 5 a budget ended before
all windows were trained, and the result is partial, 130 interrupted and resumable.
"""

from __future__ import annotations

import functools
import json
import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer
import typer.main
from typer.core import TyperGroup

from rollwright import __version__
from rollwright.cli import INTERRUPTED, MISSING
from rollwright.cli.audit import audit
from rollwright.cli.cache import cache_app
from rollwright.cli.campaign import demo, resume, roll, run_once
from rollwright.cli.cluster import cluster_app
from rollwright.cli.compare import compare_app
from rollwright.cli.config import config_app, schema
from rollwright.cli.console import stderr
from rollwright.cli.data import data_app, import_app
from rollwright.cli.init import init_campaign
from rollwright.cli.judgement import analyze, backtest, report
from rollwright.cli.key import key_app, trust_app
from rollwright.cli.online import online_app
from rollwright.cli.pit import pit_app
from rollwright.cli.plan import plan
from rollwright.cli.pool import pool_app
from rollwright.cli.qrun import qrun
from rollwright.cli.refusals import describe_refusal
from rollwright.cli.replay import replay, show
from rollwright.cli.search import search_app
from rollwright.cli.status import status
from rollwright.cli.track import track_app
from rollwright.cli.trade_explanation import explain_trade
from rollwright.cli.trials import trials_app
from rollwright.cli.unseal import unseal
from rollwright.cli.verify import verify
from rollwright.cli.why import why
from rollwright.cli.window_verbs import cancel, collect, logs, retry
from rollwright.cli.worker import worker_app
from rollwright.core.log_sentences import RepeatFilter, SentenceFormatter
from rollwright.core.masking import MaskingFormatter, mask_secrets
from rollwright.errors import RollwrightError

__all__ = ["app", "run", "run_qrun"]

# Newer versions of Typer bring a copy of Click of their own; this is the root of its errors, whosever Click it is.
_UsageError: Final[Any] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


_RESUMED: Final = ("demo", "resume", "roll")
"""Commands that `rollwright resume` goes on with."""


class _Root(TyperGroup):
    """Takes SIGTERM as Ctrl-C, and says what it means before Typer turns it into a bare exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with _treat_sigterm_as_interrupt():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            more = ", or `rollwright resume`" if ctx.invoked_subcommand in _RESUMED else ""
            stderr.print(f"interrupted; nothing is lost: give the same command again{more}")
            return INTERRUPTED
        except EOFError as error:  # Typer takes it for Ctrl-C; questions answer for their own
            raise RuntimeError("a file or a connection ended where more was expected; this is a bug") from error


@contextmanager
def _treat_sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM unwind what runs, so that half-made files go; a worker at work takes both signals itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


app = typer.Typer(
    name="rollwright",
    cls=_Root,
    help="Walk-forward machine-learning research that survives a crash.\n\n"
    "Try it: [bold]rollwright demo[/bold]   Your own: [bold]rollwright roll campaign.yaml -j 4[/bold]   "
    "After a crash: the same command again, or [bold]rollwright resume[/bold]",
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_logger: Final = logging.getLogger("rollwright.cli")

app.command()(demo)
app.command(name="init")(init_campaign)
app.command(name="run")(run_once)
app.command(name="qrun", hidden=True)(qrun)
app.command()(roll)
app.command()(resume)
app.command()(plan)
app.command()(status)
app.command()(retry)
app.command()(cancel)
app.command()(logs)
app.command()(collect)
app.command()(analyze)
app.command()(backtest)
app.command()(report)
app.command()(why)
app.command()(explain_trade)
app.command()(show)
app.command()(verify)
app.command()(replay)
app.command()(unseal)
app.command()(audit)
app.command()(schema)
app.add_typer(data_app, name="data")
app.add_typer(pit_app, name="pit")
app.add_typer(online_app, name="online")
app.add_typer(compare_app, name="compare")
app.add_typer(worker_app, name="worker")
app.add_typer(cluster_app, name="cluster")
app.add_typer(pool_app, name="pool")
app.add_typer(cache_app, name="cache")
app.add_typer(config_app, name="config")
app.add_typer(track_app, name="track")
app.add_typer(import_app, name="import")
app.add_typer(trials_app, name="trials")
app.add_typer(search_app, name="search")
app.add_typer(key_app, name="key")
app.add_typer(trust_app, name="trust")


def _print_version(*, wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def common(
    verbose: Annotated[int, typer.Option("--verbose", "-v", count=True, help="Log more; twice for everything.")] = 0,
    version: Annotated[
        bool, typer.Option("--version", callback=lambda value: _print_version(wanted=value), is_eager=True)
    ] = False,
) -> None:
    """Set up logging for the command."""
    del version
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    handler = logging.StreamHandler()
    form = "%(levelname)s %(name)s: %(message)s"
    handler.setFormatter(MaskingFormatter(form) if verbose else SentenceFormatter(form))
    if not verbose:
        handler.addFilter(RepeatFilter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("rollwright").setLevel(level)
    if not verbose:  # what fails in it is told by an error of ours, without its traceback
        logging.getLogger("mlflow").setLevel(logging.CRITICAL)


@functools.cache
def _command() -> Any:
    """Return what Typer makes of `app`: a hundred commands, whose making takes longer than most of them."""
    return typer.main.get_command(app)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; nothing but a bug leaves as an exception."""
    return _run(arguments, program="rollwright")


def run_qrun(arguments: Sequence[str]) -> int:
    """Run one command line of the program ``qrun``, likewise."""
    return _run(["qrun", *arguments], program="")


def _run(arguments: Sequence[str], *, program: str) -> int:
    try:
        code = _command()(args=list(arguments), prog_name=program, standalone_mode=False)
    except RollwrightError as error:
        _tell(error, error.message, error.hint, as_json="--json" in arguments)
        return error.exit_code
    except _UsageError as error:
        error.show()
        return int(error.exit_code)
    except typer.Abort:  # Ctrl-C before there was a command
        return INTERRUPTED
    except OSError as error:  # a full disk, a folder that may not be read: not a bug, and worth no traceback
        _logger.debug("command.refused", exc_info=True)
        _tell(error, *describe_refusal(error), as_json="--json" in arguments)
        return MISSING
    return int(code) if isinstance(code, int) else 0


def _tell(error: Exception, message: str, hint: str | None, *, as_json: bool) -> None:
    """Print what happened and what to do; a program that reads stdout learns of it there too."""
    stderr.print_problem(type(error).__name__, message, hint)
    if as_json:
        hint = None if hint is None else mask_secrets(hint)
        problem = {"type": type(error).__name__, "message": mask_secrets(message), "hint": hint}
        print(json.dumps({"ok": False, "errors": [problem]}, indent=1))
