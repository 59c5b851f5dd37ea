from __future__ import annotations

from rest_framework.routers import SimpleRouter

from inbox.views import ItemViewSet

router = SimpleRouter(trailing_slash=False)
router.register("inbox", ItemViewSet, basename="item")

urlpatterns = router.urls
