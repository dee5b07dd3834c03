"""The checks of the run, in the order of an operator's day. Each builds on those before it."""

import hashlib
import os
import re
import time

from browser import Browser
from conformance import ACCOUNT, PASSWORD, Node, WebSocket, expect
from scene import FORM, MENU, ask

UPLOAD_BYTES = 5 * 1024 * 1024
LANGUAGE_BYTES_MIN = 400_000
MOVED_WITHIN = 10
NOTICE_TITLE = "Back in a moment"


# --- both nodes, through the gateway ------------------------------------------------------------


def both_nodes_become_ready(scene):
    for name in scene.watched:
        scene.gateway.wait(f"node={name}:ready")
    status = scene.gateway.status()
    expect(status["mode"]["kind"] == "cluster", f"mode {status['mode']}")
    return ", ".join(f"{node['id']} {node['state']}" for node in status["nodes"])


def a_user_logs_in_over_the_api(scene):
    scene.log_in()
    for _ in range(4):
        answer = scene.ask("GET", "/api/auth:check")
        expect(answer.status == 200, f"auth:check gave {answer.status}")
        expect(answer.json()["data"]["email"] == ACCOUNT, "it names somebody else")
    return "the token of one node is good at the other"


def page_assets_and_information_are_those_of_a_node(scene):
    """The compressed asset byte by byte."""
    direct = next(iter(scene.node_ports.values()))
    page = scene.ask("GET", "/")
    asset = re.search(rb"/assets/index-[0-9a-f]+\.js", page.body)[0].decode()
    for target in ["/", asset, "/api/app:getInfo"]:
        through = scene.ask("GET", target, Accept_Encoding="gzip")
        there = ask(direct, "GET", target, headers={"Accept-Encoding": "gzip"})
        expect(through.status == 200, f"{target} gave {through.status}")
        expect(through.body == there.body, f"{target} differs from the node's own")
        for name in ["content-type", "content-encoding"]:
            expect(through.headers[name] == there.headers[name], f"{target}: {name}")
    # A page that a browser keeps is shown without asking, and hides the notice.
    kept = scene.ask("GET", "/admin").headers["cache-control"] or "nothing"
    expect("no-cache" in kept or "no-store" in kept, f"/admin says {kept} of being kept")
    return f"/, {asset}, app:getInfo {through.json()['data']['version']}"


def the_large_language_table_arrives_whole(scene):
    direct = next(iter(scene.node_ports.values()))
    target = "/api/app:getLang?locale=en-US"
    through, there = scene.ask("GET", target), ask(direct, "GET", target)
    expect(through.status == 200, f"status {through.status}")
    expect(LANGUAGE_BYTES_MIN < len(through.body), f"{len(through.body)} bytes")
    expect(through.json() == there.json(), "it differs from the node's own")
    return f"{len(through.body)} bytes"


def an_upload_of_5_mib_comes_back_the_same(scene):
    mark, content = "drawspan-run", os.urandom(UPLOAD_BYTES)
    head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="run.bin"\r\n\r\n'
    body = head.encode() + content + f"\r\n--{mark}--\r\n".encode()
    kind = f"multipart/form-data; boundary={mark}"
    answer = scene.ask("POST", "/api/attachments:create", body, Content_Type=kind)
    expect(answer.status == 200, f"status {answer.status} {answer.body[:200]!r}")
    stored = answer.json()["data"]
    try:
        sent_on = scene.ask("GET", stored["url"])
        expect(sent_on.status == 302, f"{stored['url']} gave {sent_on.status}")
        where = sent_on.headers["location"]
        fetched = scene.ask("GET", where)
        digests = [hashlib.sha256(data).hexdigest() for data in (content, fetched.body)]
        expect(fetched.status == 200 and digests[0] == digests[1],
               f"{where} gave {fetched.status}, {len(fetched.body)} bytes")
    finally:
        scene.ask("DELETE", f"/api/attachments:destroy?filterByTk={stored['id']}")
    return f"{UPLOAD_BYTES} bytes up and down"


