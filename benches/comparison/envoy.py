"""Envoy's configuration: what the other peers do, and request ids, which it makes by itself."""

import json

TYPES = "type.googleapis.com/envoy.extensions"
# Beyond any run: its defaults would cut us at 1024 connections to the nodes.
UNLIMITED = 1_000_000


def config(port, setup):
    host, routes = virtual_host(setup), [route(setup)]
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "codec_type": "HTTP1",
        # On the loopback address it would give its machine's own as X-Forwarded-For.
        "use_remote_address": False,
        "stream_idle_timeout": "300s",
        "common_http_protocol_options": {"idle_timeout": "300s"},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "access_log": access_log(setup),
        "route_config": {"max_direct_response_body_size_bytes": len(setup.page) + 1,
                         "virtual_hosts": [host | {"routes": routes}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
            "@type": f"{TYPES}.filters.http.router.v3.Router"}}],
    }
    listener = {
        "name": "front",
        "address": address(f"127.0.0.1:{port}"),
        "tcp_backlog_size": 4096,
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    }
    return json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster(setup)]}})


def virtual_host(setup):
    name = "response_headers_to_add" if setup.case.raised else "request_headers_to_add"
    if setup.case.raised:
        headers = {"Retry-After": "30", "Cache-Control": "no-store",
                   "Content-Type": "text/html; charset=utf-8"}
    else:
        headers = {"X-Forwarded-For": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
                   "X-Forwarded-Proto": "http", "X-Forwarded-Host": "%REQ(:AUTHORITY)%"}
    return {"name": "all", "domains": ["*"], name: [
        {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for key, value in headers.items()]}


def route(setup):
    every = {"match": {"prefix": "/"}}
    if setup.case.raised:
        page = setup.page.decode()
        return every | {"direct_response": {"status": 503, "body": {"inline_string": page}}}
    return every | {"route": {"cluster": "nodes", "timeout": "0s"}}


def cluster(setup):
    limits = ["max_connections", "max_pending_requests", "max_requests"]
    return {
        "name": "nodes",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [dict.fromkeys(limits, UNLIMITED)]},
        "health_checks": [{
            "timeout": "1.5s", "interval": "2s", "unhealthy_threshold": 3, "healthy_threshold": 1,
            "no_traffic_interval": "2s",
            "http_health_check": {"path": "/api/__health_check"}}],
        "load_assignment": {"cluster_name": "nodes", "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": address(node)}} for node in setup.nodes]}]},
    }


def access_log(setup):
    if not setup.access_log:
        return []
    return [{"name": "envoy.access_loggers.file", "typed_config": {
        "@type": f"{TYPES}.access_loggers.file.v3.FileAccessLog", "path": setup.access_log}}]


def address(text):
    host, _, port = text.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}
