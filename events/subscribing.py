"""What a client asks for: in the query of an address, or in a message of its socket. What means nothing is refused."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, Self

import orjson
from django.http import QueryDict
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from api.filters import MAX_ID
from events.models import Event
from events.retention import floor
from events.selection import Selection, Sight
from events.states import EventType
from events.tail import latest

MOST_REPLAYED = 1000
# Values of one filter.
MOST_VALUES = 100
# Names that clients give their subscriptions.
LONGEST_NAME = 64
# What may be given several times.
SEVERAL = frozenset({"project", "task", "run", "type"})
PREFIXES = frozenset(type_.split(".")[0] + "." for type_ in EventType.values)


class NotUnderstood(Exception):
    """A query or a message that cannot be carried out, and why."""

    def __init__(self, field: str, detail: str, *, code: str = "invalid", sub: str = "") -> None:
        super().__init__(f"{field}: {detail}" if field else detail)
        self.field, self.detail, self.code, self.sub = field, detail, code, sub


def _whole(value: object) -> object:
    """Accept what JSON and addresses call a whole number, and not what Python can make one of."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("Give a whole number.")


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _known(value: str) -> str:
    if value not in EventType.values and value not in PREFIXES:
        raise ValueError("There is no such type of events, and none that begins so.")
    return value


def _text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("Give a text.")  # pydantic makes an answer of ValueErrors only
    if "\0" in value:
        raise ValueError("The text holds the character NUL.")
    return value


Cursor = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=MAX_ID)]
_Id = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=MAX_ID)]
_Ids = Annotated[list[_Id], BeforeValidator(_listed), Field(max_length=MOST_VALUES)]
_Types = Annotated[
    list[Annotated[str, BeforeValidator(lambda value: _known(str(value)))]],
    BeforeValidator(_listed),
    Field(max_length=MOST_VALUES),
]


class Query(BaseModel):
    """What the query of a stream's address holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def of_query(cls, query: QueryDict) -> Self:
        """Return what the query of an address asks for. Raises NotUnderstood."""
        given: dict[str, Any] = {}
        for name, values in query.lists():
            if name not in SEVERAL and len(values) > 1:
                raise NotUnderstood(name, "It is given more than once. Give it once.")
            given[name] = values if name in SEVERAL else values[0]
        return cls.of(given)

    @classmethod
    def of(cls, given: dict[str, Any]) -> Self:
        """Return what was given, checked. Raises NotUnderstood."""
        try:
            return cls.model_validate(given)
        except ValidationError as errors:
            raise _told(errors, cls) from None


class Wanted(Query):
    """Which events, and from where on: behind `after`, from the last so many, or from now on."""

    after: Cursor | None = None
    replay_last: Annotated[int, BeforeValidator(_whole), Field(ge=0, le=MOST_REPLAYED)] | None = None
    project: _Ids = []
    task: _Ids = []
    run: _Ids = []
    type: _Types = []
    trace_id: Annotated[str, Field(max_length=64), BeforeValidator(_text)] = ""

    @classmethod
    def of(cls, given: dict[str, Any]) -> Self:
        wanted = super().of(given)
        if wanted.after is not None and wanted.replay_last is not None:
            raise NotUnderstood("replay_last", "Give this or `after`, not both.")
        return wanted

    @property
    def selection(self) -> Selection:
        """Which events are wanted."""
        return Selection.of(self.model_dump())


class Message(NamedTuple):
    """A message of a client: begin or end a subscription."""

    sub: str
    wanted: Wanted | None
    """None: end it."""

    @classmethod
    def of(cls, text: str | None) -> Self:
        """Return what a client says. Raises NotUnderstood."""
        try:
            said = orjson.loads(text or "")
        except orjson.JSONDecodeError:
            raise NotUnderstood("", "The message is no JSON.") from None
        match said:
            case {"subscribe": {"id": str(sub), **filters}, **other} if not other and _is_name(sub):
                return cls(sub, _wanted(sub, filters))
            case {"unsubscribe": str(sub), **other} if not other and _is_name(sub):
                return cls(sub, None)
        raise NotUnderstood("", _HELP)


_HELP = (
    'Send {"subscribe": {"id": NAME, …}} or {"unsubscribe": NAME}; a name is a text of 1 to '
    f"{LONGEST_NAME} characters, and … are the parameters of the address."
)


class Start(NamedTuple):
    """Where a subscription begins."""

    after: int
    end: int
    """How far the log reaches."""
    is_resync: bool = False
    """Whether the log lacks something between the cursor that was asked for and this one."""


def start_of(wanted: Wanted, sight: Sight) -> Start:
    """Return where a subscription begins. Asks the database."""
    selection = wanted.selection
    end, begin = latest(), floor(selection.wants)
    if wanted.after is not None:
        is_there = begin <= wanted.after <= end
        return Start(wanted.after if is_there else end, end, is_resync=not is_there)
    if not wanted.replay_last:
        return Start(end, end)
    events = selection.narrow(sight.narrow(Event.objects.filter(id__gt=begin, id__lte=end)))
    last = events.order_by("-id").values_list("id", flat=True)[: wanted.replay_last]
    return Start(min(last, default=end + 1) - 1, end)


def _wanted(sub: str, filters: dict[Any, Any]) -> Wanted:
    try:
        return Wanted.of(filters)
    except NotUnderstood as why:
        raise NotUnderstood(why.field, why.detail, code=why.code, sub=sub) from None


def _is_name(sub: str) -> bool:
    return 0 < len(sub) <= LONGEST_NAME


def _told(errors: ValidationError, query: type[Query]) -> NotUnderstood:
    first = errors.errors()[0]
    field = ".".join(str(part) for part in first["loc"])[:LONGEST_NAME]
    if first["type"] == "extra_forbidden":
        known = ", ".join(sorted(query.model_fields))
        return NotUnderstood(field, f"There is no such parameter; there are: {known}.", code="unknown_parameter")
    return NotUnderstood(field, first["msg"].removeprefix("Value error, "))
