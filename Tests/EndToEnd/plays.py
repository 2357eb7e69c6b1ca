"""How receivers misbehave: each play is one request's fate, in the hands of an `Exchange`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from peers import Exchange, Play, answer, honest

# Longer than the exporter reads (16 MiB).
LARGE = 17 << 20


async def silent(exchange: Exchange) -> None:
    """Stores everything and never answers: the exporter must give up by itself."""
    await exchange.commit()
    await exchange.reader.read()
    exchange.is_over = True


async def accept_and_reset(exchange: Exchange) -> None:
    """As a load balancer without anything behind it."""
    exchange.reset()


async def accept_and_close(exchange: Exchange) -> None:
    """The same, politely."""
    await exchange.end()


def reset_in_head(offset: int) -> Play:
    """RST after `offset` bytes of the request."""

    async def play(exchange: Exchange) -> None:
        if not exchange.head:
            await exchange.reader.readexactly(offset)
        exchange.reset()

    return play


def reset_in_body(share: float) -> Play:
    """RST after the head and this share of the body; nothing was stored."""

    async def play(exchange: Exchange) -> None:
        await exchange.read_head()
        await exchange.reader.readexactly(min(int(exchange.length * share), exchange.length - 1))
        exchange.reset()

    return play


def reset_in_answer(share: float) -> Play:
    """Stores everything; RST after this share of the answer, which is never whole."""

    async def play(exchange: Exchange) -> None:
        data = await exchange.commit()
        await exchange.send(data[: min(int(len(data) * share), len(data) - 1)])
        await asyncio.sleep(0.02)
        exchange.reset()

    return play


def close_in_answer(share: float) -> Play:
    """The same with a FIN: the answer is cut short."""

    async def play(exchange: Exchange) -> None:
        data = await exchange.commit()
        await exchange.send(data[: min(int(len(data) * share), len(data) - 1)])
        await exchange.end()

    return play


async def reset_behind_answer(exchange: Exchange) -> None:
    """The whole answer, then RST: it counts."""
    await exchange.send(await exchange.commit())
    await asyncio.sleep(0.02)
    exchange.reset()


async def drips(exchange: Exchange) -> None:
    """A slow answer that comes to its end."""
    data = await exchange.commit()
    for at in range(0, len(data), 1 + len(data) // 40):
        await exchange.send(data[at : at + 1 + len(data) // 40])
        await asyncio.sleep(0.01)


async def drips_for_ever(exchange: Exchange) -> None:
    """A slow loris: there is always another byte of the header."""
    await exchange.commit()
    await exchange.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not exchange.writer.is_closing():
        await exchange.send(b"x")
        await asyncio.sleep(0.1)
    exchange.is_over = True


async def continues(exchange: Exchange) -> None:
    """`100 Continue` that nobody asked for (RFC 9110, 15.2), twice, and then the answer."""
    data = await exchange.commit()
    await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" + data)


def status(number: int, *fields: str, body: bytes = b"") -> Play:
    """Refuses the whole request without storing anything."""

    async def play(exchange: Exchange) -> None:
        await exchange.read()
        there = [field.replace("{elsewhere}", exchange.peer.elsewhere) for field in fields]
        await exchange.send(answer(number, body, *there))

    return play


def early(number: int) -> Play:
    """Refuses after the head and closes, while the body is still on its way."""

    async def play(exchange: Exchange) -> None:
        await exchange.read_head()
        await exchange.send(answer(number, b"", "Connection: close"))
        await asyncio.sleep(0.05)
        await exchange.end()

    return play


def instead(change: Callable[[bytes], bytes], *, ends: bool = True) -> Play:
    """Stores everything and sends something else than the honest answer."""

    async def play(exchange: Exchange) -> None:
        await exchange.send(change(await exchange.commit()))
        if ends:
            await exchange.end()

    return play


def body_of(data: bytes) -> bytes:
    """What follows the head."""
    return data.split(b"\r\n\r\n", 1)[1]


def with_length(change: int) -> Play:
    """The right body under a wrong `Content-Length`."""

    def lie(data: bytes) -> bytes:
        length = len(body_of(data))
        return data.replace(b"Content-Length: %d" % length, b"Content-Length: %d" % (length + change))

    return instead(lie)


def chunked(data: bytes) -> bytes:
    """In two chunks, with a trailer."""
    body = body_of(data)
    parts = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece) for piece in (body[:5], body[5:]) if piece)
    head = _head(data).replace(b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked")
    return head + parts + b"0\r\nX-Trailer: y\r\n\r\n"


def http10(data: bytes) -> bytes:
    """As HTTP/1.0 has it: the body ends with the connection."""
    body = body_of(data)
    head = _head(data).replace(b"Content-Length: %d\r\n" % len(body), b"").replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    return head + body


def _head(data: bytes) -> bytes:
    return data.split(b"\r\n\r\n", 1)[0] + b"\r\n\r\n"


def large(data: bytes) -> bytes:
    """The right answer with more white space than anybody should read."""
    return answer(200, b" " * LARGE + body_of(data))


async def no_gzip(exchange: Exchange) -> None:
    """Takes what is not compressed, and nothing else (RFC 9110, 15.5.16)."""
    await exchange.read()
    if "content-encoding" in exchange.fields:
        await exchange.send(answer(415, b'{"text":"Unsupported media type","code":15}'))
    else:
        await honest(exchange)
