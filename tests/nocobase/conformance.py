#!/usr/bin/env python3
"""Checks, from outside, that a node answers as NocoBase does.

The same checks run against a real NocoBase 2.2 and against the stand-in node, so that the stand-in
cannot drift from what it stands for. Only Python's standard library is needed.

    conformance.py http://127.0.0.1:13000 [--kind standin|real] [--destructive] [--trace]

One line per check, `ok name: detail` or `FAIL name: detail`; the last line is `N passed, N failed`;
the exit code is 0 only when all passed. `--destructive` restarts the application.
"""

import argparse
import base64
import hashlib
import json
import os
import re
import select
import socket
import struct
import sys
import time
from urllib.parse import urlsplit

ACCOUNT = "admin@nocobase.com"
PASSWORD = "admin123"
ANSWER_WITHIN = 15.0
SILENCE = 1.0
SHELL_PATHS = ["/", "/admin", "/apix"]


class Broken(Exception):
    """The node did not do what NocoBase does."""


def expect(truth, what):
    if not truth:
        raise Broken(what)


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def header(self, name):
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return values[0] if values else None

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            raise Broken(f"not JSON: {self.body[:80]!r}") from None


class Wire:
    """One connection, read with the patience of ANSWER_WITHIN."""

    def __init__(self, node):
        self.socket = socket.create_connection(node, timeout=ANSWER_WITHIN)
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data)

    def close(self):
        self.socket.close()

    def fill(self):
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def until(self, mark):
        while mark not in self.buffer:
            if not self.fill():
                raise Broken(f"closed after {self.buffer[:80]!r}")
        head, self.buffer = self.buffer.split(mark, 1)
        return head

    def exactly(self, count):
        while len(self.buffer) < count:
            if not self.fill():
                raise Broken(f"closed {count - len(self.buffer)} bytes too early")
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def rest(self):
        """Everything up to the end of the connection, a reset included."""
        try:
            while self.fill():
                pass
        except ConnectionResetError:
            pass
        data, self.buffer = self.buffer, b""
        return data

    def quiet_for(self, seconds):
        """True when nothing arrives, the end of the connection included."""
        if self.buffer:
            return False
        return not select.select([self.socket], [], [], seconds)[0]

    def head(self):
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
        return Response(status, headers, b"")

    def response(self, method="GET"):
        response = self.head()
        if method == "HEAD" or response.status in (204, 304) or response.status < 200:
            return response
        if (response.header("transfer-encoding") or "").lower() == "chunked":
            response.body = self.chunks()
        elif response.header("content-length") is not None:
            response.body = self.exactly(int(response.header("content-length")))
        else:
            response.body = self.rest()
        return response

    def chunks(self):
        body = b""
        while True:
            size = int(self.until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                while self.until(b"\r\n"):
                    pass
                return body
            body += self.exactly(size)
            self.exactly(2)


class Node:
    def __init__(self, url):
        parts = urlsplit(url)
        self.address = (parts.hostname, parts.port or 80)
        self.host = parts.netloc

    def wire(self):
        return Wire(self.address)

    def head(self, method, target, headers=()):
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}", *headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def call(self, method, target, headers=(), body=None):
        wire = self.wire()
        if body is not None:
            headers = [*headers, "Content-Type: application/json", f"Content-Length: {len(body)}"]
        wire.send(self.head(method, target, headers) + (body or b""))
        response = wire.response(method)
        wire.close()
        return response

    def raw(self, data):
        """What the node sends before it closes the connection by itself."""
        wire = self.wire()
        wire.send(data)
        try:
            return wire.rest()
        except TimeoutError:
            raise Broken(f"left open; it sent {wire.buffer[:60]!r}") from None
        finally:
            wire.close()

    def token(self):
        body = json.dumps({"account": ACCOUNT, "password": PASSWORD}).encode()
        response = self.call("POST", "/api/auth:signIn", ["X-Authenticator: basic"], body)
        expect(response.status == 200, f"sign-in gave {response.status}")
        return response.json()["data"]["token"]


UPGRADE = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]


