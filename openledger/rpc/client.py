"""The client: JSON-RPC and blobs of a running node. ``AsyncClient`` is for programs with an event loop, ``Client`` for
those without.

Importing it needs neither database, torch, py-evm nor protobuf (a test holds this).
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import hashlib
import io
import itertools
import os
import time
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, TypeVar

import aiohttp

from openledger.abci_app.action import Action, build_native, intrinsic_gas
from openledger.primitives.errors import (
    BlobCorrupt,
    BlobError,
    BlobNotFound,
    BlobTooLarge,
    InvalidJson,
    NodeUnreachable,
    NonceTooLow,
    OpenLedgerError,
    ReplacementUnderpriced,
    error_table,
)
from openledger.primitives.jsonio import read_json
from openledger.primitives.keys import address_of_private_key
from openledger.primitives.types import to_hex

T = TypeVar("T")

TIMEOUT_SECONDS = 60.0
DEEPEST = 4_096
"""Levels of an answer that is read: two for each call in a trace. A parser that goes deeper can end the process."""
RECEIPT_SECONDS = 60.0
NONCE_TRIES = 5
TOO_MANY_REQUESTS = 429
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25


class AsyncClient:
    """A connection to the node at ``url`` (http://host:port). Close it, or use it as ``async with``."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._ids = itertools.count(1)
        self._chain_id = 0

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS))
        return self._session

    def _unreachable(self, err: Exception) -> NodeUnreachable:
        if isinstance(err, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
            return NodeUnreachable(f"not the address of a node: {self.url!r}", "for example http://127.0.0.1:8545")
        if isinstance(err, ValueError | InvalidJson | aiohttp.ClientResponseError):
            return NodeUnreachable(f"what answers at {self.url} is not a node", "look at --node")
        return NodeUnreachable(f"no node answers at {self.url} ({why(err)})", "start one with: openledger devnet")

    # --- JSON-RPC -----------------------------------------------------------------------------------------

    async def _post(self, request: Any) -> Any:
        try:
            async with self._http().post(self.url + "/", json=request) as response:
                answer = read_json(await response.read(), max_depth=DEEPEST)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, InvalidJson) as err:
            raise self._unreachable(err) from None
        if isinstance(answer, dict) and "jsonrpc" not in answer:
            raise NodeUnreachable(f"the node at {self.url} refused: {answer.get('error', answer)}")
        return answer

    async def call(self, method: str, *params: Any) -> Any:
        """Result of one method. Raises NodeUnreachable, or the error that the node answered, as its class."""
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
        return _result(await self._post(request))

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Results of several calls made in one request, in order. Raises the first error among them."""
        if not calls:
            return []
        first = [next(self._ids) for _ in calls]
        requests = [
            {"jsonrpc": "2.0", "id": i, "method": method, "params": list(params)}
            for i, (method, params) in zip(first, calls, strict=True)
        ]
        answers = await self._post(requests)
        if not isinstance(answers, list):
            return [_result(answers)]
        by_id = {answer.get("id"): answer for answer in answers if isinstance(answer, dict)}
        return [_result(by_id.get(i)) for i in first]

    # --- money and transactions -----------------------------------------------------------------------------

    async def chain_id(self) -> int:
        """EVM chain id of the node (asked once)."""
        self._chain_id = self._chain_id or int(await self.call("eth_chainId"), 16)
        return self._chain_id

    async def balance(self, address: bytes) -> int:
        """Wei of an address."""
        return int(await self.call("eth_getBalance", to_hex(address), "latest"), 16)

    async def send_raw(self, raw: bytes) -> str:
        """Send raw transaction bytes; the hash (0x hex)."""
        found: str = await self.call("eth_sendRawTransaction", to_hex(raw))
        return found

    async def send_native(self, secret: bytes, action: Action, *, gas: int | None = None) -> str:
        """Sign a native action with nonce and fees of the moment, and send it; the hash (0x hex). Where another sender
        of the same account takes the nonce in between, it is made again with the next one."""
        from openledger.abci_app import registry  # noqa: F401  (the check of a proposal looks its effect up there)

        action.check()
        chain_id = await self.chain_id()
        sender = to_hex(address_of_private_key(secret))
        for _ in range(NONCE_TRIES):
            with contextlib.suppress(NonceTooLow, ReplacementUnderpriced):
                return await self._send_native(secret, sender, chain_id, action, gas)
        return await self._send_native(secret, sender, chain_id, action, gas)

    async def _send_native(self, secret: bytes, sender: str, chain_id: int, action: Action, gas: int | None) -> str:
        nonce, tip, price = await self.batch(
            [("eth_getTransactionCount", [sender, "pending"]), ("eth_maxPriorityFeePerGas", []), ("eth_gasPrice", [])]
        )
        raw = build_native(
            secret,
            chain_id=chain_id,
            nonce=int(nonce, 16),
            max_priority_fee=int(tip, 16),
            max_fee=2 * int(price, 16),
            gas=intrinsic_gas(action) if gas is None else gas,
            action=action,
        )
        return await self.send_raw(raw)

    async def wait_receipt(self, tx_hash: str, timeout: float = RECEIPT_SECONDS) -> dict[str, Any]:  # noqa: ASYNC109
        """The receipt, once there is one. Raises OpenLedgerError with the receipt's reason when the transaction failed,
        and when ``timeout`` seconds have passed without one."""
        end, pause = time.monotonic() + timeout, _FIRST_PAUSE
        while (receipt := await self._receipt(tx_hash)) is None:
            if time.monotonic() > end:
                raise OpenLedgerError(
                    f"no block has taken transaction {tx_hash} within {timeout:g} seconds",
                    "the chain may stand still: openledger status",
                )
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 1.5)
        if int(receipt["status"], 16) != 1:
            reason = await self.call("openledger_getTransactionError", tx_hash)
            number = int(receipt["blockNumber"], 16)
            raise OpenLedgerError(f"the transaction failed in block {number}: {reason or 'no reason recorded'}")
        found: dict[str, Any] = receipt
        return found

    async def _receipt(self, tx_hash: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] | None = await self.call("eth_getTransactionReceipt", tx_hash)
        except NodeUnreachable as err:
            hint = f"it was sent, and may still be taken: openledger rpc eth_getTransactionReceipt {tx_hash}"
            raise NodeUnreachable(f"{err.message}, while transaction {tx_hash} was on its way", hint) from None
        return found

    # --- blobs --------------------------------------------------------------------------------------------

    async def put_blob(self, body: bytes) -> str:
        """Store bytes on the node; their sha256 (64 hex digits)."""
        name = hashlib.sha256(body).hexdigest()
        status, answer = await self._blob("PUT", name, body)
        if status != 201:
            raise (BlobTooLarge if status == 413 else BlobError)(_reason(answer, status))
        return name

    async def get_blob(self, name: str) -> bytes:
        """Bytes of a blob, checked against their name. Raises BlobNotFound, BlobCorrupt."""
        status, body = await self._blob("GET", name.removeprefix("0x"), None)
        if status == 404:
            raise BlobNotFound(f"the node has no blob {name}")
        if status != 200:
            raise BlobError(_reason(body, status))
        if hashlib.sha256(body).hexdigest() != name.removeprefix("0x"):
            raise BlobCorrupt(f"the node sent other bytes than blob {name}")
        return body

    async def _blob(self, method: str, name: str, body: bytes | None) -> tuple[int, bytes]:
        """Status and body; where the node counts its clients' requests, as soon as it takes one more."""
        end, pause = time.monotonic() + TIMEOUT_SECONDS, _FIRST_PAUSE
        while True:
            data = None if body is None else io.BytesIO(body)
            try:
                async with self._http().request(method, f"{self.url}/blobs/{name}", data=data) as response:
                    if response.status != TOO_MANY_REQUESTS or time.monotonic() > end:
                        return response.status, await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as err:
                raise self._unreachable(err) from None
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 1.5)


