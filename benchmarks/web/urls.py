"""The product's addresses, and bare views of the same rows: no login, no filters, no pages, nothing but Django."""

from __future__ import annotations

import json

from django.db import transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from beebeebrain.urls import urlpatterns as product
from orchestration.models import Task

# The columns that a task's row shows; what it shows besides (its key, its edges, its run) costs the bare view nothing.
COLUMNS = [field.attname for field in Task._meta.concrete_fields]


def nothing(_request: HttpRequest) -> HttpResponse:
    """Answer at once: what is left is the server and the middleware."""
    return HttpResponse(b"{}", content_type="application/json")


def listed(_request: HttpRequest, project: int, status: str) -> JsonResponse:
    rows = Task.objects.filter(project=project, status=status).order_by("priority", "id")
    return JsonResponse({"results": list(rows.values(*COLUMNS)[:50])})


def read(_request: HttpRequest, pk: int) -> JsonResponse:
    return JsonResponse(Task.objects.values(*COLUMNS).get(pk=pk))


@csrf_exempt
def create(request: HttpRequest) -> JsonResponse:
    given = json.loads(request.body)
    with transaction.atomic():
        task = Task.objects.create(project_id=given["project"], title=given["title"])
    return JsonResponse(Task.objects.values(*COLUMNS).get(pk=task.pk), status=201)


@csrf_exempt
def hold(_request: HttpRequest, pk: int) -> JsonResponse:
    with transaction.atomic():
        Task.objects.filter(pk=pk).update(is_held=True, version=F("version") + 1)
    return JsonResponse(Task.objects.values(*COLUMNS).get(pk=pk))


urlpatterns = [
    path("bare/nothing", nothing),
    path("bare/projects/<int:project>/<slug:status>", listed),
    path("bare/tasks/<int:pk>", read),
    path("bare/tasks", create),
    path("bare/tasks/<int:pk>/hold", hold),
    *product,
]

handler400 = "beebeebrain.errors.bad_request"
handler403 = "beebeebrain.errors.permission_denied"
handler404 = "beebeebrain.errors.not_found"
handler500 = "beebeebrain.errors.server_error"
