"""Finding CometBFT, with small programs that answer as it does."""

import pytest

from openledger.node.engines.binary import cometbft_version, find_cometbft
from openledger.primitives.errors import MissingProgram


def program(folder, answer, extra=""):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "cometbft"
    path.write_text(f"#!/bin/sh\necho {answer}\n# {extra}\n")
    path.chmod(0o755)
    return path


def test_the_named_program_wins(tmp_path):
    path = program(tmp_path / "named", "0.38.26")
    program(tmp_path / ".tools" / "cometbft-0.40.0", "0.40.0")
    found = find_cometbft(str(path), folders=[tmp_path])
    assert (found.path, found.version) == (path, "0.38.26")


def test_the_environment_comes_before_the_tools_folder_and_that_before_the_path(tmp_path):
    by_variable = program(tmp_path / "variable", "0.38.26")
    in_tools = program(tmp_path / ".tools" / "cometbft-0.40.0", "0.40.0")
    on_path = program(tmp_path / "bin", "0.40.0")
    environment = {"OPENLEDGER_COMETBFT": str(by_variable), "PATH": str(on_path.parent)}
    assert find_cometbft(environment=environment, folders=[tmp_path]).path == by_variable
    del environment["OPENLEDGER_COMETBFT"]
    assert find_cometbft(environment=environment, folders=[tmp_path]).path == in_tools
    assert find_cometbft(environment=environment, folders=[tmp_path / "empty"]).path == on_path


def test_release_0_40_0_is_known_although_it_calls_itself_0_39_0(tmp_path):
    real = program(tmp_path / "a", "0.39.0", "mod\tgithub.com/cometbft/cometbft\tv0.40.0\th1:x")
    older = program(tmp_path / "b", "0.39.0", "mod\tgithub.com/cometbft/cometbft\tv0.39.0\th1:x")
    assert cometbft_version(real) == "0.40.0"
    assert cometbft_version(older) == "0.39.0"
    with pytest.raises(MissingProgram, match=r"0\.39\.0"):
        find_cometbft(str(older))


@pytest.mark.parametrize("version", ["0.34.24", "0.37.0", "0.38.2", "1.0.1", "2.0.0-dev"])
def test_another_version_is_refused_with_the_way_to_the_right_one(tmp_path, version):
    path = program(tmp_path, version)
    with pytest.raises(MissingProgram, match=version) as caught:
        find_cometbft(str(path))
    assert "make cometbft" in caught.value.hint


def test_no_program_at_all_is_one_sentence_and_a_hint(tmp_path):
    with pytest.raises(MissingProgram, match="is not installed") as caught:
        find_cometbft(environment={"PATH": str(tmp_path)}, folders=[tmp_path])
    assert "go install" in caught.value.hint


def test_a_program_that_does_not_run_is_not_cometbft(tmp_path):
    broken = tmp_path / "cometbft"
    broken.write_bytes(b"\x7fELF broken")
    broken.chmod(0o755)
    assert cometbft_version(broken) is None
    with pytest.raises(MissingProgram, match="is not installed at"):
        find_cometbft(str(broken))
