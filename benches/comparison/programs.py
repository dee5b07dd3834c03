"""Which programs a run needs, and which of its peers there are."""

import os
import shutil

from . import pump
from .cases import CASES
from .peers import FLOOR

# Of Debian.
PACKAGES = {"nginx": "nginx", "haproxy": "haproxy", "wrk": "wrk"}
BUILDS = ("drawspan", "before")
# A package of ours around a library; benches/README.md says how it is built.
PINGORA = os.path.join(pump.REPOSITORY, "target", "pingora", "release", "pingora-peer")


def gather(options):
    """Faults that forbid the run, why peers are left out, the binaries of the peers that there
    are in the order of the table, and the tools by name."""
    peers = options.peers + (["before"] if options.before else [])
    paths = {name: find(name) for name in PACKAGES}
    paths["envoy"] = options.envoy or find("envoy")
    paths["pingora"] = options.pingora or built(PINGORA)
    paths["drawspan"], paths["before"] = options.drawspan, options.before
    faults, skipped = [], []
    own_load = [name for name in options.cases if needs_pump(name)]
    if own_load or FLOOR in peers:
        paths["pump"], why = pump.build()
        paths[FLOOR] = paths["pump"]
        if why and own_load:
            faults.append(f"needed for {', '.join(own_load)}: {why}")
        elif why:
            skipped.append(f"{FLOOR}: {why}")
    faults += [f"{name} not found; on Debian: apt install {PACKAGES[name]}"
               for name in ("nginx", "wrk") if not paths[name]]
    faults += faults_of_builds(paths, peers)
    skipped += [f"{name}: not found" for name in ("haproxy", "envoy", "pingora")
                if name in peers and not paths[name]]
    present = {name: paths[name] for name in peers if paths.get(name)}
    if not faults and not present:
        faults.append("no peer that could be measured")
    return faults, skipped, present, paths


def faults_of_builds(paths, peers):
    for name in BUILDS:
        if name not in peers:
            continue
        paths[name] = os.path.abspath(paths[name])
        if not os.access(paths[name], os.X_OK):
            yield (f"no drawspan at {paths[name]}: `cargo build --release`, name it with "
                   "--drawspan PATH, or go without: --peers nginx,haproxy")


def needs_pump(case):
    return CASES[case].load != "requests"


def built(program):
    return program if os.access(program, os.X_OK) else None


def find(program):
    """Where a program of a Debian package lies: daemons are in /usr/sbin, often not in PATH."""
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"
    return shutil.which(program, path=path)
