"""Does a proxy answer rightly? A fast wrong answer is no result."""

from .backends import ECHO_BODY_PATH, ECHO_PATH, ECHOED, NODE_HEADER, NODES
from .cases import BROWSER_HEADERS, CASES, HOST
from .processes import MeasurementError
from .wire import exchange

# Enough to see every node twice.
ASKED = 2 * len(NODES)
FORWARDED = {"x_forwarded_for": "127.0.0.1", "x_forwarded_proto": "http",
             "x_forwarded_host": HOST}


def check(peer, case, page=None):
    """Fails with everything that is wrong with the answers of `peer`; a raised one must show
    `page`, where that is given."""
    answers = exchange(peer.port, [case.request()] * ASKED)
    faults = [f"{len(answers)} of {ASKED} answers on one connection"] * (len(answers) < ASKED)
    for answer in answers:
        faults += faults_of(answer, case)
        if case.raised and page is not None and answer.body != page:
            faults.append("another page than the one that all are to show")
    if not case.raised:
        faults += faults_of_forwarding(peer, case, answers)
    if faults:
        listed = "\n".join(f"  - {fault}" for fault in dict.fromkeys(faults))
        raise MeasurementError(
            f"{peer.name} does not answer rightly in case {case.name}:\n{listed}\n"
            f"its last words:\n{peer.owned.last_words()}")


def faults_of(answer, case):
    if answer.status != case.status:
        yield f"status {answer.status}, not {case.status}"
    if case.answer_bytes is not None and len(answer.body) != case.answer_bytes:
        yield f"a body of {len(answer.body)} bytes, not {case.answer_bytes}"
    if case.raised and not answer.header("retry-after"):
        yield "no Retry-After"
    if case.raised and not (answer.header("content-type") or "").startswith("text/html"):
        yield f"no page but {answer.header('content-type')}"


def faults_of_forwarding(peer, case, answers):
    seen = {answer.header(NODE_HEADER) for answer in answers}
    if seen != set(NODES):
        yield f"answers came from {sorted(map(str, seen))}, not from {NODES}"
    for answer in answers:
        if (answer.header("vary"), answer.header("x-content-type-options")) != ("Origin", "nosniff"):
            yield "headers of the answer are missing"
    yield from faults_of_request(peer)
    if case.post_bytes:
        request = case.request(ECHO_BODY_PATH)
        bodies = [answer.body for answer in exchange(peer.port, [request])]
        if bodies != [request.partition(b"\r\n\r\n")[2]]:
            yield "the body that reached the node is not the one that was sent"


def faults_of_request(peer):
    """Does the node get every line of the client's head, and the forwarded ones?"""
    answers = exchange(peer.port, [CASES["1kb"].request(ECHO_PATH)])
    if not answers:
        yield "no answer to the request that is echoed"
        return
    lines = answers[0].body.decode("latin-1").splitlines()
    arrived = dict(line.split("=", 1) for line in lines if "=" in line)
    sent = {name.lower().replace("-", "_"): value for name, value in BROWSER_HEADERS}
    for name in ECHOED:
        wanted = FORWARDED.get(name) or sent[name]
        if arrived.get(name) != wanted:
            yield f"the node got {name} `{arrived.get(name)}`, not `{wanted}`"
