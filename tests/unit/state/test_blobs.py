import hashlib
import os
import resource
import signal
import subprocess
import sys

import pytest

from openledger.primitives.errors import BlobCorrupt, BlobError, BlobNotFound, BlobTooLarge
from openledger.state.blobs import BlobStore


@pytest.fixture(params=["folder", "memory"])
def blobs(request, tmp_path):
    return BlobStore(str(tmp_path / "blobs") if request.param == "folder" else f"memory://{tmp_path.name}", 1000)


def test_bytes_are_found_under_their_sha256(blobs):
    name = blobs.put(b"text")
    assert name == hashlib.sha256(b"text").hexdigest() == blobs.put(b"text")
    assert blobs.has(name)
    assert blobs.get(name) == b"text"
    assert blobs.size(name) == 4
    assert blobs.get(blobs.put(b"")) == b""
    assert list(blobs.list()) == sorted([name, hashlib.sha256(b"").hexdigest()])
    blobs.delete(name)
    blobs.delete(name)
    assert not blobs.has(name)


def test_a_missing_blob_and_a_malformed_name_are_errors(blobs):
    with pytest.raises(BlobNotFound):
        blobs.get("0" * 64)
    for name in ("../../etc/passwd", "0x" + "0" * 64, "A" * 64, "", "0" * 64 + "\n"):
        with pytest.raises(BlobError, match="not the name"):
            blobs.has(name)


def test_too_large_a_blob_leaves_nothing(blobs):
    with pytest.raises(BlobTooLarge):
        blobs.put(b"x" * 1001)
    with pytest.raises(BlobTooLarge):
        blobs.put_stream(b"x" * 400 for _ in range(3))
    assert list(blobs.list()) == []
    assert list(blobs._fs.find(blobs._root)) == []


def test_a_stream_must_have_the_expected_hash(blobs):
    name = hashlib.sha256(b"abcdef").hexdigest()
    with pytest.raises(BlobCorrupt):
        blobs.put_stream([b"abc"], name)
    assert not blobs.has(name)
    assert blobs.put_stream([b"abc", b"def"], name) == name
    assert blobs.get(name) == b"abcdef"


def test_an_interrupted_write_is_invisible(blobs):
    def chunks():
        yield b"half"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        blobs.put_stream(chunks())
    assert list(blobs._fs.find(blobs._root)) == []
    assert list(blobs.list()) == []


def test_changed_bytes_are_noticed(tmp_path):
    blobs = BlobStore((tmp_path / "b").as_uri())
    name = blobs.put(b"true")
    (tmp_path / "b" / name[:2] / name).write_bytes(b"false")
    with pytest.raises(BlobCorrupt):
        blobs.get(name)
    (tmp_path / "b" / name[:2] / name).write_bytes(b"false")
    small = BlobStore(str(tmp_path / "b"), 4)
    with pytest.raises(BlobTooLarge):
        small.get(name)


def test_a_damaged_blob_is_not_in_the_way_of_a_sound_one(tmp_path):
    """Who asks whether it is here would be told so for ever, and never fetch it."""
    blobs = BlobStore(str(tmp_path / "b"))
    name = blobs.put(b"true")
    (tmp_path / "b" / name[:2] / name).write_bytes(b"false")
    with pytest.raises(BlobCorrupt) as refusal:
        blobs.get(name)
    assert "fetch it" in refusal.value.hint
    assert not blobs.has(name)
    assert list(blobs.list()) == []
    assert blobs.put(b"true") == name
    assert blobs.get(name) == b"true"


def test_a_store_that_cannot_be_opened_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BlobError, match="cannot be opened"):
        BlobStore(str(tmp_path / "file" / "blobs"))
    with pytest.raises(BlobError, match="cannot be opened"):
        BlobStore("nosuchscheme://x")


def test_a_blob_is_opened_only_when_it_is_whole(blobs):
    name = blobs.put(b"text" * 200)
    with blobs.open(name) as source:
        assert source.read() == b"text" * 200
    with pytest.raises(BlobNotFound):
        blobs.open("0" * 64)


def test_a_damaged_blob_is_not_opened_and_is_put_aside(tmp_path):
    blobs = BlobStore(str(tmp_path / "b"))
    name = blobs.put(b"true")
    (tmp_path / "b" / name[:2] / name).write_bytes(b"false")
    with pytest.raises(BlobCorrupt):
        blobs.open(name)
    assert not blobs.has(name)


@pytest.mark.parametrize("piece", [1000, 60_000, 262_144])
def test_a_disk_that_fills_in_the_middle_of_a_blob_is_told_in_a_sentence_and_nothing_half_written_stays(
    tmp_path, piece
):
    """The file's own buffer is written when it is closed, and fails once more then."""
    script = (
        "import sys\nfrom openledger.state.blobs import BlobStore\nfrom openledger.primitives.errors import BlobError\n"
        "blobs, piece = BlobStore(sys.argv[1]), int(sys.argv[2])\n"
        "try:\n    blobs.put_stream(bytes(piece) for _ in range(400_000 // piece))\n"
        "except BlobError as err:\n    print('told', err)\n"
    )

    def bound():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    command = [sys.executable, "-B", "-c", script, str(tmp_path / "b"), str(piece)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=bound, timeout=120, check=False)
    assert done.stdout.startswith("told writing a blob failed"), done.stderr
    assert list((tmp_path / "b" / "unfinished").iterdir()) == []


def test_what_a_killed_process_left_half_written_is_tidied_and_what_is_being_written_is_not(tmp_path):
    blobs = BlobStore(str(tmp_path / "b"))
    left, going = blobs.writer(), blobs.writer()
    left.write(b"half")
    os.utime(left._temp, (1000, 1000))
    name = blobs.put(b"whole")
    os.utime(tmp_path / "b" / name[:2] / name, (1000, 1000))
    assert blobs.tidy(2000.0) == 1
    assert going.commit(hashlib.sha256(b"").hexdigest())
    assert blobs.get(name) == b"whole"
    left.abort()
