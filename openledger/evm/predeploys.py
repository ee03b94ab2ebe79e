"""Contracts that stand in genesis, because keyless (unprotected) deployments are refused on this chain.

The bytecode files hold the canonical runtime code, obtained by running each project's own published deployment
transaction; ``PREDEPLOYS`` is checked against the known code hashes by a test. Sources: Arachnid's
deterministic-deployment-proxy, mds1/multicall3, pcaversaccio/createx, EIP-1820, EIP-2935.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from openledger.evm.outbox import outbox_code
from openledger.primitives.types import MODULE_ADDRESSES, OUTBOX_ADDRESS, Address

CREATE2_DEPLOYER_ADDRESS: Address = bytes.fromhex("4e59b44847b379578588920ca78fbf26c0b4956c")
MULTICALL3_ADDRESS: Address = bytes.fromhex("ca11bde05977b3631167028862be2a173976ca11")
CREATEX_ADDRESS: Address = bytes.fromhex("ba5ed099633d3b313e4d5f7bdc1305d3c28ba5ed")
ERC1820_ADDRESS: Address = bytes.fromhex("1820a4b7618bde71dce8cdc73aab6c95905fad24")
HISTORY_ADDRESS: Address = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")
HISTORY_WINDOW = 8191
"""EIP-2935: the hash of block n stands in slot n mod 8191 of the history contract."""

MODULE_CODE = b"\xfe"
"""INVALID: whatever reaches a module account as code fails (design.md, section 2)."""

_FILES = Path(__file__).with_name("bytecode")


@dataclass(frozen=True, slots=True)
class Predeploy:
    """An account of genesis with code."""

    name: str
    address: Address
    code: bytes
    nonce: int = 1


def _canonical(name: str, address: Address, file: str) -> Predeploy:
    return Predeploy(name, address, bytes.fromhex((_FILES / file).read_text("ascii")))


PREDEPLOYS: tuple[Predeploy, ...] = (
    _canonical("CREATE2 deployer", CREATE2_DEPLOYER_ADDRESS, "create2.hex"),
    _canonical("Multicall3", MULTICALL3_ADDRESS, "multicall3.hex"),
    _canonical("CreateX", CREATEX_ADDRESS, "createx.hex"),
    _canonical("ERC-1820 registry", ERC1820_ADDRESS, "erc1820.hex"),
    _canonical("EIP-2935 history", HISTORY_ADDRESS, "eip2935.hex"),
    Predeploy("Outbox", OUTBOX_ADDRESS, outbox_code()),
    *(
        Predeploy(name, address, MODULE_CODE)
        for name, address in zip(
            ("Datanets", "Models", "Attribution", "Staking", "Governance"), MODULE_ADDRESSES, strict=True
        )
    ),
)
