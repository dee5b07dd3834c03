"""From slices to figures: medians with their range, for people and for programs."""

import statistics

# A proxy whose CPU idles for more was not what limited the requests per second.
IDLE_MAX = 0.15
# Of the proxy's CPU, for others.
FOREIGN_MAX = 0.10
# Of a ratio's largest round to its smallest.
SPREAD_MAX = 1.25


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values),
            "rounds": list(values)}


def figures(slices):
    """What one case gave, as plain values: by peer, and the ratios within the same round."""
    peers = {
        name: {
            "cpu_us": spread([each.cpu_us for each in mine]),
            "requests_per_second": spread([each.per_second for each in mine]),
            "p50_us": spread([each.p50_us for each in mine]),
            "p99_us": spread([each.p99_us for each in mine]),
            "busy": spread([each.busy for each in mine]),
            "foreign": spread([each.foreign for each in mine]),
        } for name, mine in slices.items()}
    subject = "drawspan" if "drawspan" in slices else list(slices)[-1]
    ratios = {
        f"{subject}/{other}": spread(
            [a.cpu_us / b.cpu_us for a, b in zip(slices[subject], slices[other])])
        for other in slices if other != subject}
    return {"peers": peers, "ratios": ratios}


def table(case, found):
    lines = [f"{case.name}: {case.says}", "",
             f"  {'':10} {'CPU us/request':>24} {'requests/s':>12} {'p50 us':>8} {'p99 us':>8}"
             f" {'busy':>6} {'foreign':>8}"]
    for name, each in found["peers"].items():
        middle = {key: value["median"] for key, value in each.items()}
        lines.append(
            f"  {name:10} {ranged(each['cpu_us'], 1):>24} {middle['requests_per_second']:12.0f}"
            f" {middle['p50_us']:8.0f} {middle['p99_us']:8.0f} {middle['busy']:6.0%}"
            f" {middle['foreign']:8.0%}")
    lines.append("")
    lines += [f"  {name:22} {ranged(ratio, 2)}" for name, ratio in found["ratios"].items()]
    return "\n".join(lines + [f"  note: {note}" for note in notes(found)])


def ranged(values, digits):
    low, high = (f"{values[key]:.{digits}f}" for key in ("min", "max"))
    return f"{values['median']:.{digits}f} ({low} .. {high})"


def notes(found):
    """What a reader of these figures must know about this run."""
    peers = found["peers"].items()
    idle = [name for name, each in peers
            if IDLE_MAX < 1 - each["busy"]["median"] - each["foreign"]["median"]]
    if idle:
        yield (f"{', '.join(idle)}: over {IDLE_MAX:.0%} idle, so the load generator was the "
               "bottleneck: requests/s and latencies say nothing")
    noisy = [name for name, each in peers if FOREIGN_MAX < each["foreign"]["median"]]
    if noisy:
        yield f"{', '.join(noisy)}: others took over {FOREIGN_MAX:.0%} of that CPU: a noisy machine"
    for name, ratio in found["ratios"].items():
        if SPREAD_MAX * ratio["min"] < ratio["max"]:
            yield (f"{name}: the rounds differ by over {SPREAD_MAX - 1:.0%}; take more or longer "
                   "ones on a quieter machine")
