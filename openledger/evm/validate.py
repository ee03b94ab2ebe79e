"""The one judgement of Ethereum transactions, made before every engine (design.md, section 3).

Error texts begin with the phrases of geth, because wallets and libraries parse them. Sources: go-ethereum's
``core/error.go`` for the phrases; EIP-155, 1559, 2028, 2681, 2930, 3607, 3860, 7623, 7702 for the rules.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from openledger.evm.engine import BlockEnv, CallMessage
from openledger.primitives.amounts import shortfall
from openledger.primitives.errors import (
    EmptyAuthorizationList,
    FeeCapTooLow,
    GasLimitExceeded,
    InitCodeTooLarge,
    InsufficientFunds,
    IntrinsicGasTooLow,
    InvalidRlp,
    InvalidSignature,
    NonceOverflow,
    NonceTooHigh,
    NonceTooLow,
    SenderNotEOA,
    TipAboveFeeCap,
    UnsupportedTransactionType,
    WrongChainId,
)
from openledger.primitives.hashing import KECCAK_EMPTY
from openledger.primitives.keys import SECP256K1_HALF_N
from openledger.primitives.transactions import ACCESS_LIST, DYNAMIC_FEE, LEGACY, SET_CODE, Authorization, EthTransaction
from openledger.primitives.types import AccessTuple, Account, Address, Hash32, to_checksum

GAS_TRANSACTION = 21_000
GAS_CREATE = 32_000
GAS_ZERO_BYTE = 4
GAS_BYTE = 16
GAS_INITCODE_WORD = 2
GAS_ACCESS_ADDRESS = 2_400
GAS_ACCESS_KEY = 1_900
GAS_AUTHORIZATION = 25_000
FLOOR_GAS_PER_TOKEN = 10
TOKENS_PER_BYTE = 4
MAX_INITCODE_BYTES = 49_152
MAX_NONCE = (1 << 64) - 1
DELEGATION_PREFIX = b"\xef\x01\x00"


class Fork(Enum):
    """Rule sets that the engines know. The chain runs Prague; Cancun is there for the official tests."""

    CANCUN = "Cancun"
    PRAGUE = "Prague"


class AccountReader(Protocol):
    """The part of a state that validation reads."""

    def account(self, address: Address) -> Account | None: ...

    def code(self, code_hash: Hash32) -> bytes: ...


class BlockFacts(Protocol):
    """The part of ``BlockEnv`` that validation reads."""

    @property
    def chain_id(self) -> int: ...
    @property
    def gas_limit(self) -> int: ...
    @property
    def base_fee(self) -> int: ...


class Payer(Protocol):
    """The part of a transaction, of either envelope, that says who pays what."""

    @property
    def sender(self) -> Address: ...
    @property
    def nonce(self) -> int: ...
    @property
    def gas(self) -> int: ...
    @property
    def max_fee(self) -> int: ...
    @property
    def value(self) -> int: ...
    @property
    def impersonated(self) -> bool: ...


def is_delegation(code: bytes) -> bool:
    """True for the code of an account that delegates to another (EIP-7702)."""
    return len(code) == 23 and code[:3] == DELEGATION_PREFIX


def intrinsic_gas(
    data: bytes,
    *,
    create: bool,
    access_list: tuple[AccessTuple, ...] = (),
    authorizations: tuple[Authorization, ...] = (),
) -> int:
    """Gas that is used before the first opcode runs, initcode words included (EIP-2028, 2930, 3860, 7702)."""
    zeros = data.count(0)
    gas = GAS_TRANSACTION + zeros * GAS_ZERO_BYTE + (len(data) - zeros) * GAS_BYTE
    if create:
        gas += GAS_CREATE + GAS_INITCODE_WORD * ((len(data) + 31) // 32)
    for entry in access_list:
        gas += GAS_ACCESS_ADDRESS + GAS_ACCESS_KEY * len(entry.storage_keys)
    return gas + GAS_AUTHORIZATION * len(authorizations)


def floor_gas(data: bytes) -> int:
    """The least gas that a transaction with this data uses (EIP-7623)."""
    zeros = data.count(0)
    return GAS_TRANSACTION + FLOOR_GAS_PER_TOKEN * (zeros + (len(data) - zeros) * TOKENS_PER_BYTE)


def check_form(tx: EthTransaction, chain_id: int, block_gas_limit: int, fork: Fork = Fork.PRAGUE) -> None:
    """What can be judged without state. Raises a leaf of InvalidTransaction."""
    allowed = (LEGACY, ACCESS_LIST, DYNAMIC_FEE) + ((SET_CODE,) if fork is Fork.PRAGUE else ())
    if tx.type not in allowed:
        raise UnsupportedTransactionType(f"transaction type not supported: {tx.type:#04x}")
    if tx.chain_id != chain_id:
        raise WrongChainId(
            f"invalid chain id for signer: have {tx.chain_id} want {chain_id}", "check the network in your wallet"
        )
    if tx.s > SECP256K1_HALF_N:
        raise InvalidSignature("invalid transaction v, r, s values: s is in the upper half (EIP-2)")
    if tx.type == SET_CODE and tx.to is None:
        raise InvalidRlp("EIP-7702 transaction cannot be used to create contract")
    if tx.type == SET_CODE and not tx.authorizations:
        raise EmptyAuthorizationList("EIP-7702 transaction with empty auth list")
    _check_nonce(tx)
    if tx.gas * tx.max_fee >= 1 << 256:
        raise InsufficientFunds("insufficient funds for gas * price + value: gas limit times price exceeds 256 bits")
    if tx.max_priority_fee > tx.max_fee:
        raise TipAboveFeeCap(
            f"max priority fee per gas higher than max fee per gas: address {to_checksum(tx.sender)}, "
            f"maxPriorityFeePerGas: {tx.max_priority_fee}, maxFeePerGas: {tx.max_fee}"
        )
    if tx.to is None and len(tx.data) > MAX_INITCODE_BYTES:
        raise InitCodeTooLarge(f"max initcode size exceeded: code size {len(tx.data)} limit {MAX_INITCODE_BYTES}")
    if tx.gas > block_gas_limit:
        raise GasLimitExceeded(f"exceeds block gas limit: have {tx.gas}, limit {block_gas_limit}")
    _check_gas(tx, fork)


def _check_gas(tx: EthTransaction, fork: Fork) -> None:
    needed = intrinsic_gas(tx.data, create=tx.to is None, access_list=tx.access_list, authorizations=tx.authorizations)
    if tx.gas < needed:
        raise IntrinsicGasTooLow(f"intrinsic gas too low: have {tx.gas}, want {needed}")
    if fork is Fork.PRAGUE and tx.gas < (floor := floor_gas(tx.data)):
        raise IntrinsicGasTooLow(f"insufficient gas for floor data gas cost: have {tx.gas}, want {floor}")


def check_sender(tx: Payer, state: AccountReader, *, allow_nonce_gap: bool = False) -> None:
    """Nonce, EIP-3607 and funds of the sender. A mempool that queues passes ``allow_nonce_gap``."""
    account = state.account(tx.sender) or Account()
    if tx.nonce < account.nonce:
        who = to_checksum(tx.sender)
        raise NonceTooLow(f"nonce too low: address {who}, tx: {tx.nonce} state: {account.nonce}")
    if tx.nonce > account.nonce and not allow_nonce_gap:
        who = to_checksum(tx.sender)
        raise NonceTooHigh(f"nonce too high: address {who}, tx: {tx.nonce} state: {account.nonce}")
    _check_nonce(tx)
    if (
        account.code_hash != KECCAK_EMPTY
        and not tx.impersonated  # a solo devnet lets contracts send too
        and not is_delegation(state.code(account.code_hash))
    ):
        who = to_checksum(tx.sender)
        raise SenderNotEOA(f"sender not an eoa: address {who}, codehash: 0x{account.code_hash.hex()}")
    cost = tx.gas * tx.max_fee + tx.value
    if account.balance < cost:
        who = to_checksum(tx.sender)
        raise InsufficientFunds(
            f"insufficient funds for gas * price + value: address {who} have {account.balance} want {cost}",
            shortfall(cost, account.balance),
        )


def _check_nonce(tx: Payer) -> None:
    """EIP-2681."""
    if tx.nonce >= MAX_NONCE:
        raise NonceOverflow(f"nonce has max value: address {to_checksum(tx.sender)}, nonce: {tx.nonce}")


def check_fee(tx: Payer, base_fee: int) -> None:
    """EIP-1559: the fee cap covers the base fee (wei per gas). Raises FeeCapTooLow."""
    if tx.max_fee < base_fee:
        raise FeeCapTooLow(
            f"max fee per gas less than block base fee: address {to_checksum(tx.sender)}, "
            f"maxFeePerGas: {tx.max_fee}, baseFee: {base_fee}"
        )


def validate_tx(
    env: BlockFacts, tx: EthTransaction, state: AccountReader, gas_available: int, *, fork: Fork = Fork.PRAGUE
) -> None:
    """Everything that must hold for ``tx`` to be the next one in this block. ``gas_available`` is what is left of the
    block's gas. Raises a leaf of InvalidTransaction; a transaction that passes can be executed and paid for."""
    check_form(tx, env.chain_id, env.gas_limit, fork)
    if tx.gas > gas_available:
        raise GasLimitExceeded(f"gas limit reached: have {tx.gas}, left in block {gas_available}")
    check_sender(tx, state)
    check_fee(tx, env.base_fee)


