"""What a plugin's author writes and sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Iterator, Mapping, Union


class _Hold:
    def __repr__(self) -> str:
        return "HOLD"


HOLD = _Hold()
"""Keeps the part, and what follows it on its side, until a later hook of that side continues."""


class Headers:
    """Headers or trailers in their order, repeated ones kept; names in lower case, values as text of the code points 0 to 255."""

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items = list(items)

    def get(self, name: str, default: str | None = None) -> str | None:
        """The values of that name, joined by a comma and a blank."""
        values = self.get_all(name)
        return ", ".join(values) if values else default

    def get_all(self, name: str) -> list[str]:
        name = name.lower()
        return [value for own, value in self._items if own == name]

    def set(self, name: str, value: str) -> None:
        """Puts one value in the place of all."""
        self.remove(name)
        self._items.append((name.lower(), value))

    def add(self, name: str, value: str) -> None:
        self._items.append((name.lower(), value))

    def remove(self, name: str) -> None:
        name = name.lower()
        self._items = [item for item in self._items if item[0] != name]

    def __contains__(self, name: str) -> bool:
        return bool(self.get_all(name))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __repr__(self) -> str:
        return f"Headers({self._items!r})"


@dataclass
class Reply:
    """An answer that Weir gives itself."""

    status: int
    headers: Union[Mapping[str, str], Iterable[tuple[str, str]]] = ()
    body: Union[str, bytes] = b""
    details: str = ""
    """For the access log."""


@dataclass
class Certificate:
    """PEM: the certificate with those that lead to its CA, and the key; the CAs of clients, if they are to show certificates."""

    chain: str
    key: str
    ca: str = ""


@dataclass
class Endpoint:
    """An endpoint of the cluster that a plugin balances."""

    name: str
    weight: int
    active: int
    """Requests that it serves now, of one worker."""
    chosen: int
    """Requests that it was chosen for since the last call."""
    metadata: Mapping[str, Any]


@dataclass
class LogEntry:
    """A stream that has ended."""

    info: Mapping[str, Any]
    """As Stream.info."""
    status: int
    bytes_received: int
    bytes_sent: int
    duration_ms: float
    flags: str
    start_time_ms: float
    endpoint: str
    details: str
    request_headers: Headers
    response_headers: Headers
    metadata: Mapping[str, Any]


Result = Union[None, _Hold, Reply, bytes, str]
"""None: it goes on. Bytes or text: this is the body now, of what is held or else of this piece."""


class Stream:
    """One request and its response."""

    info: Mapping[str, Any]
    """Facts by the names of weir.plugin.v1.StreamInfo: id, listener, protocol, client_address, route, cluster, tls_version, …"""
    route_config: Any = None
    """The settings of the route for this filter; None when there are none."""
    metadata: Mapping[str, Any]
    """What filters before this one left, by namespace."""
    request_headers: Headers | None = None
    """Changes count in the hook that gets them, and in body hooks while they are held."""
    response_headers: Headers | None = None
    request_body: bytes = b""
    """The pieces of the body that came while they were held, the one of the running hook included."""
    response_body: bytes = b""
    state: Any = None
    """For the filter's own use."""

    def __init__(self) -> None:
        self.info = {}
        self.metadata = {}
        self._left: dict[str, dict[str, Any]] = {}

    def set_metadata(self, namespace: str, key: str, value: Any) -> None:
        """Leaves a JSON value for other filters and the access log."""
        self._left.setdefault(namespace, {})[key] = value


class Filter:
    """The filter of one entry of a configuration; it serves all its streams.

    Weir sends what a subclass has a hook for, and nothing else. Hooks may be coroutines. What `__init__` raises refuses the configuration; what a hook
    raises is a failure, for which the entry's policy holds.
    """

    def __init__(self, config: Any) -> None:
        self.config = config

    def on_request_headers(self, stream: Stream, headers: Headers, end_stream: bool) -> Result: ...

    def on_request_body(self, stream: Stream, data: bytes, end_stream: bool) -> Result: ...

    def on_request_trailers(self, stream: Stream, trailers: Headers) -> Result: ...

    def on_response_headers(self, stream: Stream, headers: Headers, end_stream: bool) -> Result: ...

    def on_response_body(self, stream: Stream, data: bytes, end_stream: bool) -> Result: ...

    def on_response_trailers(self, stream: Stream, trailers: Headers) -> Result: ...

    def on_complete(self, stream: Stream, status: int) -> None: ...
