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

    def request(self, path=None):
        """The request as it goes over the wire."""
        differs = dict(self.differs)
        headers = [("Host", HOST)]
        headers += [(name, differs.get(name, value)) for name, value in BROWSER_HEADERS]
        if self.post_bytes:
            headers += [("Content-Type", "application/json"),
                        ("Content-Length", str(self.post_bytes))]
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = f"{self.method} {path or self.path} HTTP/1.1\r\n{lines}\r\n"
        return (head + "p" * self.post_bytes).encode()


NAVIGATION = (
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
)
SCRIPT = (("Accept", "*/*"), ("Sec-Fetch-Dest", "script"), ("Sec-Fetch-Mode", "no-cors"))

CASES = {case.name: case for case in [
    Case("1kb", "GET of the API, 1 KiB of JSON", "/api/posts:list?pageSize=20&page=1&sort=-id"),
    Case("64kb", "GET of a script, 64 KiB", "/assets/index-64kb.js", answer_bytes=64 * KIB,
         differs=SCRIPT),
    Case("post16kb", "POST of 16 KiB to the API, 1 KiB back", "/api/posts:create", method="POST",
         post_bytes=16 * KIB),
    Case("notice", "the notice's page, 503, while the bridge is raised", "/admin", status=503,
         answer_bytes=None, differs=NAVIGATION, raised=True),
]}
