"""What tests of whole processes share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hive import Hive
from tests.schedulers import site


@pytest.fixture
def hive(tmp_path: Path, transactional_db: None) -> Iterator[Hive]:
    """Give a project with agents, and an installation whose schedulers the test starts."""
    with site(tmp_path) as at:
        yield Hive(at, tmp_path)
