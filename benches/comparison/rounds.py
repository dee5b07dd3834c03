"""The method: interleaved rounds, so that every ratio comes from the same few seconds."""

import contextlib
import dataclasses
import os

from . import check
from .backends import Backends
from .load import Load
from .peers import Setup, page_of, start
from .processes import MeasurementError

WARM_UP_SECONDS_MAX = 2
# The peers that are not builds of Drawspan.
OTHERS = ("nginx", "haproxy")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the command line asked for."""
    # By name: the proxies' binaries, in the order of the table.
    peers: dict
    nginx: str
    wrk: str
    seconds: int
    rounds: int
    access_log: str
    proxy_cpu: int
    load_cpu: int


def measure(plan, case, folder, say):
    """Runs one case in `folder`; returns the slices of every peer by its name, round by round."""
    with contextlib.ExitStack() as running:
        backends = Backends(plan.nginx, plan.load_cpu, folder)
        running.callback(backends.owned.stop)
        backends.await_ready()
        log = log_path(plan, folder)
        setup = Setup(case, backends.addresses, plan.proxy_cpu, folder, log)
        peers, page = start_all(plan, setup, running)
        for peer in peers:
            check.check(peer, case, page if peer.name in OTHERS else None)
        say(f"{case.name}: answers are right; {plan.rounds} rounds of {plan.seconds} s each")
        load = Load(plan.wrk, case, plan.load_cpu, folder)
        for peer in peers:
            load.run(peer, plan.proxy_cpu, min(plan.seconds, WARM_UP_SECONDS_MAX))
        slices = {peer.name: [] for peer in peers}
        for number in range(plan.rounds):
            for peer in in_turn(peers, number):
                slices[peer.name].append(load.run(peer, plan.proxy_cpu, plan.seconds))
                empty(log, peer)
            costs = "  ".join(f"{name} {each[-1].cpu_us:.1f}" for name, each in slices.items())
            say(f"  round {number + 1}: {costs} us")
        return slices


def start_all(plan, setup, running):
    """A raised Drawspan first: its page is what the others show too."""
    others_last = sorted(plan.peers, key=lambda name: name in OTHERS)
    started = {}
    for name in others_last:
        started[name] = start(name, plan.peers[name], setup)
        running.callback(started[name].owned.stop)
        if setup.case.raised and name == "drawspan":
            setup = dataclasses.replace(setup, page=page_of(started[name], setup.case))
    return [started[name] for name in plan.peers], setup.page


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
    nobody wrote would make its peer cheap: that is a fault."""
    if log and log != "/dev/null":
        if os.path.getsize(log) == 0:
            raise MeasurementError(f"{peer.name} wrote no access log")
        os.truncate(log, 0)
