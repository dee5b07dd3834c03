"""What an idle connection costs: a proxy's memory with thousands of them, and with a few."""

import dataclasses
import json
import time

from .load import write_request
from .processes import MeasurementError, Owned, await_true, raise_descriptor_limit

# Fewer where the process may not open enough descriptors: a tunnel takes two. Many, because a heap
# grows in steps.
CONNECTIONS_MAX = 9000
CONNECTIONS_MIN = 500
DESCRIPTORS_SPARE = 1000
# Held from before the first look: what a proxy needs only once is not counted.
WARM_UP = 64
# Memory counts as settled when it has not moved by more than this between two looks.
SETTLED_KIB = 32
SETTLE_SECONDS, SETTLE_SECONDS_MAX = 1.0, 10


@dataclasses.dataclass(frozen=True)
class IdleSlice:
    """One peer in one round."""
    kib_each: float
    connections: int
    before_kib: int
    after_kib: int


def connections():
    held = min(CONNECTIONS_MAX, (raise_descriptor_limit() - DESCRIPTORS_SPARE) // 2)
    if held < CONNECTIONS_MIN:
        raise MeasurementError(f"descriptors for {held} connections only; raise `ulimit -Hn`")
    return held


def measure(plan, setup, peer, held):
    warm_up = hold(plan, setup, peer, WARM_UP)
    try:
        before = settled_kib(peer)
        holder = hold(plan, setup, peer, held)
        try:
            after = settled_kib(peer)
            for each in [warm_up, holder]:
                # It ends where a connection was closed: then the memory is not that of all.
                if not each.is_running():
                    raise MeasurementError(f"{peer.name} did not keep idle connections: "
                                           f"{each.last_words()}")
        finally:
            holder.stop()
    finally:
        warm_up.stop()
    return IdleSlice((after - before) / held, held, before, after)


def hold(plan, setup, peer, count):
    """Opens `count` connections with one request on each; the program that keeps them open."""
    case = setup.case
    argv = [plan.tools["pump"], "hold", "--connect", f"127.0.0.1:{peer.port}",
            "--request", write_request(case, setup.folder), "--connections", str(count),
            "--status", str(case.status)]
    holder = Owned(f"hold-{count}", argv, plan.load_cpu, setup.folder)
    try:
        await_true(holder, "holding its connections", lambda: holds(holder))
    except BaseException:
        holder.stop()
        raise
    return holder


def holds(holder):
    try:
        return "held" in json.loads(holder.last_words(1))
    except ValueError:
        return False


def settled_kib(peer):
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    last = None
    while True:
        time.sleep(SETTLE_SECONDS)
        now = peer.owned.memory_kib()
        if last is not None and abs(now - last) <= SETTLED_KIB or deadline < time.monotonic():
            return now
        last = now
