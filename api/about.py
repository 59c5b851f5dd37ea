"""What the API's description says of the API as a whole."""

from __future__ import annotations

DESCRIPTION = """\
BeeBeeBrain is the control plane for a team of coding agents: write down goals as tasks, let agents do them side by side,
answer what they ask, and approve what they made.

**Login.** A program sends `Authorization: Bearer bbb_…` (a token from `manage.py create_token` or `POST /tokens`), a browser its
session and, with everything that is no GET, the header `X-CSRFToken`. A `viewer` reads; an `operator` also works on tasks, the inbox,
documents and comments; an `admin` also on projects, agents and other people's tokens. What lies in a project one may not see is not found.

**Lists** come in pages: `next` and `previous` are whole addresses. What is archived is left out unless `is_archived=true`.
`fields=id,title` leaves out all other fields, also those that are called required here; `expand=project` puts a row in the place of its id.
A parameter or a field that does not exist is refused, not ignored.

**Errors** are `application/problem+json` (RFC 9457). Programs decide by `code`; `docs/errors.md` says of each what to do about it.
`trace_id`, also in the header `X-Trace-ID`, joins the request, its log lines and its events.

**Changes of what somebody else may change too.** The `ETag` of a row is its `version`; with `If-Match` (or `expected_version` in the body)
a change is made only to the version that was read, else the answer is 412 (or 409) and says what is there now.

**Sending again.** A POST with an `Idempotency-Key` is carried out once, however often it arrives within a day.

**Live.** `ws /ws/events/?after=CURSOR` sends every event, in order and without a gap, and so does `GET /events/stream` as Server-Sent Events: read `/events/cursor`, load what you show, stream from there.
"""

TAGS = [
    {"name": "account", "description": "Who is logged in, and the tokens with which programs log in."},
    {"name": "projects", "description": "Git repositories and their rules."},
    {"name": "agents", "description": "Who does the work: a provider's client, its model, its tools and limits."},
    {"name": "tasks", "description": "What is to be done, and what a person may do about it."},
    {"name": "dependencies", "description": "What waits for what."},
    {"name": "documents", "description": "Texts of a project that agents are given."},
    {"name": "comments", "description": "What was said about tasks, diffs and documents."},
    {"name": "runs", "description": "Attempts at tasks: how they went, what was said and done, what was changed."},
    {"name": "logs", "description": "What runs said and did, line by line, over all of them."},
    {"name": "breakers", "description": "Usage limits that were reached, and keep agents from starting."},
    {"name": "inbox", "description": "What waits for a person: questions, reviews, permissions, conflicts, alerts."},
    {"name": "events", "description": "Everything that happened, in its order."},
]
