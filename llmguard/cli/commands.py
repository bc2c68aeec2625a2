"""The program's commands, and how its mistakes are told: one sentence on standard error, never a traceback."""

from __future__ import annotations

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


class Commands(TyperGroup):
    """The whole command line. What a person gave wrong ends with exit status 2."""

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
            _tell_misuse(error)
            sys.exit(MISUSE)
        sys.exit(status if isinstance(status, int) else 0)


def _tell_misuse(error: Exception) -> None:
    """What typer found wrong with the arguments. (Its exceptions moved between versions: they are known by what they
    can do.) Anything else is a bug of llmguard's and keeps its traceback."""
    tell, place = getattr(error, "format_message", None), getattr(error, "ctx", None)
    if tell is None:
        raise error
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()  # type: ignore[attr-defined]  # the help itself
        return
    path = place.command_path if place else "llmguard"
    complain(f"{tell().rstrip('.')}. `{path} --help` shows how it is used.")


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Validate what a language model says, and fall back where it cannot be trusted.",
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
    """What holds for every command: `--help` shows an example, `--json` prints for machines."""


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
