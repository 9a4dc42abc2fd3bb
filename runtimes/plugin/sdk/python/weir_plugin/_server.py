"""The process: handshake, protocol, health, end."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
from typing import Any, Callable, Optional, Union

import grpc

from . import _messages as pb
from ._filter import HOLD, Certificate, Endpoint, Filter, Headers, LogEntry, Reply, Stream

PARTS = [
    "on_request_headers",
    "on_request_body",
    "on_request_trailers",
    "on_response_headers",
    "on_response_body",
    "on_response_trailers",
    "on_complete",
]

Provider = Callable[[str, str, Any], Union[Optional[Certificate], Any]]
AccessLog = Callable[["list[LogEntry]", Any], Any]
LoadBalancer = Callable[["list[Endpoint]", Any], Any]


def serve(
    filter: Callable[[Any], Filter] | None = None,
    certificates: Provider | None = None,
    access_log: AccessLog | None = None,
    load_balancer: LoadBalancer | None = None,
) -> None:
    """Runs the plugin until Weir ends it.

    filter: a Filter's class, or a function from an entry's `config:` to a Filter.
    certificates: a function (server_name, listener, config) -> Certificate or None; it may be a coroutine function.
    access_log: a function (entries, config) that takes streams that have ended, several at a time; it may be a coroutine function.
    load_balancer: a function (endpoints, config) that gives the share of each endpoint, every second; it may be a coroutine function.
    """
    if os.environ.get("WEIR_PLUGIN") != "1" and os.environ.get("MOSN_PLUGIN") != "ON":
        sys.exit("this program is a plugin: name it in a configuration of Weir, with `runtime: plugin`")
    asyncio.run(_serve(filter, certificates, access_log, load_balancer))


async def _serve(
    filter: Callable[[Any], Filter] | None,
    certificates: Provider | None,
    access_log: AccessLog | None,
    load_balancer: LoadBalancer | None,
) -> None:
    ended = asyncio.Event()
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])

    async def health(_request: bytes, _context: Any) -> bytes:
        return b"\x08\x01"

    async def shutdown(_request: bytes, _context: Any) -> bytes:
        asyncio.get_running_loop().call_later(0.01, ended.set)
        return b""

    services = {
        "grpc.health.v1.Health": {"Check": grpc.unary_unary_rpc_method_handler(health)},
        "plugin.GRPCController": {"Shutdown": grpc.unary_unary_rpc_method_handler(shutdown)},
    }
    if filter is not None:
        services["weir.plugin.v1.Filter"] = _filter_service(filter)
    if certificates is not None:
        services["weir.plugin.v1.CertificateProvider"] = _certificate_service(certificates)
    if access_log is not None:
        services["weir.plugin.v1.AccessLogger"] = _access_log_service(access_log)
    if load_balancer is not None:
        services["weir.plugin.v1.LoadBalancer"] = _load_balancer_service(load_balancer)
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items()]
    )
    folder = tempfile.mkdtemp(prefix="plugin-")
    address = os.path.join(folder, "socket")
    server.add_insecure_port("unix:" + address)
    await server.start()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, ended.set)
    watching = asyncio.create_task(_watch_parent(ended))
    sys.stdout.write(f"1|1|unix|{address}|grpc\n")
    sys.stdout.flush()
    await ended.wait()
    watching.cancel()
    await server.stop(grace=5)
    shutil.rmtree(folder, ignore_errors=True)


async def _watch_parent(ended: asyncio.Event) -> None:
    """Weir holds the other end of standard input; where another program started this one, the parent's number tells."""
    if os.environ.get("WEIR_PLUGIN") == "1":
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while await reader.read(4096):
            pass
    else:
        parent = os.getppid()
        while os.getppid() == parent:
            await asyncio.sleep(1)
    ended.set()


async def _result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _certificate_service(provide: Provider) -> dict:
    async def answer(request: Any, _context: Any) -> Any:
        given = await _result(provide(request.server_name, request.listener, json.loads(request.config or "null")))
        if given is None:
            return pb.CertificateResponse()
        return pb.CertificateResponse(chain=given.chain, key=given.key, ca=given.ca)

    handler = grpc.unary_unary_rpc_method_handler(
        answer, pb.CertificateRequest.FromString, pb.CertificateResponse.SerializeToString
    )
    return {"Provide": handler}


def _access_log_service(log: AccessLog) -> dict:
    async def answer(request: Any, _context: Any) -> Any:
        entries = [
            LogEntry(
                info=_facts(entry.info),
                status=entry.complete.status,
                bytes_received=entry.complete.bytes_received,
                bytes_sent=entry.complete.bytes_sent,
                duration_ms=entry.complete.duration_ms,
                flags=entry.complete.flags,
                start_time_ms=entry.start_time_ms,
                endpoint=entry.endpoint,
                details=entry.details,
                request_headers=_headers(entry.request_headers),
                response_headers=_headers(entry.response_headers),
                metadata={name: json.loads(text) for name, text in entry.metadata.items()},
            )
            for entry in request.entries
        ]
        await _result(log(entries, json.loads(request.config or "null")))
        return pb.LogResponse()

    handler = grpc.unary_unary_rpc_method_handler(answer, pb.LogRequest.FromString, pb.LogResponse.SerializeToString)
    return {"Log": handler}


