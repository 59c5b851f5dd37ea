"""The packages' static files are looked for once in a test process.

Each test's client makes the middleware anew, and to find the files takes longer than most tests' requests.
"""

from __future__ import annotations

from typing import Any

from servestatic.middleware import ServeStaticMiddleware

_look = ServeStaticMiddleware.add_files_from_finders
_found: dict[str, Any] = {}


def pytest_configure() -> None:
    ServeStaticMiddleware.add_files_from_finders = _look_once


def _look_once(middleware: Any) -> None:
    if not _found:
        _look(middleware)
        _found.update(middleware.files)
    middleware.files.update(_found)