def a_websocket_authorises(scene):
    socket = WebSocket(Node(scene.gateway.url))
    answer = socket.authorize(scene.token)
    expect(answer == {"type": "authorized"}, f"{answer}")
    expect(sum(node["tunnels"] for node in scene.gateway.status()["nodes"]) == 1, "not counted")
    socket.close()
    scene.gateway.until("no tunnel is left", lambda: not any(
        node["tunnels"] for node in scene.gateway.status()["nodes"]))
    return "authorized, counted while open"


# --- a person in a browser ----------------------------------------------------------------------


def a_person_logs_in_with_the_form(scene):
    scene.browser = tab = Browser(scene.folder)
    began = time.monotonic()
    tab.open(scene.gateway.url + "/admin")
    tab.until("the login form", lambda: tab.find(FORM), 90)
    loaded = time.monotonic() - began
    tab.type('input[type="text"]', ACCOUNT)
    tab.type(FORM, PASSWORD)
    tab.click('button[type="submit"]')
    tab.until("the application", lambda: tab.find(MENU), 60)
    tab.screenshot(scene.folder / "logged-in.png")
    where = tab.run("return location.pathname")
    expect(where.startswith("/admin"), f"at {where}")
    return f"form after {loaded:.1f} s, now at {where}"


def the_tab_has_its_websocket_through_the_gateway(scene):
    tab = scene.browser
    tab.until("an authorised WebSocket", lambda: any(
        "authorized" in frame for frame in (scene.open_socket() or {"frames": []})["frames"]))
    scene.other = next(n["id"] for n in scene.gateway.status()["nodes"] if n["tunnels"])
    scene.kept = next(name for name in scene.watched if name != scene.other)
    return f"open on {scene.other}; {scene.kept} will be kept"


# --- narrow, stop a node, bring it back ---------------------------------------------------------


def narrowing_moves_the_websocket_and_fails_no_request(scene):
    scene.start_load()
    scene.more_load("served")
    scene.browser.run("window.notReloaded = true")
    before = scene.load.so_far()
    reply = scene.mode("single", scene.kept)
    acknowledged = time.monotonic()
    left = next(node for node in reply["removed"] if node["node"] == scene.other)
    expect(left["tunnels_closed"] == 1, f"{left}")
    scene.browser.until("a new WebSocket", lambda: 2 <= len(scene.browser.sockets())
                        and scene.open_socket(), MOVED_WITHIN)
    first, second = scene.browser.sockets()[-2:]
    expect(first["code"] == 1012, f"closed with {first['code']}")
    expect(scene.gateway.node(scene.other)["tunnels"] == 0, "a tunnel is left")
    expect(scene.gateway.node(scene.kept)["tunnels"] == 1, "the tab is not on the kept node")
    served = scene.all_served(before)
    late = scene.reach(scene.other, acknowledged)
    expect(late == 0, f"{late} requests on {scene.other} after the acknowledgement")
    away = second["opened"] - first["closed"]
    return f"1012 and back after {away} ms; {served}; drained after {reply['took_ms']} ms"


def the_tab_stays_usable(scene):
    tab = scene.browser
    target = scene.open_settings()
    expect(tab.run("return window.notReloaded") is True, "the page was loaded anew")
    expect(scene.dialog() is None, f"it shows {scene.dialog()}")
    tab.screenshot(scene.folder / "narrowed.png")
    return f"no dialog, no reload, went to {target.split('/', 3)[3]}"


def the_removed_node_stops_promptly_and_nobody_notices(scene):
    before = scene.load.so_far()
    took = scene.stop_node(scene.other)
    scene.gateway.wait(f"node={scene.other}:down")
    served = scene.all_served(before)
    expect(scene.dialog() is None, f"the tab shows {scene.dialog()}")
    expect(scene.browser.run("return window.notReloaded") is True, "the page was loaded anew")
    reason = scene.gateway.node(scene.other)["reason"]
    return f"gone after {took:.1f} s, status: down ({reason}); {served}; the tab shows no dialog"


