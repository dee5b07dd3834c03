"""The proxies that are compared, each set up as somebody who knows it well would for this load."""

import dataclasses
import os

from . import envoy, nginx_text
from .backends import NODE_HEADER, NODES
from .cases import CASES, KIB
from .processes import MeasurementError, Owned, await_true, free_ports
from .wire import ask, exchange, exchange_apart

# Moves bytes and parses nothing: what any proxy pays.
FLOOR = "floor"
# The peers that are not builds of Drawspan, in the order of the table.
OTHERS = ["nginx", "haproxy", "envoy", "pingora", FLOOR]
RETRY_AFTER_SECONDS = 30
# Shown by the peers while no Drawspan runs whose own page they could show.
STAND_IN_PAGE = b"<!doctype html><title>Maintenance</title><p>" + b"m" * (2 * KIB)
# A body of 64 KiB, a POST with its head or a page want to be held in one piece; a bigger buffer
# than that costs more than it gives, so the default elsewhere.
HAPROXY_BUFFERS = {"64kb": 128 * KIB, "post16kb": 32 * KIB, "notice": 32 * KIB,
                   "ws64kb": 128 * KIB}
HAPROXY_BUFFER = 16 * KIB
# A tunnel of nginx has two buffers of this size; the default is best where memory is measured.
NGINX_BUFFERS = {"ws64kb": 128 * KIB, "idle": 4 * KIB, "idlews": 4 * KIB}
NGINX_BUFFER = 16 * KIB
# Of both sides together.
CONNECTIONS_MAX = {"idle": 19_000, "idlews": 19_000}


@dataclasses.dataclass(frozen=True)
class Setup:
    """What every proxy of one case gets."""
    case: object
    nodes: list
    cpu: int
    folder: str
    # Where lines of the access log go, or None: no access log.
    access_log: str
    page: bytes = STAND_IN_PAGE


@dataclasses.dataclass
class Peer:
    """A running proxy."""
    name: str
    port: int
    owned: Owned


def start(name, binary, setup):
    """Starts the proxy and waits until it serves the case."""
    begin = dict(zip(OTHERS, [nginx, haproxy, start_envoy, pingora, start_floor])).get(name, drawspan)
    (port,) = free_ports(1)
    peer = Peer(name, port, begin(name, binary, port, setup))
    try:
        await_true(peer.owned, "serving", lambda: serves(peer, setup.case))
    except BaseException:
        # Nobody else knows of it yet, and ctrl-C counts too.
        peer.owned.stop()
        raise
    return peer


def serves(peer, case):
    """Shows the notice, or forwards to every node: health checks find them one by one."""
    if case.raised:
        return ask(peer.port, case.path).status == case.status
    requests = [CASES["1kb"].request()] * (2 * len(NODES))
    answers = (exchange_apart if peer.name == FLOOR else exchange)(peer.port, requests)
    seen = {answer.header(NODE_HEADER) for answer in answers if answer.status == 200}
    return seen == set(NODES)


def page_of(peer, case):
    """The notice that a raised Drawspan shows, so that the peers show the same."""
    answers = exchange(peer.port, [case.request()])
    if not answers or not answers[0].body or answers[0].header("content-encoding"):
        raise MeasurementError(f"{peer.name} gives no plain page that others could show too")
    return answers[0].body


def nginx(name, binary, port, setup):
    # Buffered as busy sites have it; unbuffered it writes once per request.
    log = f"{setup.access_log} combined buffer=64k flush=1s" if setup.access_log else "off"
    servers = "\n".join(f"        server {address};" for address in setup.nodes)
    connections = CONNECTIONS_MAX.get(setup.case.name, 4096)
    forward = nginx_raised(setup.page) if setup.case.raised else nginx_forward(setup.case)
    text = f"""{nginx_text.main_context(setup.folder, name, connections)}
http {{
{nginx_text.http_context(setup.folder, name)}
    access_log {log};
    geo $dollar {{ default "$"; }}
    upstream nodes {{
{servers}
        keepalive 256;
        keepalive_requests {nginx_text.UNLIMITED};
        keepalive_timeout 300s;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ {forward} }}
    }}
}}
"""
    config = write(setup, f"{name}.conf", text)
    argv = [binary, "-p", setup.folder, "-c", config, "-e", "stderr"]
    return Owned(name, argv, setup.cpu, setup.folder)


def nginx_forward(case):
    buffer = NGINX_BUFFERS.get(case.name, NGINX_BUFFER)
    upgrade = ["proxy_set_header Upgrade $http_upgrade;", 'proxy_set_header Connection "upgrade";',
               "proxy_read_timeout 300s;", "proxy_send_timeout 300s;"]
    return "\n".join((upgrade if case.upgrade else ['proxy_set_header Connection "";']) + [
        "proxy_pass http://nodes;",
        "proxy_http_version 1.1;",
        "proxy_set_header Host $http_host;",
        "proxy_set_header X-Forwarded-For $remote_addr;",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        "proxy_set_header X-Forwarded-Host $http_host;",
        f"proxy_buffer_size {buffer};",
        "proxy_buffers 4 128k;",
        "proxy_busy_buffers_size 256k;",
        "proxy_max_temp_file_size 0;"])


