from __future__ import annotations

from rest_framework.routers import SimpleRouter

from events.views import EventViewSet

router = SimpleRouter(trailing_slash=False)
router.register("events", EventViewSet)

urlpatterns = router.urls
