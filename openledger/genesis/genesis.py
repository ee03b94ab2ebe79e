"""The genesis file: CometBFT's ``genesis.json`` with our ``app_state`` inside.

Amounts are decimal text, bytes 0x-hex. ``Genesis.from_json`` refuses anything malformed by name; ``digest`` names the
chain, so that a data folder is never opened with another chain's genesis.
"""

from __future__ import annotations

import base64
import calendar
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from openledger.genesis.params import Params
from openledger.primitives.amounts import PPM
from openledger.primitives.errors import InvalidGenesis, InvalidJson, OpenLedgerError
from openledger.primitives.fields import from_json, is_unicode, to_json
from openledger.primitives.hashing import keccak256
from openledger.primitives.jsonio import read_json
from openledger.primitives.keys import consensus_address
from openledger.primitives.types import Address, from_hex, parse_address, to_checksum, to_hex

MAX_CHAIN_ID_LENGTH = 50

COMMISSION, MAX_COMMISSION, MAX_CHANGE = 100_000, 200_000, 10_000
"""What a validator asks for that says nothing about it, in ppm: 10 %, never above 20 %, 1 % more a day at most."""


@dataclass(frozen=True)
class GenesisAccount:
    """An account that exists from block 0. Balance in wei; storage by slot number."""

    balance: int = 0
    nonce: int = 0
    code: bytes = b""
    storage: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class GenesisValidator:
    """A validator: ed25519 public key (32 bytes), voting power, the account that earns for it, and a name.

    Its stake is ``power`` x ``power_unit`` wei. ``delegations`` are the parts of it that are not the operator's:
    (account, wei), by account. Commission as in ``validator.create``, in ppm.
    """

    pub_key: bytes
    power: int
    operator: Address
    name: str = ""
    commission: int = COMMISSION
    max_commission: int = MAX_COMMISSION
    max_change: int = MAX_CHANGE
    delegations: tuple[tuple[Address, int], ...] = ()

    @property
    def address(self) -> Address:
        """The consensus address (20 bytes)."""
        return consensus_address(self.pub_key)

    @property
    def asks(self) -> dict[str, int]:
        """Commission and its bounds, as far as they are others than usual."""
        found = {"commission": self.commission, "max_commission": self.max_commission, "max_change": self.max_change}
        usual = {"commission": COMMISSION, "max_commission": MAX_COMMISSION, "max_change": MAX_CHANGE}
        return {name: ppm for name, ppm in found.items() if ppm != usual[name]}

    def own(self, params: Params) -> int:
        """Wei of its stake that are the operator's."""
        return self.power * params.power_unit - sum(wei for _, wei in self.delegations)

    def validate(self, params: Params) -> None:
        """Raise InvalidGenesis with the first thing that is wrong."""
        name = self.name or self.pub_key.hex()[:12]
        if len(self.pub_key) != 32 or self.power < 1 or len(self.operator) != 20:
            raise InvalidGenesis(f"validator {name} is malformed")
        if not 0 <= self.commission <= self.max_commission <= PPM or not 0 <= self.max_change <= self.max_commission:
            raise InvalidGenesis(
                f"validator {name}: commission and its largest change are at most max_commission, at most 100 %"
            )
        if len({account for account, _ in self.delegations}) != len(self.delegations):
            raise InvalidGenesis(f"validator {name}: an account is among its delegations twice")
        for account, wei in self.delegations:
            if len(account) != 20 or account == self.operator:
                raise InvalidGenesis(f"validator {name}: a delegation is another account's than the operator's")
            if wei < params.min_delegation:
                raise InvalidGenesis(f"validator {name}: a delegation has min_delegation ({params.min_delegation}) wei")
        if self.delegations and self.own(params) < params.min_self_bond:
            raise InvalidGenesis(
                f"validator {name}: its delegations leave {self.own(params)} wei of its stake to the operator",
                f"it keeps min_self_bond ({params.min_self_bond}) at least; a larger power is a larger stake",
            )


