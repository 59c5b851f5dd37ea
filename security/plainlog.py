"""structlog without what it looks for to be prettier: rich for coloured tracebacks, and Twisted's log.

We use neither (a line's exception is text before it is rendered), and to import them takes longer than structlog itself,
in every scheduler, web and runner. Has to be imported before anything else imports structlog; later it does nothing.
"""

from __future__ import annotations

import sys
from typing import Any

_modules: dict[str, Any] = sys.modules
_hidden = [name for name in ("rich", "twisted") if name not in _modules]
# What stands as None in there is not found.
_modules.update(dict.fromkeys(_hidden))
try:
    import structlog
finally:
    for name in _hidden:
        del _modules[name]

__all__ = ["structlog"]
