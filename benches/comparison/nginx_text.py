"""Lines that every nginx of a run needs, back ends and proxy alike."""

import grp
import os
import pwd

# Bigger than any run: a connection that is closed for its count would be measured as a connect.
UNLIMITED = 1_000_000_000


def main_context(folder, name, connections=4096):
    """One worker, everything it writes inside `folder`. `connections` are those of both sides."""
    # Started by root, nginx gives its worker to `nobody`, who cannot enter our folder.
    user = f"user {owner()};" if os.geteuid() == 0 else ""
    return f"""{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile {connections + 256};
pid {folder}/{name}.pid;
error_log stderr warn;
events {{ worker_connections {connections}; }}
"""


def http_context(folder, name):
    temp = "\n".join(
        f"    {kind}_temp_path {folder}/{name}-{kind};"
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
    return f"""{temp}
    sendfile on;
    tcp_nopush on;
    open_file_cache max=16 inactive=1h;
    open_file_cache_valid 1h;
    keepalive_timeout 300s;
    keepalive_requests {UNLIMITED};
    client_body_buffer_size 64k;
"""


def owner():
    uid, gid = os.geteuid(), os.getegid()
    return f"{pwd.getpwuid(uid).pw_name} {grp.getgrgid(gid).gr_name}"
