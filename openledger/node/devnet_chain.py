"""The chain of a devnet on the disk: made once, kept between runs.

    folder/current             names the chain in use
    folder/161237/             a chain, named by its EVM chain id; a fork by chain id and block: 1-19000000
        genesis.json, validator.json, devnet.json (the accounts' mnemonic, and where a fork comes from)

``fresh`` makes the next one, with another chain id, so that wallets notice that nonces began anew; the old folder
stays. A fork keeps the chain id of the chain that it comes from, for contracts and signatures depend on it.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openledger.genesis.genesis import Genesis, GenesisAccount, GenesisValidator
from openledger.genesis.presets import (
    DEV_BALANCE,
    DEV_CHAIN_ID,
    DEV_MNEMONIC,
    DEVNET_PARAMS,
    dev_accounts,
    devnet_genesis,
)
from openledger.node.fork import Point, Upstream, find_point, parse_fork
from openledger.node.wiring import read_genesis, write_private
from openledger.primitives.amounts import OPEN
from openledger.primitives.errors import DecodingError, InvalidConfig, WrongDataFolder
from openledger.primitives.jsonio import read_json
from openledger.primitives.keys import address_of_private_key, ed25519_public
from openledger.primitives.types import Address, from_hex, to_hex

_NAME = re.compile(r"[0-9]{1,16}(-[0-9]{1,20}){0,2}")
_PATH = "m/44'/60'/0'/0/"

Accounts = tuple[tuple[Address, bytes], ...]


@dataclass(frozen=True)
class DevnetOptions:
    """What ``openledger devnet`` is told about the chain. None: as it is, or the usual. ``fork`` is URL[@BLOCK],
    ``balance`` in OPEN."""

    fresh: bool = False
    chain_id: int | None = None
    fork: str | None = None
    mnemonic: str | None = None
    accounts: int | None = None
    balance: int | None = None

    @property
    def makes_accounts(self) -> bool:
        """True when the accounts are not the usual ones."""
        return (self.mnemonic, self.accounts, self.balance) != (None, None, None)


@dataclass(frozen=True)
class DevnetChain:
    """A chain that is on the disk. ``balance`` is what each account began with (wei), ``fork`` where it comes from."""

    folder: Path
    genesis: Genesis
    seed: bytes
    mnemonic: str
    accounts: Accounts
    balance: int
    fork: Point | None = None


def derive(mnemonic: str, count: int) -> Accounts:
    """The first accounts of a phrase at m/44'/60'/0'/0/i: (address, secret). Raises InvalidConfig for a phrase that is
    none (BIP-39)."""
    if mnemonic == DEV_MNEMONIC and count <= len(dev_accounts()):
        return tuple(dev_accounts()[:count])
    from eth_account import Account

    Account.enable_unaudited_hdwallet_features()
    try:
        keys = [bytes(Account.from_mnemonic(mnemonic, account_path=f"{_PATH}{i}").key) for i in range(count)]
    except Exception as err:  # noqa: BLE001  (a class of its own that it does not export)
        raise InvalidConfig(f"not a mnemonic: {err}", "12 to 24 words of BIP-39's English list") from None
    return tuple((address_of_private_key(key), key) for key in keys)


def chain_folder(folder: Path, fresh: bool) -> tuple[Path, int]:
    """Folder and EVM chain id of the chain to run. Raises WrongDataFolder when ``folder`` holds something else."""
    name = _current(folder)
    if name is None:
        name, fresh = str(DEV_CHAIN_ID), False
    number = int(name.partition("-")[0])
    if fresh:
        used = [int(p.name) for p in folder.iterdir() if p.name.isdigit()]
        number = max([number, *used]) + 1
        name = str(number)
    return folder / name, number


def _current(folder: Path) -> str | None:
    marker = folder / "current"
    if marker.exists():
        text = marker.read_bytes().decode("utf-8", "replace").strip()
        if not _NAME.fullmatch(text):
            raise WrongDataFolder(f"{marker} does not name a chain", "remove the file, or use another --home")
        return text
    if folder.is_dir() and any(p.name in ("state", "genesis.json", "cometbft") for p in folder.iterdir()):
        raise WrongDataFolder(f"{folder} is the home of another node, not of a devnet", "use another --home")
    return None


def open_chain(folder: Path, options: DevnetOptions, now_ns: int) -> DevnetChain:
    """The devnet in ``folder``; made on the first run and by ``fresh``.

    Raises WrongDataFolder, InvalidGenesis, InvalidConfig, or ForkError.
    """
    point = None
    if options.fork is not None:
        chain, number, point = _fork_folder(folder, options)
    elif options.chain_id is not None and not options.fresh:
        _current(folder)
        chain, number = folder / str(options.chain_id), options.chain_id
    else:
        chain, number = chain_folder(folder, options.fresh)
        number = options.chain_id or number
        chain = folder / str(number) if options.fresh else chain
    if not (chain / "genesis.json").exists():
        _make(chain, number, options, point, now_ns)
    elif options.fresh:
        raise WrongDataFolder(f"there is a chain in {chain} already", "choose another --chain-id, or leave it out")
    elif options.makes_accounts:
        raise WrongDataFolder(f"the accounts of the chain in {chain} are made", "--fresh makes a chain with others")
    (folder / "current").write_text(f"{chain.name}\n", encoding="utf-8")
    return _read(chain)


def _fork_folder(folder: Path, options: DevnetOptions) -> tuple[Path, int, Point | None]:
    """Where a fork lives. The other chain is asked only when a new fork is made."""
    url, block = parse_fork(options.fork or "")
    current = _current(folder)
    if current is not None and not options.fresh and (folder / current / "devnet.json").exists():
        known = _read(folder / current)
        fork, number = known.fork, known.genesis.evm_chain_id
        if fork is not None and fork.url == url and block in (None, fork.block) and options.chain_id in (None, number):
            return folder / current, number, fork
    point = find_point(Upstream(url), block)
    number = options.chain_id or point.chain_id
    name = f"{number}-{point.block}"
    count = 2
    while options.fresh and (folder / name).exists():
        name, count = f"{number}-{point.block}-{count}", count + 1
    return folder / name, number, point


def _make(chain: Path, number: int, options: DevnetOptions, point: Point | None, now_ns: int) -> None:
    mnemonic = options.mnemonic or DEV_MNEMONIC
    accounts = derive(mnemonic, options.accounts or len(dev_accounts()))
    balance = DEV_BALANCE if options.balance is None else options.balance * OPEN
    seed = secrets.token_bytes(32)
    validator = GenesisValidator(ed25519_public(seed), 10, accounts[-1][0], "devnet")
    first = 0 if point is None else point.block
    funded = {
        address: GenesisAccount(balance, nonce)
        for (address, _), nonce in zip(accounts, _nonces(accounts, point), strict=True)
    }
    genesis = devnet_genesis(
        (validator,),
        now_ns if point is None else point.timestamp * 10**9,
        evm_chain_id=number,
        params=DEVNET_PARAMS if point is None else _params_of(point),
        accounts=funded,
        initial_height=first + 1,
        solo=True,
    )
    about: dict[str, Any] = {"mnemonic": mnemonic, "accounts": len(accounts), "balance": str(balance)}
    if point is not None:
        about["fork"] = vars(point) | {"block_hash": to_hex(point.block_hash)}
    for name, content in (("validator.json", {"seed": to_hex(seed)}), ("devnet.json", about)):
        (chain / name).unlink(missing_ok=True)
        write_private(chain / name, json.dumps(content) + "\n")
    (chain / "genesis.json").write_text(genesis.to_json(), encoding="utf-8")


def _params_of(point: Point) -> Any:
    """A devnet's parameters with the prices and the room of the block that is forked."""
    from dataclasses import replace

    base_fee = max(1, point.base_fee)
    return replace(
        DEVNET_PARAMS,
        block_gas_limit=max(point.gas_limit, DEVNET_PARAMS.block_gas_limit),
        initial_base_fee=base_fee,
        base_fee_floor=min(base_fee, DEVNET_PARAMS.base_fee_floor),
    )


