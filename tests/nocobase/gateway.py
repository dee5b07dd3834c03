"""The real `drawspan` in front of the nodes, and its verbs."""

import json
import socket
import subprocess
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
VERB_WITHIN = 150
STARTS_WITHIN = 20
STOPS_WITHIN = 60
LOOK_EVERY = 0.1


class GatewayError(Exception):
    """A verb did not do what it is documented to do."""


def built():
    """The released build, made where it is absent."""
    path = REPOSITORY / "target/release/drawspan"
    if not path.exists():
        print("# building drawspan, some minutes", flush=True)
        subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=REPOSITORY, check=True)
    return path


class Gateway:
    def __init__(self, program, folder, nodes):
        """`nodes`: what the gateway calls a node, and its address."""
        self.program = str(program)
        self.socket = folder / "control.sock"
        self.access_log = folder / "access.log"
        self.log = open(folder / "drawspan.log", "w")
        self.port = free_port()
        self.config_file = folder / "drawspan.toml"
        self.config_file.write_text(self.config(folder, nodes))
        self.start()

    def start(self):
        command = [self.program, "run", "--config", str(self.config_file)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)
        self.until("the gateway answers on its socket",
                   lambda: self.verb("status")[0] == 0, STARTS_WITHIN)

    def config(self, folder, nodes):
        lines = [f'listen = ["127.0.0.1:{self.port}"]', f'state_dir = "{folder}/state"']
        lines += ["[control]", f'path = "{self.socket}"', "[log]", f'access = "{self.access_log}"']
        for name, url in nodes.items():
            lines += ["[[nodes]]", f'id = "{name}"', f'address = "{url}"']
        return "\n".join(lines) + "\n"

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def verb(self, *words):
        """Exit code and what was said."""
        command = [self.program, "--control", str(self.socket), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=VERB_WITHIN)
        return done.returncode, (done.stdout if done.returncode == 0 else done.stderr).strip()

    def must(self, *words):
        code, said = self.verb(*words)
        if code != 0:
            raise GatewayError(f"`drawspan {' '.join(words)}` ended with {code}: {said}")
        return said

    def mode(self, *words):
        """The switch's document, once its effect is true."""
        return json.loads(self.must("mode", *words, "--json"))

    def status(self):
        return json.loads(self.must("status", "--json"))

    def node(self, name):
        return next(node for node in self.status()["nodes"] if node["id"] == name)

    def state(self, name):
        return self.node(name)["state"]

    def until(self, what, condition, seconds=30):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if truth := condition():
                return truth
            time.sleep(LOOK_EVERY)
        raise GatewayError(f"not within {seconds} s: {what}; {self.verb('status')[1]}")

    def wait(self, condition, timeout="120s"):
        return self.must("wait", condition, "--timeout", timeout)

    def stop(self):
        self.process.terminate()
        try:
            code = self.process.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.log.close()
        return code


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
