"""The MODEXP precompile (EIP-198, gas of EIP-2565), with 0^0 mod m = 1 for an empty base."""

from __future__ import annotations

from typing import Any

from eth.abc import ComputationAPI
from eth.vm.forks.berlin.computation import _compute_modexp_gas_fee_eip_2565


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