def check_call(env: BlockEnv, message: CallMessage, balance: int) -> None:
    """What a call needs to run at all; ``balance`` is its sender's, in wei. Raises InsufficientFunds,
    IntrinsicGasTooLow, FeeCapTooLow or InitCodeTooLarge."""
    if message.gas_price and message.gas_price < env.base_fee:
        raise FeeCapTooLow(
            f"max fee per gas less than block base fee: address {to_checksum(message.sender)}, "
            f"maxFeePerGas: {message.gas_price}, baseFee: {env.base_fee}"
        )
    have, want = balance, message.value + message.gas * message.cap
    if have < want:
        who = to_checksum(message.sender)
        raise InsufficientFunds(
            f"insufficient funds for gas * price + value: address {who} have {have} want {want}", shortfall(want, have)
        )
    if message.to is None and len(message.data) > MAX_INITCODE_BYTES:
        raise InitCodeTooLarge(f"max initcode size exceeded: code size {len(message.data)} limit {MAX_INITCODE_BYTES}")
    needed = intrinsic_gas(
        message.data,
        create=message.to is None,
        access_list=message.access_list,
        authorizations=message.authorizations,
    )
    if message.gas < needed:
        raise IntrinsicGasTooLow(f"intrinsic gas too low: have {message.gas}, want {needed}")
    if message.gas < (floor := floor_gas(message.data)):
        raise IntrinsicGasTooLow(f"insufficient gas for floor data gas cost: have {message.gas}, want {floor}")
