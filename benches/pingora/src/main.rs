//! Pingora with one thread, set up like the other peers of `benches/compare`: round robin over nodes
//! that are health-checked, connections to them kept, forwarded headers set; or the notice.
//!
//!     pingora-peer --listen ADDRESS --nodes ADDRESS,.. [--access-log FILE] [--page FILE]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::background::background_service;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_load_balancing::LoadBalancer;
use pingora_load_balancing::health_check::HttpHealthCheck;
use pingora_load_balancing::selection::RoundRobin;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

const HEALTH_PATH: &str = "/api/__health_check";
const HEALTH_INTERVAL: Duration = Duration::from_secs(2);
/// Bytes of log lines that are written at once, as the others do.
const LOG_BUFFER_BYTES: usize = 64 * 1024;
/// Connections to nodes that are kept.
const KEPT: usize = 256;
/// Seconds that a silent connection of a client is kept.
const KEEP_ALIVE: u64 = 300;

struct Front {
    nodes: Arc<LoadBalancer<RoundRobin>>,
    /// Shown instead of any answer.
    page: Option<Bytes>,
    log: Option<Mutex<BufWriter<File>>>,
}

#[async_trait]
impl ProxyHttp for Front {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, _: &mut ()) -> Result<bool> {
        session.set_keepalive(Some(KEEP_ALIVE));
        let Some(page) = &self.page else { return Ok(false) };
        let mut head = ResponseHeader::build(503, Some(4))?;
        head.insert_header("Content-Type", "text/html; charset=utf-8")?;
        head.insert_header("Content-Length", page.len())?;
        head.insert_header("Retry-After", "30")?;
        head.insert_header("Cache-Control", "no-store")?;
        session.write_response_header(Box::new(head), false).await?;
        session.write_response_body(Some(page.clone()), true).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        let node = self.nodes.select(b"", 16);
        let node = node.ok_or_else(|| Error::new(ErrorType::Custom("no node is well")))?;
        Ok(Box::new(HttpPeer::new(node.addr, false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        _: &mut (),
    ) -> Result<()> {
        let client = session.client_addr().and_then(|address| address.as_inet());
        if let Some(client) = client {
            request.insert_header("X-Forwarded-For", client.ip().to_string())?;
        }
        request.insert_header("X-Forwarded-Proto", "http")?;
        if let Some(host) = request.headers.get("host").cloned() {
            request.insert_header("X-Forwarded-Host", host)?;
        }
        Ok(())
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, _: &mut ()) {
        let Some(Ok(mut log)) = self.log.as_ref().map(Mutex::lock) else { return };
        let status = session.response_written().map_or(0, |head| head.status.as_u16());
        let client = session.client_addr().map(ToString::to_string).unwrap_or_default();
        let (line, sent) = (session.request_summary(), session.body_bytes_sent());
        // A log that cannot be written is no reason to stop.
        let _ = writeln!(log, "{client} \"{line}\" {status} {sent}");
    }
}

fn main() {
    if let Err(problem) = run() {
        eprintln!("error: {problem}");
        std::process::exit(2);
    }
}

fn run() -> std::result::Result<(), String> {
    let options = options()?;
    let option = |name: &str| options.get(name).ok_or_else(|| format!("{name} is missing"));
    let opened = |path: &String| {
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.map_err(|error| format!("{path}: {error}"))
    };
    let log = options.get("--access-log").map(opened).transpose()?;
    let read = |path: &String| std::fs::read(path).map_err(|error| format!("{path}: {error}"));
    let page = options.get("--page").map(read).transpose()?;

    let mut server = Server::new_with_opt_and_conf(
        None,
        ServerConf {
            threads: 1,
            work_stealing: false,
            upstream_keepalive_pool_size: KEPT,
            grace_period_seconds: Some(0),
            graceful_shutdown_timeout_seconds: Some(0),
            ..ServerConf::default()
        },
    );
    server.bootstrap();
    let checked = background_service("health", nodes(option("--nodes")?)?);
    let front = Front {
        nodes: checked.task(),
        page: page.map(Bytes::from),
        log: log.map(|file| Mutex::new(BufWriter::with_capacity(LOG_BUFFER_BYTES, file))),
    };
    let mut proxy = http_proxy_service(&server.configuration, front);
    proxy.add_tcp(option("--listen")?);
    server.add_service(proxy);
    server.add_service(checked);
    server.run_forever()
}

fn nodes(listed: &str) -> std::result::Result<LoadBalancer<RoundRobin>, String> {
    let addresses: Vec<&str> = listed.split(',').collect();
    let mut nodes = LoadBalancer::<RoundRobin>::try_from_iter(&addresses)
        .map_err(|error| format!("--nodes {listed}: {error}"))?;
    let mut check = HttpHealthCheck::new("localhost", false);
    check.req = RequestHeader::build("GET", HEALTH_PATH.as_bytes(), None)
        .map_err(|error| error.to_string())?;
    check.req.insert_header("Host", "localhost").map_err(|error| error.to_string())?;
    nodes.set_health_check(Box::new(check));
    nodes.health_check_frequency = Some(HEALTH_INTERVAL);
    Ok(nodes)
}

/// Pairs of a name and a value.
fn options() -> std::result::Result<BTreeMap<String, String>, String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let known = ["--listen", "--nodes", "--access-log", "--page"];
    words
        .chunks(2)
        .map(|pair| match pair {
            [name, value] if known.contains(&name.as_str()) => Ok((name.clone(), value.clone())),
            [name, ..] => Err(format!("{name}: no option, or without its value")),
            [] => Err("no option".to_owned()),
        })
        .collect()
}