def nginx_raised(page):
    """The page from memory, which is twice as fast as from a file. One word of a configuration
    has at most 4 KiB, and a dollar sign only through a variable."""
    text = page.decode()
    parts = [text[at:at + KIB] for at in range(0, len(text), KIB)]
    escape = str.maketrans({"\\": "\\\\", "'": "\\'", "$": "${dollar}"})
    lines = [f"set $part{i} '{part.translate(escape)}';" for i, part in enumerate(parts)]
    whole = "".join(f"${{part{i}}}" for i in range(len(parts)))
    return "\n".join(lines + [
        'default_type "text/html; charset=utf-8";',
        f"add_header Retry-After {RETRY_AFTER_SECONDS} always;",
        "add_header Cache-Control no-store always;",
        f'return 503 "{whole}";'])


def haproxy(name, binary, port, setup):
    if setup.access_log:
        log_global, log_defaults = "log stdout format raw local0", "log global\n    option httplog"
    else:
        log_global = log_defaults = ""
    forward = haproxy_raised(setup) if setup.case.raised else haproxy_forward(setup)
    buffer = HAPROXY_BUFFERS.get(setup.case.name, HAPROXY_BUFFER)
    # Counted on the clients' side.
    connections = CONNECTIONS_MAX.get(setup.case.name, 8192) // 2
    text = f"""
global
    nbthread 1
    maxconn {connections}
    tune.bufsize {buffer}
    {log_global}
defaults
    mode http
    {log_defaults}
    http-reuse always
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout tunnel 300s
    timeout http-keep-alive 300s
listen front
    bind 127.0.0.1:{port} backlog 4096
{forward}
"""
    config = write(setup, f"{name}.cfg", text)
    stdout = open(setup.access_log, "ab") if setup.access_log else None
    try:
        return Owned(name, [binary, "-db", "-f", config], setup.cpu, setup.folder, stdout)
    finally:
        if stdout:
            stdout.close()


def haproxy_forward(setup):
    # Health checks as Drawspan does them by itself; nginx has none.
    servers = "\n".join(
        f"    server {node} {address} check inter 2s" for node, address in zip(NODES, setup.nodes))
    return f"""    balance roundrobin
    option httpchk GET /api/__health_check
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
{servers}"""


def haproxy_raised(setup):
    page = write(setup, "notice.html", setup.page)
    return (f'    http-request return status 503 content-type "text/html; charset=utf-8" '
            f"file {page} hdr Retry-After {RETRY_AFTER_SECONDS} hdr Cache-Control no-store")


def start_envoy(name, binary, port, setup):
    argv = [binary, "-c", write(setup, f"{name}.json", envoy.config(port, setup)),
            "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn",
            "--file-flush-interval-msec", "1000"]
    return Owned(name, argv, setup.cpu, setup.folder)


def pingora(name, binary, port, setup):
    argv = [binary, "--listen", f"127.0.0.1:{port}", "--nodes", ",".join(setup.nodes)]
    if setup.access_log:
        argv += ["--access-log", setup.access_log]
    if setup.case.raised:
        argv += ["--page", write(setup, "notice.html", setup.page)]
    return Owned(name, argv, setup.cpu, setup.folder)


def start_floor(name, binary, port, setup):
    argv = [binary, "floor", "--listen", f"127.0.0.1:{port}", "--nodes", ",".join(setup.nodes)]
    return Owned(name, argv, setup.cpu, setup.folder)


def drawspan(name, binary, port, setup):
    config = drawspan_config(name, port, setup)
    stdout = open(setup.access_log, "ab") if setup.access_log else None
    try:
        argv = [binary, "run", "--config", config]
        return Owned(name, argv, setup.cpu, setup.folder, stdout)
    finally:
        if stdout:
            stdout.close()


def drawspan_config(name, port, setup, more=""):
    """Writes the configuration; `more` are sections of it."""
    nodes = "\n".join(
        f'[[nodes]]\nid = "{node}"\naddress = "http://{address}"\n'
        for node, address in zip(NODES, setup.nodes))
    text = f"""
listen = ["127.0.0.1:{port}"]
workers = 1
state_dir = "{setup.folder}/{name}-state"
initial_mode = "{'maintenance' if setup.case.raised else 'cluster'}"
[control]
path = "{setup.folder}/{name}.sock"
[log]
access = "{'stdout' if setup.access_log else 'off'}"
{more}{nodes}"""
    return write(setup, f"{name}.toml", text)


def write(setup, name, content):
    path = os.path.join(setup.folder, name)
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())
    return path
