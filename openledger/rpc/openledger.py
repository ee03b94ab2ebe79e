"""``openledger_``: datanets, models, sessions, claims, rewards, and native transactions.

Reads take an optional block at the end. Amounts are hex quantities (wei), shares ppm, times Unix seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Any

from openledger.abci_app import queries
from openledger.abci_app.action import (
    Action,
    action_class,
    encode_action,
    intrinsic_gas,
    native_sender,
    typed_data,
)
from openledger.abci_app.governance_views import get_upgrades
from openledger.abci_app.registry import ACTIONS
from openledger.primitives.attribution import row_leaf
from openledger.primitives.errors import InvalidSignature, MalformedAction, NotFound, UnsupportedTransactionType
from openledger.primitives.fields import from_json
from openledger.primitives.hashing import keccak256, merkle_proof
from openledger.primitives.transactions import NATIVE, decode_native, encode_native
from openledger.primitives.types import ZERO_ADDRESS, Address, Hash32, parse_address, to_hex
from openledger.rpc.backend import MIB, Backend
from openledger.rpc.errors import LIMIT_EXCEEDED, RpcError
from openledger.rpc.eth_fees import EthFees
from openledger.rpc.formats import Json, quantity
from openledger.rpc.logs import deadline
from openledger.rpc.params import (
    LATEST,
    AddressArg,
    BlockArg,
    DataArg,
    HashArg,
    NumberArg,
    ObjectArg,
    SignatureArg,
    TextArg,
    parse_number,
    parse_quantity,
)
from openledger.rpc.work import OneAtATime, Workers
from openledger.state.export import export_header, export_page
from openledger.state.snapshot_format import Manifest

MAX_ROW = 4 * MIB
"""Bytes of a row that an answer shows."""


class OpenLedgerReads:
    """What the chain's native state says. Lists that grow with the chain are made where calls are."""

    def __init__(self, backend: Backend, workers: Workers) -> None:
        self._backend = backend
        self._workers = workers
        self._proving = OneAtATime()

    def get_datanet(self, datanet: NumberArg, block: BlockArg = LATEST) -> Any:
        """One datanet."""
        return queries.get_datanet(self._backend.state(block), datanet)

    def list_datanets(self, start: NumberArg = 1, limit: NumberArg = 100, block: BlockArg = LATEST) -> Any:
        """Datanets by id."""
        return queries.list_datanets(self._backend.state(block), start, limit)

    def get_commit(self, datanet: NumberArg, version: NumberArg, block: BlockArg = LATEST) -> Any:
        """One version of a datanet with its parts and contributors."""
        return queries.get_commit(self._backend.state(block), datanet, version)

    async def get_commits(self, datanet: NumberArg, block: BlockArg = LATEST) -> Any:
        """All versions of a datanet, oldest first."""
        return await self._workers.compute_json(queries.get_commits, self._backend.state(block), datanet)

    def get_review(self, datanet: NumberArg, version: NumberArg, block: BlockArg = LATEST) -> Any:
        """The review of a version of a reviewed datanet: rules, status, what its reviewers have said."""
        return queries.get_review(self._backend.state(block), datanet, version)

    def get_promise(self, digest: HashArg, block: BlockArg = LATEST) -> Any:
        """A promise of rows: who sent it, in which block, at which place, and when it expires."""
        return queries.get_promise(self._backend.state(block), digest)

    def get_model(self, model: NumberArg, block: BlockArg = LATEST) -> Any:
        """One model."""
        return queries.get_model(self._backend.state(block), model)

    def list_models(self, start: NumberArg = 1, limit: NumberArg = 100, block: BlockArg = LATEST) -> Any:
        """Models by id."""
        return queries.list_models(self._backend.state(block), start, limit)

    def get_session(self, session: NumberArg, block: BlockArg = LATEST) -> Any:
        """One inference session: deposit, settled, answers, expiry."""
        return queries.get_session(self._backend.state(block), session)

    def get_claim(self, claim: NumberArg, block: BlockArg = LATEST) -> Any:
        """One claim: shares, status, deadline, fee, bond, coins minted."""
        return queries.get_claim(self._backend.state(block), claim)

    async def list_claims(self, start: NumberArg = 1, limit: NumberArg = 100, block: BlockArg = LATEST) -> Any:
        """Claims by id."""
        return await self._workers.compute_json(queries.list_claims, self._backend.state(block), start, limit)

    def get_index_challenge(self, challenge: NumberArg, block: BlockArg = LATEST) -> Any:
        """One challenge of a model's index: model, row, segment, status, outcome, bond."""
        return queries.get_index_challenge(self._backend.state(block), challenge)

    def list_index_challenges(self, start: NumberArg = 1, limit: NumberArg = 100, block: BlockArg = LATEST) -> Any:
        """Challenges of indexes by id."""
        return queries.list_index_challenges(self._backend.state(block), start, limit)

    def get_verdicts(self, claim: NumberArg, block: BlockArg = LATEST) -> Any:
        """For each validator of a claim: power, whether it holds the blobs, verdict, reason."""
        return queries.get_verdicts(self._backend.state(block), claim)

    async def get_settlements(self, model: NumberArg, epoch: NumberArg, block: BlockArg = LATEST) -> Any:
        """What was settled for a model in an epoch."""
        return await self._workers.compute_json(queries.get_settlements, self._backend.state(block), model, epoch)

    def get_rewards(self, address: AddressArg, block: BlockArg = LATEST) -> Any:
        """What an account has earned, taken, and can take."""
        return queries.get_rewards(self._backend.state(block), address)

    async def explain_reward(self, address: AddressArg, block: BlockArg = LATEST) -> Any:
        """What each claim has brought an account: model, epoch, share, fees, coins minted."""
        return await self._workers.compute_json(queries.explain_reward, self._backend.state(block), address)

    def get_validator(self, address: AddressArg, block: BlockArg = LATEST) -> Any:
        """One validator, by operator or consensus address."""
        return queries.get_validator(self._backend.state(block), address, self._backend.header(block).number)

    def list_validators(self, block: BlockArg = LATEST) -> Any:
        """All validators."""
        return queries.list_validators(self._backend.state(block), self._backend.header(block).number)

    def get_delegations(self, address: AddressArg, block: BlockArg = LATEST) -> Any:
        """What an account has delegated, and to whom."""
        return queries.get_delegations(self._backend.state(block), address)

    def list_delegators(
        self, validator: AddressArg, start: AddressArg = ZERO_ADDRESS, limit: NumberArg = 100, block: BlockArg = LATEST
    ) -> Any:
        """Who has stake with a validator, by account from ``start`` on, at most 200; ``next`` starts the next page."""
        return queries.list_delegators(self._backend.state(block), validator, start, limit)

    def get_supply(self, block: BlockArg = LATEST) -> Any:
        """Coins in existence and how they came about."""
        return queries.get_supply(self._backend.state(block))

    def get_params(self, block: BlockArg = LATEST) -> Any:
        """The parameters in force."""
        return queries.get_params(self._backend.state(block))

    def get_epoch(self, block: BlockArg = LATEST) -> Any:
        """The running epoch: number, start, end."""
        return queries.get_epoch(self._backend.state(block))

    async def export_state(self, block: BlockArg = LATEST, cursor: DataArg = b"", limit: NumberArg = 1000) -> Json:
        """A page of a whole state in the form of ``openledger export``: the file's ``header``, ``lines``, and under
        ``next`` the cursor of the next page, null after the last."""
        header = self._backend.header(block)
        store = self._backend.app.store

        def page() -> Json:
            genesis = self._backend.app.genesis
            lines, following = export_page(store.reader(header.number), cursor, min(max(limit, 1), 1000))
            store.reader(header.number)  # raises when the height was pruned meanwhile
            return {
                "header": export_header(header, genesis.chain_id, genesis.evm_chain_id),
                "lines": lines,
                "next": None if following is None else to_hex(following),
            }

        return await asyncio.to_thread(page)

    def get_record(self, module: AddressArg, key: DataArg, block: BlockArg = LATEST) -> str | None:
        """The bytes of a native record, null without one; eth_getProof proves them (slot keccak256(key), value
        keccak256(record))."""
        found = self._backend.state(block).record(module, key)
        return None if found is None else to_hex(found)

    async def get_row_proof(self, datanet: NumberArg, version: NumberArg, row: NumberArg) -> Json:
        """One row of a version, its contributor, and the Merkle proof against the version's root."""
        commit = queries.get_commit(self._backend.state(LATEST), datanet, version)
        async with self._proving:
            return await asyncio.to_thread(self._row_proof, commit, row, deadline(self._backend.settings.call_seconds))

    def _row_proof(self, commit: Json, row: int, look: Callable[[], None]) -> Json:
        leaves: list[Hash32] = []
        found: tuple[Address, bytes] | None = None
        for part in commit["parts"]:
            contributor = parse_address(part["contributor"])
            with self._backend.blobs.open(part["blob"].removeprefix("0x")) as source:
                for line in islice(source, int(part["rows"])):
                    look()
                    text = line.removesuffix(b"\n")
                    if len(leaves) == row:
                        found = contributor, text
                    leaves.append(row_leaf(contributor, text))
        if found is None:
            raise NotFound(f"this version has {len(leaves)} rows, counted from 0")
        contributor, text = found
        if len(text) > MAX_ROW:
            raise RpcError(LIMIT_EXCEEDED, f"this row has {len(text)} bytes, limit {MAX_ROW}: fetch its blob")
        return {
            "row": row,
            "rows": len(leaves),
            "contributor": to_hex(contributor),
            "text": text.decode("utf-8", "replace"),
            "rowHash": to_hex(keccak256(text)),
            "leaf": to_hex(leaves[row]),
            "root": commit["root"],
            "proof": [to_hex(node) for node in merkle_proof(leaves, row)],
        }


