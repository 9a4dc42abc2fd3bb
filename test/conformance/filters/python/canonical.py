"""The canonical conformance filters as a component in Python, of the world calling-filter; `config: { case: NAME }` chooses one."""
import json

from componentize_py_types import Err
from wit_world.imports import callout, host
from wit_world.imports.types import (
    BodyAction_Keep,
    BodyAction_Pass,
    BodyAction_Replace,
    Edit_Add,
    Edit_Set,
    HeadersAction_Change,
    HeadersAction_Pass,
    HeadersAction_Respond,
    Reply,
)

CASES = ["add-header", "local-reply", "pause-resume", "rewrite-body", "trailers", "route-config", "throw", "run-away"]
chosen = ""
kept = b""


class WitWorld:
    def configure(self, config: str) -> None:
        global chosen
        name = (json.loads(config) or {}).get("case")
        if name not in CASES:
            raise Err(f"unknown case {name}")
        chosen = name

    def on_request_headers(self, stream, headers, end_of_stream):
        if chosen == "add-header":
            return HeadersAction_Change([Edit_Add(("x-request-mark", "seen"))])
        if chosen == "local-reply" and ("user", "admin") not in headers:
            return HeadersAction_Respond(Reply(403, [("x-reason", "not admin")], b"denied"))
        if chosen == "pause-resume":
            request = [(":method", "GET"), (":path", "/check"), (":authority", "aux")]
            response = callout.call(stream, "aux", request, b"", 5000)
            return HeadersAction_Change([Edit_Set(("x-checked", str(response.status)))])
        if chosen == "throw":
            raise RuntimeError("thrown on purpose")
        while chosen == "run-away":
            pass
        return HeadersAction_Pass()

    def on_request_body(self, stream, piece, end_of_stream):
        global kept
        if chosen != "rewrite-body":
            return BodyAction_Pass()
        kept += piece.upper()
        if not end_of_stream:
            return BodyAction_Keep()
        whole, kept = kept, b""
        return BodyAction_Replace(whole)

    def on_request_trailers(self, stream, trailers):
        return [Edit_Add(("x-request-mark", "seen"))] if chosen == "trailers" else []

    def on_response_headers(self, stream, headers, end_of_stream):
        if chosen in ("add-header", "local-reply"):
            return HeadersAction_Change([Edit_Add(("x-response-mark", "seen"))])
        if chosen == "route-config":
            config = json.loads(host.route_config(stream) or "{}")
            return HeadersAction_Change([Edit_Set(("x-greeting", config.get("greeting", "none")))])
        return HeadersAction_Pass()

    def on_response_body(self, stream, piece, end_of_stream):
        return BodyAction_Replace(piece.upper()) if chosen == "rewrite-body" else BodyAction_Pass()

    def on_response_trailers(self, stream, trailers):
        return [Edit_Add(("x-response-mark", "seen"))] if chosen == "trailers" else []

    def on_complete(self, stream):
        pass
