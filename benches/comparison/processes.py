"""Processes that this run owns: started pinned to one CPU, measured, ended by their pid."""

import contextlib
import ctypes
import os
import random
import resource
import signal
import socket
import subprocess
import time

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
START_SECONDS_MAX = 15
STOP_SECONDS_MAX = 5
# Below the range that the kernel takes ports of outgoing connections from (32768 and up), so that
# a port found free is not taken by some connection before its server binds it.
PORTS = range(18_000, 32_000)
PR_SET_PDEATHSIG = 1
PR_SET_THP_DISABLE = 41
LIBC = ctypes.CDLL(None, use_errno=True)


class MeasurementError(Exception):
    """The run cannot give a figure that means something; the text says why."""


@contextlib.contextmanager
def small_pages():
    """Whatever is started meanwhile gets no huge pages: memory would be counted in steps of 2 MiB."""
    def disable(huge_pages):
        if LIBC.prctl(PR_SET_THP_DISABLE, huge_pages, 0, 0, 0):
            raise MeasurementError(f"prctl: {os.strerror(ctypes.get_errno())}")
    disable(1)
    try:
        yield
    finally:
        disable(0)


class Owned:
    """One program that was started here, with its children."""

    def __init__(self, name, argv, cpu, folder, stdout=None):
        self.name = name
        self.diagnostics = os.path.join(folder, f"{name}.log")
        with open(self.diagnostics, "wb") as log:
            # A session of its own keeps the terminal's ctrl-C from it: it is ended in order, here.
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=stdout or log, stderr=log, cwd=folder,
                start_new_session=True, preexec_fn=lambda: pin_and_follow_parent(cpu))

    @property
    def pid(self):
        return self.process.pid

    def cpu_seconds(self):
        """User and system time of all threads, children and ended children so far."""
        return sum(cpu_ticks(pid) for pid in tree(self.pid)) / TICKS_PER_SECOND

    def memory_kib(self):
        """Anonymous memory of all processes, shared pages by their share. Pages of files are left
        out: whether the kernel holds them says nothing about connections."""
        return sum(anonymous_kib(pid) for pid in tree(self.pid))

    def is_running(self):
        return self.process.poll() is None

    def stop(self):
        """TERM, and KILL for what is still there after STOP_SECONDS_MAX."""
        if not self.is_running():
            return
        children = [pid for pid in tree(self.pid) if pid != self.pid]
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            for pid in children:
                # Only what is still a child of ours: a pid may have been given away meanwhile.
                if parent(pid) == self.pid:
                    os.kill(pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait(STOP_SECONDS_MAX)

    def last_words(self, lines=15):
        with open(self.diagnostics, errors="replace") as log:
            return "".join(log.readlines()[-lines:]).rstrip() or "(it said nothing)"


def pin_and_follow_parent(cpu):
    """Runs in the child before exec. TERM at our own death: even a KILL of ours leaves nothing."""
    os.sched_setaffinity(0, {cpu})
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def stat_fields(pid):
    """The fields of /proc/PID/stat from the state on: the name before them may hold anything."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def parent(pid):
    fields = stat_fields(pid)
    return int(fields[1]) if fields else None


def cpu_ticks(pid):
    """utime + stime + cutime + cstime (fields 14 to 17 in proc(5))."""
    fields = stat_fields(pid)
    return sum(map(int, fields[11:15])) if fields else 0


def anonymous_kib(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as text:
            fields = dict(line.split(":", 1) for line in text.readlines()[1:])
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(fields[name].split()[0]) for name in ["Pss_Anon", "Pss_Shmem", "SwapPss"])


def tree(root):
    """`root` and everything below it."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            above = parent(int(entry))
            children.setdefault(above, []).append(int(entry))
    found, left = [], [root]
    while left:
        pid = left.pop()
        found.append(pid)
        left.extend(children.get(pid, []))
    return found


def busy_seconds(cpu):
    """Time that a CPU spent on anything, time stolen by the hypervisor included."""
    with open("/proc/stat") as stat:
        line = next(line for line in stat if line.startswith(f"cpu{cpu} "))
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND


def two_cpus():
    """One for the proxy, one for the load: two cores where there are two, not one's two threads."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise MeasurementError("two CPUs are needed: one for the proxy, one for the load")
    proxy = allowed[0]
    others = [cpu for cpu in allowed[1:] if cpu not in siblings(proxy)]
    return proxy, (others or allowed[1:])[0]


def siblings(cpu):
    """The CPUs that share a core with `cpu`, itself included; as the kernel writes it: `0,4-5`."""
    path = f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
    try:
        with open(path) as text:
            spans = [span.split("-") for span in text.read().strip().split(",")]
    except OSError:
        return {cpu}
    return {n for span in spans for n in range(int(span[0]), int(span[-1]) + 1)}


def raise_descriptor_limit():
    """As far as it goes, for us and all that we start; gives what is allowed then."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def free_ports(count):
    """Ports of the loopback address that nobody listens on now."""
    found = []
    for port in random.sample(PORTS, len(PORTS)):
        if len(found) == count:
            break
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    return found


def await_true(owned, what, holds):
    """Waits until `holds()`; fails with the process's last words where it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while not holds():
        if not owned.is_running():
            raise MeasurementError(f"{owned.name} ended before {what}:\n{owned.last_words()}")
        if deadline < time.monotonic():
            raise MeasurementError(
                f"{owned.name}: not {what} within {START_SECONDS_MAX} s:\n{owned.last_words()}")
        time.sleep(0.05)
