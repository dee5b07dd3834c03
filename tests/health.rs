//! Health against real sockets: what nodes, and things that are none, answer to a probe.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drawspan::health::{Health, NodeReport, Settings, SystemResolver};
use drawspan::model::limits::PROBE_PLUGINS_BYTES_MAX;
use drawspan::model::{NodeRole, NodeState, Weight};
use drawspan::nocobase::Paths;
use drawspan::routing::{Node, NodeIndex, Nodes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Far more than any of these tests takes; a hang must end.
const PATIENCE: Duration = Duration::from_secs(60);

const INFO: &str = r#"{"data":{"database":{"dialect":"postgres"},"version":"2.2.15"}}"#;
const PAGE: &str = r#"<script type="module" src="/assets/index-93181bbb.js"></script>"#;
const PLUGINS: &str = r#"{"data":[{"name":"users"},{"name":"acl","options":null}]}"#;
const BUSY: &str = r#"{"error":{"status":503,"maintaining":true,"message":"enabling plugin embed","command":{"name":"pm.enable"},"code":"APP_COMMANDING"}}"#;

/// What a fake node does with one request.
#[derive(Clone)]
enum Act {
    /// These bytes, then the end of the connection.
    Say(Vec<u8>),
    /// Nothing, and the connection stays open.
    Hang,
}

fn http(status: &str, body: &str) -> Act {
    Act::Say(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into())
}

type Script = Arc<dyn Fn(&str) -> Act + Send + Sync>;

/// A node of raw bytes. What it does may be changed while it runs.
struct FakeNode {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    heads: Arc<Mutex<Vec<String>>>,
    tasks: JoinSet<()>,
}

impl FakeNode {
    async fn start(script: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        Self::serve(listener, script)
    }

    fn serve(listener: TcpListener, script: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().expect("it is bound");
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Arc::new(script)));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let (shared, seen) = (script.clone(), heads.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream, shared.clone(), seen.clone()));
            }
        });
        Self { address, script, heads, tasks }
    }

    fn now(&self, script: impl Fn(&str) -> Act + Send + Sync + 'static) {
        *self.script.lock().expect("sound") = Arc::new(script);
    }

    /// Frees the port.
    async fn end(mut self) -> SocketAddr {
        self.tasks.shutdown().await;
        self.address
    }
}

