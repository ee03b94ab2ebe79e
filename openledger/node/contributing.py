"""How rows come to a datanet: promised first, then shown and committed (design.md, section 4).

salt on disk, fsynced -> datanet.promise -> a block has it -> blob uploaded -> datanet.commit shows the salt

Broken off anywhere, the same steps run again find the salt and go on.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.promise import DatanetPromise
from openledger.abci_app.modules.datanets.records import Part, Removal
from openledger.node import rows
from openledger.node.keystore import Signer
from openledger.node.oracle_findings import write_synced
from openledger.primitives.attribution import promise_digest
from openledger.primitives.errors import (
    AlreadyExists,
    MalformedAction,
    NotAllowed,
    NotFound,
    OpenLedgerError,
    WrongPhase,
)
from openledger.primitives.hashing import sha256
from openledger.primitives.types import Address, Hash32, from_hex, parse_address, to_checksum, to_hex

if TYPE_CHECKING:
    from openledger.rpc.client import Client

TRIES = 5
MARGIN_SECONDS = 300
"""A promise that expires sooner is not relied on."""
Report = Callable[[str], None]


class Salts:
    """Salts of promises that no commit has shown yet: a private file each, named by contributor and blob."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, contributor: Address, blob: Hash32) -> Path:
        return self._folder / f"{contributor.hex()}-{blob.hex()}"

    def get(self, contributor: Address, blob: Hash32) -> bytes | None:
        """The salt of an earlier try; None where there was none, or its file is damaged."""
        try:
            salt = bytes.fromhex(self._path(contributor, blob).read_text())
        except (FileNotFoundError, ValueError):
            return None
        return salt if len(salt) == 32 else None

    def new(self, contributor: Address, blob: Hash32) -> bytes:
        """A fresh salt, on the disk when this returns."""
        salt = secrets.token_bytes(32)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_synced(self._path(contributor, blob), salt.hex())
        return salt

    def forget(self, contributor: Address, blob: Hash32) -> None:
        """A commit has shown it for good."""
        self._path(contributor, blob).unlink(missing_ok=True)


@dataclass(frozen=True)
class Committed:
    """The receipt of a commit (None where an earlier try had brought the rows already), its version, the rows of that
    version, and the wei that are bonded until its reviewers have decided; None where it needs no review."""

    receipt: dict[str, Any] | None
    version: int
    rows: int
    bond: int | None


