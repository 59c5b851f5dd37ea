"""`make mutants` has something to do: each of its changes still applies, and its test is there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.commands import ROOT
from tests.mutants import MUTANTS, Mutant, Stale, has_test


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_applies_to_the_code_as_it_is(mutant: Mutant, tmp_path: Path) -> None:
    target = tmp_path / mutant.path
    target.parent.mkdir(parents=True)
    shutil.copy(ROOT / mutant.path, target)
    mutant.apply(tmp_path)
    compile(target.read_text(), mutant.path, "exec")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_test_that_finds_a_mutant_is_there(mutant: Mutant) -> None:
    assert has_test(ROOT, mutant.test)


def test_a_mutant_of_code_that_has_moved_on_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one\none\n")
    with pytest.raises(Stale, match="2 times"):
        Mutant("twice", "a.py", "one", "two", "a.py::test").apply(tmp_path)


def test_no_two_mutants_have_the_same_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
