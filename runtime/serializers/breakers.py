from __future__ import annotations

from rest_framework import serializers

from api.examples import shown
from llm.models import Breaker
from llm.states import BreakerState
from runtime.serializers import examples


@shown(examples.BREAKER)
class BreakerSerializer(serializers.ModelSerializer[Breaker]):
    """What keeps the runs of one credential from starting after its usage limit was reached."""

    state = serializers.ChoiceField(choices=BreakerState.choices, read_only=True)

    class Meta:
        model = Breaker
        fields = [
            "id",
            "provider",
            "fingerprint",
            "state",
            "opened_at",
            "reset_at",
            "code",
            "message",
            "trial_at",
            "version",
        ]
        read_only_fields = fields
        extra_kwargs = {
            "fingerprint": {"help_text": "Tells credentials apart; the credential itself is not kept."},
            "reset_at": {"help_text": "Nothing starts before. Null: closed."},
            "code": {"help_text": "The failure that opened it last."},
            "message": {"help_text": "What the provider said then."},
            "trial_at": {"help_text": "When a run began to try whether the limit is over. Null: none has since."},
        }