def why(err: Exception) -> str:
    """What kept a connection from being made or from living, in words."""
    number = getattr(err, "errno", None)
    if isinstance(number, int) and number > 0:
        return os.strerror(number)
    if isinstance(err, aiohttp.ClientConnectorDNSError):
        return "no machine has this name"
    if isinstance(err, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return "an address begins with http:// or https://"
    if isinstance(err, TimeoutError):
        return f"nothing came in {TIMEOUT_SECONDS:g} seconds"
    return str(err) or type(err).__name__


def _reason(answer: bytes, status: int) -> str:
    said = answer[:300].decode("utf-8", "replace")
    with contextlib.suppress(InvalidJson, KeyError, TypeError, IndexError):
        said = str(read_json(answer)["error"])
    return f"the node has refused ({status}): {said}"


def _result(answer: Any) -> Any:
    if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
        raise NodeUnreachable("the node's answer is not JSON-RPC", "is this the address of an OpenLedger node?")
    if "error" not in answer:
        return answer["result"]
    error = answer["error"] if isinstance(answer["error"], dict) else {"message": answer["error"]}
    data = error.get("data")
    found = data if isinstance(data, dict) else {}
    cls = error_table().get(found.get("code", 0), OpenLedgerError)
    raise cls(str(error.get("message")), found.get("hint"))


class Client:
    """``AsyncClient`` for code without an event loop: the same methods, which wait."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(url)
        self._closed = False
        atexit.register(self.close)

    @property
    def url(self) -> str:
        return self._client.url

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection and the loop behind it (also done at exit)."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._runner.run(self._client.close())
        self._runner.close()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def call(self, method: str, *params: Any) -> Any:
        """See ``AsyncClient.call``."""
        return self._wait(self._client.call(method, *params))

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """See ``AsyncClient.batch``."""
        return self._wait(self._client.batch(calls))

    def chain_id(self) -> int:
        """See ``AsyncClient.chain_id``."""
        return self._wait(self._client.chain_id())

    def balance(self, address: bytes) -> int:
        """See ``AsyncClient.balance``."""
        return self._wait(self._client.balance(address))

    def send_raw(self, raw: bytes) -> str:
        """See ``AsyncClient.send_raw``."""
        return self._wait(self._client.send_raw(raw))

    def send_native(self, secret: bytes, action: Action, *, gas: int | None = None) -> str:
        """See ``AsyncClient.send_native``."""
        return self._wait(self._client.send_native(secret, action, gas=gas))

    def wait_receipt(self, tx_hash: str, timeout: float = RECEIPT_SECONDS) -> dict[str, Any]:
        """See ``AsyncClient.wait_receipt``."""
        return self._wait(self._client.wait_receipt(tx_hash, timeout))

    def put_blob(self, body: bytes) -> str:
        """See ``AsyncClient.put_blob``."""
        return self._wait(self._client.put_blob(body))

    def get_blob(self, name: str) -> bytes:
        """See ``AsyncClient.get_blob``."""
        return self._wait(self._client.get_blob(name))
