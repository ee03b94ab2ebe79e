"""Claims of several models and methods that one process verifies in turns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("torch")

from openledger.attribution_oracle import factory, methods, parts
from openledger.attribution_oracle.kept import Kept
from openledger.attribution_oracle.ports import SliceOver
from openledger.attribution_oracle.replayed import Aside, PathInfluence, PathUndecayed
from openledger.attribution_oracle.verify import verify_job
from openledger.primitives.attribution import Verdict
from openledger.primitives.types import to_hex
from tests.unit.oracle.conftest import World

pytestmark = pytest.mark.torch


def undecayed(world: Any) -> World:
    """The same model with an index by another method."""
    index = factory.make_index(world.model, method="path-undecayed")
    published = factory.publish(world.blobs, world.model, index)
    bundle = factory.load_bundle(world.blobs, to_hex(published["bundle"]), known=world.known)
    found = World(world.blobs, world.known, world.model, published, bundle, world.data, world.answers)
    found.settle()
    return found


def test_claims_that_are_broken_off_at_every_step_by_turns_get_the_verdicts_of_undisturbed_ones(
    path_world: Any, full_path_world: Any, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four models by three methods, and a false claim of one; three rows at a time within a step. Which segments were
    replayed may differ: two claims of a model share what is known to be right of it."""
    monkeypatch.setattr(parts, "at_once", lambda model, longest, most: 3)
    (who, ppm), *rest = path_world.job.shares
    rest_of = path_world.job.unattributed
    false = replace(path_world.job, claim=99, shares=((who, ppm - 7000), *rest), unattributed=rest_of + 7000)
    worlds = [path_world, full_path_world, world, undecayed(path_world), path_world]
    jobs = [*(replace(one.job, claim=n) for n, one in enumerate(worlds[:-1])), false]

    def verdicts(turns: int, room: int) -> list[Verdict]:
        """Each turn ends at its second step; so many turns at the most."""
        aside = Aside(room)
        monkeypatch.setitem(methods.METHODS, "path-influence", PathInfluence(aside))
        monkeypatch.setitem(methods.METHODS, "path-undecayed", PathUndecayed(aside))
        kept, found = Kept(jobs=len(jobs)), dict[int, Verdict]()
        for _ in range(turns):
            for number in sorted(set(range(len(jobs))) - set(found)):
                calls: list[int] = []

                def progress(done: int, total: int, what: str, calls: list[int] = calls) -> None:
                    calls.append(done)
                    if turns > 1 and len(calls) > 1:
                        raise SliceOver(done, total, what)

                try:
                    job, where = jobs[number], worlds[number]
                    found[number] = verify_job(
                        job, where.blobs, seed=b"seed", known=where.known, progress=progress, kept=kept
                    )
                except SliceOver:
                    continue
        return [replace(found[number], replayed=()) for number in range(len(jobs))]

    undisturbed = verdicts(1, 1 << 30)
    assert [verdict.valid for verdict in undisturbed] == [True, True, True, True, False]
    assert verdicts(2000, 1 << 30) == undisturbed
