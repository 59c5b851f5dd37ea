from __future__ import annotations

from rest_framework.routers import SimpleRouter

from runtime.views.agents import AgentViewSet
from runtime.views.breakers import BreakerViewSet
from runtime.views.comments import CommentViewSet
from runtime.views.events import EventViewSet
from runtime.views.logs import LogViewSet
from runtime.views.projects import ProjectViewSet
from runtime.views.runs import RunViewSet
from runtime.views.tasks import TaskViewSet

router = SimpleRouter(trailing_slash=False)
router.register("projects", ProjectViewSet, basename="project")
router.register("agents", AgentViewSet, basename="agent")
router.register("tasks", TaskViewSet, basename="task")
router.register("runs", RunViewSet, basename="run")
router.register("logs", LogViewSet, basename="log")
router.register("breakers", BreakerViewSet, basename="breaker")
router.register("comments", CommentViewSet, basename="comment")
router.register("events", EventViewSet, basename="event")

urlpatterns = router.urls
