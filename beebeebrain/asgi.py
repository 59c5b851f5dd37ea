"""The web process: HTTP goes to Django, WebSockets to the consumers."""

from __future__ import annotations

import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "beebeebrain.settings")
# Sets Django up; what follows needs its models.
django_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import re_path  # noqa: E402

from beebeebrain import urls as _pages  # noqa: E402, F401  (now, so that the first request does not wait for it)
from beebeebrain.backpressure import Backpressure  # noqa: E402
from beebeebrain.threads import KeptThreads  # noqa: E402
from events import routing as events  # noqa: E402
from runtime import routing as runtime  # noqa: E402
from security.websockets import Denier, OriginGuard, SessionScope  # noqa: E402

routes: list[Any] = [
    *events.websocket_urlpatterns,
    *runtime.websocket_urlpatterns,
    re_path(r"", Denier.as_asgi()),  # type: ignore[arg-type]
]

application = ProtocolTypeRouter(
    {
        "http": Backpressure(KeptThreads(django_application)),
        "websocket": Backpressure(OriginGuard(SessionScope(URLRouter(routes)))),
    }
)
