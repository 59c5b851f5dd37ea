"""The middleware for static files does in a test process only what a test can see.

It is asynchronous. Before a synchronous client's request it would start a thread and an event loop, and go back and forth
between them, which costs more than most tests' requests; and none of these asks for a file. So it stands aside there.
Behind an asynchronous server it is the real one, with files that are looked for once in a process. In the web's own
process nothing is changed (`tests/test_runweb.py`).
"""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import Any

from servestatic import middleware

_look = middleware.ServeStaticMiddleware.add_files_from_finders
_found: dict[str, Any] = {}


def pytest_configure() -> None:
    middleware.ServeStaticMiddleware.add_files_from_finders = _look_once
    middleware.ServeStaticMiddleware = Statics


class Statics:
    """What stands in the place of the middleware."""

    sync_capable = async_capable = True
    _real = middleware.ServeStaticMiddleware

    def __new__(cls, get_response: Any) -> Any:
        return cls._real(get_response) if iscoroutinefunction(get_response) else get_response


def _look_once(middleware: Any) -> None:
    if not _found:
        _look(middleware)
        _found.update(middleware.files)
    middleware.files.update(_found)
