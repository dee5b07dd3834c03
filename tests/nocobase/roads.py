"""The procedures on real nodes, in order. Each check builds on those before it."""

import json
import subprocess
import time

from conductor import Conductor
from conformance import ACCOUNT, PASSWORD, Node, WebSocket, expect
from estate import NODES, Estate
from load import Load
from scene import ask

FIRST, OTHER = NODES
# Comes with NocoBase, is not enabled, and has an API of its own.
PLUGIN, RESOURCE = "custom-variables", "customVariables"
ROWS = 20_000
SOME_REQUESTS = 60
BEFORE, DURING = "Before the upgrade", "Written by the new version"
MADE_BEFORE, MADE_DURING = "made_before.txt", "made_by_the_new_version.txt"


class Tour:
    def __init__(self, folder, directory, program):
        self.folder, self.figures = folder, []
        self.estate = Estate(folder, directory)
        self.dumps = self.wrap_pg_dump()
        self.gateway = Conductor(program, folder, self.estate, self.dumps)
        self.token = self.load = self.lock = self.before = self.outage = None
        self.left = []

    def wrap_pg_dump(self):
        """The real program, after a line in `ran`: how often was it started?"""
        dumps = self.folder / "dumps"
        dumps.mkdir()
        real = subprocess.run(["sh", "-c", "command -v pg_dump"], capture_output=True, text=True,
                              check=True).stdout.strip()
        wrapper = dumps / "pg_dump"
        wrapper.write_text(f'#!/bin/sh\necho "$$" >>"{dumps}/ran"\nexec {real} "$@"\n')
        wrapper.chmod(0o755)
        return dumps

    def dumps_begun(self):
        ran = self.dumps / "ran"
        return len(ran.read_text().split()) if ran.exists() else 0

    # --- over HTTP ----------------------------------------------------------------------------

    def ask(self, method, target, body=None, port=None):
        """Through the gateway, or past it; as the user where one has logged in."""
        headers = {"Content-Type": "application/json", "X-Authenticator": "basic"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        text = json.dumps(body) if body is not None else None
        return ask(port or self.gateway.port, method, target, text, headers)

    def at(self, name, method, target, body=None):
        """Past the gateway, as somebody who verifies a node before it is let back in."""
        return self.ask(method, target, body, self.estate.ports[name])

    def must(self, answer, what):
        expect(answer.status == 200, f"{what} gave {answer.status} {answer.body[:200]!r}")
        return answer.json()["data"]

    def log_in(self):
        body = {"account": ACCOUNT, "password": PASSWORD}
        self.token = self.must(self.ask("POST", "/api/auth:signIn", body), "sign-in")["token"]

    def nickname(self):
        return self.estate.sql("select nickname from users where id = 1")

    # --- load -----------------------------------------------------------------------------------

    def more(self, kind):
        """Until the load has got some more answers of this kind."""
        before = self.load.so_far()
        self.gateway.until(f"more requests {kind}",
                           lambda: SOME_REQUESTS <= self.load.since(before)[kind], 60)

    def begin(self, kind, **more):
        self.more("served")
        self.before, self.began = self.load.so_far(), time.monotonic()
        return self.gateway.begin(kind, **more)

    def finished(self, name, closed):
        """Every node serves again; nothing failed; nothing reached a closed node meanwhile."""
        gateway = self.gateway
        expect(gateway.status()["mode"]["kind"] == "cluster", f"{gateway.status()['mode']}")
        lowered = time.monotonic()
        self.more("served")
        gateway.until("both nodes take requests", lambda: all(
            self.estate.reached(one, lowered, time.monotonic()) for one in NODES), 30)
        counts = self.load.since(self.before)
        since, until = gateway.closed_since, gateway.closed_until
        crossed = {one: len(self.estate.reached(one, since, until)) for one in closed}
        total = time.monotonic() - self.began
        kinds = ("served", "notice", "busy", "failed")
        spread = ", ".join(f"{counts[kind]} {kind}" for kind in kinds)
        self.figures.append(f"{name}: {total:.0f} s; seconds until proven: {gateway.times()}")
        self.figures.append(f"{name}: {counts.requests} requests: {spread}; "
                            f"closed {until - since:.1f} s, at closed nodes meanwhile {crossed}")
        for phase, code, detail in sorted(gateway.objected):
            self.figures.append(f"{name}: objected for a while in {phase}: {code}: {detail}")
        expect(not any(crossed.values()), f"at closed nodes {crossed}")
        allowed = self.outage["failed"] if self.outage else 0
        expect(counts["failed"] <= allowed, f"{spread}, {allowed} allowed: {self.load.why()}")
        self.outage = None
        return f"{spread}; at closed nodes in {until - since:.1f} s: {crossed}"

    def close(self):
        for what in (lambda: self.load and self.load.stop(), lambda: self.lock and self.lock.kill(),
                     self.gateway.stop):
            what()
        self.left = self.estate.close()


# --- first start --------------------------------------------------------------------------------


def the_gateway_waits_raised_before_an_empty_database(tour):
    status = tour.gateway.status()
    expect(status["mode"]["kind"] == "maintenance", f"{status['mode']}")
    tables = tour.estate.sql("select count(*) from information_schema.tables "
                             "where table_schema = 'public'")
    expect(tables == "0", f"{tables} tables")
    answer = tour.ask("GET", "/api/app:getInfo")
    expect(answer.status == 503 and answer.headers["retry-after"], f"{answer.status}")
    return "0 tables, no node runs, the public gets the notice"


def a_first_start_installs_on_the_first_node_alone(tour):
    gateway, estate = tour.gateway, tour.estate
    tour.began = time.monotonic()
    gateway.begin("first-start", first=FIRST)
    gateway.go("raise")
    gateway.reach("start-first")
    seen = gateway.look()
    expect(estate.state(FIRST) == "running" and estate.state(OTHER) == "unknown", "who runs?")
    expect(estate.version_row() == estate.old, estate.version_row())
    expect(not any(estate.reached(name, 0, time.monotonic()) for name in NODES), "public requests")
    plugins = len(tour.must(tour.at(FIRST, "GET", "/api/pm:listEnabled"), "pm:listEnabled"))
    proven = [one["what"] for one in seen["evidence"] if "plugin" in one["what"]]
    return f"version row {estate.old}, {plugins} plugins ({proven}); {OTHER} was never started"


def then_the_other_node_starts_and_the_bridge_is_lowered(tour):
    gateway = tour.gateway
    # Without a `verify` command a first start has no verify phase: there is no before to compare.
    gateway.go("start-first", "start-others")
    expect(gateway.outcome() == "completed", "the outcome")
    builds = {name: tour.estate.node("build", name)[1] for name in NODES}
    expect(len(set(builds.values())) == 1, f"{builds}")
    tour.log_in()
    total = time.monotonic() - tour.began
    tour.figures.append(f"first start: {total:.0f} s; seconds until proven: {gateway.times()}")
    tour.load = Load(gateway.port, tour.token)
    tour.more("served")
    return f"lowered, a user logs in, both nodes run {tour.estate.old}"


# --- an upgrade, with a crash of the gateway, and its rollback ----------------------------------


def an_upgrade_closes_and_stops_every_node(tour):
    gateway, estate = tour.gateway, tour.estate
    body = {"nickname": BEFORE}
    tour.must(tour.ask("POST", "/api/users:update?filterByTk=1", body), "users:update")
    rows = f"select n, md5(n::text) from generate_series(1, {ROWS}) n"
    estate.sql(f"create table made_before as {rows}")
    (estate.storage / "uploads").mkdir(exist_ok=True)
    (estate.storage / "uploads" / MADE_BEFORE).write_text("before")
    tour.pages = {"old": estate.page_of(FIRST)}
    # With a WebSocket on it a node does not end.
    tab = WebSocket(Node(gateway.url))
    expect(tab.authorize(tour.token) == {"type": "authorized"}, "the WebSocket is not authorised")
    tour.begin("upgrade", to=estate.new)
    first, payload = tab.receive()
    expect((first, payload[:2]) == (0x88, (1012).to_bytes(2, "big")), f"{first:#x} {payload}")
    tab.send(8, payload)
    tab.close()
    gateway.go("raise")
    gateway.reach("stop")
    states = {name: estate.state(name) for name in NODES}
    expect(set(states.values()) == {"stopped"}, f"{states}")
    code, said = gateway.verb("mode", "cluster")
    expect(code == 3, f"`mode cluster` ended with {code}: {said}")
    return f"the WebSocket got 1012; {states}; `mode cluster` is refused: {said.splitlines()[0]}"


WAITING = ("select pid from pg_stat_activity where application_name = 'pg_dump' "
           "and wait_event_type = 'Lock'")


def killed_in_the_middle_of_the_dump_the_gateway_adopts_it(tour):
    """The real pg_dump stands still at a table that we hold a lock on."""
    gateway, estate = tour.gateway, tour.estate
    tour.lock = subprocess.Popen(estate.psql(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 text=True, env=estate.environment())
    tour.lock.stdin.write("begin;\nlock table made_before in access exclusive mode;\n"
                          "select 'held';\n")
    tour.lock.stdin.flush()
    expect(tour.lock.stdout.readline().strip() == "held", "no lock")
    gateway.say("continue")
    backend = gateway.until("pg_dump waits for the lock", lambda: estate.sql(WAITING), 60)
    outage = tour.load.so_far()
    gateway.kill()
    gateway.restart()
    gateway.until("people get the notice again",
                  lambda: tour.ask("GET", "/").status == 503, 20)
    tour.outage = tour.load.since(outage)
    seen = gateway.until("it shows the procedure", gateway.look)
    expect(seen["phase"] == "back-up" and seen["hold"] == "restarted",
           f"{seen['phase']}, hold {seen.get('hold')}")
    running = [job["work"] for job in seen["jobs"] if job["state"] == "running"]
    expect(len(running) == 1, f"jobs {seen['jobs']}")
    expect(estate.sql(WAITING) == backend, "another pg_dump")
    expect(gateway.status()["mode"]["kind"] == "maintenance", "the bridge is not raised")
    gateway.say("continue")
    tour.lock.stdin.close()
    tour.lock.wait()
    tour.lock = None
    seen = gateway.reach("back-up")
    expect(tour.dumps_begun() == 1, f"pg_dump was begun {tour.dumps_begun()} times")
    expect(estate.sql(WAITING) == "", "a pg_dump is left")
    failed = tour.outage["failed"]
    tour.figures.append(f"kill -9 in the dump: {failed} requests failed until it answered again")
    return f"{running[0]} ran on and was adopted, pg_dump was begun once; held until `continue`"


def the_backup_is_proven(tour):
    seen = tour.gateway.look()
    dump = next(tour.estate.backups.glob("*.dump"))
    listed = subprocess.run(["pg_restore", "--list", dump], capture_output=True, text=True,
                            check=True).stdout
    tables = listed.count(" TABLE DATA ")
    expect(" TABLE DATA public made_before " in listed, "our table is not in it")
    sums = [one["what"] for one in seen["evidence"] if "SHA-256" in one["what"]]
    expect(len(sums) == 2, f"not both artefacts in {seen['evidence']}")
    return f"pg_restore --list: data of {tables} tables; evidence: {'; '.join(sums)}"


def the_new_version_starts_on_the_first_node_alone(tour):
    gateway, estate = tour.gateway, tour.estate
    gateway.go("back-up", "update", "start-first")
    gateway.reach("verify", "confirm")
    expect(estate.version_row() == estate.new, estate.version_row())
    tour.pages["new"] = estate.page_of(FIRST)
    expect(tour.pages["new"] != tour.pages["old"], f"{tour.pages}")
    expect(estate.state(OTHER) == "stopped", f"{OTHER} runs")
    expect(tour.at(FIRST, "GET", "/api/auth:check").status == 200, "the token of before")
    pages = " -> ".join([tour.pages["old"], tour.pages["new"]])
    return f"version row {estate.old} -> {estate.new}, page {pages}"


def a_rollback_brings_back_the_data_and_the_version_of_before(tour):
    gateway, estate = tour.gateway, tour.estate
    estate.sql("create table made_by_the_new_version as select 1 as one")
    body = {"nickname": DURING}
    tour.must(tour.at(FIRST, "POST", "/api/users:update?filterByTk=1", body), "users:update")
    expect(tour.nickname() == DURING, "the new version wrote nothing")
    (estate.storage / "uploads" / MADE_DURING).write_text("during")
    gateway.say("rollback")
    gateway.go("stop", "restore", "revert", "start-first")
    gateway.reach("verify", "confirm")
    gone = estate.sql("select to_regclass('made_by_the_new_version') is null")
    expect(gone == "t", "the new version's table is there")
    expect(estate.sql("select count(*) from made_before") == str(ROWS), "rows of before")
    expect(tour.nickname() == BEFORE, f"nickname {tour.nickname()}")
    there = [(estate.storage / "uploads" / name).exists() for name in (MADE_BEFORE, MADE_DURING)]
    expect(there == [True, False], f"files {there}")
    expect(estate.version_row() == estate.old, estate.version_row())
    expect(estate.page_of(FIRST) == tour.pages["old"], estate.page_of(FIRST))
    gateway.go("verify", "start-others")
    expect(gateway.outcome() == "rolled_back", "the outcome")
    served = tour.finished("upgrade and rollback", NODES)
    return f"table and file of the new version are gone, version row {estate.old}; {served}"


# --- the upgrade once more, to its end ----------------------------------------------------------


def an_upgrade_goes_by_itself_but_for_the_word_at_verify(tour):
    gateway, estate = tour.gateway, tour.estate
    tour.begin("upgrade", to=estate.new, auto=True)
    gateway.follow(lambda seen: seen["phase"] == "verify" and any(
        one["choice"] == "confirm" and one["allowed"] for one in seen["choices"]))
    gateway.say("confirm")
    seen = gateway.follow(lambda seen: seen.get("outcome"))
    expect(seen["outcome"] == "completed", seen["outcome"])
    expect(estate.version_row() == estate.new, estate.version_row())
    pages = {estate.page_of(name) for name in NODES}
    expect(pages == {tour.pages["new"]}, f"{pages}")
    expect(tour.dumps_begun() == 2, f"pg_dump was begun {tour.dumps_begun()} times in all")
    return f"version row {estate.new} on both; {tour.finished('upgrade', NODES)}"


# --- maintenance in the application -------------------------------------------------------------


def work_in_the_application_enables_a_plugin_on_the_kept_node(tour):
    gateway, estate = tour.gateway, tour.estate
    tour.list = f"/api/{RESOURCE}:list"
    gone = {name: tour.at(name, "GET", tour.list).status for name in NODES}
    expect(set(gone.values()) == {404}, f"{gone}")
    tour.begin("maintenance", keep=FIRST)
    gateway.go("narrow", "stop")
    gateway.reach("work")
    expect(estate.state(OTHER) == "stopped", f"{OTHER} runs")
    expect(gateway.status()["mode"]["kind"] == "single", f"{gateway.status()['mode']}")
    called = tour.ask("POST", f"/api/pm:enable?filterByTk={PLUGIN}")
    expect(called.status == 200, f"pm:enable gave {called.status} {called.body[:200]!r}")
    began = time.monotonic()
    gateway.until("the plugin's API answers",
                  lambda: tour.ask("GET", tour.list).status == 200, 120)
    took = time.monotonic() - began
    return f"{gone} before; 200 through the gateway {took:.1f} s after pm:enable"


def the_other_node_is_restarted_and_serves_the_plugin_too(tour):
    gateway, estate = tour.gateway, tour.estate
    gateway.go("work", "verify", "start-others")
    expect(gateway.outcome() == "completed", "the outcome")
    there = {name: tour.at(name, "GET", tour.list).status for name in NODES}
    expect(set(there.values()) == {200}, f"{there}")
    return f"{there} now; {tour.finished('maintenance', (OTHER,))}"


def nothing_is_left_behind(tour):
    expect(not tour.left, f"processes {tour.left}")
    expect(not tour.estate.processes(), f"processes {tour.estate.processes()}")
    return "no process of ours"


ALL = [
    the_gateway_waits_raised_before_an_empty_database,
    a_first_start_installs_on_the_first_node_alone,
    then_the_other_node_starts_and_the_bridge_is_lowered,
    an_upgrade_closes_and_stops_every_node,
    killed_in_the_middle_of_the_dump_the_gateway_adopts_it,
    the_backup_is_proven,
    the_new_version_starts_on_the_first_node_alone,
    a_rollback_brings_back_the_data_and_the_version_of_before,
    an_upgrade_goes_by_itself_but_for_the_word_at_verify,
    work_in_the_application_enables_a_plugin_on_the_kept_node,
    the_other_node_is_restarted_and_serves_the_plugin_too,
]
