"""The collector of garbage looks at what tests leave behind, and seldom.

What is imported and collected stays to the end: half a million objects, which it would go through again and again.
"""

from __future__ import annotations

import gc

import pytest

_OBJECTS = 50_000


def pytest_configure() -> None:
    gc.set_threshold(_OBJECTS, 20, 50)


# After all others: what they keep stays as well.
@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