@dataclass(frozen=True)
class Genesis:
    """Everything that block 0 is made of. ``time_ns`` is nanoseconds since 1970.

    ``records`` (module to key to record) is empty for a chain that begins anew. Where it is not, block 0 is exactly
    these accounts and records, an earlier chain's whole state: nothing is added, so the state root stays what it was.

    ``solo`` marks a devnet of one validator, made by the solo engine alone: its users may edit state and send in
    others' names. No network's node runs such a chain, and nothing but genesis can say it.
    """

    chain_id: str
    evm_chain_id: int
    time_ns: int
    validators: tuple[GenesisValidator, ...]
    accounts: dict[Address, GenesisAccount] = field(default_factory=dict)
    params: Params = field(default_factory=Params)
    initial_height: int = 1
    vote_extensions_enable_height: int = 1
    records: dict[Address, dict[bytes, bytes]] = field(default_factory=dict)
    solo: bool = False

    @property
    def supply(self) -> int:
        """Wei in existence at block 0. Stakes stand beside the balances, unless the balances are a whole state's."""
        return sum(a.balance for a in self.accounts.values()) + (0 if self.records else self.staked)

    @property
    def staked(self) -> int:
        """Wei that the validators' powers stand for."""
        return sum(v.power for v in self.validators) * self.params.power_unit

    @property
    def digest(self) -> bytes:
        """keccak256 over the canonical form; names this chain."""
        return keccak256(json.dumps(self.document(), sort_keys=True, separators=(",", ":")).encode())

    def validate(self) -> None:
        """Raise InvalidGenesis with the first thing that is wrong."""
        if not 0 < len(self.chain_id) <= MAX_CHAIN_ID_LENGTH:
            raise InvalidGenesis(f"chain_id must have 1 to {MAX_CHAIN_ID_LENGTH} characters")
        if not 0 < self.evm_chain_id < 2**53:
            raise InvalidGenesis("evm_chain_id must be a positive integer below 2^53")
        if not 0 <= self.time_ns < 2**63:
            raise InvalidGenesis("genesis_time must lie between 1970 and 2262")
        if not self.validators:
            raise InvalidGenesis("a chain needs at least one validator")
        if len({v.pub_key for v in self.validators}) != len(self.validators):
            raise InvalidGenesis("two validators have the same public key")
        if len({v.operator for v in self.validators}) != len(self.validators):
            raise InvalidGenesis("two validators have the same operator")
        if len(self.validators) > self.params.max_validators:
            raise InvalidGenesis(f"there are more validators than max_validators ({self.params.max_validators})")
        self._validate_stakes()
        if self.initial_height < 1 or (self.initial_height != 1 and not self.solo):
            raise InvalidGenesis("initial_height must be 1 (a forked devnet's lies behind the block it begins with)")
        if not 1 <= self.vote_extensions_enable_height < 2**63:
            raise InvalidGenesis("vote_extensions_enable_height must be at least 1")
        for address, account in self.accounts.items():
            if len(address) != 20 or not 0 <= account.balance < 2**256 or not 0 <= account.nonce < 2**64:
                raise InvalidGenesis(f"account {to_hex(address)} is malformed")
            if any(not 0 <= slot < 2**256 or not 0 <= value < 2**256 for slot, value in account.storage):
                raise InvalidGenesis(f"the storage of account {to_hex(address)} is malformed")
        if self.solo and len(self.validators) != 1:
            raise InvalidGenesis("a solo devnet has one validator")
        if not self.records.keys() <= self.accounts.keys():
            raise InvalidGenesis("there are records of a module without an account")
        self.params.validate()
        if not self.records and self.supply + self.params.reserve > self.params.cap:
            raise InvalidGenesis("genesis balances, stakes and the reserve together exceed the cap")

    def _validate_stakes(self) -> None:
        for validator in self.validators:
            validator.validate(self.params)
        if self.records and any(v.asks or v.delegations for v in self.validators):
            raise InvalidGenesis("what validators ask for, and who has stake with them, stands in the records already")
        staked = [account for v in self.validators for account, _ in v.delegations]
        own = [v.operator for v in self.validators]
        for account, count in Counter(staked).items():
            if count + (account in own) > self.params.max_delegations:
                raise InvalidGenesis(
                    f"{to_checksum(account)} has stake with more validators than max_delegations "
                    f"({self.params.max_delegations})"
                )

    # --- JSON ---------------------------------------------------------------------------------------------

    def app_state(self) -> dict[str, Any]:
        """Our part of the document."""
        accounts = {}
        for address, account in sorted(self.accounts.items()):
            entry: dict[str, Any] = {"balance": str(account.balance)}
            if account.nonce:
                entry["nonce"] = account.nonce
            if account.code:
                entry["code"] = to_hex(account.code)
            if account.storage:
                entry["storage"] = {hex(s): hex(v) for s, v in account.storage}
            accounts[to_checksum(address)] = entry
        records = {
            to_checksum(module): {to_hex(key): to_hex(record) for key, record in sorted(found.items())}
            for module, found in sorted(self.records.items())
        }
        found: dict[str, Any] = {
            "evm_chain_id": self.evm_chain_id,
            "params": to_json(self.params, camel=False),
            "validators": [_validator_entry(v) for v in self.validators],
            "accounts": accounts,
        }
        return found | ({"records": records} if records else {}) | ({"solo": True} if self.solo else {})

    def app_state_bytes(self) -> bytes:
        """``app_state`` as InitChain carries it."""
        return json.dumps(self.app_state(), separators=(",", ":")).encode()

    def document(self) -> dict[str, Any]:
        """The whole of CometBFT's genesis document."""
        seconds, nanos = divmod(self.time_ns, 10**9)
        stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{nanos:09d}Z"
        return {
            "genesis_time": stamp,
            "chain_id": self.chain_id,
            "initial_height": str(self.initial_height),
            "consensus_params": {
                "block": {"max_bytes": str(self.params.max_block_bytes), "max_gas": "-1"},
                "evidence": {
                    "max_age_num_blocks": "100000",
                    "max_age_duration": str(48 * 3600 * 10**9),
                    "max_bytes": "65536",
                },
                "validator": {"pub_key_types": ["ed25519"]},
                "version": {"app": "1"},
                "abci": {"vote_extensions_enable_height": str(self.vote_extensions_enable_height)},
            },
            "validators": [
                {
                    "address": v.address.hex().upper(),
                    "pub_key": {"type": "tendermint/PubKeyEd25519", "value": base64.b64encode(v.pub_key).decode()},
                    "power": str(v.power),
                    "name": v.name,
                }
                for v in self.validators
            ],
            "app_hash": "",
            "app_state": self.app_state(),
        }

    def to_json(self) -> str:
        """Text of ``genesis.json``."""
        return json.dumps(self.document(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Genesis:
        """Read ``genesis.json``. Raises InvalidGenesis naming what is wrong."""
        try:
            doc = read_json(text)
        except InvalidJson as err:
            raise InvalidGenesis(f"the genesis file is {err}") from None
        try:
            abci = doc["consensus_params"]["abci"]
            genesis = _read(
                doc["app_state"],
                chain_id=_text(doc["chain_id"]),
                time_ns=_time(doc["genesis_time"]),
                initial_height=_whole(doc["initial_height"]),
                extensions=_whole(abci["vote_extensions_enable_height"]),
            )
            voting = {base64.b64decode(v["pub_key"]["value"]): _whole(v["power"]) for v in doc["validators"]}
        except KeyError as err:
            raise InvalidGenesis(f"the genesis file lacks {err}") from None
        except (TypeError, ValueError, AttributeError) as err:
            raise InvalidGenesis(f"the genesis file is malformed: {err}") from None
        except OpenLedgerError as err:
            raise InvalidGenesis(f"genesis file: {err}", err.hint) from None
        genesis.check_voters(voting)
        return genesis

    def check_voters(self, voting: Mapping[bytes, int]) -> None:
        """Raise InvalidGenesis unless the consensus engine's validators (public key to power) are the application's."""
        if dict(voting) != {v.pub_key: v.power for v in self.validators}:
            raise InvalidGenesis(
                "the validators of the genesis file are not those of its app_state",
                "votes and rewards would be counted for others than those who make blocks",
            )

    @classmethod
    def from_init_chain(
        cls, chain_id: str, time_ns: int, initial_height: int, app_state: bytes, extensions: int
    ) -> Genesis:
        """The genesis that InitChain describes (the consensus engine hands on ``app_state`` as it is)."""
        try:
            return _read(read_json(app_state), chain_id, time_ns, initial_height, extensions)
        except (KeyError, TypeError, ValueError, AttributeError, InvalidJson) as err:
            raise InvalidGenesis(f"app_state is malformed: {type(err).__name__} {err}") from None


def _text(value: object) -> str:
    if not isinstance(value, str) or not is_unicode(value):
        raise TypeError(f"expected text, got {value!a}")
    return value


def _whole(value: object) -> int:
    """A JSON integer or its decimal or 0x-hex text; int() alone would also take 1.5 and true."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"expected a whole number, got {value!a}")
    return int(value, 0) if isinstance(value, str) else value


def _known(entry: object, *names: str) -> None:
    """Refuse what this node would silently leave out, such as a misspelt balance."""
    strange = set(entry) - set(names) if isinstance(entry, dict) else ()
    if strange:
        raise ValueError(f"unknown field {min(strange)!a}; known: {', '.join(names)}")


def _time(value: str) -> int:
    """Nanoseconds of an RFC 3339 time in UTC."""
    head, _, fraction = _text(value).removesuffix("Z").partition(".")
    moment = datetime.strptime(head, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    return calendar.timegm(moment.timetuple()) * 10**9 + int((fraction or "0").ljust(9, "0")[:9])


def _account(entry: dict[str, Any]) -> GenesisAccount:
    _known(entry, "balance", "nonce", "code", "storage")
    storage = entry.get("storage", {})
    return GenesisAccount(
        balance=_whole(entry.get("balance", 0)),
        nonce=_whole(entry.get("nonce", 0)),
        code=from_hex(entry["code"]) if "code" in entry else b"",
        storage=tuple(sorted((_whole(s), _whole(v)) for s, v in storage.items())),
    )


def _validator_entry(v: GenesisValidator) -> dict[str, Any]:
    found = {"pub_key": to_hex(v.pub_key), "operator": to_checksum(v.operator), "name": v.name, "power": v.power}
    parts = {to_checksum(account): str(wei) for account, wei in v.delegations}
    return found | v.asks | ({"delegations": parts} if parts else {})


def _validator(entry: dict[str, Any]) -> GenesisValidator:
    _known(
        entry, "pub_key", "power", "operator", "name", "commission", "max_commission", "max_change", "delegations"
    )  # fmt: skip
    parts = [(parse_address(account), _whole(wei)) for account, wei in entry.get("delegations", {}).items()]
    return GenesisValidator(
        from_hex(entry["pub_key"], 32),
        _whole(entry["power"]),
        parse_address(entry["operator"]),
        _text(entry.get("name", "")),
        _whole(entry.get("commission", COMMISSION)),
        _whole(entry.get("max_commission", MAX_COMMISSION)),
        _whole(entry.get("max_change", MAX_CHANGE)),
        tuple(sorted(parts)),
    )


def _read(app: dict[str, Any], chain_id: str, time_ns: int, initial_height: int, extensions: int) -> Genesis:
    _known(app, "evm_chain_id", "params", "validators", "accounts", "records", "solo")
    if app.get("solo", True) is not True:
        raise ValueError("solo is true or left out")
    validators = tuple(_validator(v) for v in app["validators"])
    genesis = Genesis(
        chain_id=chain_id,
        evm_chain_id=_whole(app["evm_chain_id"]),
        time_ns=time_ns,
        validators=validators,
        accounts={parse_address(a): _account(e) for a, e in app["accounts"].items()},
        params=from_json(Params, cast(dict[str, Any], app["params"])),
        initial_height=initial_height,
        vote_extensions_enable_height=extensions,
        records={
            parse_address(module): {from_hex(key): from_hex(record) for key, record in found.items()}
            for module, found in app.get("records", {}).items()
        },
        solo="solo" in app,
    )
    genesis.validate()
    return genesis
