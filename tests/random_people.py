"""A chain, and people who do all kinds of things on it at random: with accounts, through contracts and the Outbox, and
with accounts that run a contract's code. Which things: ``random_deeds``."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

from escrows import escrows
from eth_account import Account
from harness import ACCOUNTS, Harness, ScriptedOracle
from random_deeds import MAKERS, scores
from random_mempools import KEYS, submit_call

from openledger.abci_app.action import Action, build_native
from openledger.abci_app.due import is_due
from openledger.abci_app.modules.attribution.index_challenges import must_ballot
from openledger.abci_app.modules.attribution.records import CLAIMS, REVEAL, Claim
from openledger.abci_app.modules.governance.records import params
from openledger.abci_app.native import ACTION_FAILED
from openledger.abci_app.protocol import messages as abci
from openledger.abci_app.registry import PRECOMPILES
from openledger.evm.addresses import create_address
from openledger.evm.engines import load_engine, native_available
from openledger.genesis.genesis import Genesis
from openledger.node.oracle_seeds import Seeds
from openledger.primitives.amounts import GWEI, OPEN
from openledger.primitives.keys import consensus_address, ed25519_public
from openledger.primitives.types import (
    DATANETS_ADDRESS,
    DEPOSITS_ADDRESS,
    OUTBOX_ADDRESS,
    Address,
)
from openledger.state import layout

FORWARD = bytes.fromhex("365f5f375f5f365f5f6109005af100")
"""Code that hands its call data on to the Outbox, and keeps what value it gets."""
ENDS = bytes.fromhex("ff")
FAST = {"unbonding_seconds": 12, "challenge_seconds": 8, "epoch_seconds": 5, "gov_voting_seconds": 6, "jail_seconds": 3,
        "gov_deposit_seconds": 9, "review_seconds": 9, "appeal_seconds": 9, "hold_seconds": 10, "vote_seconds": 10,
        "reveal_seconds": 10, "signed_window": 10, "verdict_window": 10, "min_verdicts": 500_000, "promise_seconds": 10,
        "min_delegation": OPEN // 1_000, "claim_bond": OPEN, "challenge_bond": OPEN}  # fmt: skip


class Scores(dict[int, list[int]]):
    """The scores behind any claim: those of its rows."""

    def __init__(self, chain: World) -> None:
        super().__init__()
        self.chain = chain

    def __missing__(self, number: int) -> list[int]:
        found = must_ballot(self.chain.state, number)
        return scores(found.rows if isinstance(found, Claim) else 1)


class World(Harness):
    """A chain, and what people do on it. ``done`` counts kinds of actions that were done, by the way they came; ``gas``
    is what they have paid for it, in wei."""

    actors = 10
    """So many of the accounts act; the last ones operate validators."""
    makers = MAKERS
    oracle: type[ScriptedOracle] = ScriptedOracle

    def __init__(self, seed: int, powers: tuple[int, ...] = (40, 30, 20, 10), **given: int) -> None:
        self.draw, self.gas = random.Random(seed), 0
        engine = load_engine("revm" if native_available() else "py-evm", precompiles=dict(PRECOMPILES))
        super().__init__(powers=powers, engine=engine, **(FAST | given))
        self.done: Counter[tuple[str, str]] = Counter()
        self.events: Counter[bytes] = Counter()
        self.nonces: dict[Address, int] = {}
        self.salts: dict[bytes, tuple[Address, bytes]] = {}
        self.minted = self.burned = 0
        self.contracts: list[Address] = []
        for key in KEYS:
            self.seed_of[consensus_address(ed25519_public(key))] = key
        self.oracles = []
        self._give_oracles(self.addresses)

    def _give_oracles(self, addresses: Iterable[Address]) -> None:
        for address in addresses:
            self.oracles.append(self.oracle(address))
            self.oracles[-1].scores = Scores(self)

    # --- what must hold -----------------------------------------------------------------------------------

    def check_supply(self) -> None:
        """After each block."""
        entries = self.app.store.reader().entries(layout.ACCOUNT)
        total = sum(layout.decode_account(raw).balance for _, raw in entries)
        coins, now = self.query("get_supply"), params(self.state)
        assert total == int(coins["total"], 16)
        for account, wei in escrows(self.state).items():
            assert self.balance(account) == wei, account.hex()
        minted, burned = int(coins["minted"], 16), int(coins["burned"], 16)
        assert self.minted <= minted <= now.reserve
        assert self.burned <= burned
        assert int(coins["genesis"], 16) + minted <= now.cap
        self.minted, self.burned = minted, burned

    # --- sending ------------------------------------------------------------------------------------------

    def nonce(self, address: Address) -> int:
        if address not in self.nonces:
            account = self.state.account(address)
            self.nonces[address] = account.nonce if account else 0
        self.nonces[address] += 1
        return self.nonces[address] - 1

    def send(self, me: Address, action: Action) -> tuple[bytes, str, str]:
        """An action of somebody: as a native transaction, or by a way through the Outbox; kind and way."""
        sender = self.draw.randrange(self.actors) if me not in self.people() else self.people().index(me)
        address, secret = ACCOUNTS[sender]
        how, data = self.draw.random(), submit_call(action)
        gas = 400_000 + 100 * len(data)
        if me != address or (me in self.contracts and how < 0.3):
            return self.transfer(sender, me, 0, data=data, gas=gas), action.KIND, "contract"
        if how < 0.85:
            raw = build_native(
                secret, chain_id=self.genesis.evm_chain_id, action=action, nonce=self.nonce(address),
                max_fee=5 * GWEI, max_priority_fee=self.draw.choice((0, 1, GWEI)),
            )  # fmt: skip
            return raw, action.KIND, "native"
        if how < 0.97:
            return self.transfer(sender, OUTBOX_ADDRESS, 0, data=data, gas=gas), action.KIND, "account"
        return (
            self.transfer(sender, None, self.draw.choice((0, 9)), data=self._brief(data), gas=gas),
            action.KIND,
            "brief",
        )  # type: ignore[arg-type]

    def _brief(self, data: bytes) -> bytes:
        """A contract that submits an action while it is created, and destroys itself with or without its value."""
        heir = self.draw.choice((b"\x30", b"\x73" + ACCOUNTS[0][0]))
        head = (
            b"\x61" + len(data).to_bytes(2, "big") + b"\x80\x61\x00\x00\x5f\x39\x5f\x5f\x82\x5f\x5f\x61\x09\x00\x5a\xf1"
        )
        code = head + heir + ENDS
        return code.replace(b"\x61\x00\x00\x5f\x39", b"\x61" + len(code).to_bytes(2, "big") + b"\x5f\x39") + data

    def people(self) -> list[Address]:
        return [address for address, _ in ACCOUNTS[: self.actors]]

    def go_on(self, genesis: Genesis) -> None:
        """A new chain, with the validators of this one."""
        self.genesis, self.commit, self.misbehavior = genesis, abci.ExtendedCommitInfo(), ()
        for oracle in self.oracles:  # secrets belong to a chain id
            oracle.seeds = Seeds(b"new")
        self.restart()
        self.set_now = {validator.address: validator.power for validator in genesis.validators}
        self.set_next = dict(self.set_now)

    def upset(self) -> None:
        """What validators do: they change their minds, are away, sign twice."""
        draw = self.draw
        for oracle in self.oracles:
            if draw.random() < 0.03:
                oracle.mode = draw.choices(("yes", "no", "silent", "blind"), (8, 3, 1, 1))[0]
        if draw.random() < 0.15:
            mode = draw.choice(("yes", "yes", "no"))
            for oracle in self.oracles:
                oracle.mode = mode
        if draw.random() < 0.05:
            self.absent = {a for a in sorted(self.set_now) if draw.random() < 0.2}
        if draw.random() < 0.004:
            self.prove_double_sign(draw.choice(sorted(self.set_now)), self.app.head().number)

    def step(self) -> None:
        """A block of some of all this."""
        self.upset()
        draw, sent, self.nonces = self.draw, [], {}
        for _ in range(draw.choice((1, 4, 8, 12))):
            make = draw.choice(self.makers)
            for me in draw.sample([*self.people(), self.contracts[0]], self.actors + 1):
                action = make(self, me)
                if action is not None:
                    sent.append(self.send(me, action))
                    break
        told = {raw: (kind, way) for raw, kind, way in sent}
        seconds = draw.choice((0, 1, 1, 3))
        txs = self.propose(seconds, [raw for raw, _, _ in sent])
        response = self.finalize(txs, seconds)
        sealed = self.app.store.block(self.app.head().number)
        assert sealed is not None
        by_raw = dict(zip(sealed.transactions, sealed.receipts, strict=True))
        for receipt in sealed.receipts:
            self.events.update(log.topics[0] for log in receipt.logs)
        for raw, result in zip(txs, response.tx_results, strict=True):
            if raw in told:
                receipt = by_raw[raw]
                self.gas += receipt.gas_used * receipt.effective_gas_price
                failed = any(log.topics[0] == ACTION_FAILED.topic for log in receipt.logs)
                self.done[told[raw]] += result.code == 0 and not failed
        self._give_oracles(sorted(set(self.set_next) - {o.address for o in self.oracles}))

    def rest(self) -> None:
        """Nobody does anything any more: all that was begun comes to its end, and what is left is theirs to take."""
        for _ in range(60):
            self.finalize(self.propose(100, []), 100)
        assert not is_due(self.state, 2**40)
        assert escrows(self.state)[DATANETS_ADDRESS] == escrows(self.state)[DEPOSITS_ADDRESS] == 0
        assert not [claim for _, claim in CLAIMS.items(self.state) if claim.status <= REVEAL or claim.vests]

    def begin(self) -> None:
        """Two contracts with money, an account that runs one's code, and something to work with."""
        first = self.nonce(ACCOUNTS[0][0])
        init = b"\x60" + bytes([len(FORWARD)]) + b"\x80\x60\x09\x3d\x39\x3d\xf3" + FORWARD
        create = self.transfer(0, None, 0, data=init, gas=200_000, nonce=first)  # type: ignore[arg-type]
        self.contracts = [create_address(ACCOUNTS[0][0], first)]
        key, chain_id = Account.from_key(ACCOUNTS[3][1]), self.genesis.evm_chain_id
        wish = key.sign_authorization({"chainId": chain_id, "address": self.contracts[0], "nonce": 1})
        signed = key.sign_transaction({
            "type": 4, "chainId": chain_id, "nonce": 0, "to": self.contracts[0], "value": 2_000 * OPEN, "gas": 200_000,
            "maxFeePerGas": 5 * GWEI, "maxPriorityFeePerGas": 0, "data": b"", "authorizationList": [wish],
        })  # fmt: skip
        for raw in (create, bytes(signed.raw_transaction)):
            response = self.finalize(self.propose(1, [raw]), 1)
            assert response.tx_results[-1].code == 0
        self.contracts.append(ACCOUNTS[3][0])
