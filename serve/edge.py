"""What no request may hold: control characters, in its path, its query or the text of its JSON."""

import re
from urllib.parse import unquote_to_bytes

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.problems import problem

WHY = "the request has a control character (as NUL); take it out"
_RAW = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ESCAPED = re.compile(rb"(?<!\\)(?:\\\\)*\\u00(?:0[0-8bcefBCEF]|1[0-9a-fA-F]|7[fF])")
_LONGEST = 64
"""bytes of the piece before that are looked at again, for an escape that is split between two"""


class NoControlCharacters:
    """ASGI middleware: 422 for them, alike for every database. Line ends and tabs are text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if any(_RAW.search(unquote_to_bytes(part)) for part in (scope["raw_path"], scope["query_string"])):
            await problem(422, WHY)(scope, receive, send)
            return
        before = b""

        async def checked() -> Message:
            nonlocal before
            message = await receive()
            if message["type"] == "http.request":
                seen = before + message.get("body", b"")
                if _ESCAPED.search(seen):
                    raise HTTPException(422, WHY)
                before = seen[-_LONGEST:]
            return message

        await self._app(scope, checked if _is_json(scope) else receive, send)


def _is_json(scope: Scope) -> bool:
    # What is sent without a type is read as JSON, too.
    kind = dict(scope["headers"]).get(b"content-type", b"application/json")
    return b"json" in kind.lower() or b"text" in kind.lower()
