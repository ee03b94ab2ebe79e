"""The rules of the house: layers, bans in the deterministic rooms, sizes, and that reference pages are complete."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from openledger.genesis.params import BOUNDS, Params
from openledger.node import reference
from openledger.primitives import errors
from openledger.primitives.fields import schema

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "openledger"
DETERMINISTIC = ("primitives", "genesis", "state", "evm", "abci_app")
BANNED_IMPORTS = {"random", "time", "secrets", "uuid", "locale", "numpy", "torch"}
# The ABCI socket measures how long it may answer before others have their turn; no block depends on it.
# Blob files get a random name until they are whole; blobs are outside the state.
CLOCK_ALLOWED = {"abci_app/protocol/server.py", "state/blobs.py"}
# coincurve raises exactly Exception where no point fits; the handler re-raises everything else.
BANNED_NAMES = {("os", "environ"), ("os", "getenv"), ("os", "urandom"), ("datetime", "now")}
BARE_ALLOWED = {"primitives/keys.py", "abci_app/protocol/server.py"}


def _files(*rooms: str) -> list[Path]:
    return [p for room in rooms for p in sorted((PACKAGE / room).rglob("*.py"))]


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / p for p in listed.stdout.decode().split("\0") if p and (ROOT / p).is_file()]


def _violations(tree: ast.AST, name: str) -> Iterator[str]:
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            if name not in CLOCK_ALLOWED:
                yield f"{name}:{line} float literal {node.value}"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            if not _is_path(node):
                yield f"{name}:{line} true division"
        elif isinstance(node, ast.Assert):
            yield f"{name}:{line} assert as validation"
        elif isinstance(node, ast.ExceptHandler) and name not in BARE_ALLOWED:
            if node.type is None or (
                isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
            ):
                yield f"{name}:{line} catches everything"
        elif isinstance(node, ast.Import | ast.ImportFrom) and name not in CLOCK_ALLOWED:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for imported in names:
                if imported.split(".")[0] in BANNED_IMPORTS:
                    yield f"{name}:{line} imports {imported}"
        elif isinstance(node, ast.Attribute) and (ast.unparse(node.value), node.attr) in BANNED_NAMES:
            yield f"{name}:{line} uses {ast.unparse(node)}"


def _is_path(node: ast.BinOp | ast.AugAssign) -> bool:
    """``folder / "name"``: one side is text, or a name that says it is a folder or a file."""
    right = node.right if isinstance(node, ast.BinOp) else node.value
    if isinstance(right, ast.Constant | ast.JoinedStr):
        return isinstance(right, ast.JoinedStr) or isinstance(right.value, str)
    left = node.left if isinstance(node, ast.BinOp) else node.target
    return re.search(r"path|folder|files|root|dir", ast.unparse(left), re.IGNORECASE) is not None


@pytest.mark.parametrize("room", DETERMINISTIC)
def test_a_deterministic_room_has_no_floats_clocks_randomness_environment_or_catch_alls(room: str) -> None:
    found = [v for p in _files(room) for v in _violations(ast.parse(p.read_text(encoding="utf-8")), _name(p))]
    assert not found, "\n".join(found)


def test_rooms_import_downward_only() -> None:
    program = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([str(program), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_oracle_and_its_callers_know_torch() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        if not _name(path).startswith("attribution_oracle/"):
            assert not re.search(r"^\s*(import|from) torch\b", path.read_text(encoding="utf-8"), re.MULTILINE), path


def test_no_python_file_is_longer_than_400_lines() -> None:
    long = {_name(p): n for p in sorted(PACKAGE.rglob("*.py")) if (n := len(p.read_text("utf-8").splitlines())) > 400}
    assert not long


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        _name(p)
        for p in sorted(PACKAGE.rglob("*.py"))
        if p.read_text("utf-8").strip() and not ast.get_docstring(ast.parse(p.read_text("utf-8")))
    ]
    assert not silent


def test_nothing_in_the_project_names_a_machine() -> None:
    pattern = re.compile(r"(?<![\w./-])/(?:work|root|home/[a-z]+|Users/[a-z]+)/|/tmp/[a-z]/", re.ASCII)
    found = []
    for path in _tracked():
        if path == Path(__file__) or path.suffix in {".xz", ".png", ".woff2", ".safetensors", ".gz"}:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {m.group()}" for m in pattern.finditer(text)]
    assert not found


def test_lock_files_pin_every_package_with_hashes_and_name_no_index() -> None:
    for path in sorted((ROOT / "requirements").glob("*.lock")):
        text = path.read_text(encoding="utf-8")
        entries = re.findall(r"^[a-z0-9][^\n]*\n(?:    [^\n]*\n)*", text, re.MULTILINE)
        assert entries
        assert all("==" in e and "--hash=sha256:" in e for e in entries)
        assert not re.search(r"index-url|find-links|https?://|file:", text)


def test_error_numbers_are_unique_and_documented() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.OpenLedgerError)]
    numbers = [c.code for c in classes]
    assert len(numbers) == len(set(numbers))
    page = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    for cls in classes:
        assert f"| {cls.code} | {cls.__name__} |" in page, f"run `make docs`: {cls.__name__}"


def test_every_command_has_help_and_a_line_in_the_reference() -> None:
    page = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    for path, command in reference.commands():
        assert (command.help or "").strip(), f"{path} has no help"
        assert f"\n## {path}\n" in page, f"run `make docs`: {path}"
        for param in command.params:
            if isinstance(param, click.Option):
                assert param.help, f"{path} {param.opts[0]} has no help"


def test_generated_pages_are_up_to_date() -> None:
    assert (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8") == reference.errors_page()
    assert (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8") == reference.metrics_page()
    assert (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8") == reference.cli_page()


def test_every_number_among_the_parameters_has_bounds_and_the_defaults_lie_within() -> None:
    numbers = {name for name, kind in schema(Params) if kind.kind.startswith("uint")}
    assert numbers == set(BOUNDS)
    for name, (least, most) in BOUNDS.items():
        assert least <= getattr(Params(), name) <= most
