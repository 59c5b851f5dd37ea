from __future__ import annotations

from rest_framework.routers import SimpleRouter

from orchestration.views.comments import CommentViewSet
from orchestration.views.dependencies import DependencyViewSet
from orchestration.views.documents import DocumentViewSet

router = SimpleRouter(trailing_slash=False)
router.register("dependencies", DependencyViewSet, basename="dependency")
router.register("documents", DocumentViewSet, basename="document")
router.register("comments", CommentViewSet, basename="comment")

urlpatterns = router.urls
