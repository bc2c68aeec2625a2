"""All commands of the program. A misuse prints one sentence on standard error and no traceback."""

from __future__ import annotations

import inspect
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import typer
from typer.core import TyperGroup

from llmguard.cli.certify_command import certify
from llmguard.cli.demo import demo
from llmguard.cli.doctor import doctor
from llmguard.cli.log_commands import log_app
from llmguard.cli.mutate_command import mutate
from llmguard.cli.promote_command import EXAMPLES as PROMOTE_EXAMPLES
from llmguard.cli.promote_command import promote
from llmguard.cli.prompt_commands import prompt_app
from llmguard.cli.replay_command import ReplayCommand, compare_models, replay
from llmguard.cli.run_command import run
from llmguard.cli.schema_commands import schema_app
from llmguard.cli.terminal import MISUSE, complain, utf8_streams
from llmguard.core.errors import LLMGuardError

INTERRUPTED = 130
"""128 + SIGINT: the exit status of a shell for a program that was ended by Ctrl-C."""


class Commands(TyperGroup):
    """The whole command line. Exit status 2 for every misuse."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        utf8_streams()
        try:
            status = super().main(*args, **{**kwargs, "standalone_mode": False})
        except LLMGuardError as error:
            complain(str(error))
            sys.exit(MISUSE)
        except typer.Abort:
            sys.exit(INTERRUPTED)
        except Exception as error:
            _show_misuse(error)
            sys.exit(MISUSE)
        sys.exit(status if isinstance(status, int) else 0)


def _show_misuse(error: Exception) -> None:
    """What typer reports about the arguments. Any other exception is a bug in llmguard and keeps its traceback.

    Typer's exceptions moved between versions, so they are recognized by their methods.
    """
    format_message, command = getattr(error, "format_message", None), getattr(error, "ctx", None)
    if format_message is None:
        raise error
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()  # type: ignore[attr-defined]  # prints the help
        return
    path = command.command_path if command else "llmguard"
    complain(f"{format_message().rstrip('.')}. `{path} --help` explains the usage.")


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Validate the output of language models, and fall back when it cannot be trusted.",
    epilog="Start with: llmguard demo",
)


def _version(wanted: bool) -> None:
    if wanted:
        try:
            print(f"llmguard {version('llmguard-framework')}")
        except PackageNotFoundError:
            print("llmguard, run from its sources")
        raise typer.Exit


@app.callback()
def program(
    show_version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Every command has `--help` with an example, and `--json`."""


app.command("demo", epilog="Example: llmguard demo --playback")(demo)
app.command("run", epilog="Example: llmguard run examples.tickets:triage --input ticket='My parcel is lost.'")(run)
app.command(
    "replay",
    cls=ReplayCommand,
    epilog="Example: llmguard replay examples.tickets:triage --since 7d --fail-on newly-failing",
)(replay)
app.command("compare", epilog="Example: llmguard compare examples.tickets:triage --model gpt-5-mini --max-usd 2")(
    compare_models
)
app.add_typer(log_app, name="log")
app.command("certify", epilog="Example: llmguard certify my_app.guards:loan --alpha 0.02 --plot loan.png")(certify)
app.command("promote", epilog=PROMOTE_EXAMPLES)(promote)
app.command("mutate", epilog="Example: llmguard mutate examples.tickets:triage --since 7d --at-least 0.8")(mutate)
app.add_typer(schema_app, name="schema")
app.add_typer(prompt_app, name="prompt")
app.command("doctor", epilog="Example: llmguard doctor examples.tickets:triage")(doctor)


def _flow_help(commands: typer.Typer) -> None:
    """Join the lines of each paragraph of help: typer prints the line breaks of a docstring, which are for its source."""
    for command in commands.registered_commands:
        paragraphs = (inspect.getdoc(command.callback) or "").split("\n\n")
        command.help = "\n\n".join(each.replace("\n", " ") for each in paragraphs)


for each_app in (app, log_app, schema_app, prompt_app):
    _flow_help(each_app)
