"""What no request may hold: control characters, in its path, its query or its JSON, and JSON that is not UTF-8."""

import codecs
import re
from urllib.parse import unquote_to_bytes

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.problems import problem

WHY = "the request has a control character (as NUL); take it out"
NOT_UTF8 = "the body is not UTF-8, in which alone JSON is taken; send it so"
_RAW = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ESCAPED = re.compile(rb"(?<!\\)(?:\\\\)*\\u00(?:0[0-8bcefBCEF]|1[0-9a-fA-F]|7[fF])")
_LONGEST = 64
"""bytes of the piece before that are looked at again, for an escape that is split between two"""


class NoControlCharacters:
    """ASGI middleware: 422 for them, alike for every database. Line ends and tabs are text.

    Python reads JSON in UTF-16 and UTF-32 too, where an escape has other bytes than those that are looked for here.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if any(_RAW.search(unquote_to_bytes(part)) for part in (scope["raw_path"], scope["query_string"])):
            await problem(422, WHY)(scope, receive, send)
            return
        before, utf8 = b"", codecs.getincrementaldecoder("utf-8")()

        async def checked() -> Message:
            nonlocal before
            message = await receive()
            if message["type"] == "http.request":
                body = message.get("body", b"")
                try:
                    utf8.decode(body, final=not message.get("more_body", False))
                except UnicodeDecodeError:
                    raise HTTPException(422, NOT_UTF8) from None
                seen = before + body
                if _RAW.search(body) or _ESCAPED.search(seen):
                    raise HTTPException(422, WHY)
                before = seen[-_LONGEST:]
            return message

        await self._app(scope, checked if _is_json(scope) else receive, send)


def _is_json(scope: Scope) -> bool:
    # What is sent without a type is read as JSON, too; of several types any may be taken for the one that counts.
    kinds = [value.lower() for name, value in scope["headers"] if name == b"content-type"] or [b"json"]
    return any(b"json" in kind or b"text" in kind for kind in kinds)
