from __future__ import annotations

from rest_framework.routers import SimpleRouter

from orchestration.views.dependencies import DependencyViewSet
from orchestration.views.documents import DocumentViewSet

router = SimpleRouter(trailing_slash=False)
router.register("dependencies", DependencyViewSet, basename="dependency")
router.register("documents", DocumentViewSet, basename="document")

urlpatterns = router.urls
