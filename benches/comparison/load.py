"""The load: one case's request over and over on keep-alive connections by wrk, WebSocket messages
and a fixed rate by our own program."""

import dataclasses
import json
import os
import subprocess
import time

from .processes import MeasurementError, Owned, busy_seconds

CONNECTIONS = 64
ANSWER_SECONDS_MAX = 10
# Beyond the time it was told to run for, before a generator counts as hanging.
GENERATOR_SECONDS_EXTRA = 20

# Replacing `format`, not `request`, keeps the request static: wrk then calls no Lua per request.
# The whole request stands here, for wrk.format would send the header lines in random order.
SCRIPT = """
local request = {request}
wrk.format = function() return request end
function done(summary, latency)
  local e = summary.errors
  io.stderr:write(string.format(
    '{{"requests":%d,"bytes":%d,"seconds":%.6f,"refused":%d,"p50_us":%d,"p99_us":%d,' ..
    '"broken":%d}}\\n',
    summary.requests, summary.bytes, summary.duration / 1e6, e.status,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.timeout))
end
"""


@dataclasses.dataclass(frozen=True)
class Slice:
    """One peer's share of one round."""
    requests: int
    seconds: float
    p50_us: float
    p99_us: float
    # The proxy's own time.
    cpu_seconds: float
    # Share of its CPU that went to others, the hypervisor included.
    foreign: float
    # How late a request at a fixed rate left the generator: not the proxy's doing.
    late_p50_us: float = 0

    @property
    def cpu_us(self):
        return self.cpu_seconds * 1e6 / self.requests

    @property
    def per_second(self):
        return self.requests / self.seconds

    @property
    def busy(self):
        return self.cpu_seconds / self.seconds


class Load:
    """`tools` are the paths of the generators by name."""

    def __init__(self, tools, case, cpu, folder):
        self.tools, self.case, self.cpu, self.folder = tools, case, cpu, folder
        self.script = os.path.join(folder, f"{case.name}.lua")
        with open(self.script, "w") as script:
            script.write(SCRIPT.format(request=lua_string(case.request())))
        self.request = write_request(case, folder)

    def run(self, peer, proxy_cpu, seconds):
        """Loads `peer` for `seconds`; fails where one single answer was wrong or missing."""
        if not peer.owned.is_running():
            raise MeasurementError(f"{peer.name} ended:\n{peer.owned.last_words()}")
        own, busy, began = peer.owned.cpu_seconds(), busy_seconds(proxy_cpu), time.monotonic()
        summary = self.summary(peer, seconds)
        own, busy = peer.owned.cpu_seconds() - own, busy_seconds(proxy_cpu) - busy
        # Its own clock: the generator's leaves out that it starts and ends.
        foreign = max(0.0, (busy - own) / (time.monotonic() - began))
        self.insist(peer, summary)
        return Slice(summary["requests"], summary["seconds"], summary["p50_us"],
                     summary["p99_us"], own, foreign, summary.get("late_p50_us", 0))

    def summary(self, peer, seconds):
        argv = self.argv(peer.port, seconds)
        name = os.path.basename(argv[0])
        with open(os.path.join(self.folder, f"{name}.out"), "ab") as stdout:
            generator = Owned(name, argv, self.cpu, self.folder, stdout)
        try:
            generator.process.wait(seconds + GENERATOR_SECONDS_EXTRA)
        except subprocess.TimeoutExpired:
            raise MeasurementError(f"{name} hangs on {peer.name}") from None
        finally:
            generator.stop()
        try:
            return json.loads(generator.last_words(1))
        except ValueError:
            raise MeasurementError(f"{name} failed on {peer.name}, case {self.case.name}: "
                                   f"{generator.last_words()}\nits last words:\n"
                                   f"{peer.owned.last_words()}") from None

    def argv(self, port, seconds):
        case, connections = self.case, str(CONNECTIONS)
        if case.load == "requests":
            return [self.tools["wrk"], "--threads", "1", "--connections", connections,
                    "--duration", f"{seconds}s", "--timeout", f"{ANSWER_SECONDS_MAX}s",
                    "--latency", "--script", self.script, f"http://127.0.0.1:{port}/"]
        kind = {"messages": ["ws-load", "--bytes", str(case.message_bytes)],
                "rate": ["rate-load", "--bytes", str(case.answer_bytes),
                         "--rate", str(case.per_second)]}[case.load]
        return [self.tools["pump"], *kind, "--connect", f"127.0.0.1:{port}",
                "--request", self.request, "--connections", connections, "--seconds", str(seconds)]

    def insist(self, peer, summary):
        if self.case.load != "requests":
            # Our own program compares every byte, and ends without a summary at the first fault.
            if not summary["requests"]:
                raise MeasurementError(f"{peer.name} under load, case {self.case.name}: no answers")
            return
        # wrk calls every status above 399 an error.
        refused = summary["requests"] if self.case.status > 399 else 0
        per_answer = summary["bytes"] / max(1, summary["requests"])
        if not summary["requests"] or summary["broken"] or summary["refused"] != refused:
            raise MeasurementError(
                f"{peer.name} under load, case {self.case.name}: {summary['requests']} answers, "
                f"{summary['refused']} with an error status (expected {refused}), "
                f"{summary['broken']} connections or answers broken:\n{peer.owned.last_words()}")
        if per_answer < (self.case.answer_bytes or 0):
            raise MeasurementError(f"{peer.name} under load: {per_answer:.0f} bytes per answer")


def write_request(case, folder):
    """The request as a file, for our own program; its path."""
    path = os.path.join(folder, f"{case.name}.request")
    with open(path, "wb") as file:
        file.write(case.request())
    return path


def lua_string(data):
    """Decimal escapes for all that is not plain."""
    plain = lambda byte: 32 <= byte < 127 and byte not in b"\"\\"
    return '"' + "".join(chr(b) if plain(b) else f"\\{b:03d}" for b in data) + '"'