def _load_balancer_service(balance: LoadBalancer) -> dict:
    async def answer(request: Any, _context: Any) -> Any:
        endpoints = [
            Endpoint(one.name, one.weight, one.active, one.chosen, json.loads(one.metadata or "{}"))
            for one in request.endpoints
        ]
        return pb.BalanceResponse(weights=await _result(balance(endpoints, json.loads(request.config or "null"))))

    handler = grpc.unary_unary_rpc_method_handler(
        answer, pb.BalanceRequest.FromString, pb.BalanceResponse.SerializeToString
    )
    return {"Balance": handler}


def _facts(info: Any) -> dict:
    return {field.name: getattr(info, field.name) for field in info.DESCRIPTOR.fields}


def _headers(items: Any) -> Headers:
    return Headers((item.name, item.value.decode("latin-1")) for item in items)


def _filter_service(create: Callable[[Any], Filter]) -> dict:
    filters: dict[str, Filter] = {}

    def filter_for(config: str) -> Filter:
        if config not in filters:
            filters[config] = create(json.loads(config or "null"))
        return filters[config]

    async def configure(request: Any, _context: Any) -> Any:
        try:
            own = filter_for(request.config)
        except Exception as error:
            return pb.ConfigureResponse(error=str(error) or type(error).__name__)
        has = [getattr(type(own), name, None) is not getattr(Filter, name) for name in PARTS]
        return pb.ConfigureResponse(parts=[i + 1 for i, wanted in enumerate(has) if wanted])

    async def process(events: Any, context: Any) -> Any:
        session = _Session()
        try:
            async for event in events:
                if event.HasField("start"):
                    session.begin(filter_for(event.start.config), event.start)
                action = await session.run(event)
                if action is not None:
                    yield action
        except Exception as error:
            traceback.print_exc()
            await context.abort(grpc.StatusCode.INTERNAL, str(error) or type(error).__name__)

    return {
        "Configure": grpc.unary_unary_rpc_method_handler(
            configure, pb.ConfigureRequest.FromString, pb.ConfigureResponse.SerializeToString
        ),
        "Process": grpc.stream_stream_rpc_method_handler(
            process, pb.Event.FromString, pb.Action.SerializeToString
        ),
    }


class _Session:
    def __init__(self) -> None:
        self.stream = Stream()
        self.filter: Filter | None = None
        self.held: dict[str, dict[str, list[str]] | None] = {}

    def begin(self, filter: Filter, start: Any) -> None:
        self.filter = filter
        stream = self.stream
        stream.info = _facts(start.info)
        stream.route_config = json.loads(start.route_config) if start.route_config else None
        stream.metadata = {name: json.loads(text) for name, text in start.metadata.items()}

    async def run(self, event: Any) -> Any:
        part = event.WhichOneof("part")
        if part == "complete":
            await _result(self.filter.on_complete(self.stream, event.complete.status))
            return None
        side, what = part.split("_")
        hook = getattr(self.filter, f"on_{part}")
        stream = self.stream
        message = getattr(event, part)
        if what == "body":
            held_body = getattr(stream, side + "_body") + message.data
            setattr(stream, side + "_body", held_body)
            result = await _result(hook(stream, message.data, message.end_stream))
            before = self.held.get(side)
            headers = getattr(stream, side + "_headers")
            edits = [] if before is None else _edits(before, headers)
            if result is HOLD:
                self.held[side] = None if before is None else _grouped(headers)
            else:
                setattr(stream, side + "_body", b"")
                self.held[side] = None
            return self.action(result, edits)
        headers = _headers(message.headers)
        before = _grouped(headers)
        if what == "trailers":
            return self.action(await _result(hook(stream, headers)), _edits(before, headers))
        setattr(stream, side + "_headers", headers)
        result = await _result(hook(stream, headers, message.end_stream))
        self.held[side] = _grouped(headers) if result is HOLD else None
        return self.action(result, _edits(before, headers))

    def action(self, result: Any, edits: list) -> Any:
        left = {namespace: json.dumps(values) for namespace, values in self.stream._left.items()}
        self.stream._left.clear()
        action = pb.Action(edits=edits, metadata=left)
        if result is HOLD:
            action.hold.SetInParent()
        elif isinstance(result, Reply):
            items = result.headers.items() if hasattr(result.headers, "items") else result.headers
            action.reply.status = result.status
            action.reply.body = _bytes(result.body)
            action.reply.details = result.details
            for name, value in items:
                action.reply.headers.add(name=name, value=value.encode("latin-1"))
        elif isinstance(result, (bytes, bytearray, str)):
            action.body = _bytes(result)
        elif result is not None:
            raise TypeError(f"a hook returned {result!r}: None, HOLD, a Reply, bytes or text are known")
        return action


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _grouped(headers: Headers) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, value in headers:
        groups.setdefault(name, []).append(value)
    return groups


def _edits(before: dict[str, list[str]], headers: Headers) -> list:
    """What turns the headers as they came into what they are now."""
    now = _grouped(headers)
    edits = [pb.Edit(operation=2, name=name) for name in before if name not in now]
    for name, values in now.items():
        old = before.get(name, [])
        if old == values:
            continue
        kept = len(old) if old and values[: len(old)] == old else 0
        for i, value in enumerate(values[kept:], kept):
            edits.append(pb.Edit(operation=0 if i == 0 else 1, name=name, value=value.encode("latin-1")))
    return edits
