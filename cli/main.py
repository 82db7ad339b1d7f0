"""`pouw`: the entry point, its groups, and how errors end a command.

Groups are imported when they are used: `pouw node run` needs no wallet, `--help` needs nothing.
"""

import importlib
import os
import sys
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import click

from .._version import __version__
from ..core.errors import PouwError

_MAX_MESSAGE_CHARS: Final = 600
INTERRUPTED: Final = 128 + 2
"""Exit status after Ctrl-C, as shells have it."""


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is, and what the list of commands says about it."""

    source: str
    """module:attribute, the module relative to this folder."""
    summary: str


COMMANDS: Final = {
    "node": LazyCommand(".node:node", "Run a full node, or look at a running one."),
    "wallet": LazyCommand(".wallet:wallet", "Keys, balances and payments."),
    "job": LazyCommand(".job:job", "Submit AI jobs and fetch their results."),
    "model": LazyCommand(".model:model", "Register models and look them up."),
    "chain": LazyCommand(".chain:chain", "Blocks, supply, usefulness, test vectors."),
    "devnet": LazyCommand(".devnet:devnet", "A network of your own on this machine."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        lazy = COMMANDS.get(cmd_name)
        if lazy is None:
            return None
        module, _, attribute = lazy.source.partition(":")
        command: click.Command = getattr(importlib.import_module(module, __package__), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.summary) for name, lazy in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pouw")
def pouw() -> None:
    """A blockchain mined by the matrix multiplications of paid AI jobs."""


def main() -> NoReturn:
    """Run `pouw` with the process's arguments."""
    run(pouw, "pouw")


def run(command: click.Command, name: str, arguments: list[str] | None = None) -> NoReturn:
    """Run a command and end the process: 0, 1 after an error, 2 for misuse, 130 after Ctrl-C.

    An error of ours is one line on stderr. Anything else is a bug, with its traceback only where
    POUW_DEBUG=1 asks for it.
    """
    try:
        result: Any = command.main(arguments, prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except PouwError as error:
        _fail(str(error))
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("POUW_DEBUG") == "1":
            raise
        _fail(f"{type(error).__name__}: {error} (a bug; POUW_DEBUG=1 shows where)")
    sys.exit(result if isinstance(result, int) else 0)


def _fail(message: str) -> NoReturn:
    line = "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))
    if len(line) > _MAX_MESSAGE_CHARS:  # it quotes something long: what is wrong stands last
        half = _MAX_MESSAGE_CHARS // 2
        line = f"{line[:half]} … {line[-half:]}"
    click.echo(f"error: {line}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
