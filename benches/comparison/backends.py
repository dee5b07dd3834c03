"""Three back ends that answer like NocoBase nodes, from memory: three ports of one nginx, or of
our own program where messages are echoed or thousands of connections are held."""

import os

from . import nginx_text
from .cases import KIB
from .processes import Owned, await_true, free_ports
from .wire import ask

NODES = ["n1", "n2", "n3"]
# Answers what arrived, so that the check sees what a proxy changed and added.
ECHO_PATH = "/api/posts:echo"
# Answers 200 with the body that arrived.
ECHO_BODY_PATH = "/api/posts:echoBody"
ECHOED = ["x_forwarded_for", "x_forwarded_proto", "x_forwarded_host", "authorization", "cookie",
          "user_agent", "accept", "accept_language", "accept_encoding", "referer",
          "sec_fetch_dest", "sec_fetch_mode", "sec_fetch_site"]
# The lines of an answer's head; with those that nginx writes (Server, Date, Content-Type,
# Content-Length, Connection) there are nine.
ANSWER_HEADERS = [
    ("Cache-Control", "no-cache"),
    ("Vary", "Origin"),
    ("X-Content-Type-Options", "nosniff"),
]
NODE_HEADER = "x-node"


class Backends:
    """The nodes of a run: `addresses` by NODES' order."""

    def __init__(self, nginx, cpu, folder, pump=None):
        """Of nginx, or of `pump` where it is given."""
        self.ports = free_ports(len(NODES))
        self.addresses = [f"127.0.0.1:{port}" for port in self.ports]
        if pump:
            argv = [pump, "ws-node", "--listen", ",".join(self.addresses)]
        else:
            argv = self.nginx(nginx, folder)
        self.owned = Owned("backends", argv, cpu, folder)

    def nginx(self, nginx, folder):
        with open(os.path.join(folder, "asset-64kb.js"), "w") as asset:
            asset.write("a" * (64 * KIB))
        config = os.path.join(folder, "backends.conf")
        with open(config, "w") as text:
            text.write(backends_config(folder, self.ports))
        return [nginx, "-p", folder, "-c", config, "-e", "stderr"]

    def await_ready(self):
        for port in self.ports:
            answers = lambda port=port: ask(port, "/api/__health_check").body == b"ok"
            await_true(self.owned, "answering", answers)


def backends_config(folder, ports):
    servers = "\n".join(server(folder, *node) for node in zip(NODES, ports))
    return f"""{nginx_text.main_context(folder, "backends")}
http {{
{nginx_text.http_context(folder, "backends")}
    access_log off;
    types {{ application/javascript js; }}
{servers}
}}
"""


def server(folder, node, port):
    headers = "\n".join(
        f'        add_header {name} "{value}" always;'
        for name, value in ANSWER_HEADERS + [(NODE_HEADER, node)])
    echoed = "".join(f"{name}=$http_{name}\\n" for name in ECHOED)
    json = '{"data":"' + "j" * (KIB - len('{"data":""}')) + '"}'
    return f"""
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {folder};
        default_type "application/json; charset=utf-8";
{headers}
        location = /api/__health_check {{ return 200 "ok"; }}
        location = /api/app:getInfo {{
            return 200 '{{"data":{{"version":"2.2.15","lang":"en-US","name":"main"}}}}';
        }}
        location = /api/posts:list {{ return 200 '{json}'; }}
        location = {ECHO_PATH} {{ return 200 "{echoed}"; }}
        location = /assets/index-64kb.js {{ alias {folder}/asset-64kb.js; etag off; }}
        # `return` answers before the body was read; a mirror reads it first. The static module
        # then refuses to POST to a file, and the refusal is made the answer.
        location = /api/posts:create {{
            mirror /sink; alias {folder}/asset-64kb.js; error_page 405 =200 @created;
        }}
        location = {ECHO_BODY_PATH} {{
            mirror /sink; alias {folder}/asset-64kb.js; error_page 405 =200 @body;
        }}
        location @created {{ return 200 '{json}'; }}
        location @body {{ return 200 "$request_body"; }}
        location = /sink {{ internal; return 204; }}
    }}"""
