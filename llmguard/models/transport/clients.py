"""HTTP clients for the SDK that read the whole reply, within a size limit and a deadline."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Callable, Iterable
from functools import partial
from typing import cast
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.models.transport.connection_pool import LockFreePool
from llmguard.models.transport.exchange import CappedBody
from llmguard.models.transport.failures import exception_text
from llmguard.models.transport.http_libraries import httpcore, httpx
from llmguard.models.transport.sockets import AsyncBoundedBackend, BoundedBackend, ShrinkingTimeout

_NETWORK_ERRORS = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError, httpcore.UnsupportedProtocol)
_IDENTITY = ("Accept-Encoding", "identity")
_BODY_HEADERS = (b"content-encoding", b"content-length", b"transfer-encoding")


class BoundedTransport(httpx.BaseTransport):
    """Connections that are kept; a reply is read as a whole, up to a size limit."""

    def __init__(self, base_url: str, max_reply_bytes: int) -> None:
        proxy = proxy_for(base_url)
        make = partial(httpcore.HTTPProxy, **proxy) if proxy else httpcore.ConnectionPool
        self._pool = LockFreePool(make(network_backend=BoundedBackend(), **_pool_options(base_url)))
        self._max_reply_bytes = max_reply_bytes

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        core_request = _core_request(request)
        connection = self._pool.acquire(core_request.url.origin)
        try:
            reply = connection.handle_request(core_request)
            body = CappedBody(_header(reply, b"content-encoding"), self._max_reply_bytes)
            on_chunk = _on_chunk_of(request)
            try:
                for chunk in cast(Iterable[bytes], reply.stream):
                    if not body.add(chunk) or (on_chunk is not None and not on_chunk(body.latest)):
                        break
            finally:
                reply.close()
        except httpcore.TimeoutException as error:
            raise httpx.ReadTimeout(str(error)) from error
        except _NETWORK_ERRORS as error:
            raise httpx.NetworkError(exception_text(error)) from error
        self._pool.release(connection)
        return _response(reply, body)

    def close(self) -> None:
        self._pool.close()


class AsyncBoundedTransport(httpx.AsyncBaseTransport):
    """The same on an event loop."""

    def __init__(self, base_url: str, max_reply_bytes: int) -> None:
        proxy = proxy_for(base_url)
        make = partial(httpcore.AsyncHTTPProxy, **proxy) if proxy else httpcore.AsyncConnectionPool
        self._pool = make(network_backend=AsyncBoundedBackend(), **_pool_options(base_url))
        self._max_reply_bytes = max_reply_bytes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            reply = await self._pool.handle_async_request(_core_request(request))
            body = CappedBody(_header(reply, b"content-encoding"), self._max_reply_bytes)
            on_chunk = _on_chunk_of(request)
            try:
                async for chunk in cast(AsyncIterable[bytes], reply.stream):
                    if not body.add(chunk) or (on_chunk is not None and not on_chunk(body.latest)):
                        break
            finally:
                await reply.aclose()
        except httpcore.TimeoutException as error:
            raise httpx.ReadTimeout(str(error)) from error
        except _NETWORK_ERRORS as error:
            raise httpx.NetworkError(exception_text(error)) from error
        return _response(reply, body)

    async def aclose(self) -> None:
        await self._pool.aclose()


class BoundedClient(httpx.Client):
    """An httpx client that does only what a model needs: no redirects, cookies, hooks, or log lines (which would show a key
    in a URL). That also takes less CPU per request."""

    def __init__(self, base_url: str, max_reply_bytes: int) -> None:
        self._process = os.getpid()
        self._direct = BoundedTransport(base_url, max_reply_bytes)
        self._urls: dict[str, httpx.URL] = {}
        super().__init__(transport=self._direct, trust_env=False)

    def build_request(self, method: str, url: httpx.URL | str, **options: Json) -> httpx.Request:
        return _build_request(method, self._urls, url, options) or super().build_request(method, url, **options)

    def send(self, request: httpx.Request, **options: Json) -> httpx.Response:
        response = self._direct.handle_request(request)
        response.request = request
        return response

    def __del__(self) -> None:
        # A fork leaves its parent's connections open; a client whose constructor raised has none.
        if os.getpid() == self._process and hasattr(self, "_direct"):
            self._direct.close()


class AsyncBoundedClient(httpx.AsyncClient):
    """The same on an event loop."""

    def __init__(self, base_url: str, max_reply_bytes: int) -> None:
        self._direct = AsyncBoundedTransport(base_url, max_reply_bytes)
        self._urls: dict[str, httpx.URL] = {}
        super().__init__(transport=self._direct, trust_env=False)

    def build_request(self, method: str, url: httpx.URL | str, **options: Json) -> httpx.Request:
        return _build_request(method, self._urls, url, options) or super().build_request(method, url, **options)

    async def send(self, request: httpx.Request, **options: Json) -> httpx.Response:
        response = await self._direct.handle_async_request(request)
        response.request = request
        return response


def proxy_for(base_url: str) -> dict[str, Json]:
    """The proxy that the environment names for this server, as httpcore's options; empty where there is none."""
    url = urlsplit(base_url)
    proxies = getproxies()
    address = proxies.get(url.scheme) or proxies.get("all")
    if not address or proxy_bypass(url.hostname or ""):
        return {}
    proxy = urlsplit(address if "://" in address else f"http://{address}")
    if proxy.scheme not in ("http", "https"):
        raise UsageError(
            f"the environment names a {proxy.scheme} proxy for {base_url}; expected http or https. Name the server in"
            " NO_PROXY, or pass client=OpenAI(http_client=...) with a client of your own."
        )
    port = f":{proxy.port}" if proxy.port else ""
    options: dict[str, Json] = {"proxy_url": f"{proxy.scheme}://{proxy.hostname}{port}/"}
    if proxy.username:
        options["proxy_auth"] = (unquote(proxy.username), unquote(proxy.password or ""))
    return options


