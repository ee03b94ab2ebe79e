"""The root of the command tree, and the one place where failures become sentences and exit codes."""

from __future__ import annotations

import errno
import io
import json
import os
import sys

import click

from openledger import __version__
from openledger.node.cli import (
    chain,
    datanets,
    evm,
    genesis,
    governance,
    health,
    index,
    inference,
    keys,
    models,
    proofs,
    rewards,
    staking,
    state,
    transactions,
    upkeep,
)
from openledger.node.cli.common import App, Group, pass_app, visible
from openledger.primitives.errors import InsufficientFunds, OpenLedgerError


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """OpenLedger node: a chain that finds, names and pays the people whose data makes AI models good."""


@cli.command()
@pass_app
def version(app: App) -> None:
    """Print the version of this program."""
    app.emit({"version": __version__, "python": sys.version.split()[0]}, f"openledger {__version__}")


for module in (
    chain, health, keys, genesis, state, upkeep, index, datanets, models, inference, proofs, rewards, staking,
    governance, transactions, evm,
):  # fmt: skip
    for command in module.COMMANDS:
        cli.add_command(command)


_HINTS: dict[int | None, str] = {
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        "it belongs to another user, or is protected: choose a place that you may read and write (--home, --output)",
    ),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "the disk is full: make room, then give the command again"),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR), "is the path right? the folder of a file must be there"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "too many open files: ulimit -n 4096"),
    errno.EISDIR: "name a file, not a folder",
    errno.ENAMETOOLONG: "a name has 255 bytes at most",
}


def _fail(app: App, sentence: str, hint: str | None, code: int | None) -> None:
    if app.json:
        click.echo(json.dumps({"error": {"code": code, "message": sentence, "hint": hint}}), err=True)
        return
    click.echo(visible(f"error: {sentence}"), err=True)
    if hint:
        click.echo(visible(f"hint: {hint}"), err=True)


def run(arguments: list[str] | None = None) -> int:
    """Run the program; the exit code."""
    app = App()
    try:
        result = cli.main(args=arguments, prog_name="openledger", standalone_mode=False, obj=app)
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as err:
        err.show()
        return 2
    except click.Abort:
        click.echo("", err=True)
        return 130
    except click.ClickException as err:
        where = f" (see `{err.ctx.command_path} --help`)" if isinstance(err, click.UsageError) and err.ctx else ""
        _fail(app, err.format_message() + where, None, None)
        return err.exit_code
    except OpenLedgerError as err:
        poor = "send it OPEN first; on a devnet: openledger rpc openledger_faucet '[\"ADDRESS\"]'"
        _fail(app, err.message, err.hint or (poor if isinstance(err, InsufficientFunds) else None), err.code)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as err:
        _fail(
            app, f"{err.strerror or err}" + (f": {err.filename}" if err.filename else ""), _HINTS.get(err.errno), None
        )
        return 1


def main() -> None:
    """Entry point of the console script. What the terminal cannot show (a file name that is not UTF-8, letters in an
    ASCII locale) is printed escaped, never a fault."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run())