class Contribution:
    """One contributor's way to a datanet, through a node's public RPC."""

    def __init__(self, client: Client, signer: Signer, salts: Salts, say: Report) -> None:
        self._client, self._signer, self._salts, self._say = client, signer, salts, say

    def _send(self, action: DatanetPromise | DatanetCommit) -> dict[str, Any]:
        receipt: dict[str, Any] = self._client.wait_receipt(self._client.send_native(self._signer.secret, action))
        return receipt

    def _standing(self, digest: Hash32) -> dict[str, Any] | None:
        """The promise, if it will stand for a while. One that is about to expire is as good as none."""
        try:
            found: dict[str, Any] = self._client.call("openledger_getPromise", to_hex(digest))
        except NotFound:
            return None
        now = int(self._client.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        return found if int(found["expires"]) > now + MARGIN_SECONDS else None

    def promise(self, blob: Hash32, contributor: Address | None = None) -> bytes:
        """The salt of a promise of ``blob`` that a block has, for the signer or another contributor."""
        me = contributor or self._signer.address
        salt = self._salts.get(me, blob)
        found = self._standing(promise_digest(me, blob, salt)) if salt is not None else None
        again = found is not None
        if salt is None or (found is None and self._is_known(promise_digest(me, blob, salt))):
            salt = self._salts.new(me, blob)
        if found is None:
            found = self._make(promise_digest(me, blob, salt))
        word = "promised before, in" if again else "promised in"
        self._say(f"{word} block {int(found['height'])}: from there on these rows are {to_checksum(me)}'s")
        return salt

    def _is_known(self, digest: Hash32) -> bool:
        """Whether the chain still has a promise, expired or not."""
        try:
            self._client.call("openledger_getPromise", to_hex(digest))
        except NotFound:
            return False
        return True

    def _make(self, digest: Hash32) -> dict[str, Any]:
        """Send a promise; it as the chain has it. Who sends another's digest first does a favour."""
        with suppress(AlreadyExists):
            self._send(DatanetPromise(digest))
        found: dict[str, Any] = self._client.call("openledger_getPromise", to_hex(digest))
        return found

    def commit(
        self, datanet: int, blob: bytes, message: str, *, promise: bool = True, contributor: Address | None = None,
        salt: bytes | None = None, remove: Sequence[Hash32] = (),
    ) -> Committed:  # fmt: skip
        """Promise (unless told not to, or ``salt`` opens a promise that was made before), upload and commit ``blob`` on
        top of the newest version, as the signer's rows or, by the owner, as another contributor's. Blobs of his in
        ``remove`` go in the same commit; an empty ``blob`` only removes. When somebody else was quicker, the commit is
        made again on top of theirs. Raises WrongPhase after five times, and NotAllowed before anything is sent. Where a
        version has the same rows of the same contributor already, or one that waits for its reviewers, nothing is sent.

        A reviewed datanet gets the bond that it asks for at this moment, and no more if that changes meanwhile."""
        name, me = sha256(blob), contributor or self._signer.address
        self._check_rights(datanet, me)
        if blob and not remove and (there := self._there(datanet, me, name)):
            return there
        if salt is None and promise and blob:
            salt = self.promise(name, me)
        salts = () if salt is None else (salt,)
        gone, added = tuple(Removal(me, one) for one in remove), list[Part]()
        if blob:
            self._client.put_blob(blob)
            added = [Part(me, name, len(rows.rows_of(blob)))]
        for left in reversed(range(TRIES)):
            found = self._client.call("openledger_getDatanet", datanet)
            head, bond = int(found["head"]), int(found["bond"], 16) if found["policy"] == "reviewed" else None
            held = parts_of(self._client, datanet, head) if head else []
            parts = [one for one in held if Removal(one[0], sha256(one[1])) not in gone] + [(me, blob)] * bool(blob)
            if not parts:
                raise MalformedAction("no row would be left, and a version has at least one")
            root, count = rows.version_root(parts)
            action = DatanetCommit(datanet=datanet, parent=head, root=root, rows=count, add=tuple(added), remove=gone,
                                   message=message, parts=len(parts), salts=salts, bond=bond or 0)  # fmt: skip
            try:
                receipt = self._send(action)
            except OpenLedgerError as err:
                if not left or not self._was_overtaken(err, datanet, head):
                    raise
                continue
            if bond is None:  # who has to commit again after a review that came to nothing needs the salt again
                self._salts.forget(me, name)
            return Committed(receipt, int(receipt["logs"][0]["topics"][2], 16), count, bond)
        raise WrongPhase(f"datanet {datanet} changes too fast")

    def _there(self, datanet: int, contributor: Address, blob: Hash32) -> Committed | None:
        """The version that counts, or waits, with ``blob`` of ``contributor``: that of a try whose end was not seen."""
        record = self._client.call("openledger_getDatanet", datanet)
        head, versions = int(record["head"]), int(record["versions"])
        if versions > head:
            found = self._client.call("openledger_getCommits", datanet)
        else:
            found = [self._client.call("openledger_getCommit", datanet, head)] if head else []
        wanted = (to_checksum(contributor), to_hex(blob))
        for one in found:
            waits = one["status"] == "pending"
            if (waits or one["version"] == head) and wanted in [(p["contributor"], p["blob"]) for p in one["parts"]]:
                self._say(f"version {one['version']} has these rows already; nothing was sent")
                if not waits:
                    self._salts.forget(contributor, blob)
                    return Committed(None, one["version"], one["rows"], None)
                bond = self._client.call("openledger_getReview", datanet, one["version"])["bond"]
                return Committed(None, one["version"], one["rows"], int(bond, 16))
        return None

    def _check_rights(self, datanet: int, contributor: Address) -> None:
        found = self._client.call("openledger_getDatanet", datanet)
        if parse_address(found["owner"]) == self._signer.address:
            return
        if found["policy"] == "invited":
            raise NotAllowed(
                f"only the owner commits to datanet {datanet}",
                f"openledger datanet promise {datanet}, then give rows and salt to {found['owner']}",
            )
        if contributor != self._signer.address:
            raise NotAllowed("only the owner commits in another's name")

    def _was_overtaken(self, err: OpenLedgerError, datanet: int, head: int) -> bool:
        """Whether a commit failed, at the door or in a block, because another one came first."""
        if type(err) not in (WrongPhase, OpenLedgerError):
            return False
        return int(self._client.call("openledger_getDatanet", datanet)["head"]) != head


@dataclass(frozen=True)
class Refined:
    """How a contributor's parts become other rows: the blobs that go, the blob that comes (empty: none), and how many
    rows stay in their parts, go, come new, and come again because they shared a part with what goes."""

    remove: tuple[Hash32, ...]
    blob: bytes
    stay: int
    go: int
    new: int
    again: int


def refined(parts: Sequence[bytes], wanted: Sequence[bytes]) -> Refined:
    """From ``parts`` (blobs) to the rows ``wanted``. A part all of whose rows are wanted stays as it is, and its rows
    keep their place among all that were ever committed; of any other part the rows that are wanted come again."""
    left, remove, given = Counter(wanted), [], Counter[bytes]()
    for blob in parts:
        held = Counter(rows.rows_of(blob))
        if held <= left:
            left -= held
        else:
            remove.append(sha256(blob))
            given += held
    coming: list[bytes] = []
    for row in wanted:
        if left[row]:
            left[row] -= 1
            coming.append(row)
    again = (given & Counter(coming)).total()
    blob = b"".join(row + b"\n" for row in coming)
    return Refined(tuple(remove), blob, len(wanted) - len(coming), given.total() - again, len(coming) - again, again)


def parts_of(client: Client, datanet: int, version: int) -> list[tuple[Address, bytes]]:
    """(contributor, content blob) of a version, in order. Raises NotFound, BlobNotFound, BlobCorrupt."""
    return _held(client, client.call("openledger_getCommit", datanet, version))


def _held(client: Client, commit: dict[str, Any]) -> list[tuple[Address, bytes]]:
    return [(parse_address(p["contributor"]), client.get_blob(p["blob"].removeprefix("0x"))) for p in commit["parts"]]


def checked_parts(client: Client, datanet: int, version: int) -> tuple[list[tuple[Address, bytes]], Hash32]:
    """``parts_of`` a version, and the root on the chain that they have. Raises MalformedAction where they have not."""
    found = client.call("openledger_getCommit", datanet, version)
    parts, said = _held(client, found), found["root"]
    root, _ = rows.version_root(parts)
    if root != from_hex(said, 32):
        raise MalformedAction(
            f"the rows of version {version} have the root {to_hex(root)}, the chain says {said}",
            "whoever made this version committed a wrong root; nothing was written",
        )
    return parts, root