def _pool_options(base_url: str) -> dict[str, Json]:
    """The SDK's own limits. A TLS context takes 20 ms, so it is created only for https."""
    tls = httpx.create_ssl_context() if base_url.startswith("https:") else None
    return {
        "ssl_context": tls,
        "max_connections": 1000,
        "max_keepalive_connections": 100,
        "keepalive_expiry": 5.0,
    }


def _build_request(
    method: str, urls: dict[str, httpx.URL], url: httpx.URL | str, options: dict[str, Json]
) -> httpx.Request | None:
    """A request of ours, built without httpx's merging; None for any other, which httpx builds."""
    content, timeout, headers = options.get("content"), options.get("timeout"), options.get("headers")
    if not isinstance(content, bytes) or not isinstance(timeout, ShrinkingTimeout) or options.get("params"):
        return None
    if isinstance(url, str):
        url = urls.get(url) or urls.setdefault(url, httpx.URL(url))
    fields = headers.multi_items() if isinstance(headers, httpx.Headers) else headers or ()
    each = {"connect": timeout, "read": timeout, "write": timeout, "pool": timeout}
    extensions = {**(options.get("extensions") or {}), "timeout": each}
    return httpx.Request(method, url, headers=[*fields, _IDENTITY], content=content, extensions=extensions)


def _on_chunk_of(request: httpx.Request) -> Callable[[bytes], bool] | None:
    """What gets the chunks of a streamed reply."""
    timeout = request.extensions.get("timeout", {}).get("read")
    return timeout.on_chunk if isinstance(timeout, ShrinkingTimeout) else None


def _core_request(request: httpx.Request) -> httpcore.Request:
    url = request.url
    return httpcore.Request(
        request.method,
        httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=cast(Iterable[bytes], request.stream),
        extensions=request.extensions,
    )


def _header(reply: httpcore.Response, name: bytes) -> str:
    for field, value in reply.headers:
        if field.lower() == name:
            return value.decode("latin-1")
    return ""


def _response(reply: httpcore.Response, body: CappedBody) -> httpx.Response:
    """What was read, decompressed; its extension `incomplete_reason` says why it is not whole."""
    headers = [field for field in reply.headers if field[0].lower() not in _BODY_HEADERS]
    extensions = {**reply.extensions, "incomplete_reason": body.incomplete_reason}
    return httpx.Response(reply.status, headers=headers, content=body.content(), extensions=extensions)