def _nonces(accounts: Accounts, point: Point | None) -> list[int]:
    """An account that everybody knows may have sent on the other chain; a nonce must not come again there."""
    if point is None:
        return [0] * len(accounts)
    where = hex(point.block)
    asked = [("eth_getTransactionCount", (to_hex(address), where)) for address, _ in accounts]
    return [int(found, 16) for found in Upstream(point.url).many(asked)]


def _read(chain: Path) -> DevnetChain:
    genesis = read_genesis(chain / "genesis.json")
    damaged = WrongDataFolder(f"validator.json or devnet.json in {chain} is damaged", "start anew with --fresh")
    try:
        seed = from_hex(read_json((chain / "validator.json").read_bytes())["seed"], 32)
        about = read_json((chain / "devnet.json").read_bytes())
        mnemonic, count, balance = str(about["mnemonic"]), int(about["accounts"]), int(about["balance"])
        fork = about.get("fork")
        point = None if fork is None else Point(**fork | {"block_hash": from_hex(fork["block_hash"], 32)})
    except (OSError, DecodingError, KeyError, TypeError, ValueError):
        raise damaged from None
    if ed25519_public(seed) != genesis.validators[0].pub_key:
        raise WrongDataFolder(f"the keys in {chain} do not belong to this chain", "start anew with --fresh")
    return DevnetChain(chain, genesis, seed, mnemonic, derive(mnemonic, count), balance, point)
