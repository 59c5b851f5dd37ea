from __future__ import annotations

from rest_framework.routers import SimpleRouter

from orchestration.views.dependencies import DependencyViewSet
from orchestration.views.projects import ProjectViewSet

router = SimpleRouter(trailing_slash=False)
router.register("projects", ProjectViewSet, basename="project")
router.register("dependencies", DependencyViewSet, basename="dependency")

urlpatterns = router.urls
