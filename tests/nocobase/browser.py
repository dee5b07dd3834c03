"""A real Chromium, driven over chromedriver's own protocol (W3C WebDriver)."""

import base64
import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--lang=en-US", "--window-size=1280,800",
]
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
LOOK_EVERY = 0.1

# Runs in every page before its own scripts: writes down what becomes of its WebSockets.
WATCH_SOCKETS = """
window.sockets = [];
window.WebSocket = class extends window.WebSocket {
  constructor(...given) {
    super(...given);
    const seen = { url: String(given[0]), opened: 0, closed: 0, code: 0, frames: [] };
    window.sockets.push(seen);
    this.addEventListener('open', () => { seen.opened = Date.now(); });
    this.addEventListener('close', (event) => {
      seen.closed = Date.now();
      seen.code = event.code;
    });
    this.addEventListener('message', (event) => {
      seen.frames.push(String(event.data).slice(0, 500));
    });
  }
};
"""


class BrowserError(Exception):
    """The browser did not do what it was told, or did not come to show what was awaited."""


def missing():
    """The Debian packages that are not here."""
    programs = {"chromium": "chromium", "chromedriver": "chromium-driver"}
    return [package for program, package in programs.items() if not shutil.which(program)]


class Browser:
    def __init__(self, folder):
        self.log = open(folder / "chromedriver.log", "w+")
        command = ["chromedriver", "--port=0"]
        self.driver = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)
        self.address = f"http://127.0.0.1:{self.port()}"
        options = {"args": [*FLAGS, f"--user-data-dir={folder}/profile"]}
        options["binary"] = shutil.which("chromium")
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        self.session = "/session/" + self.send("POST", "/session", wanted)["sessionId"]
        self.watch_sockets()

    def port(self):
        until = time.monotonic() + 20
        while time.monotonic() < until:
            self.log.seek(0)
            if found := re.search(r"started successfully on port (\d+)", self.log.read()):
                return int(found[1])
            time.sleep(LOOK_EVERY)
        raise BrowserError("chromedriver did not start; see chromedriver.log")

    def send(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data=data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            message = json.load(error)["value"]["message"].splitlines()[0]
            raise BrowserError(message) from None

    def act(self, path, body=None):
        return self.send("POST", self.session + path, body or {})

    def watch_sockets(self):
        """In the present tab: chromedriver keeps such scripts by tab."""
        call = {"cmd": "Page.addScriptToEvaluateOnNewDocument", "params": {"source": WATCH_SOCKETS}}
        self.act("/goog/cdp/execute", call)

    # --- what a user does ---------------------------------------------------------------------

    def open(self, url):
        self.act("/url", {"url": url})

    def new_tab(self):
        handle = self.act("/window/new", {"type": "tab"})["handle"]
        self.tab(handle)
        self.watch_sockets()
        return handle

    def this_tab(self):
        return self.send("GET", self.session + "/window")

    def tab(self, handle):
        self.act("/window", {"handle": handle})

    def find(self, css):
        found = self.act("/element", {"using": "css selector", "value": css})
        return f"/element/{found[ELEMENT]}"

    def type(self, css, text):
        self.act(self.find(css) + "/value", {"text": text})

    def click(self, css):
        self.act(self.find(css) + "/click")

    # --- what a user sees ---------------------------------------------------------------------

    def run(self, script, *given):
        return self.act("/execute/sync", {"script": script, "args": list(given)})

    def text(self):
        return self.run("return document.body ? document.body.innerText : ''")

    def sockets(self):
        """The page's own, without those of other services."""
        seen = self.run("return window.sockets || []")
        return [one for one in seen if re.search(r"/ws(\?|$)", one["url"])]

    def screenshot(self, path):
        image = base64.b64decode(self.send("GET", self.session + "/screenshot"))
        path.write_bytes(image)
        return image

    def until(self, what, condition, seconds=30):
        """What `condition` gives, as soon as it gives something."""
        until = time.monotonic() + seconds
        error = None
        while time.monotonic() < until:
            try:
                if truth := condition():
                    return truth
            except BrowserError as raised:
                error = raised
            time.sleep(LOOK_EVERY)
        try:
            shown = " ".join(self.text().split())[:200]
        except BrowserError as raised:
            shown, error = "", raised
        shows = f"the page shows {shown!r} {error or ''}"
        raise BrowserError(f"not within {seconds} s: {what}; {shows}")

    def close(self):
        try:
            self.send("DELETE", self.session)
        except (BrowserError, OSError):
            pass
        self.driver.terminate()
        self.driver.wait(10)
        self.log.close()
