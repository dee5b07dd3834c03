"""What Drawspan must hold, in one table: the only place where the numbers stand."""

import dataclasses
import statistics

SUBJECT, FLOOR = "drawspan", "floor"


@dataclasses.dataclass(frozen=True)
class Target:
    case: str
    # What `most` bounds: the same-round ratio to this peer; where `by` is "excess", what is over
    # it; without a peer, Drawspan's own figure.
    most: float
    peer: str = None
    by: str = "ratio"
    unit: str = ""

    def says(self):
        against = {"ratio": f"x {self.peer}", "excess": f"above {self.peer}"}
        return f"{self.case:9} {against[self.by] if self.peer else 'itself':13}"

    def measured(self, found):
        """Its value in what one case gave, or None where it was not measured."""
        if not self.peer:
            own = found["peers"].get(SUBJECT)
            return own and own[found["figure"]]["median"]
        among = found["ratios" if self.by == "ratio" else "differences"]
        name = f"{SUBJECT}/{self.peer}" if self.by == "ratio" else f"{SUBJECT} - {self.peer}"
        return among[name]["median"] if name in among else None

    def of_floor(self, found):
        """The same ratio of the floor, which no proxy gets below; None where it says nothing."""
        peers = found["peers"]
        if self.by != "ratio" or self.peer == FLOOR or not {self.peer, FLOOR} <= set(peers):
            return None
        floor, other = (peers[name][found["figure"]]["rounds"] for name in (FLOOR, self.peer))
        return statistics.median(a / b for a, b in zip(floor, other))


def ratios(case, **most):
    return [Target(case, limit, peer) for peer, limit in most.items()]


TARGETS = [
    *ratios("1kb", nginx=0.70, haproxy=0.62, floor=1.35),
    *ratios("64kb", nginx=0.72, haproxy=0.65, floor=1.3),
    *ratios("post16kb", nginx=0.70, haproxy=0.45, floor=1.3),
    *ratios("notice", nginx=0.85, haproxy=0.85),
    *ratios("ws64kb", haproxy=0.6, floor=1.1),
    *ratios("rate2000", nginx=1.05, haproxy=1.0),
    Target("rate2000", 15, "floor", by="excess", unit="us"),
    Target("idle", 1.2, unit="KiB"),
    Target("idlews", 1.7, unit="KiB"),
]


def verdicts(found):
    """A line for each target of the cases in `found`, and whether all of them are met. What was
    not measured is not met: a missing peer must not pass for a good one."""
    lines, all_met = [], True
    for target in TARGETS:
        if target.case not in found:
            continue
        value = target.measured(found[target.case])
        met = value is not None and value <= target.most
        all_met &= met
        told = "not measured" if value is None else f"{value:.2f}"
        unit = f" {target.unit}" if target.unit else ""
        floor = target.of_floor(found[target.case])
        beside = "" if floor is None else f"  (the floor {floor:.2f})"
        lines.append(f"{target.says()} {told:>12}  at most {target.most:.2f}{unit:4}  "
                     f"{'met' if met else 'MISSED':6}{beside}".rstrip())
    return lines, all_met
