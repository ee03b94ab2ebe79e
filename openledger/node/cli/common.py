"""What all commands share: the options that work everywhere, output, keys, and the way to a running node."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openledger.node.keystore import Keystore, Signer, dev_signer
from openledger.primitives.amounts import format_amount
from openledger.primitives.errors import KeystoreError, MissingExtra, OpenLedgerError
from openledger.primitives.types import parse_address

if TYPE_CHECKING:
    from openledger.abci_app.action import Action
    from openledger.node.demo_view import Stage, View
    from openledger.primitives.types import Address
    from openledger.rpc.client import Client

DEFAULT_NODE = "http://127.0.0.1:8545"
_U64 = 2**64 - 1
_MONEY = ("fee", "bond", "workFee", "minted", "price", "stake", "pot", "deposit")
_PPM = ("unattributed",)
_TIMES = ("created", "deadline", "returns", "vests")
_HEIGHTS = ("height", "opened", "closed")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_ARGUMENT = re.compile(r"^invalid argument \d+: ")
PASSWORD_VARIABLE = "OPENLEDGER_PASSWORD"  # noqa: S105 (the name of a variable)


class App:
    """Settings of one run of the program, filled by the shared options."""

    def __init__(self) -> None:
        self.home_given: Path | None = None
        self.node_given: str | None = None
        self.key: str | None = None
        self.json = False
        self._client: Client | None = None
        self._view: View | None = None

    @property
    def home(self) -> Path:
        """The home folder: ``--home``, else OPENLEDGER_HOME, else ``~/.openledger``."""
        if self.home_given is not None:
            return self.home_given
        return Path(os.environ.get("OPENLEDGER_HOME") or Path.home() / ".openledger")

    @property
    def node(self) -> str:
        """URL of the node to ask: ``--node``, else OPENLEDGER_NODE, else the devnet's."""
        return self.chosen_node or DEFAULT_NODE

    @property
    def chosen_node(self) -> str | None:
        """URL of the node that somebody named; None where nobody did."""
        return self.node_given or os.environ.get("OPENLEDGER_NODE")

    @property
    def client(self) -> Client:
        """A client of the node; nothing is sent before the first call."""
        if self._client is None:
            from openledger.rpc.client import Client

            self._client = Client(self.node)
        return self._client

    def call(self, method: str, *params: Any) -> Any:
        """One JSON-RPC call. Raises NodeUnreachable, or the error that the node answered, without the place of the
        argument, which the caller never saw."""
        try:
            return self.client.call(method, *params)
        except OpenLedgerError as err:
            raise type(err)(_ARGUMENT.sub("", err.message), err.hint) from None

    def keystore(self) -> Keystore:
        return Keystore(self.home)

    def _key_name(self, why: str) -> str:
        name = self.key or os.environ.get("OPENLEDGER_KEY")
        if not name:
            raise KeystoreError(f"{why}, and no key was named", "--key NAME; on a devnet: --key dev0")
        return name

    def address(self) -> Address:
        """Address of ``--key``; asks for no password. Raises KeystoreError."""
        return self.keystore().address(self._key_name("this command needs an account"))

    def account(self, given: str | None) -> Address:
        """The account named on the command line, else that of ``--key``. An empty word names nobody: a variable that
        is not set must not show another's money. Raises InvalidAddress, KeystoreError."""
        return self.address() if given is None else parse_address(given)

    def signer(self) -> Signer:
        """The account of ``--key``, unlocked. Raises KeystoreError."""
        name = self._key_name("this command signs a transaction")
        signer = dev_signer(name)
        if signer is not None:
            return signer
        store = self.keystore()
        store.read(name)
        return store.unlock(name, password(f"Password of {name}"))

    def send(self, action: Action, signer: Signer | None = None) -> dict[str, Any]:
        """Sign and send a native action, wait for its receipt. Raises the refusal, also of a block."""
        signer = signer or self.signer()
        tx_hash = self.client.send_native(signer.secret, action)
        receipt: dict[str, Any] = self.client.wait_receipt(tx_hash)
        return receipt

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[Stage]:
        """One long step of the command, counted from 1, with a progress bar; silent with ``--json``."""
        from openledger.node.demo_view import View

        if self._view is None:
            self._view = View(quiet=self.json)
        with self._view.stage(name, title) as running:
            yield running

    def emit(self, data: Any, text: str | Sequence[str] = "") -> None:
        """The result: ``data`` as one JSON document with ``--json``, else ``text``."""
        if self.json:
            click.echo(json.dumps(data, indent=2, ensure_ascii=False))
        else:
            click.echo(visible(text if isinstance(text, str) else "\n".join(text)))


def visible(text: str) -> str:
    """What a stranger has written (a row, an answer, a message) in signs that move no cursor and turn no line round."""
    return _CONTROL.sub(lambda found: ascii(found.group())[1:-1], text)


def password(prompt: str, *, confirm: bool = False) -> str:
    """From OPENLEDGER_PASSWORD, else asked at the terminal. Raises KeystoreError where there is none to ask."""
    given = os.environ.get(PASSWORD_VARIABLE)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise KeystoreError("a password is needed, and there is no terminal to ask", f"set {PASSWORD_VARIABLE}")
    answer: str = click.prompt(prompt, hide_input=True, confirmation_prompt=confirm)
    return answer


