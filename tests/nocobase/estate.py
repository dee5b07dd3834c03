"""What the procedures work on: two versions side by side, a database and a storage folder of their
own, and the gateway's configuration over the recipes of contrib."""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from conformance import expect
from gateway import REPOSITORY
from scene import HERE, ask, cluster
from watched import Watched

RECIPES = REPOSITORY / "contrib/recipes"
NODES = ("n1", "n2")
DATABASE = "drawspan_procedures"
# A registry may hold one version only, so the older one is a copy under another name; this mark in
# it says so wherever it is shown.
RELABELLED = "relabelled"
COMMAND_WITHIN = 120
# What a node has started for itself may outlive it for a moment.
GONE_WITHIN = 5


class Estate:
    def __init__(self, folder, directory):
        self.folder, self.directory = folder, directory
        self.found_running = (directory / "pg/data/postmaster.pid").exists()
        # No node: they are the procedure's to start.
        cluster("up", directory, 0)
        settings = (directory / "run/settings").read_text().split()
        settings = dict(line.split("=", 1) for line in settings)
        self.new, self.pg_port = settings["NB_VERSION"], settings["NB_PG_PORT"]
        self.root = directory / "procedures"
        self.releases, self.run_dir = self.root / "releases", self.root / "run"
        self.storage, self.backups = self.root / "storage", self.root / "backups"
        for path in (self.run_dir, self.storage, self.backups):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)
        self.old = self.prepare_releases()
        self.make_database()
        self.ports = {name: lasting_port() for name in NODES}
        self.watched = {name: Watched(port, lasting_port()) for name, port in self.ports.items()}

    # --- versions ---------------------------------------------------------------------------

    def prepare_releases(self):
        """The new version is the cluster's own application; returns what the old one is called."""
        self.releases.mkdir(parents=True, exist_ok=True)
        major, minor, patch = self.new.split("-")[0].split(".")
        old = f"{major}.{minor}.{int(patch) - 1}-{RELABELLED}"
        link(self.releases / self.new, self.directory / "app")
        if not (self.releases / old).exists():
            self.relabel(self.releases / old, old)
        link(self.releases / "current", old)
        return old

    def relabel(self, target, old):
        """A copy that says it is `old`: in its packages, from where NocoBase takes the version that
        it writes into the database, and in the name of its page's script. The files are shared with
        the original, so what changes is replaced and never written to."""
        part = target.with_name(target.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        subprocess.run(["cp", "-al", self.directory / "app", part], check=True)
        shutil.rmtree(part / "storage", ignore_errors=True)
        for package in (part / "node_modules/@nocobase").glob("*/package.json"):
            replace(package, f'"{self.new}"', f'"{old}"')
        client = part / "node_modules/@nocobase/app/dist/client"
        script = fingerprint((client / "index.html.tpl").read_text())
        older = f"index-{'0' * len(script.split('-')[1])}"
        os.link(client / f"assets/{script}.js", client / f"assets/{older}.js")
        # NocoBase makes the page from its template at each start, into the same file.
        for page in ("index.html.tpl", "index.html"):
            if (client / page).exists():
                replace(client / page, script, older)
        part.rename(target)

    def page_of(self, name):
        """The name of the script in the node's own page."""
        return fingerprint(ask(self.ports[name], "GET", "/").body.decode())

    # --- database ---------------------------------------------------------------------------

    def make_database(self):
        self.password_file = self.folder / "pgpass"
        self.password_file.write_text(f"127.0.0.1:{self.pg_port}:*:nocobase:nocobase\n")
        self.password_file.chmod(0o600)
        self.sql(f"drop database if exists {DATABASE} with (force)", "postgres")
        self.sql(f"create database {DATABASE} owner nocobase", "postgres")

    def psql(self, database=DATABASE):
        return ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1",
                "-p", self.pg_port, "-U", "nocobase", "-d", database]

    def environment(self):
        return os.environ | {"PGPASSFILE": str(self.password_file)}

    def sql(self, statement, database=DATABASE):
        done = subprocess.run([*self.psql(database), "-c", statement], capture_output=True,
                              text=True, timeout=COMMAND_WITHIN, env=self.environment())
        expect(done.returncode == 0, f"{statement}: {done.stderr}")
        return done.stdout.strip()

    def version_row(self):
        return self.sql('select value from "applicationVersion"')

    # --- nodes ------------------------------------------------------------------------------

    def node(self, verb, name, *more):
        """One of the recipe's verbs by hand; its exit code and what it said."""
        command = [RECIPES / "plain/node", verb, *self.place(name), *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_WITHIN)
        return done.returncode, (done.stdout + done.stderr).strip()

    def place(self, name):
        return [self.run_dir, name, f"127.0.0.1:{self.ports[name]}"]

    def state(self, name):
        return {0: "running", 3: "stopped"}.get(self.node("status", name)[0], "unknown")

    def reached(self, name, since, until):
        """Public requests that reached the node in between; probes are none."""
        return [seen for seen in self.watched[name].public(since) if seen.at < until]

    def processes(self):
        """Whoever still works in our folders, the database server left out."""
        marks = [str(path).encode() for path in (self.root, self.folder)]
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            mine = int(entry.name) in (os.getpid(), os.getppid())
            if not mine and any(mark in words for mark in marks):
                found.append(int(entry.name))
        return found

    def close(self):
        for watched in self.watched.values():
            watched.stop()
        for name in NODES:
            self.node("stop", name)
        # A run that failed half-way may leave a command; what is ours has our folder's name in it.
        end = time.monotonic() + GONE_WITHIN
        while (left := self.processes()) and time.monotonic() < end:
            time.sleep(0.2)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if not self.found_running:
            cluster("down", self.directory)
        return left

    # --- the gateway's configuration --------------------------------------------------------

    def drivers(self, dumps):
        """As in contrib/recipes: `plain` for the nodes, `postgres` for the data. `dumps` is a
        folder that stands first in PATH for the backup."""
        release, database = RECIPES / "plain/release", RECIPES / "postgres/database"
        words = ["{version}", "{backup}"]
        login = {"PGHOST": "127.0.0.1", "PGPORT": self.pg_port, "PGUSER": "nocobase",
                 "PGDATABASE": DATABASE, "PGPASSFILE": str(self.password_file)}
        path = {"PATH": f"{dumps}:{os.environ['PATH']}"}
        storage = ["{backup}", self.storage]
        text = command("drivers.update", [release, "update", self.releases, *words])
        text += command("drivers.revert", [release, "revert", self.releases, *words])
        text += command("drivers.backup", [database, "backup", *storage], login | path)
        text += command("drivers.verify_backup", [database, "verify", *storage], login)
        text += command("drivers.restore", [database, "restore", *storage], login)
        return text + (f'[procedures]\nbackup_path = "{self.backups}/{{id}}"\n'
                       'artefacts = ["{backup}.dump", "{backup}-storage.tar"]\n')

    def node_drivers(self, name):
        """Of each node, because the gateway knows the forwarder's port and not the node's."""
        at = self.place(name)
        recipe = RECIPES / "plain/node"
        settings = {"APP_HOST": "127.0.0.1", "DB_HOST": "127.0.0.1", "DB_PORT": self.pg_port,
                    "DB_DATABASE": DATABASE, "STORAGE_PATH": str(self.storage),
                    "INSTANCE_ID": name[1:]}
        start = ["node", HERE / "launch.js", "start", "--quickstart"]
        start = [recipe, "start", *at, self.releases / "current", *start]
        text = command("nodes.drivers.start", start, settings)
        for verb in ("stop", "status", "build", "logs"):
            text += command(f"nodes.drivers.{verb}", [recipe, verb, *at])
        return text


def command(section, words, settings=None):
    text = f"[{section}]\nrun = {json.dumps([str(word) for word in words])}\n"
    pairs = ", ".join(f"{key} = {json.dumps(value)}" for key, value in (settings or {}).items())
    return text + (f"env = {{ {pairs} }}\n" if pairs else "")


def lasting_port():
    """A port that the kernel gives to nobody while a stopped node does not hold it."""
    ephemeral = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    while True:
        port = random.randrange(10_000, int(ephemeral[0]))
        try:
            socket.create_server(("127.0.0.1", port)).close()
            return port
        except OSError:
            continue


def link(path, target):
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def replace(path, was, becomes):
    text = path.read_text().replace(was, becomes)
    path.unlink()
    path.write_text(text)


def fingerprint(page):
    """As `index-93181bbb`."""
    return re.search(r"assets/(index-[0-9a-f]+)\.js", page)[1]
