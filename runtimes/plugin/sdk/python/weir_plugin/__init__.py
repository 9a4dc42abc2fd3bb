"""Plugins for the proxy Weir: programs that it starts and asks over gRPC.

    from weir_plugin import Filter, Reply, serve

    class Auth(Filter):
        def on_request_headers(self, stream, headers, end_stream):
            if headers.get("user") != self.config["user"]:
                return Reply(403, body="forbidden\\n")

    serve(filter=Auth)

`serve` prints the handshake, serves Weir's protocol and health checks, and returns when Weir ends.
"""

from ._filter import HOLD, Certificate, Endpoint, Filter, Headers, LogEntry, Reply, Stream
from ._server import serve

__all__ = ["HOLD", "Certificate", "Endpoint", "Filter", "Headers", "LogEntry", "Reply", "Stream", "serve"]
