"""One HTTP request over a plain socket, for the checks: nothing is added, nothing hidden."""

import contextlib
import dataclasses
import http.client
import os
import socket

ANSWER_SECONDS_MAX = 5


@dataclasses.dataclass(frozen=True)
class Answer:
    """Status 0 where there was none."""
    status: int = 0
    headers: tuple = ()
    body: bytes = b""

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name), None)


NO_ANSWER = Answer()


def ask(port, path):
    """A GET that may fail: the way to wait for a server to come up."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
    return (exchange(port, [request]) or [NO_ANSWER])[0]


def exchange(port, requests):
    """Sends the requests one after another on one connection; returns the answers that came."""
    answers = []
    with contextlib.suppress(OSError, http.client.HTTPException):
        address = ("127.0.0.1", port)
        with socket.create_connection(address, ANSWER_SECONDS_MAX) as connection:
            for request in requests:
                connection.sendall(request)
                response = http.client.HTTPResponse(connection)
                response.begin()
                body = response.read()
                answers.append(Answer(response.status, tuple(response.getheaders()), body))
                response.close()
    return answers


def exchange_apart(port, requests):
    """Like `exchange`, each request on a connection of its own."""
    return [answer for request in requests for answer in exchange(port, [request])]


def echo(port, handshake, payloads):
    """Upgrades a connection and sends the payloads one after another, each in one masked frame;
    returns the answer to the handshake and what came back for each, as far as it went well."""
    answer, echoed = NO_ANSWER, []
    with contextlib.suppress(OSError, http.client.HTTPException):
        address = ("127.0.0.1", port)
        with socket.create_connection(address, ANSWER_SECONDS_MAX) as connection:
            connection.sendall(handshake)
            response = http.client.HTTPResponse(connection)
            # Unbuffered, so that it takes nothing of what follows the head.
            response.fp.close()
            response.fp = connection.makefile("rb", buffering=0)
            response.begin()
            answer = Answer(response.status, tuple(response.getheaders()))
            for payload in payloads if answer.status == 101 else []:
                connection.sendall(masked(payload))
                echoed.append(received(connection))
            response.close()
    return answer, echoed


def masked(payload):
    """A final binary frame from a client (RFC 6455 section 5.2)."""
    size, key = len(payload), os.urandom(4)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return b"\x82" + length + key + bytes(b ^ key[i % 4] for i, b in enumerate(payload))


def received(connection):
    """The payload of one final binary frame from a server; None where another one came."""
    first, second = exactly(connection, 2)
    size = second & 0x7F
    if size > 125:
        size = int.from_bytes(exactly(connection, 2 if size == 126 else 8), "big")
    payload = exactly(connection, size)
    return payload if first == 0x82 and second < 0x80 else None


def exactly(connection, count):
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ConnectionError("closed inside a frame")
        data += more
    return data
