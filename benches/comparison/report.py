"""From slices to figures: medians with their range, for people and for programs."""

import statistics

from .cases import FIGURES
from .targets import SUBJECT

# A proxy whose CPU idles for more was not what limited the requests per second.
IDLE_MAX = 0.15
# Of the proxy's CPU, for others.
FOREIGN_MAX = 0.10
# Of a ratio's largest round to its smallest.
SPREAD_MAX = 1.25
# Of a latency, that is the generator's own.
LATE_MAX = 0.25
# The columns of a table: name in the results, heading, format. Before them comes the case's figure.
LATENCIES = [("p50_us", "p50 us", ".0f"), ("p99_us", "p99 us", ".0f")]
SHARES = [("busy", "busy", ".0%"), ("foreign", "foreign", ".0%")]
COLUMNS = {
    "requests": [("per_second", "requests/s", ".0f"), *LATENCIES, *SHARES],
    "messages": [("per_second", "messages/s", ".0f"), *LATENCIES, *SHARES],
    "rate": [("p99_us", "p99 us", ".0f"), ("late_p50_us", "late us", ".1f"),
             ("cpu_us", "CPU us", ".1f"), *SHARES],
    "idle": [("connections", "held", ".0f"), ("before_kib", "KiB before", ".0f"),
             ("after_kib", "KiB after", ".0f")],
}


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values),
            "rounds": list(values)}


def figures(case, slices):
    """What one case gave, as plain values: by peer, and how they compare within the same round."""
    figure = FIGURES[case.load].key
    keys = [figure] + [key for key, _, _ in COLUMNS[case.load]]
    peers = {name: {key: spread([getattr(each, key) for each in mine]) for key in keys}
             for name, mine in slices.items()}
    subject = SUBJECT if SUBJECT in slices else list(slices)[-1]
    rounds = {name: peer[figure]["rounds"] for name, peer in peers.items()}
    compared = {other: list(zip(rounds[subject], rounds[other]))
                for other in slices if other != subject}
    found = {"figure": figure, "peers": peers, "differences": {}, "ratios": {
        # Of no memory there is no multiple.
        f"{subject}/{other}": spread([mine / others for mine, others in pairs])
        for other, pairs in compared.items() if all(others > 0 for _, others in pairs)}}
    if case.load == "rate":
        found["differences"] = {f"{subject} - {other}": spread([a - b for a, b in pairs])
                                for other, pairs in compared.items()}
    return found


def table(case, found):
    figure, columns = FIGURES[case.load], COLUMNS[case.load]
    heads = " ".join(f"{heading:>10}" for _, heading, _ in columns)
    lines = [f"{case.name}: {case.says}", "", f"  {'':10} {figure.heading:>24} {heads}"]
    for name, each in found["peers"].items():
        cells = " ".join(f"{format(each[key]['median'], form):>10}" for key, _, form in columns)
        lines.append(f"  {name:10} {ranged(each[figure.key], figure.digits):>24} {cells}")
    lines.append("")
    lines += [f"  {name:22} {ranged(ratio, 2)}" for name, ratio in found["ratios"].items()]
    lines += [f"  {name:22} {ranged(each, 1)} us" for name, each in found["differences"].items()]
    return "\n".join(lines + [f"  note: {note}" for note in notes(case, found)])


def ranged(values, digits):
    low, high = (f"{values[key]:.{digits}f}" for key in ("min", "max"))
    return f"{values['median']:.{digits}f} ({low} .. {high})"


def notes(case, found):
    """What a reader of these figures must know about this run."""
    middle = {name: {key: value["median"] for key, value in each.items()}
              for name, each in found["peers"].items()}
    if case.load in ("requests", "messages"):
        idle = [name for name, each in middle.items()
                if IDLE_MAX < 1 - each["busy"] - each["foreign"]]
        if idle:
            yield (f"{', '.join(idle)}: over {IDLE_MAX:.0%} idle, so the load generator was the "
                   f"bottleneck: {case.load}/s and latencies say nothing")
    if case.load == "rate":
        late = [name for name, each in middle.items()
                if LATE_MAX * each["p50_us"] < each["late_p50_us"]]
        if late:
            yield (f"{', '.join(late)}: over {LATE_MAX:.0%} of the latency is the generator's own "
                   "lateness: a busy machine")
    noisy = [name for name, each in middle.items() if FOREIGN_MAX < each.get("foreign", 0)]
    if noisy:
        yield f"{', '.join(noisy)}: others took over {FOREIGN_MAX:.0%} of that CPU: a noisy machine"
    for name, ratio in found["ratios"].items():
        if SPREAD_MAX * ratio["min"] < ratio["max"]:
            yield (f"{name}: the rounds differ by over {SPREAD_MAX - 1:.0%}; take more or longer "
                   "ones on a quieter machine")
