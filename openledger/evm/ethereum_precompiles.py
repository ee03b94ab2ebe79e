"""Two of Ethereum's precompiles that py-evm 0.12.1b1 has wrong or slow.

MODEXP (EIP-198, gas of EIP-2565): py-evm gives 0 for an empty base, also for 0^0 mod m, which is 1.
Point evaluation (EIP-4844): py-evm reads the trusted setup from its file in every call, a tenth of a second each.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

from ckzg import load_trusted_setup, verify_kzg_proof  # type: ignore[import-not-found]
from eth.abc import ComputationAPI
from eth.exceptions import VMError
from eth.precompiles.point_evaluation import TRUSTED_SETUP_PATH
from eth.vm.forks.berlin.computation import _compute_modexp_gas_fee_eip_2565

MODEXP_ADDRESS = bytes(19) + b"\x05"
POINT_EVALUATION_ADDRESS = bytes(19) + b"\x0a"
POINT_EVALUATION_GAS = 50_000
FIELD_ELEMENTS_PER_BLOB = 4096
BLS_MODULUS = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001


def _number(data: bytes, start: int, length: int) -> int:
    """Big-endian number of ``length`` bytes at ``start``; bytes beyond the end of the data are zero."""
    raw = data[start : start + length]
    return int.from_bytes(raw, "big") << 8 * (length - len(raw)) if raw else 0


def modexp(computation: ComputationAPI) -> Any:
    """Consume the gas and set the output: base ** exponent mod modulus, as long as the modulus is."""
    data = computation.msg.data_as_bytes
    computation.consume_gas(_compute_modexp_gas_fee_eip_2565(data), reason="MODEXP precompile")
    base_length, exponent_length, modulus_length = (_number(data, at, 32) for at in (0, 32, 64))
    if modulus_length == 0:
        computation.output = b""
        return computation
    base = _number(data, 96, base_length)
    exponent = _number(data, 96 + base_length, exponent_length)
    modulus = _number(data, 96 + base_length + exponent_length, modulus_length)
    result = pow(base, exponent, modulus) if modulus else 0
    computation.output = result.to_bytes(modulus_length, "big")
    return computation


@cache
def _trusted_setup() -> Any:
    return load_trusted_setup(TRUSTED_SETUP_PATH, 0)


def point_evaluation(computation: ComputationAPI) -> Any:
    """Check a KZG proof that p(z) = y. Input: versioned hash, z, y, commitment, proof (192 bytes)."""
    computation.consume_gas(POINT_EVALUATION_GAS, reason="point evaluation precompile")
    data = computation.msg.data_as_bytes
    if len(data) != 192:
        raise VMError("point evaluation: the input has 192 bytes")
    commitment, proof = data[96:144], data[144:192]
    if b"\x01" + hashlib.sha256(commitment).digest()[1:] != data[:32]:
        raise VMError("point evaluation: the commitment has another versioned hash")
    try:
        valid = verify_kzg_proof(commitment, data[32:64], data[64:96], proof, _trusted_setup())
    except RuntimeError:  # what the C code raises for bytes that are no point or no field element
        valid = False
    if not valid:
        raise VMError("point evaluation: the proof is wrong")
    computation.output = FIELD_ELEMENTS_PER_BLOB.to_bytes(32, "big") + BLS_MODULUS.to_bytes(32, "big")
    return computation