def _store(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, _param: click.Parameter, value: Any) -> None:
        if value not in (None, False):
            setattr(ctx.find_object(App), name, value)

    return callback


def shared_options() -> list[click.Option]:
    """--home, --node, --key and --json, fresh objects for one command."""
    folder = click.Path(file_okay=False, path_type=Path)
    return [
        click.Option(["--home"], type=folder, expose_value=False, callback=_store("home_given"),
                     help="Home folder: keys, configuration, data."),
        click.Option(["--node"], metavar="URL", expose_value=False, callback=_store("node_given"),
                     help="Node to ask (default http://127.0.0.1:8545)."),
        click.Option(["--key"], metavar="NAME", expose_value=False, callback=_store("key"),
                     help="Key that signs; dev0 to dev9 on a devnet."),
        click.Option(["--json"], is_flag=True, expose_value=False, callback=_store("json"),
                     help="Print one JSON document, for machines."),
    ]  # fmt: skip


class Whole(click.IntRange):
    """A whole number of the command line, with the bounds of ``IntRange``, and of 64 bits where it has no upper one.
    What is none is refused in words."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number. Raises BadParameter."""
        most = _U64 if self.max is None else self.max
        try:
            found = int(value)
        except ValueError:
            found = None
        if found is None or not (self.min or 0) <= found <= most:
            self.fail(f"{str(value)[:40]!r} is not a whole number from {self.min or 0} to {most}", param, ctx)
        return found


class Command(click.Command):
    """A command with the shared options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = {o for p in self.params for o in p.opts}
        self.params += [o for o in shared_options() if not own & set(o.opts)]


class Group(click.Group):
    """A group of such commands, with the shared options."""

    command_class = Command
    group_class = type

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += shared_options()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each command with its whole first sentence, over several lines where it needs them."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        told = [(name, command.get_short_help_str(1_000)) for name, command in found if command and not command.hidden]
        if told:
            with formatter.section("Commands"):
                formatter.write_dl(told)


pass_app = click.make_pass_decorator(App, ensure=True)


def wei(quantity: Any) -> int:
    """Integer of a JSON-RPC quantity, a decimal text or a number."""
    return quantity if isinstance(quantity, int) else int(quantity, 0)


def amount(quantity: Any) -> str:
    """Human form of a JSON-RPC quantity in wei."""
    return format_amount(wei(quantity))


def ppm(text: str) -> int:
    """Parts per million of a percentage, exactly. Raises UsageError."""
    whole, _, fraction = text.removesuffix("%").strip().partition(".")
    if not (whole + fraction).isascii() or not (whole or "0").isdigit() or not (fraction or "0").isdigit():
        raise click.UsageError(f"{text!r} is no percentage: write for example 7.5")
    if len(fraction) > 4:
        raise click.UsageError("a percentage has four decimals at most")
    return int(whole or "0") * 10_000 + int(fraction.ljust(4, "0"))


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Lines of a plain table, columns as wide as needed."""
    cells = [[str(c).replace("\n", " ") for c in row] for row in [headings, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headings))]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]


def facts(found: dict[str, Any], **said: Any) -> list[str]:
    """Lines of a record for people: OPEN for wei, percent for ppm, dates for Unix seconds, yes and no, a dash for
    nothing. ``said`` are values in words of the caller's; None leaves a name out."""
    names = [name for name in found if said.get(name, "") is not None]
    width = max(map(len, names), default=0)
    return [f"{name:<{width}}  {said.get(name) or worded(name, found[name])}" for name in names]


def worded(name: str, value: Any) -> str:
    """A value of the field ``name``, as ``facts`` says it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value in (None, "", [], {}):
        return "-"
    if name in _MONEY:
        return amount(value)
    if name in _PPM:
        return f"{value / 10_000:.4f} %"
    if name in _TIMES:
        return moment(value) if wei(value) else "-"
    if name in _HEIGHTS:
        return f"block {value}" if value else "-"
    if isinstance(value, dict):  # what a no names, a challenge
        return " ".join(f"{what} {worded(what, which)}" for what, which in value.items() if which is not None)
    return (", ".join(map(str, value)) if isinstance(value, list) else str(value)).replace("\n", " ")


def moment(seconds: Any) -> str:
    """Unix seconds as date and time, which says that it is UTC: deadlines are read by people anywhere."""
    return datetime.fromtimestamp(wei(seconds), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def short(text: str) -> str:
    """One line of a text."""
    flat = " ".join(text.split())
    return flat if len(flat) <= 80 else flat[:79] + "…"


def need_torch() -> None:
    """Raises MissingExtra without the oracle extra."""
    from openledger.node.checks import has_torch

    if not has_torch():
        raise MissingExtra("this command needs torch, which is not installed", "make install-oracle")
    from openledger.attribution_oracle.factory import set_threads

    set_threads(len(os.sched_getaffinity(0)) // 2)  # node and oracle work beside it