def the_node_comes_back_and_takes_its_share(scene):
    before, began = scene.load.so_far(), time.monotonic()
    scene.start_node(scene.other)
    scene.gateway.wait(f"node={scene.other}:ready")
    ready = time.monotonic() - began
    expect(scene.reach(scene.other, began) == 0, "it got requests in single mode")
    scene.mode("cluster")
    lowered = time.monotonic()
    served = scene.all_served(before)
    shares = {name: scene.reach(name, lowered) for name in scene.watched}
    expect(all(shares.values()), f"{shares}")
    return f"ready after {ready:.1f} s; shares {shares}; {served}"


# --- maintenance in the application -------------------------------------------------------------


def a_guarded_call_keeps_the_bridge_narrow_until_the_others_are_restarted(scene):
    scene.load.stop()
    scene.mode("single", scene.kept)
    called = scene.ask("POST", "/api/app:restart")
    expect(called.status == 200, f"app:restart gave {called.status} {called.body[:200]!r}")
    busy, states = own_503(scene)
    scene.gateway.wait(f"node={scene.kept}:ready")
    code, said = scene.gateway.verb("mode", "cluster")
    expect(code == 3, f"`mode cluster` ended with {code}: {said}")
    expect("not_restarted" in said and scene.other in said, f"{said}")
    expect(scene.gateway.status()["mode"]["kind"] == "single", "and yet the mode changed")
    scene.restart_node(scene.other)
    scene.mode("cluster")
    expect("busy" in states, f"the node was never busy: {states}")
    line = next(line for line in said.splitlines() if "not_restarted" in line).lstrip(" -")
    return f"{busy} of the node's own 503s passed; refused: {line}; restarted, lowered"


def own_503(scene):
    """Through the gateway, until the node is back: its own 503s, without our Retry-After."""
    answers, states, until = 0, set(), time.monotonic() + 60
    while time.monotonic() < until:
        answer = scene.ask("GET", "/api/app:getInfo")
        states.add(scene.gateway.state(scene.kept))
        if answer.status == 503:
            error = answer.json()["error"]
            expect(answer.headers["retry-after"] is None, f"a notice: {error}")
            expect(error["code"] == "APP_COMMANDING", f"{error}")
            answers += 1
        elif answers and answer.status == 200:
            return answers, states
        time.sleep(0.05)
    expect(False, f"{answers} answers of 503, then no 200 within a minute")


# --- raise and lower ----------------------------------------------------------------------------


