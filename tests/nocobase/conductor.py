"""The gateway as it conducts a procedure: what an operator says to it, and what it shows."""

import http.client
import json
import signal
import socket
import time

from conformance import expect
from gateway import Gateway, GatewayError

ANSWER_WITHIN = 30
PHASE_WITHIN = 240
# While the procedure is in one of these the bridge may be open, or is about to be.
NOT_CLOSED = ("raise", "narrow", "lower", "done")
# What waiting does not mend, where it lasts: what is known of a node that is down may be of before.
OBJECTS_FOR = 90
FINAL = {"command_failed", "came_back", "mixed_builds", "wrong_build", "wrong_version",
         "backup_flawed", "backup_changed", "nodes_changed", "nothing_changed", "plugins_lost"}


class Control(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("drawspan", timeout=ANSWER_WITHIN)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Conductor(Gateway):
    def __init__(self, program, folder, estate, dumps):
        self.estate, self.dumps = estate, dumps
        # What objected at any time, and what does now since when.
        self.objected, self.objecting = set(), {}
        # For each phase, how long its proof took; and when the procedure was seen closed.
        self.took, self.closed_since, self.closed_until = [], None, None
        super().__init__(program, folder, {name: w.url for name, w in estate.watched.items()})

    def config(self, folder, nodes):
        lines = [f'listen = ["127.0.0.1:{self.port}"]', f'state_dir = "{folder}/state"',
                 'initial_mode = "maintenance"',
                 "[control]", f'path = "{self.socket}"', "[log]", f'access = "{self.access_log}"']
        text = "\n".join(lines) + "\n" + self.estate.drivers(self.dumps)
        for name, url in nodes.items():
            text += f'[[nodes]]\nid = "{name}"\naddress = "{url}"\n'
            text += self.estate.node_drivers(name)
        return text

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart(self):
        self.start()
        self.until("the gateway answers again", self.answers, 20)

    # --- over the socket --------------------------------------------------------------------

    def call(self, method, path, body=None, headers=None):
        connection = Control(self.socket)
        try:
            text = json.dumps(body) if body is not None else None
            connection.request(method, path, body=text, headers=headers or {})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def answers(self):
        try:
            return self.call("GET", "/v1/status")[0] == 200
        except OSError:
            return False

    def status(self):
        return self.call("GET", "/v1/status")[1]

    def procedure(self):
        return self.status().get("procedure") or {}

    # --- a procedure ------------------------------------------------------------------------

    def begin(self, kind, **more):
        self.took, self.closed_since, self.closed_until = [], None, None
        self.objected = set()
        status, said = self.call("POST", "/v1/procedures", {"kind": kind, **more})
        expect(status == 201, f"begin {kind} gave {status} {said}")
        return said["id"]

    def say(self, choice, **more):
        """In answer to what is true now; once more where the facts moved in between."""
        for _ in range(5):
            seen = self.look()
            path = f"/v1/procedures/{seen['id']}/{choice}"
            status, said = self.call("POST", path, {"phase": seen["phase"], **more},
                                     {"If-Match": f'"{seen["revision"]}"'})
            if status == 200:
                return
            if status not in (409, 412):
                break
            time.sleep(0.2)
        raise GatewayError(f"{choice} in {seen['phase']} gave {status} {said}")

    def look(self):
        """The procedure as it stands. Notes when it was closed for certain."""
        before = time.monotonic()
        seen = self.procedure()
        if seen.get("phase") and seen["phase"] not in NOT_CLOSED:
            self.closed_since = self.closed_since or time.monotonic()
            self.closed_until = before
        return seen

    def reach(self, phase, choice="continue", seconds=PHASE_WITHIN):
        """Waits until this phase has its proof: the choice is offered. What it shows then."""
        began = time.monotonic()

        def offered():
            seen = self.look()
            if seen["phase"] != phase:
                return None
            final = [one for one in seen["objections"] if one["code"] in FINAL]
            self.objected |= {(phase, one["code"], one["detail"]) for one in final}
            lasting = self.lasting(final)
            if lasting:
                raise GatewayError(f"{phase}: {final}; {seen.get('output')}")
            return seen if offers(seen, choice) else None

        seen = self.until(f"{choice} is offered in {phase}", offered, seconds)
        self.took_for(phase, time.monotonic() - began)
        return seen

    def took_for(self, phase, seconds):
        """A second look at the same phase belongs to the first."""
        if self.took and self.took[-1][0] == phase:
            seconds += self.took.pop()[1]
        self.took.append((phase, seconds))

    def lasting(self, final):
        """What objects without a break for so long that waiting will not mend it."""
        now, was = time.monotonic(), self.objecting
        self.objecting = {one["code"]: was.get(one["code"], now) for one in final}
        return [code for code, since in self.objecting.items() if OBJECTS_FOR < now - since]

    def go(self, *phases):
        """Through these phases, saying the word that each needs."""
        for phase in phases:
            choice = "confirm" if phase == "verify" else "continue"
            self.reach(phase, choice)
            self.say(choice)

    def outcome(self, seconds=PHASE_WITHIN):
        began = time.monotonic()
        seen = self.until("the procedure is over",
                          lambda: next(filter(lambda p: p.get("outcome"), [self.look()]), None),
                          seconds)
        self.took_for("lower", time.monotonic() - began)
        return seen["outcome"]

    def follow(self, until):
        """Watches a procedure that goes on by itself, until `until` holds for what it shows."""
        phase, began, end = None, time.monotonic(), time.monotonic() + PHASE_WITHIN
        while time.monotonic() < end:
            seen, now = self.look(), time.monotonic()
            if phase and seen["phase"] != phase:
                self.took_for(phase, now - began)
                began = now
            phase = seen["phase"]
            if until(seen):
                if phase != "done":
                    self.took_for(phase, now - began)
                return seen
            time.sleep(0.05)
        raise GatewayError(f"not within {PHASE_WITHIN} s: {self.verb('status')[1]}")

    def times(self):
        return ", ".join(f"{phase} {took:.1f}" for phase, took in self.took)


def offers(seen, choice):
    return any(one["choice"] == choice and one["allowed"] for one in seen["choices"])
