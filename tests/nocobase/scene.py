"""What the run works with: the cluster, the gateway in front of it, the load and a browser tab."""

import http.client
import json
import subprocess
import time
from pathlib import Path

from conformance import ACCOUNT, PASSWORD, expect
from gateway import Gateway
from load import Load
from watched import Watched

HERE = Path(__file__).resolve().parent
NODES = {"n1": 1, "n2": 2}
CLUSTER_WITHIN = 900
# A node without WebSockets is gone in about 2 s, and one with a WebSocket never ends by itself.
STOPS_WITHIN = 15
SOME_REQUESTS = 60
FORM = 'input[type="password"]'
MENU = '[data-testid="plugin-settings-button"]'
# Titles of the dialogs that NocoBase shows while it believes that the application is away.
DIALOGS = ["App stopped", "App upgrading", "App restarting", "App error", "App preparing",
           "App initializing", "Under maintenance", "App commanding", "App warning"]


def cluster(*words):
    """One of our own cluster script's verbs; what it said."""
    command = [HERE / "cluster", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CLUSTER_WITHIN)
    said = (done.stdout + done.stderr).strip()
    expect(done.returncode == 0, f"cluster {' '.join(map(str, words))}: {said}")
    return said


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    def json(self):
        return json.loads(self.body)


def ask(port, method, target, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, target, body=body, headers=headers or {})
        return Answer(connection.getresponse())
    finally:
        connection.close()


class Scene:
    def __init__(self, folder, directory, program):
        self.folder, self.directory = folder, directory
        addresses = [line for line in cluster("up", directory, len(NODES)).splitlines()
                     if line.startswith("http://")]
        ports = [int(address.rsplit(":", 1)[1]) for address in addresses]
        self.node_ports = {name: ports[k - 1] for name, k in NODES.items()}
        self.watched = {name: Watched(port) for name, port in self.node_ports.items()}
        urls = {name: watched.url for name, watched in self.watched.items()}
        self.gateway = Gateway(program, folder, urls)
        self.token = self.load = self.browser = None
        # The node that is kept in single mode, and the one that is removed and stopped.
        self.kept = self.other = None
        self.first_tab = self.shown_while_raised = None
        # What every stretch of load came to, for the figures at the end.
        self.switches, self.stretches = [], []

    # --- over HTTP ----------------------------------------------------------------------------

    def ask(self, method, target, body=None, **headers):
        """Through the gateway, as a user who has logged in."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            headers |= {"Authorization": f"Bearer {self.token}", "X-Authenticator": "basic"}
        return ask(self.gateway.port, method, target, body, headers)

    def log_in(self):
        body = json.dumps({"account": ACCOUNT, "password": PASSWORD})
        answer = self.ask("POST", "/api/auth:signIn", body,
                          Content_Type="application/json", X_Authenticator="basic")
        expect(answer.status == 200, f"sign-in gave {answer.status}")
        self.token = answer.json()["data"]["token"]

    def start_load(self):
        self.load = Load(self.gateway.port, self.token)

    def more_load(self, kind, count=SOME_REQUESTS):
        """Until the load has got so many more answers of this kind."""
        before = self.load.so_far()
        self.gateway.until(f"{count} more requests {kind}",
                           lambda: count <= self.load.since(before)[kind], 60)

    def all_served(self, before):
        """Since `before`, enough requests, and every one of them served."""
        self.more_load("served")
        counts = self.load.since(before)
        self.stretches.append(counts)
        others = {kind: count for kind, count in counts.items() if count and kind != "served"}
        expect(not others, f"{counts}, {others}: {self.load.why()}")
        return str(counts)

    def reach(self, name, since):
        return len(self.watched[name].public(since))

    # --- switches and nodes -------------------------------------------------------------------

    def mode(self, *words):
        reply = self.gateway.mode(*words)
        expect(reply["changed"], f"{words}: nothing changed")
        expect(reply["acknowledged"] == "drained", f"{words}: {reply['acknowledged']}")
        self.switches.append((" ".join(words), reply["took_ms"]))
        return reply

    def stop_node(self, name):
        began = time.monotonic()
        said = cluster("stop", self.directory, NODES[name])
        took = time.monotonic() - began
        expect("killed" not in said and took < STOPS_WITHIN, f"{said}, {took:.1f} s")
        return took

    def start_node(self, name):
        cluster("start", self.directory, NODES[name])

    def restart_node(self, name):
        self.stop_node(name)
        self.gateway.wait(f"node={name}:down")
        self.start_node(name)
        self.gateway.wait(f"node={name}:ready")

    # --- the tab ------------------------------------------------------------------------------

    def dialog(self):
        """The title of the dialog that the tab shows, if it shows one."""
        text = self.browser.text()
        return next((title for title in DIALOGS if title.lower() in text.lower()), None)

    def open_socket(self):
        """The tab's WebSocket, where it is open."""
        seen = [one for one in self.browser.sockets() if one["opened"] and not one["closed"]]
        return seen[-1] if seen else None

    def open_settings(self):
        """What a user does in the application without loading the page anew."""
        browser = self.browser
        browser.until("the settings button", lambda: browser.find(MENU))
        browser.click(MENU)
        item = 'a[href*="/admin/settings/"]'
        browser.until("a settings entry", lambda: browser.find(item))
        click = "const a = document.querySelector(arguments[0]); a.click(); return a.href"
        target = browser.run(click, item)
        browser.until("the settings page", lambda: browser.run("return location.href") == target)
        return target

    def close(self):
        if self.load:
            self.load.stop()
        if self.browser:
            self.browser.close()
        for watched in self.watched.values():
            watched.stop()