class WebSocket:
    def __init__(self, node, target="/ws"):
        self.wire = node.wire()
        self.key = base64.b64encode(os.urandom(16)).decode()
        offers = ["Sec-WebSocket-Extensions: permessage-deflate"]
        headers = [*UPGRADE, f"Sec-WebSocket-Key: {self.key}", *offers]
        self.wire.send(node.head("GET", target, headers))
        self.handshake = self.wire.head()
        expect(self.handshake.status == 101, f"handshake gave {self.handshake.status}")

    def send(self, opcode, payload, fin=True):
        mask = os.urandom(4)
        first = (0x80 if fin else 0) | opcode
        if len(payload) < 126:
            head = struct.pack(">BB", first, 0x80 | len(payload))
        elif len(payload) < 65536:
            head = struct.pack(">BBH", first, 0x80 | 126, len(payload))
        else:
            head = struct.pack(">BBQ", first, 0x80 | 127, len(payload))
        self.wire.send(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))

    def send_json(self, value):
        self.send(1, json.dumps(value).encode())

    def receive(self):
        first, length = self.wire.exactly(2)
        expect(length < 128, "the node masked a frame")
        if length == 126:
            length = struct.unpack(">H", self.wire.exactly(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self.wire.exactly(8))[0]
        return first, self.wire.exactly(length)

    def receive_json(self):
        first, payload = self.receive()
        expect(first == 0x81, f"frame {first:#x} in place of a text")
        return json.loads(payload)

    def authorize(self, token):
        payload = {"token": token, "authenticator": "basic"}
        self.send_json({"type": "auth:token", "payload": payload})
        return self.receive_json()

    def close(self):
        self.wire.close()


# --- what is asked over HTTP ------------------------------------------------------------------


def check_health(node):
    response = node.call("GET", "/api/__health_check")
    expect(response.status == 200, f"status {response.status}")
    expect(response.body == b"ok", f"body {response.body[:40]!r}")
    expect(response.header("content-type") is None, "it has a Content-Type")
    return "200 ok, no Content-Type"


def check_health_with_query(node):
    response = node.call("GET", "/api/__health_check?x=1")
    expect(response.status == 404, f"status {response.status}")
    expect(response.body == b"Not Found", f"body {response.body[:40]!r}")
    return "404"


def check_health_head(node):
    response = node.call("HEAD", "/api/__health_check")
    expect(response.status == 200, f"status {response.status}")
    expect(response.header("content-length") is None, "it has a Content-Length")
    return "200 without a length"


def check_health_any_method(node):
    response = node.call("POST", "/api/__health_check", body=b"")
    expect(response.status == 200, f"status {response.status}")
    return "POST gives 200"


def check_app_info(node):
    response = node.call("GET", "/api/app:getInfo")
    expect(response.status == 200, f"status {response.status}")
    expect(response.header("content-type") == "application/json; charset=utf-8", "content type")
    expect(response.header("x-request-id") is not None, "no X-Request-Id")
    expect(response.header("vary") == "Origin", "no Vary: Origin")
    data = response.json()["data"]
    keys = ["database", "version", "lang", "name", "theme"]
    expect(list(data) == keys, f"keys {list(data)}")
    expect(data["name"] == "main", f"name {data['name']}")
    expect(re.fullmatch(r"\d+\.\d+\.\d+\S*", data["version"]), f"version {data['version']}")
    expect("dialect" in data["database"], "no dialect")
    return f"version {data['version']}"


def check_app_info_other_ways(node):
    first = node.call("GET", "/api/app:getInfo").json()
    for method, target in [
        ("DELETE", "/api/app:getInfo"),
        ("GET", "/api/__app/main/app:getInfo"),
        ("GET", "/api/app:getInfo?__appName=main"),
    ]:
        response = node.call(method, target)
        expect(response.status == 200, f"{method} {target} gave {response.status}")
        expect(response.json() == first, f"{method} {target} differs")
    return "any method, and by the sub-application path"


def check_list_enabled(node):
    response = node.call("GET", "/api/pm:listEnabled")
    expect(response.status == 200, f"status {response.status}")
    plugins = response.json()["data"]
    expect(plugins, "no plugins")
    for plugin in plugins:
        keys = {"name", "packageName", "options", "url", "clientV2Url"}
        expect({"name", "packageName", "url"} <= set(plugin) <= keys, f"keys {sorted(plugin)}")
        name = plugin["name"]
        expect(isinstance(name, str) and 0 < len(name.encode()) <= 214, f"name {name!r}")
    size = len(response.body)
    # What the gateway's probes read of it.
    expect(size <= 1024 * 1024, f"{size} bytes")
    return f"{len(plugins)} plugins in {size} bytes"


def check_unknown_action(node):
    response = node.call("GET", "/api/nosuch:list")
    expect(response.status == 404, f"status {response.status}")
    expect(response.body == b"Not Found", f"body {response.body[:40]!r}")
    expect(response.header("content-type") == "text/plain; charset=utf-8", "content type")
    return "404 text"


def check_needs_login(node):
    response = node.call("GET", "/api/users:list")
    expect(response.status == 401, f"status {response.status}")
    expect(response.json()["errors"][0]["code"] == "EMPTY_TOKEN", "code")
    return "401 EMPTY_TOKEN"


def check_sign_in(node):
    body = json.dumps({"account": ACCOUNT, "password": PASSWORD}).encode()
    response = node.call("POST", "/api/auth:signIn", ["X-Authenticator: basic"], body)
    expect(response.status == 200, f"status {response.status}")
    token = response.json()["data"]["token"]
    cookies = [value for name, value in response.headers if name.lower() == "set-cookie"]
    mine = [cookie for cookie in cookies if cookie.startswith("nb_auth_token_main=")]
    expect(len(mine) == 1, f"cookies {cookies}")
    expect("samesite=lax" in mine[0] and "httponly" in mine[0], mine[0])
    expect("secure" not in mine[0], "secure without X-Forwarded-Proto")
    headers = [f"Authorization: Bearer {token}", "X-Authenticator: basic"]
    answer = node.call("GET", "/api/auth:check", headers)
    expect(answer.status == 200, f"auth:check gave {answer.status}")
    expect(answer.json()["data"]["email"] == ACCOUNT, "auth:check names nobody")
    return f"{len(cookies)} cookies"


def check_sign_in_secure(node):
    body = json.dumps({"account": ACCOUNT, "password": PASSWORD}).encode()
    headers = ["X-Authenticator: basic", "X-Forwarded-Proto: https"]
    response = node.call("POST", "/api/auth:signIn", headers, body)
    cookies = [value for name, value in response.headers if name.lower() == "set-cookie"]
    expect(cookies and all("secure" in cookie for cookie in cookies), f"cookies {cookies}")
    return "cookies are secure behind https"


def check_sign_in_refused(node):
    body = b'{"account":"nobody@example.com","password":"x"}'
    response = node.call("POST", "/api/auth:signIn", ["X-Authenticator: basic"], body)
    expect(response.status == 401, f"status {response.status}")
    expect("message" in response.json()["errors"][0], "no message")
    return "401"


def check_large_json(node):
    body = b" " * 11_000_000 + b"{}"
    response = node.call("POST", "/api/auth:signIn", (), body)
    expect(response.status == 413, f"status {response.status}")
    expect(response.json()["errors"][0]["message"] == "request entity too large", "message")
    expect(response.header("connection") == "keep-alive", "the connection is not kept")
    return "413, connection kept"


def check_shell(node):
    for path in SHELL_PATHS:
        response = node.call("GET", path)
        expect(response.status == 200, f"{path} gave {response.status}")
        expect(response.header("content-type") == "text/html; charset=utf-8", f"{path}: type")
        names = re.findall(rb"/assets/index-[0-9a-f]+\.js", response.body)
        expect(len(names) == 1, f"{path} names {names}")
    return names[0].decode()


def check_asset(node):
    shell = node.call("GET", "/").body
    name = re.search(rb"/assets/index-[0-9a-f]+\.js", shell)[0].decode()
    response = node.call("HEAD", name)
    expect(response.status == 200, f"status {response.status}")
    kind = response.header("content-type")
    expect(kind == "application/javascript; charset=utf-8", f"content type {kind}")
    expect(int(response.header("content-length")) > 0, "empty")
    return "javascript"


def check_missing_asset(node):
    response = node.call("GET", "/assets/index-0000dead.js")
    expect(response.status == 200, f"status {response.status}")
    expect(response.header("content-type") == "text/html; charset=utf-8", "content type")
    expect(response.body == node.call("GET", "/").body, "not the shell")
    return "200 with the shell"


def check_unknown_application(node):
    name = f"nosuch{os.getpid()}{time.time_ns() % 1000000}"
    first = node.call("GET", "/api/app:getInfo", [f"X-App: {name}"])
    expect(first.status == 503, f"status {first.status}")
    error = first.json()["error"]
    expect(error["maintaining"] is True, "not maintaining")
    expect(error["code"] == "APP_PREPARING", f"code {error['code']}")
    expect(first.header("retry-after") is None, "it has a Retry-After")
    later = node.call("GET", "/api/app:getInfo", [f"X-App: {name}"])
    expect(later.status == 404, f"then {later.status}")
    error = later.json()["error"]
    expect(error["maintaining"] is True, "then not maintaining")
    expect(error["code"] == "APP_NOT_FOUND", f"then {error['code']}")
    return "503 APP_PREPARING, then 404 APP_NOT_FOUND, both maintaining"


def check_cross_origin(node):
    response = node.call("GET", "/api/app:getInfo", ["Origin: http://a.example"])
    allowed = response.header("access-control-allow-origin")
    expect(allowed == "http://a.example", f"allows {allowed}")
    return "the origin is echoed"


# --- how the connection behaves ---------------------------------------------------------------


def check_keep_alive(node):
    wire = node.wire()
    for _ in range(3):
        wire.send(node.head("GET", "/api/__health_check"))
        response = wire.response()
        expect(response.status == 200, f"status {response.status}")
        expect(response.header("keep-alive") == "timeout=5", "Keep-Alive is not timeout=5")
        expect(response.header("connection") == "keep-alive", "Connection is not keep-alive")
    wire.close()
    return "timeout=5"


def check_idle_close(node):
    wire = node.wire()
    wire.send(node.head("GET", "/api/__health_check"))
    wire.response()
    began = time.monotonic()
    expect(wire.rest() == b"", "bytes on an idle connection")
    took = time.monotonic() - began
    wire.close()
    expect(5.0 <= took <= 8.0, f"closed after {took:.1f} s")
    return f"closed after {took:.1f} s"


def check_connection_close(node):
    sent = node.raw(node.head("GET", "/api/__health_check", ["Connection: close"]))
    expect(sent.startswith(b"HTTP/1.1 200 OK\r\n"), f"{sent[:60]!r}")
    expect(b"\r\nConnection: close\r\n" in sent and b"Keep-Alive:" not in sent, f"{sent!r}")
    expect(sent.endswith(b"\r\n\r\nok"), f"{sent!r}")
    return "closed"


def check_http_1_0(node):
    sent = node.raw(b"GET /api/__health_check HTTP/1.0\r\n\r\n")
    expect(sent.startswith(b"HTTP/1.1 200 OK\r\n"), f"{sent[:60]!r}")
    expect(b"Content-Length" not in sent and sent.endswith(b"\r\n\r\nok"), f"{sent!r}")
    return "answered without a length, closed"


def check_upgrade_h2c(node):
    headers = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"]
    sent = node.raw(node.head("GET", "/", headers))
    expect(sent == b"", f"it answered {sent[:60]!r}")
    return "destroyed with no answer"


def check_upgrade_elsewhere(node):
    headers = [*UPGRADE, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    sent = node.raw(node.head("GET", "/api/app:getInfo", headers))
    expect(sent == b"", f"it answered {sent[:60]!r}")
    return "destroyed with no answer"


def check_upgrade_without_connection(node):
    response = node.call("GET", "/api/app:getInfo", ["Upgrade: websocket"])
    expect(response.status == 200, f"status {response.status}")
    return "an Upgrade that Connection does not name is ignored"


def check_two_lengths(node):
    sent = node.raw(
        node.head("POST", "/api/x:y", ["Content-Length: 4", "Transfer-Encoding: chunked"])
        + b"0\r\n\r\n"
    )
    expect(sent == b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", f"{sent!r}")
    return "400, closed"


def check_no_host(node):
    sent = node.raw(b"GET / HTTP/1.1\r\n\r\n")
    expect(sent.startswith(b"HTTP/1.1 400 Bad Request\r\n"), f"{sent[:60]!r}")
    return "400, closed"


def check_garbage(node):
    sent = node.raw(b"GARBAGE\r\n\r\n")
    expect(sent.startswith(b"HTTP/1.1 400 Bad Request\r\n"), f"{sent[:60]!r}")
    return "400, closed"


def check_large_head(node):
    sent = node.raw(node.head("GET", "/", ["X-Large: " + "a" * 17_000]))
    expect(sent.startswith(b"HTTP/1.1 431 "), f"{sent[:60]!r}")
    return "431, closed"


def check_pipelining(node):
    wire = node.wire()
    health = node.head("GET", "/api/__health_check")
    wire.send(health + node.head("GET", "/api/app:getInfo") + health)
    bodies = [wire.response().body for _ in range(3)]
    wire.close()
    expect(bodies[0] == b"ok" == bodies[2], f"bodies {[body[:20] for body in bodies]}")
    expect(b'"version"' in bodies[1], "the second answer is not app:getInfo")
    return "three answers in order"


def check_chunked_request(node):
    wire = node.wire()
    body = json.dumps({"account": ACCOUNT, "password": PASSWORD}).encode()
    headers = ["X-Authenticator: basic", "Content-Type: application/json"]
    wire.send(node.head("POST", "/api/auth:signIn", [*headers, "Transfer-Encoding: chunked"]))
    for part in (body[:7], body[7:]):
        wire.send(b"%x\r\n%s\r\n" % (len(part), part))
    wire.send(b"0\r\n\r\n")
    response = wire.response()
    wire.close()
    expect(response.status == 200, f"status {response.status}")
    return "signed in"


def check_expect_continue(node):
    wire = node.wire()
    body = json.dumps({"account": ACCOUNT, "password": PASSWORD}).encode()
    headers = ["X-Authenticator: basic", "Content-Type: application/json"]
    more = [f"Content-Length: {len(body)}", "Expect: 100-continue"]
    wire.send(node.head("POST", "/api/auth:signIn", [*headers, *more]))
    interim = wire.head()
    expect(interim.status == 100, f"first answer {interim.status}")
    wire.send(body)
    response = wire.response()
    wire.close()
    expect(response.status == 200, f"then {response.status}")
    return "100, then 200"


def check_absolute_form(node):
    response = node.call("GET", f"http://{node.host}/api/__health_check")
    expect(response.status == 200 and response.body == b"ok", f"status {response.status}")
    return "200"


# --- the WebSocket ----------------------------------------------------------------------------


def check_websocket_handshake(node):
    socket_ = WebSocket(node)
    names = sorted(name.lower() for name, _ in socket_.handshake.headers)
    expect(names == ["connection", "sec-websocket-accept", "upgrade"], f"headers {names}")
    guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    digest = hashlib.sha1((socket_.key + guid).encode()).digest()
    accept = socket_.handshake.header("sec-websocket-accept")
    expect(accept == base64.b64encode(digest).decode(), f"accept {accept}")
    expect(socket_.wire.quiet_for(SILENCE), "it speaks first")
    socket_.close()
    return "101 without extensions, then silence"


def check_websocket_of_application(node):
    socket_ = WebSocket(node, "/ws?__appName=main")
    socket_.close()
    return "101"


def check_websocket_refusals(node):
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    for name, method, headers, status in [
        ("no key", "GET", UPGRADE, b"400"),
        ("version 7", "GET", [*UPGRADE[:2], "Sec-WebSocket-Version: 7", key], b"400"),
        ("POST", "POST", [*UPGRADE, key], b"405"),
    ]:
        sent = node.raw(node.head(method, "/ws", headers))
        expect(sent.startswith(b"HTTP/1.1 " + status), f"{name}: {sent[:60]!r}")
    return "no key 400, version 7 400, POST 405"


def check_websocket_plain_get(node):
    response = node.call("GET", "/ws")
    expect(response.status == 200, f"status {response.status}")
    expect(response.header("content-type") == "text/html; charset=utf-8", "content type")
    return "the shell"


def check_websocket_authorized(node):
    socket_ = WebSocket(node)
    answer = socket_.authorize(node.token())
    socket_.close()
    expect(answer == {"type": "authorized"}, f"{answer}")
    return "authorized"


def check_websocket_bad_token(node):
    socket_ = WebSocket(node)
    payload = {"token": "abc", "authenticator": "basic"}
    socket_.send_json({"type": "auth:token", "payload": payload})
    expect(socket_.wire.quiet_for(SILENCE), "it answered")
    socket_.close()
    return "silence"


def check_websocket_ping_text(node):
    socket_ = WebSocket(node)
    socket_.send(1, b"ping")
    expect(socket_.wire.quiet_for(SILENCE), "it answered")
    socket_.close()
    return "never answered"


def check_websocket_ping_frame(node):
    socket_ = WebSocket(node)
    socket_.send(9, b"hi")
    answer = socket_.receive()
    socket_.close()
    expect(answer == (0x8A, b"hi"), f"{answer}")
    return "Pong"


def check_websocket_fragments(node):
    socket_ = WebSocket(node)
    payload = {"token": node.token(), "authenticator": "basic"}
    text = json.dumps({"type": "auth:token", "payload": payload}).encode()
    socket_.send(1, text[:9], fin=False)
    socket_.send(9, b"between")
    socket_.send(0, text[9:])
    pong, answer = socket_.receive(), socket_.receive_json()
    socket_.close()
    expect(pong == (0x8A, b"between") and answer == {"type": "authorized"}, f"{pong} {answer}")
    return "a Ping between fragments is answered first"


def check_websocket_close(node):
    for payload in (struct.pack(">H", 1000) + b"bye", struct.pack(">H", 1001), b""):
        socket_ = WebSocket(node)
        socket_.send(8, payload)
        answer = socket_.receive()
        expect(answer == (0x88, payload), f"{payload!r} was answered {answer}")
        expect(socket_.wire.rest() == b"", "bytes after the Close")
        socket_.close()
    return "answered with the same Close, then closed"


def check_websocket_protocol_errors(node):
    for name, data, code in [
        ("unmasked", b"\x81\x01x", 1002),
        ("reserved bit", b"\xc1\x81\0\0\0\0x", 1002),
        ("opcode 3", b"\x83\x81\0\0\0\0x", 1002),
        ("bad UTF-8", b"\x81\x81\0\0\0\0\xff", 1007),
        ("200 MiB", b"\x81\xff" + struct.pack(">Q", 200 << 20) + b"\0\0\0\0", 1009),
    ]:
        socket_ = WebSocket(node)
        socket_.wire.send(data)
        answer = socket_.receive()
        socket_.close()
        expect(answer == (0x88, struct.pack(">H", code)), f"{name} was answered {answer}")
    return "1002, 1007 and 1009"


# --- commands ---------------------------------------------------------------------------------


def watch_command(node, socket_, trace):
    """Until the node went down and came back: the 503s of health, and the WebSocket's frames."""
    refusals, frames, deadline = [], [], time.monotonic() + 120
    while time.monotonic() < deadline:
        while not socket_.wire.quiet_for(0):
            frames.append(socket_.receive_json())
            trace(f"frame {json.dumps(frames[-1])}")
        response = node.call("GET", "/api/__health_check")
        if response.status == 503:
            refusals.append(response)
            trace(f"health {response.body.decode()}")
            if len(refusals) == 1:
                trace(f"headers {response.headers}")
        elif response.status == 200 and refusals:
            info = node.call("GET", "/api/app:getInfo")
            trace(f"health 200, getInfo {info.status}")
            if info.status == 200 and not command_runs(frames):
                return refusals, frames
        time.sleep(0.02)
    raise Broken(f"not back within 120 s: {len(refusals)} refusals, {len(frames)} frames")


def command_runs(frames):
    return not frames or frames[-1]["payload"]["code"] != "APP_RUNNING"


def check_command(node, trace, target, name):
    token = node.token()
    socket_ = WebSocket(node)
    expect(socket_.authorize(token) == {"type": "authorized"}, "not authorized")
    headers = [f"Authorization: Bearer {token}", "X-Authenticator: basic"]
    answer = node.call("POST", target, headers, b"")
    trace(f"{target} gave {answer.status} {answer.body!r}")
    expect(answer.status == 200, f"status {answer.status}")
    refusals, frames = watch_command(node, socket_, trace)
    socket_.close()
    for refusal in refusals:
        expect(refusal.header("retry-after") is None, "a 503 has Retry-After")
        expect(refusal.header("connection") == "keep-alive", "a 503 closes the connection")
        error = refusal.json()["error"]
        expect(error["status"] == 503 and error["maintaining"] is True, f"{error}")
        expect(isinstance(error["message"], str), f"{error}")
    errors = [refusal.json()["error"] for refusal in refusals]
    running = [error for error in errors if error["code"] == "APP_COMMANDING"]
    expect(running, f"no APP_COMMANDING among {[error['code'] for error in errors]}")
    expect(any(error["command"]["name"] == name for error in running), f"{running[0]}")
    expect(all(frame["type"] == "maintaining" for frame in frames), f"{frames}")
    payloads = [frame["payload"] for frame in frames]
    expect(payloads[0]["code"] == "APP_COMMANDING", f"first {payloads[0]}")
    expect(payloads[0]["command"]["name"] == name, f"first {payloads[0]}")
    expect(payloads[-1]["code"] == "APP_RUNNING", f"last {payloads[-1]}")
    return payloads, f"{len(refusals)} refusals, {len(frames)} frames"


def check_restart(node, trace):
    payloads, detail = check_command(node, trace, "/api/app:restart", "restart")
    expect(not any(payload.get("refresh") for payload in payloads), "it asks for a refresh")
    return detail


def check_enable(node, trace):
    name = "embed"
    expect(node.call("GET", f"/api/{name}:list").status == 404, "served before it is enabled")
    target = f"/api/pm:enable?filterByTk={name}"
    payloads, detail = check_command(node, trace, target, "pm.enable")
    expect(payloads[-1].get("refresh") is True, "it asks for no refresh")
    expect(node.call("GET", f"/api/{name}:list").status == 200, "not served afterwards")
    names = [plugin["name"] for plugin in node.call("GET", "/api/pm:listEnabled").json()["data"]]
    expect(name in names, "not listed afterwards")
    return detail


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]
COMMANDS = {"check_command", "check_restart", "check_enable"}


def main():
    parser = argparse.ArgumentParser(description="Checks that a node answers as NocoBase does.")
    parser.add_argument("node", help="the node's address, as http://127.0.0.1:13000")
    parser.add_argument("--kind", choices=["standin", "real"], default="real",
                        help="standin: with --destructive, a plugin is enabled too")
    parser.add_argument("--destructive", action="store_true", help="restart the application too")
    parser.add_argument("--only", metavar="WORD", default="", help="checks with this in the name")
    parser.add_argument("--trace", action="store_true", help="show what commands made visible")
    options = parser.parse_args()
    node = Node(options.node)

    def trace(text):
        if options.trace:
            print(f"  # {text}", flush=True)

    runs = [(check, ()) for check in CHECKS if check.__name__ not in COMMANDS]
    if options.destructive:
        runs.append((check_restart, (trace,)))
        # A real cluster is left as it was found.
        if options.kind == "standin":
            runs.append((check_enable, (trace,)))
    passed = failed = 0
    for check, more in runs:
        name = check.__name__.removeprefix("check_")
        if options.only not in name:
            continue
        try:
            print(f"ok {name}: {check(node, *more)}", flush=True)
            passed += 1
        except (Broken, OSError, ValueError, KeyError, IndexError, TypeError) as error:
            print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
            failed += 1
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
