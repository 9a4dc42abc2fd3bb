#!/usr/bin/env python3
"""The canonical conformance filters with the SDK for Python; `config: { case: NAME }` chooses one. And an access logger that writes to `config: { file }`."""

from weir_plugin import HOLD, Filter, Reply, serve


class AddHeader(Filter):
    def on_request_headers(self, stream, headers, end_stream):
        headers.add("x-request-mark", "seen")

    def on_response_headers(self, stream, headers, end_stream):
        headers.add("x-response-mark", "seen")


class LocalReply(Filter):
    def on_request_headers(self, stream, headers, end_stream):
        if headers.get("user") != "admin":
            return Reply(403, {"x-reason": "not admin"}, "denied")

    def on_response_headers(self, stream, headers, end_stream):
        headers.add("x-response-mark", "seen")


class RewriteBody(Filter):
    def on_request_headers(self, stream, headers, end_stream):
        return None if end_stream else HOLD

    def on_request_body(self, stream, data, end_stream):
        return stream.request_body.upper() if end_stream else HOLD

    def on_request_trailers(self, stream, trailers):
        return stream.request_body.upper()

    def on_response_headers(self, stream, headers, end_stream):
        return None if end_stream else HOLD

    async def on_response_body(self, stream, data, end_stream):
        return stream.response_body.upper() if end_stream else HOLD

    async def on_response_trailers(self, stream, trailers):
        return stream.response_body.upper()


class Trailers(Filter):
    def on_request_trailers(self, stream, trailers):
        trailers.add("x-request-mark", "seen")

    def on_response_trailers(self, stream, trailers):
        trailers.add("x-response-mark", "seen")


class RouteConfig(Filter):
    def on_response_headers(self, stream, headers, end_stream):
        headers.set("x-greeting", (stream.route_config or {}).get("greeting", "none"))


class Throw(Filter):
    def on_request_headers(self, stream, headers, end_stream):
        raise RuntimeError("thrown on purpose")


CASES = {
    "add-header": AddHeader,
    "local-reply": LocalReply,
    "rewrite-body": RewriteBody,
    "trailers": Trailers,
    "route-config": RouteConfig,
    "throw": Throw,
}


def create(config):
    name = (config or {}).get("case", "")
    if name not in CASES:
        raise ValueError(f"unknown case {name}")
    return CASES[name](config)


def log(entries, config):
    with open(config["file"], "a") as file:
        for entry in entries:
            file.write(f"{entry.status} {entry.request_headers.get(':path')} {entry.info['listener']}\n")


def balance(endpoints, config):
    return [7 if endpoint.metadata.get("chosen") else 0 for endpoint in endpoints]


serve(filter=create, access_log=log, load_balancer=balance)
