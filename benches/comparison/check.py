"""Does a proxy answer rightly? A fast wrong answer is no result."""

import os
from itertools import zip_longest

from .backends import ECHO_BODY_PATH, ECHO_PATH, ECHOED, NODE_HEADER, NODES
from .cases import BROWSER_HEADERS, CASES, HOST, WEBSOCKET_ACCEPT
from .peers import FLOOR
from .processes import MeasurementError
from .wire import NO_ANSWER, echo, exchange, exchange_apart

# Enough to see every node twice.
ASKED = 2 * len(NODES)
FORWARDED = {"x_forwarded_for": "127.0.0.1", "x_forwarded_proto": "http",
             "x_forwarded_host": HOST}


def check(peer, case, page=None):
    """Fails with everything that is wrong with the answers of `peer`; a raised one must show
    `page`, where that is given."""
    faults = list(faults_of_echo(peer, case) if case.upgrade else faults_of_requests(peer, case))
    if case.raised and page is not None:
        (answer,) = exchange(peer.port, [case.request()]) or [NO_ANSWER]
        if answer.body != page:
            faults.append("another page than the one that all are to show")
    # The floor parses nothing, so it adds no line and passes connections on, not requests.
    if not case.raised and peer.name != FLOOR:
        faults += faults_of_request(peer)
    if faults:
        listed = "\n".join(f"  - {fault}" for fault in dict.fromkeys(faults))
        raise MeasurementError(
            f"{peer.name} does not answer rightly in case {case.name}:\n{listed}\n"
            f"its last words:\n{peer.owned.last_words()}")


def faults_of_requests(peer, case):
    requests = [case.request()] * ASKED
    answers = (exchange_apart if peer.name == FLOOR else exchange)(peer.port, requests)
    if len(answers) < ASKED:
        yield f"{len(answers)} of {ASKED} answers"
    for answer in answers:
        yield from faults_of(answer, case)
    if not case.raised:
        yield from faults_of_forwarding(peer, case, answers)


def faults_of_echo(peer, case):
    """Upgrades as many connections as show every node; each echoes messages of every kind of
    length, the case's own among them."""
    payloads = [os.urandom(size) for size in [0, 1, 125, 126, case.message_bytes, 65536, 65537]]
    seen = set()
    for _ in range(ASKED):
        answer, echoed = echo(peer.port, case.request(), payloads)
        seen.add(answer.header(NODE_HEADER))
        if answer.status != 101:
            yield f"status {answer.status}, not 101"
            continue
        if (answer.header("upgrade") or "").lower() != "websocket":
            yield f"Upgrade: {answer.header('upgrade')}"
        if answer.header("sec-websocket-accept") != WEBSOCKET_ACCEPT:
            yield f"Sec-WebSocket-Accept: {answer.header('sec-websocket-accept')}"
        wrong = [len(sent) for sent, back in zip_longest(payloads, echoed) if sent != back]
        if wrong:
            yield f"messages of {wrong} bytes did not come back as they were sent"
    if seen != set(NODES):
        yield f"answers came from {sorted(map(str, seen))}, not from {NODES}"


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