async fn answer(mut stream: TcpStream, script: Arc<Mutex<Script>>, heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or("").to_owned();
    heads.lock().expect("sound").push(head);
    let script = script.lock().expect("sound").clone();
    match script(&path) {
        Act::Say(bytes) => {
            // The prober may have gone away; that is its right.
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Act::Hang => std::future::pending().await,
    }
}

/// A NocoBase node in good health.
fn healthy(path: &str) -> Act {
    match path {
        "/api/__health_check" => http("200 OK", "ok"),
        "/api/app:getInfo" => http("200 OK", INFO),
        "/api/pm:listEnabled" => http("200 OK", PLUGINS),
        "/" => http("200 OK", PAGE),
        _ => http("404 Not Found", "Not Found"),
    }
}

fn names(report: &NodeReport) -> Option<Vec<&str>> {
    report.plugins.as_ref().map(|names| names.iter().map(String::as_str).collect())
}

struct Watched {
    nodes: Nodes,
    health: Health,
}

fn watch(authorities: &[String], paths: Paths) -> Watched {
    let node = |(i, authority): (usize, &String)| {
        let id = format!("n{}", i + 1).parse().expect("a legal id");
        Arc::new(Node::new(id, NodeRole::Request, Weight::ONE, authority.clone()))
    };
    let nodes: Nodes = authorities.iter().enumerate().map(node).collect();
    let settings = Settings {
        interval: Duration::from_millis(60),
        timeout: Duration::from_secs(5),
        rise: NonZeroU32::new(2).expect("not zero"),
        fall: NonZeroU32::new(3).expect("not zero"),
        paths,
    };
    let resolver = SystemResolver::new(Duration::from_secs(10));
    let health = Health::start(&nodes, settings, resolver, CancellationToken::new());
    Watched { nodes, health }
}

impl Watched {
    fn report(&self) -> NodeReport {
        self.health.board().report(NodeIndex(0)).expect("there is a first node")
    }

    /// Waits until the report of the first node is as wanted.
    async fn until(&self, wanted: impl Fn(&NodeReport) -> bool) -> NodeReport {
        let poll = async {
            loop {
                let report = self.report();
                if wanted(&report) {
                    return report;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let last = || panic!("never as wanted; at last {:?}", self.report());
        tokio::time::timeout(PATIENCE, poll).await.unwrap_or_else(|_| last())
    }

    async fn until_state(&self, state: NodeState) -> NodeReport {
        self.until(|report| report.state == state).await
    }
}

async fn first_verdict(script: impl Fn(&str) -> Act + Send + Sync + 'static) -> NodeReport {
    let node = FakeNode::start(script).await;
    let watched = watch(&[node.address.to_string()], Paths::default());
    let over = tokio::time::timeout(PATIENCE, watched.health.first_round_over());
    over.await.expect("every node gets a verdict");
    watched.report()
}

#[tokio::test]
async fn a_healthy_node_is_ready_with_its_build_and_was_asked_politely() {
    let node = FakeNode::start(healthy).await;
    let watched = watch(&[node.address.to_string()], Paths::default());
    let mut changes = watched.health.changes();
    let change = changes.recv().await.expect("health runs");
    assert_eq!((change.from, change.to), (NodeState::Unknown, NodeState::Ready));
    assert_eq!(watched.nodes[0].state(), NodeState::Ready);
    let report = watched.report();
    assert_eq!(report.build.as_deref(), Some("index-93181bbb.js"));
    assert!(report.ready_since.is_some() && report.last_answer.is_some());
    assert_eq!(names(&report), Some(vec!["acl", "users"]));
    assert_eq!(report.version.as_deref(), Some("2.2.15"));
    assert!(2 <= report.ready_in_a_row && report.unreached_since.is_none());
    assert!(report.looked_up.is_some() && report.answered.is_some());
    let head = node.heads.lock().expect("sound")[0].to_lowercase();
    assert!(head.starts_with("get /api/__health_check http/1.1\r\n"), "{head}");
    assert!(head.contains("user-agent: drawspan-probe\r\n"), "{head}");
    assert!(head.contains(&format!("host: {}\r\n", node.address)), "{head}");
}

type Answers = fn() -> Act;

#[tokio::test]
async fn each_wrong_answer_has_its_state_and_its_reason() {
    let health = |act: fn() -> Act| {
        move |path: &str| match path {
            "/api/__health_check" => act(),
            _ => healthy(path),
        }
    };
    let cases: [(Answers, NodeState, &str); 9] = [
        (|| http("404 Not Found", ""), NodeState::Failing, "health 404"),
        (|| http("502 Bad Gateway", "<html>"), NodeState::Starting, "health 502"),
        (
            || {
                Act::Say(
                    b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n".into(),
                )
            },
            NodeState::Failing,
            "health redirect 302 to /login",
        ),
        (|| Act::Say(b"SSH-2.0-OpenSSH_9.6\r\n".into()), NodeState::Failing, "health: no HTTP"),
        (|| Act::Say(vec![0; 100_000]), NodeState::Failing, "health: no HTTP"),
        (|| Act::Say(vec![]), NodeState::Failing, "health: no HTTP"),
        (|| http("503 Service Unavailable", &"x".repeat(10_000)), NodeState::Failing, "health 503"),
        (|| http("503 Service Unavailable", BUSY), NodeState::Busy, "maintaining: enabling plugin"),
        (
            || http("200 OK", "<!DOCTYPE html>"),
            NodeState::Failing,
            "health answers 200 with a page",
        ),
    ];
    for (act, state, reason) in cases {
        let report = first_verdict(health(act)).await;
        assert_eq!(report.state, state, "{reason}: {report:?}");
        assert!(report.reason.starts_with(reason), "{reason}: {report:?}");
    }
}

#[tokio::test]
async fn a_head_or_a_body_without_end_is_cut_off() {
    let endless_head = first_verdict(|path| match path {
        "/api/__health_check" => {
            let mut bytes = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
            bytes.resize(1_000_000, b'x');
            Act::Say(bytes)
        }
        _ => healthy(path),
    });
    assert_eq!(endless_head.await.state, NodeState::Failing);
    let endless_body = first_verdict(|path| match path {
        "/api/app:getInfo" => {
            let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{".to_vec();
            bytes.resize(1_000_000, b' ');
            Act::Say(bytes)
        }
        _ => healthy(path),
    });
    assert_eq!(endless_body.await.state, NodeState::Ready);
}

#[tokio::test]
async fn a_dead_database_behind_a_lively_node_is_named() {
    let node = FakeNode::start(healthy).await;
    let watched = watch(&[node.address.to_string()], Paths::default());
    watched.until_state(NodeState::Ready).await;
    node.now(|path| match path {
        "/api/app:getInfo" => http("500 Internal Server Error", "{}"),
        _ => healthy(path),
    });
    let report = watched.until_state(NodeState::Failing).await;
    assert_eq!(report.reason, "database_unreachable: app:getInfo 500");
    assert_eq!(report.ready_since, None);
    node.now(healthy);
    watched.until_state(NodeState::Ready).await;
}

#[tokio::test]
async fn a_node_that_is_silent_is_down_and_the_reason_says_that_it_timed_out() {
    let node = FakeNode::start(|_| Act::Hang).await;
    let nodes: Nodes = Arc::from([Arc::new(Node::new(
        "n1".parse().expect("a legal id"),
        NodeRole::Request,
        Weight::ONE,
        node.address.to_string(),
    ))]);
    let settings = Settings { timeout: Duration::from_millis(50), ..Settings::default() };
    let resolver = SystemResolver::new(Duration::from_secs(10));
    let health = Health::start(&nodes, settings, resolver, CancellationToken::new());
    let watched = Watched { nodes, health };
    let report = watched.until_state(NodeState::Down).await;
    assert_eq!(report.reason, "health timed out");
    assert_eq!(report.down_seen, None, "silence proves nothing");
    assert_eq!(report.unreached_since, None, "nor does it say that nobody is there");
}

#[tokio::test]
async fn a_node_that_went_and_came_back_was_restarted() {
    let node = FakeNode::start(healthy).await;
    let watched = watch(&[node.address.to_string()], Paths::default());
    let before = watched.until_state(NodeState::Ready).await;
    let asked = before.ready_since.expect("it is ready");
    let address = node.end().await;
    let down = watched.until_state(NodeState::Down).await;
    assert_eq!(down.reason, "connection refused");
    assert!(!down.restarted_since(asked));
    assert!(down.answered < down.unreached_since, "{down:?}");
    assert_eq!(down.version.as_deref(), Some("2.2.15"), "the last that it told");
    let listener = TcpListener::bind(address).await.expect("the port is free again");
    let again = FakeNode::serve(listener, healthy);
    let ready = watched.until_state(NodeState::Ready).await;
    assert!(ready.restarted_since(asked), "{ready:?}");
    drop(again);
}

#[tokio::test]
async fn a_busy_node_is_seen_at_the_first_look_and_in_its_own_words() {
    let node = FakeNode::start(healthy).await;
    let watched = watch(&[node.address.to_string()], Paths::default());
    watched.until_state(NodeState::Ready).await;
    let mut changes = watched.health.changes();
    node.now(|path| match path {
        "/api/__health_check" => http("503 Service Unavailable", BUSY),
        _ => healthy(path),
    });
    let change = changes.recv().await.expect("health runs");
    assert_eq!(change.to, NodeState::Busy);
    assert_eq!(change.reason, "maintaining: enabling plugin embed (pm.enable)");
    node.now(healthy);
    assert_eq!(changes.recv().await.expect("health runs").to, NodeState::Ready);
}

#[tokio::test]
async fn a_name_is_resolved_and_each_of_its_addresses_is_tried() {
    // `localhost` may be ::1 first, where nothing listens.
    let node = FakeNode::start(healthy).await;
    let authority = format!("localhost:{}", node.address.port());
    let watched = watch(&[authority], Paths::default());
    watched.until_state(NodeState::Ready).await;
    assert!(watched.nodes[0].addresses().contains(&node.address));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_down_and_its_neighbour_is_ready() {
    let node = FakeNode::start(healthy).await;
    let watched =
        watch(&["no such name.invalid:80".to_owned(), node.address.to_string()], Paths::default());
    let over = tokio::time::timeout(PATIENCE, watched.health.first_round_over());
    over.await.expect("every node gets a verdict");
    let states: Vec<_> = watched.nodes.iter().map(|node| node.state()).collect();
    assert_eq!(states, [NodeState::Down, NodeState::Ready]);
    assert!(watched.report().reason.starts_with("name does not resolve: "));
}

#[tokio::test]
async fn the_configured_paths_are_the_ones_that_are_probed() {
    let node = FakeNode::start(|path| match path {
        "/nb/api/__health_check" => http("200 OK", "ok"),
        "/nb/api/app:getInfo" => http("200 OK", INFO),
        "/nb/api/pm:listEnabled" => http("200 OK", PLUGINS),
        "/nb/" => http("200 OK", PAGE),
        _ => http("404 Not Found", ""),
    })
    .await;
    let paths = Paths { public: "/nb".into(), api: "/nb/api".into(), ws: "/nb/ws".into() };
    let watched = watch(&[node.address.to_string()], paths);
    let report = watched.until_state(NodeState::Ready).await;
    assert_eq!(report.build.as_deref(), Some("index-93181bbb.js"));
    assert_eq!(names(&report), Some(vec!["acl", "users"]));
}

#[tokio::test]
async fn a_list_of_plugins_is_read_up_to_its_bound_and_beyond_it_is_unknown() {
    let list = |bytes: usize| {
        let mut body = PLUGINS.to_owned();
        // Spaces after the list: cut off anywhere, it would still read as a whole one.
        body.extend(std::iter::repeat_n(' ', bytes - body.len()));
        http("200 OK", &body)
    };
    let node = move |plugins: Act| {
        move |path: &str| match path {
            "/api/pm:listEnabled" => plugins.clone(),
            _ => healthy(path),
        }
    };
    let fits = first_verdict(node(list(PROBE_PLUGINS_BYTES_MAX))).await;
    assert_eq!(names(&fits), Some(vec!["acl", "users"]));
    for too_much in [list(PROBE_PLUGINS_BYTES_MAX + 1), http("500 Oops", PLUGINS), Act::Say(vec![])]
    {
        let unknown = first_verdict(node(too_much)).await;
        assert_eq!((unknown.state, names(&unknown)), (NodeState::Ready, None));
        assert!(unknown.build.is_some() && unknown.looked_up.is_some());
    }
}

#[tokio::test]
async fn what_in_app_work_changed_is_seen_when_it_is_looked_up_again() {
    let node = FakeNode::start(healthy).await;
    let watched = watch(&[node.address.to_string()], Paths::default());
    watched.until_state(NodeState::Ready).await;
    node.now(|path| match path {
        "/api/pm:listEnabled" => http("200 OK", r#"{"data":[{"name":"embed"}]}"#),
        "/" => http("200 OK", &PAGE.replace("93181bbb", "0a0a0a0a")),
        _ => healthy(path),
    });
    watched.health.look_again(NodeIndex(0));
    let report = watched.until(|report| names(report) == Some(vec!["embed"])).await;
    assert_eq!(report.build.as_deref(), Some("index-0a0a0a0a.js"));
}
