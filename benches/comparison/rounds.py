"""The method: interleaved rounds, so that every ratio comes from the same few seconds."""

import contextlib
import dataclasses
import os

from . import check, idle
from .backends import Backends
from .cases import FIGURES
from .load import Load
from .peers import FLOOR, OTHERS, Setup, page_of, start
from .processes import await_true, small_pages

WARM_UP_SECONDS_MAX = 2
# Memory repeats to a hundredth of a KiB; more rounds would tell nothing more.
IDLE_ROUNDS_MAX = 3


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the command line asked for."""
    # By name: the proxies' binaries, in the order of the table.
    peers: dict
    nginx: str
    # The generators' paths by name.
    tools: dict
    seconds: int
    rounds: int
    access_log: str
    proxy_cpu: int
    load_cpu: int


def measure(plan, case, folder, say):
    """Runs one case in `folder`; returns the slices of every peer by its name, round by round."""
    with contextlib.ExitStack() as running:
        own_nodes = None if case.plain_nodes else plan.tools["pump"]
        backends = Backends(plan.nginx, plan.load_cpu, folder, own_nodes)
        running.callback(backends.owned.stop)
        backends.await_ready()
        setup = Setup(case, backends.addresses, plan.proxy_cpu, folder, log_path(plan, folder))
        run = measure_idle if case.load == "idle" else measure_load
        return run(plan, setup, running, say)


def measure_load(plan, setup, running, say):
    case = setup.case
    peers, page = start_all(plan, setup, running)
    for peer in peers:
        check.check(peer, case, page if peer.name in OTHERS else None)
    say(f"{case.name}: answers are right; {plan.rounds} rounds of {plan.seconds} s each")
    load = Load(plan.tools, case, plan.load_cpu, setup.folder)
    for peer in peers:
        load.run(peer, plan.proxy_cpu, min(plan.seconds, WARM_UP_SECONDS_MAX))
    slices = {peer.name: [] for peer in peers}
    for number in range(plan.rounds):
        for peer in in_turn(peers, number):
            slices[peer.name].append(load.run(peer, plan.proxy_cpu, plan.seconds))
            empty(setup.access_log, peer)
        say_round(case, number, slices, say)
    return slices


def measure_idle(plan, setup, _running, say):
    """Every figure from a process of its own: memory that was used once is seldom given back."""
    slices = {name: [] for name in plan.peers}
    held, rounds = idle.connections(), min(plan.rounds, IDLE_ROUNDS_MAX)
    for name in plan.peers:
        with started(name, plan, setup) as peer:
            check.check(peer, setup.case)
    say(f"{setup.case.name}: answers are right; {rounds} rounds of {held} connections each")
    for number in range(rounds):
        for name in in_turn(list(plan.peers), number):
            with small_pages(), started(name, plan, setup) as peer:
                slices[name].append(idle.measure(plan, setup, peer, held))
                empty(setup.access_log, peer)
        say_round(setup.case, number, slices, say)
    return slices


@contextlib.contextmanager
def started(name, plan, setup):
    peer = start(name, plan.peers[name], setup)
    try:
        yield peer
    finally:
        peer.owned.stop()


def say_round(case, number, slices, say):
    figure = FIGURES[case.load]
    told = "  ".join(f"{name} {getattr(each[-1], figure.key):.{figure.digits}f}"
                     for name, each in slices.items())
    say(f"  round {number + 1}: {told} {figure.heading}")


def start_all(plan, setup, running):
    """A raised Drawspan first: its page is what the others show too."""
    names = [name for name in plan.peers if name != FLOOR or not setup.case.raised]
    others_last = sorted(names, key=lambda name: name in OTHERS)
    started = {}
    for name in others_last:
        started[name] = start(name, plan.peers[name], setup)
        running.callback(started[name].owned.stop)
        if setup.case.raised and name == "drawspan":
            setup = dataclasses.replace(setup, page=page_of(started[name], setup.case))
    return [started[name] for name in names], setup.page


def in_turn(peers, number):
    """Another one begins each round, and every other round goes backwards: nobody always runs
    after the same neighbour."""
    start_at = number % len(peers)
    order = peers[start_at:] + peers[:start_at]
    return order[::-1] if number % 2 else order


def log_path(plan, folder):
    return {"off": None, "null": "/dev/null", "file": os.path.join(folder, "access.log")}[
        plan.access_log]


def empty(log, peer):
    """Bounds the disk: everybody appends, so the file may be cut below them. An access log that
    nobody wrote would make its peer cheap: that is a fault. Some gather lines for a second; the
    floor knows no requests that it could log."""
    if log and log != "/dev/null" and peer.name != FLOOR:
        await_true(peer.owned, "having written its access log", lambda: os.path.getsize(log) > 0)
        os.truncate(log, 0)
