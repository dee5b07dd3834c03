"""What is asked and what must come back: one case is one kind of request."""

import dataclasses

HOST = "crm.example.com"
KIB = 1024

# What a browser tab of the application sends; with Host twelve lines.
BROWSER_HEADERS = [
    ("Connection", "keep-alive"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
                   "Chrome/141.0.0.0 Safari/537.36"),
    ("Accept", "application/json, text/plain, */*"),
    ("Accept-Language", "en-US,en;q=0.9,de;q=0.8"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Authorization", "Bearer " + "eyJhbGciOiJIUzI1NiJ9." + "x" * 120),
    ("Cookie", "nb_auth_token_main=" + "y" * 160),
    ("Referer", f"http://{HOST}/admin/settings"),
    ("Sec-Fetch-Dest", "empty"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Site", "same-origin"),
]


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    says: str
    path: str
    status: int = 200
    method: str = "GET"
    # Bytes of the answer's body; None where the gateway's own page decides.
    answer_bytes: int = KIB
    post_bytes: int = 0
    # Lines of the head that differ from BROWSER_HEADERS.
    differs: tuple = ()
    # The proxies answer by themselves: the bridge is raised.
    raised: bool = False
    # How it is loaded and what is measured: one of FIGURES.
    load: str = "requests"
    # Of a message on an upgraded connection; 0 where nothing is upgraded.
    message_bytes: int = 0
    per_second: int = 0

    @property
    def upgrade(self):
        return self.message_bytes > 0

    @property
    def plain_nodes(self):
        """Are nodes enough that neither upgrade nor hold thousands of connections?"""
        return self.load in ("requests", "rate")

    def request(self, path=None):
        """The request as it goes over the wire."""
        if self.upgrade and not path:
            return handshake(self.path)
        differs = dict(self.differs)
        headers = [("Host", HOST)]
        headers += [(name, differs.get(name, value)) for name, value in BROWSER_HEADERS]
        if self.post_bytes:
            headers += [("Content-Type", "application/json"),
                        ("Content-Length", str(self.post_bytes))]
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = f"{self.method} {path or self.path} HTTP/1.1\r\n{lines}\r\n"
        return (head + "p" * self.post_bytes).encode()


# The key of the sample handshake in RFC 6455 section 1.3, and its answer.
WEBSOCKET_KEY, WEBSOCKET_ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def handshake(path):
    """What a browser sends to open a WebSocket."""
    sent = dict(BROWSER_HEADERS)
    headers = [("Host", HOST), ("Connection", "Upgrade"), ("Pragma", "no-cache"),
               ("Cache-Control", "no-cache"), ("User-Agent", sent["User-Agent"]),
               ("Upgrade", "websocket"), ("Origin", f"http://{HOST}"),
               ("Sec-WebSocket-Version", "13"), ("Accept-Encoding", sent["Accept-Encoding"]),
               ("Accept-Language", sent["Accept-Language"]), ("Cookie", sent["Cookie"]),
               ("Sec-WebSocket-Key", WEBSOCKET_KEY)]
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()


@dataclasses.dataclass(frozen=True)
class Figure:
    """What a kind of case is about: the name in the results, and as a column's head."""
    key: str
    heading: str
    digits: int = 1


FIGURES = {
    "requests": Figure("cpu_us", "CPU us/request"),
    "messages": Figure("cpu_us", "CPU us/message"),
    "rate": Figure("p50_us", "p50 us"),
    "idle": Figure("kib_each", "KiB/connection", 2),
}


NAVIGATION = (
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
)
SCRIPT = (("Accept", "*/*"), ("Sec-Fetch-Dest", "script"), ("Sec-Fetch-Mode", "no-cors"))

API_PATH = "/api/posts:list?pageSize=20&page=1&sort=-id"
WS_PATH = "/ws?__appName=main"

CASES = {case.name: case for case in [
    Case("1kb", "GET of the API, 1 KiB of JSON", API_PATH),
    Case("64kb", "GET of a script, 64 KiB", "/assets/index-64kb.js", answer_bytes=64 * KIB,
         differs=SCRIPT),
    Case("post16kb", "POST of 16 KiB to the API, 1 KiB back", "/api/posts:create", method="POST",
         post_bytes=16 * KIB),
    Case("notice", "the notice's page, 503, while the bridge is raised", "/admin", status=503,
         answer_bytes=None, differs=NAVIGATION, raised=True),
    Case("ws4kb", "WebSocket, a message of 4 KiB and its echo", WS_PATH, status=101,
         answer_bytes=0, load="messages", message_bytes=4 * KIB),
    Case("ws64kb", "WebSocket, a message of 64 KiB and its echo", WS_PATH, status=101,
         answer_bytes=0, load="messages", message_bytes=64 * KIB),
    Case("rate2000", "GET of the API, 1 KiB, at 2,000 requests a second whatever comes back",
         API_PATH, load="rate", per_second=2000),
    Case("idle", "memory of a keep-alive connection after one request", API_PATH, load="idle"),
    Case("idlews", "memory of a WebSocket tunnel on which nothing moves", WS_PATH, status=101,
         answer_bytes=0, load="idle", message_bytes=4 * KIB),
]}
