"""Who is logged in, and the tokens with which programs log in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView

from api.bodies import StrictSerializer
from api.examples import shown
from api.filters import MAX_ID
from api.queries import refuse_unknown
from api.views import RowViewSet
from security.access import projects_of, require_projects
from security.identity import actor_of, require_revoker, require_until, require_within, role_in, token_of
from security.models import ApiToken
from security.roles import SCOPES, Role
from security.services import create_token, revoke_token

_TEXT_HELP = "The token itself. Shown once, and never in the answer to a request that was sent again."
_TOKEN = {
    "id": 5,
    "user": "ada",
    "name": "nightly import",
    "prefix": "bbb_x7Kp",
    "scopes": ["read", "write"],
    "project_ids": [1],
    "created_at": "2026-11-24T09:00:00.123456Z",
    "expires_at": "2027-02-24T00:00:00Z",
    "last_used_at": None,
    "revoked_at": None,
}


@shown(_TOKEN)
class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    """A program's key; the key itself is never shown again."""

    user = serializers.CharField(source="user.username", read_only=True)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=list(SCOPES)), read_only=True)
    project_ids = serializers.ListField(
        child=serializers.IntegerField(), read_only=True, allow_null=True, help_text="Null: all that its user may see."
    )

    class Meta:
        model = ApiToken
        fields = [
            "id",
            "user",
            "name",
            "prefix",
            "scopes",
            "project_ids",
            "created_at",
            "expires_at",
            "last_used_at",
            "revoked_at",
        ]
        read_only_fields = fields


@shown(_TOKEN | {"text": "bbb_x7Kp…"})
class NewTokenSerializer(TokenSerializer):
    """A token, with its text."""

    text = serializers.CharField(read_only=True, allow_null=True, help_text=_TEXT_HELP)

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "text"]
        read_only_fields = fields


@shown(
    request={
        "name": "nightly import",
        "scopes": ["read", "write"],
        "project_ids": [1],
        "expires_at": "2027-02-24T00:00:00Z",
    }
)
class TokenRequestSerializer(StrictSerializer):
    """What a token is to be called, and what it may do."""

    name = serializers.CharField(max_length=100)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=list(SCOPES)), min_length=1, max_length=len(SCOPES)
    )
    project_ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=MAX_ID),
        allow_null=True,
        required=False,
        max_length=1000,
        help_text="The only projects it is for; null: all that you may see.",
    )
    expires_at = serializers.DateTimeField(
        allow_null=True, required=False, help_text="Null: never, or with the token that makes it."
    )

    def validate_expires_at(self, wanted: datetime | None) -> datetime | None:
        if wanted is not None and wanted <= timezone.now():
            raise serializers.ValidationError("This time is over. Give one to come, or null.", code="in_the_past")
        return wanted


@extend_schema(tags=["account"])
class TokenViewSet(RowViewSet[ApiToken]):
    """API tokens: one's own; an admin who sees all projects sees everybody's, and may revoke them."""

    queryset = ApiToken.objects.select_related("user")
    serializer_class = TokenSerializer
    ordering_fields = ["name", "created_at", "id"]
    ordering = ["-id"]
    write_role = Role.VIEWER

    def get_queryset(self) -> QuerySet[ApiToken]:
        rows = self.all_rows()
        is_admin = role_in(self.request) == Role.ADMIN and projects_of(self.request) is None
        return rows if is_admin else rows.filter(user_id=self.request.user.pk or 0)

    @extend_schema(request=TokenRequestSerializer, responses={201: NewTokenSerializer})
    def create(self, request: Request) -> Response:
        """Make a token for oneself, which may do no more than oneself.

        Its text is shown this once. A token makes others only if its scope is `admin`: a leaked one must not outlive its revocation.
        """
        given = self.body(TokenRequestSerializer)
        require_within(request, given["scopes"])
        given["project_ids"] = require_projects(request, given.get("project_ids"))
        given["expires_at"] = require_until(request, given.get("expires_at"))
        user = User.objects.get(pk=request.user.pk or 0)
        token, text = create_token(user, **given, actor=actor_of(request))
        return Response(self.get_serializer(token).data | {"text": text}, status=status.HTTP_201_CREATED)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, **_: Any) -> Response:
        """Revoke a token: it stays in the list, and nobody can log in with it any more.

        A token whose scope is not `admin` revokes none but itself.
        """
        token = self.get_object()
        require_revoker(request, token)
        revoke_token(token, actor=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def kept(self, body: Any) -> Any:
        """Leave the text of a token out: only its hash is ever stored."""
        return body | {"text": None} if "text" in body else body


@shown({"username": "ada", "role": "operator", "token": None, "project_ids": [1, 4]})
class MeSerializer(serializers.Serializer[Any]):
    """Who is logged in."""

    username = serializers.CharField()
    role = serializers.ChoiceField(choices=[role.group for role in Role])
    token = TokenSerializer(allow_null=True, help_text="The token the request came with.")
    project_ids = serializers.SerializerMethodField()

    @extend_schema_field(serializers.ListField(child=serializers.IntegerField(), allow_null=True))
    def get_project_ids(self, told: dict[str, Any]) -> list[int] | None:
        return told["project_ids"]  # type: ignore[no-any-return]


class MeView(APIView):
    """The one who asks."""

    http_method_names = ("get", "head")

    @extend_schema(tags=["account"], responses=MeSerializer)
    def get(self, request: Request) -> Response:
        """Say who is logged in: with which role, and which projects there are for them (null: all)."""
        refuse_unknown(request, [])
        role, projects = role_in(request), projects_of(request)
        told = {
            "username": request.user.get_username(),
            "role": role.group if role else None,
            "token": token_of(request),
            "project_ids": None if projects is None else sorted(projects),
        }
        return Response(MeSerializer(told).data)


router = SimpleRouter(trailing_slash=False)
router.register("tokens", TokenViewSet, basename="token")
