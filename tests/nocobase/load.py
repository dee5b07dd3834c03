"""API calls through the gateway, all the time, as several users with kept connections make them."""

import http.client
import json
import threading
import time
from collections import Counter, deque

CLIENTS = 6
PAUSE = 0.02
ANSWER_WITHIN = 30
LONGEST = 1200
KEPT_FAILURES = 5

# The POSTs may not be sent twice by anybody: what the gateway has written, it must see through.
CALLS = [
    ("GET", "/api/app:getInfo"),
    ("POST", "/api/auth:check"),
    ("GET", "/api/users:list?pageSize=5"),
    ("POST", "/api/app:getInfo"),
    ("GET", "/api/roles:check"),
]


class Counts(Counter):
    """How many were `served`, got our `notice`, were `busy` (the node's own 503), `failed`."""

    @property
    def requests(self):
        return sum(self.values())

    def __str__(self):
        return f"{self.requests} requests, {self['failed']} failed"


class Load:
    """Runs from its making until `stop`."""

    def __init__(self, port, token):
        self.port = port
        self.headers = {"Authorization": f"Bearer {token}", "X-Authenticator": "basic"}
        self.lock = threading.Lock()
        self.counts = Counts()
        self.failures = deque(maxlen=KEPT_FAILURES)
        self.slowest = 0.0
        self.ended = threading.Event()
        self.until = time.monotonic() + LONGEST
        self.clients = [threading.Thread(target=self.client, daemon=True) for _ in range(CLIENTS)]
        for client in self.clients:
            client.start()

    def stop(self):
        self.ended.set()
        for client in self.clients:
            client.join(ANSWER_WITHIN)

    def so_far(self):
        with self.lock:
            return Counts(self.counts)

    def since(self, before):
        now = self.so_far()
        return Counts({kind: now[kind] - before[kind] for kind in now})

    def why(self):
        with self.lock:
            return "; ".join(self.failures)

    def client(self):
        connection = None
        while not self.ended.is_set() and time.monotonic() < self.until:
            for method, target in CALLS:
                began = time.monotonic()
                connection = connection or self.connect()
                kind, what = self.call(connection, method, target)
                took = time.monotonic() - began
                if kind == "failed":
                    connection.close()
                    connection = None
                with self.lock:
                    self.counts[kind] += 1
                    self.slowest = max(self.slowest, took)
                    if kind == "failed":
                        self.failures.append(f"{method} {target}: {what} after {took:.2f} s")
                if self.ended.wait(PAUSE):
                    break

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_WITHIN)

    def call(self, connection, method, target):
        """A connection that ends instead of an answer is a failure: a switch closes none."""
        try:
            connection.request(method, target, headers=self.headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            return "failed", repr(error)
        return judged(response.status, response.getheader("Retry-After"), body)


def judged(status, retry_after, body):
    if status == 200:
        return "served", ""
    try:
        maintaining = json.loads(body)["error"]["maintaining"]
    except (ValueError, KeyError, TypeError):
        maintaining = False
    # NocoBase never sends Retry-After, and our notice always does.
    if status == 503 and maintaining is True:
        return ("notice" if retry_after else "busy"), ""
    return "failed", f"{status} {body[:200]!r}"