class OpenLedgerNode:
    """The node's own facts, and native transactions."""

    def __init__(self, backend: Backend, fees: EthFees) -> None:
        self._backend = backend
        self._fees = fees

    async def get_node_status(self) -> Json:
        """This node: mode, height, peers, oracle, versions."""
        status, head = await self._backend.consensus.status(), self._backend.head()
        vitals = self._backend.vitals
        more = {} if vitals is None else await vitals.facts()
        return (
            self._backend.status()
            | more
            | {
                "clientVersion": self._backend.client_version,
                "chainId": quantity(self._backend.chain_id),
                "height": quantity(head.number),
                "headHash": to_hex(head.hash),
                "headTime": head.timestamp,
                "mode": status.mode,
                "catchingUp": status.catching_up,
                "peers": status.peers,
                "validator": status.validator,
                "waiting": len(self._backend.pending()),
                "upgrade": get_upgrades(self._backend.state(LATEST))["plan"],
            }
        )

    def list_snapshots(self) -> list[Json]:
        """The snapshots from which others may join here, the newest first. ``size`` in bytes before compression."""
        return [
            {
                "height": s.height,
                "format": s.format,
                "chunks": s.chunks,
                "hash": to_hex(s.hash),
                "size": Manifest.decode(s.metadata).size,
            }
            for s in self._backend.app.list_snapshots().snapshots
        ]

    def list_kinds(self) -> list[str]:
        """Kinds of native transactions that this chain knows."""
        return [cls.KIND for cls in ACTIONS]

    def get_transaction_error(self, tx_hash: HashArg) -> str | None:
        """Why a transaction in a block failed; empty for one that did not; null for an unknown one."""
        place = self._backend.app.store.transaction(tx_hash)
        block = None if place is None else self._backend.app.store.block(place[0])
        return None if place is None or block is None else block.receipts[place[1]].error

    async def send_transaction(self, raw: DataArg) -> str:
        """Send the raw bytes of a native transaction; its hash."""
        if raw[:1] != bytes([NATIVE]):
            raise UnsupportedTransactionType(
                "this is no native transaction", "eth_sendRawTransaction takes Ethereum transactions"
            )
        return to_hex(await self._backend.consensus.submit(raw))

    def build_transaction(
        self, kind: TextArg, fields: ObjectArg, options: ObjectArg | None = None, signature: SignatureArg | None = None
    ) -> Json:
        """Typed data for ``eth_signTypedData_v4``; with a ``signature`` over it also the raw bytes and their hash.

        ``options``: from (needed unless ``nonce`` is given), nonce, gas, maxFeePerGas, maxPriorityFeePerGas. What is
        missing is filled in and given back under ``options``: send these again together with the signature.
        """
        action = from_json(action_class(kind), fields)
        action.check()
        given = options or {}
        sender = None if given.get("from") is None else parse_address(given["from"])
        nonce, tip, cap, gas = self._envelope(action, given, sender)
        chain_id = self._backend.chain_id
        found: Json = {
            "typedData": typed_data(chain_id, nonce, tip, cap, gas, action),
            "options": {
                "from": None if sender is None else to_hex(sender),
                "nonce": quantity(nonce),
                "gas": quantity(gas),
                "maxFeePerGas": quantity(cap),
                "maxPriorityFeePerGas": quantity(tip),
            },
        }
        if signature is None:
            return found
        raw = encode_native(chain_id, nonce, tip, cap, gas, kind, encode_action(action), signature)
        signer = native_sender(decode_native(raw))
        if sender is not None and signer != sender:
            raise InvalidSignature(
                f"the signature is of {to_hex(signer)}, not of {to_hex(sender)}",
                "sign exactly the typed data that this method gave, and send the same options again",
            )
        return found | {"raw": to_hex(raw), "hash": to_hex(keccak256(raw)), "from": to_hex(signer)}

    def _envelope(self, action: Action, given: Json, sender: Address | None) -> tuple[int, int, int, int]:
        """nonce, priority fee, fee cap (wei per gas), gas."""
        try:
            tip = _option(given, "maxPriorityFeePerGas")
            cap, gas, nonce = _option(given, "maxFeePerGas"), _option(given, "gas"), _option(given, "nonce")
        except ValueError as err:
            raise MalformedAction(f"options: {err}") from None
        if nonce is None:
            if sender is None:
                raise MalformedAction("options lack 'from' (or 'nonce')", "give the account that will sign")
            nonce = self._backend.pool.pending_nonce(sender)
        if tip is None:
            tip = parse_quantity(self._fees.max_priority_fee_per_gas())
        if cap is None:
            cap = tip + 2 * self._backend.next_base_fee(self._backend.head())
        return nonce, tip, cap, intrinsic_gas(action) if gas is None else gas


def _option(given: Json, name: str) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    return parse_quantity(value) if isinstance(value, str) else parse_number(value)
