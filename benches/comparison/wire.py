"""One HTTP request over a plain socket, for the checks: nothing is added, nothing hidden."""

import contextlib
import dataclasses
import http.client
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