def raised_nothing_crosses_and_everybody_is_told(scene):
    scene.browser.open(scene.gateway.url + "/admin")
    scene.browser.until("the application", lambda: scene.browser.find(MENU), 60)
    scene.browser.until("a WebSocket", scene.open_socket)
    scene.start_load()
    scene.more_load("served")
    before = scene.load.so_far()
    reply = scene.mode("maintenance")
    acknowledged = time.monotonic()
    scene.more_load("notice", 300)
    api = scene.ask("GET", "/api/app:getInfo")
    error = api.json()["error"]
    expect(api.status == 503 and error["maintaining"] is True, f"{api.status} {error}")
    expect(api.headers["retry-after"] is not None, "no Retry-After")
    page = scene.ask("GET", "/admin", Accept="text/html")
    expect(page.status == 503 and page.headers["content-type"].startswith("text/html"),
           f"{page.status} {page.headers['content-type']}")
    socket = scene.ask("GET", "/ws", Connection="Upgrade", Upgrade="websocket",
                       Sec_WebSocket_Version="13", Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==")
    expect(socket.status == 503, f"/ws gave {socket.status}")
    crossed = {name: scene.reach(name, acknowledged) for name in scene.watched}
    expect(not any(crossed.values()), f"{crossed}")
    counts = scene.load.since(before)
    scene.stretches.append(counts)
    expect(counts["failed"] == 0 and counts["busy"] == 0, f"{counts}: {scene.load.why()}")
    closed = sum(node["tunnels_closed"] for node in reply["removed"])
    return (f"{counts['notice']} notices, {counts}; at the nodes {crossed} after the "
            f"acknowledgement ({reply['took_ms']} ms, {closed} WebSocket closed)")


def the_notice_page_renders(scene):
    """In a tab of its own: the first stays in the application, where its user clicks on."""
    tab = scene.browser
    scene.first_tab = tab.this_tab()
    idle = scene.dialog() or "no dialog"
    scene.open_settings()
    clicked = tab.until("a dialog", scene.dialog)
    scene.shown_while_raised = f"{idle}, after a click {clicked!r}"
    tab.screenshot(scene.folder / "raised-open-tab.png")
    tab.new_tab()
    blank = len(tab.screenshot(scene.folder / "blank.png"))
    tab.open(scene.gateway.url + "/admin")
    tab.until("the notice", lambda: NOTICE_TITLE in tab.text())
    image = len(tab.screenshot(scene.folder / "notice.png"))
    # Script and style run only where the page's own policy lets them.
    expect(tab.run("return !document.getElementById('check').hidden"), "its script did not run")
    expect(tab.run("return document.querySelector('svg').getBoundingClientRect().height") > 100,
           "its picture is not there")
    expect("gradient" in tab.run("return getComputedStyle(document.body).backgroundImage"),
           "its style is not applied")
    expect(blank * 2 < image, f"a screenshot of {image} bytes, blank ones have {blank}")
    tab.run("window.notReloaded = true")
    return f"\"{NOTICE_TITLE}\", script and style run; see {scene.folder / 'notice.png'}"


def lowered_the_notice_page_gives_way_by_itself(scene):
    tab, began = scene.browser, time.monotonic()
    scene.mode("cluster")
    before = scene.load.so_far()
    tab.until("the application", lambda: tab.find(MENU), 90)
    took = time.monotonic() - began
    expect(tab.run("return window.notReloaded") is None, "it never left the notice")
    tab.until("a WebSocket", scene.open_socket)
    expect(scene.dialog() is None, f"it shows {scene.dialog()}")
    return f"application {took:.1f} s after the command; {scene.all_served(before)}"


def the_tab_that_was_open_all_along_comes_back(scene):
    """By itself where it can: while WebSockets are not held, its dialog may stay until a reload."""
    tab = scene.browser
    tab.tab(scene.first_tab)
    tab.until("a WebSocket", scene.open_socket, 60)
    shown = scene.dialog()
    tab.screenshot(scene.folder / "lowered-open-tab.png")
    if shown:
        tab.act("/refresh")
    tab.until("the application", lambda: tab.find(MENU), 60)
    tab.until("no dialog", lambda: scene.dialog() is None)
    scene.open_settings()
    after = f"{shown!r} until a reload" if shown else "no dialog, no reload needed"
    return f"while raised {scene.shown_while_raised}; lowered: WebSocket back, {after}"


ALL = [
    both_nodes_become_ready,
    a_user_logs_in_over_the_api,
    page_assets_and_information_are_those_of_a_node,
    the_large_language_table_arrives_whole,
    an_upload_of_5_mib_comes_back_the_same,
    a_websocket_authorises,
    a_person_logs_in_with_the_form,
    the_tab_has_its_websocket_through_the_gateway,
    narrowing_moves_the_websocket_and_fails_no_request,
    the_tab_stays_usable,
    the_removed_node_stops_promptly_and_nobody_notices,
    the_node_comes_back_and_takes_its_share,
    a_guarded_call_keeps_the_bridge_narrow_until_the_others_are_restarted,
    raised_nothing_crosses_and_everybody_is_told,
    the_notice_page_renders,
    lowered_the_notice_page_gives_way_by_itself,
    the_tab_that_was_open_all_along_comes_back,
]
