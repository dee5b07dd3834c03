//! What the tests of the whole share: stand-in nodes, a gateway in this process or as the real
//! binary, and the control client as an operator has it.

#![allow(dead_code, reason = "each integration binary uses its own part of it")]

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use drawspan::app;
use drawspan::config::{self, Config, Environment, Flags};
use drawspan::control::client::{Client, ClientError, Conditions};
use drawspan::control::wire::{StatusDoc, SwitchBody, SwitchDoc};
use drawspan::standin::{Options, StandIn};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Longest wait for a condition; a bound against hanging, never a measure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `holds`; fails the test, saying what was waited for, when patience ends.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let end = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// `count` stand-in nodes `n1`, `n2`, ..., ready at once.
pub fn nodes(count: usize) -> Vec<StandIn> {
    let node = |k| StandIn::start(Options { id: format!("n{k}"), ..Options::default() });
    (1..=count).map(|k| node(k).expect("a stand-in starts")).collect()
}

/// What a test asks of a gateway beside its nodes.
pub struct Wish {
    pub workers: usize,
    /// Given a chance to change any setting before the start (in-process gateways only).
    pub settings: fn(&mut Config),
}

impl Default for Wish {
    fn default() -> Self {
        Self { workers: 2, settings: |_| {} }
    }
}

fn flags(directory: &Path, nodes: &[SocketAddr], workers: usize) -> Flags {
    Flags {
        listen: vec!["127.0.0.1:0".into()],
        nodes: nodes.iter().map(|address| format!("http://{address}")).collect(),
        state_dir: Some(directory.join("state")),
        control: Some(directory.join("control.sock")),
        admin: Some("127.0.0.1:0".into()),
        workers: Some(i64::try_from(workers).expect("few")),
    }
}

/// A gateway inside this process.
pub struct InProcess {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub client: Client,
    stop: CancellationToken,
    stop_in_order: CancellationToken,
    thread: Option<thread::JoinHandle<app::Ending>>,
    directory: Option<TempDir>,
}

impl InProcess {
    pub async fn start(nodes: &[StandIn], wish: Wish) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        Self::start_in(directory, nodes, wish).await
    }

    /// With the state that an earlier gateway left in `directory`.
    pub async fn start_in(directory: TempDir, nodes: &[StandIn], wish: Wish) -> Self {
        let addresses: Vec<SocketAddr> = nodes.iter().map(StandIn::addr).collect();
        Self::start_over(directory, &addresses, wish).await
    }

    /// Over nodes of any kind.
    pub async fn start_over(directory: TempDir, nodes: &[SocketAddr], wish: Wish) -> Self {
        let flags = flags(directory.path(), nodes, wish.workers);
        let loaded = config::from_flags(&flags, &Environment::default()).expect("right flags");
        let mut config = loaded.config;
        config.log.access = config::AccessLog::Off;
        (wish.settings)(&mut config);
        let control = config.control.path.clone();
        let stop = CancellationToken::new();
        let stop_in_order = CancellationToken::new();
        let (stopped, in_order) = (stop.clone(), stop_in_order.clone());
        let (started, gateway) = tokio::sync::oneshot::channel();
        let thread = thread::spawn(move || {
            let gateway = app::start(config, Vec::new()).expect("the gateway starts");
            let addresses = (gateway.listen[0], gateway.admin.expect("an admin address"));
            started.send(addresses).expect("the test waits");
            let mut first = true;
            gateway.serve_until(async || {
                if std::mem::take(&mut first) {
                    tokio::select! {
                        () = stopped.cancelled() => {}
                        () = in_order.cancelled() => {}
                    }
                } else {
                    stopped.cancelled().await;
                }
            })
        });
        let (address, admin) = gateway.await.expect("the gateway starts");
        let client = Client::new(control);
        let (thread, directory) = (Some(thread), Some(directory));
        let gateway = Self { address, admin, client, stop, stop_in_order, thread, directory };
        gateway.ready().await;
        gateway
    }

    async fn ready(&self) {
        eventually("the gateway is ready", async || is_ready(self.admin).await).await;
    }

    /// Waits until `node` is in `state`, by what the gateway itself says.
    pub async fn node_is(&self, node: &str, state: &str) {
        node_is(&self.client, node, state).await;
    }

    pub async fn status(&self) -> StatusDoc {
        self.client.status().await.expect("the gateway answers").doc
    }

    /// Where its files lie.
    pub fn folder(&self) -> &Path {
        self.directory.as_ref().expect("held until the stop").path()
    }

    /// Begins its orderly stop, as SIGTERM does, with all of its grace time; every other stop here
    /// is as impatient as a second signal.
    pub fn tell_to_stop(&self) {
        self.stop_in_order.cancel();
    }

    /// Asks for a change of mode, as `maintenance` or `single n1`; `drain` as `0s`.
    pub async fn switch(&self, mode: &str, drain: &str) -> Result<SwitchDoc, ClientError> {
        switch(&self.client, mode, drain).await
    }

    /// Stops it in order; gives its folder back for a successor.
    pub fn stop(mut self) -> TempDir {
        self.end();
        self.directory.take().expect("held until now")
    }

    fn end(&mut self) -> Option<app::Ending> {
        self.stop.cancel();
        self.thread.take().map(|thread| thread.join().expect("no panic in the gateway"))
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        if thread::panicking() {
            self.stop.cancel();
        } else {
            self.end();
        }
    }
}

/// A command as a client writes it: `maintenance`, `single n1`.
pub fn command(mode: &str) -> SwitchBody {
    let (kind, node) = mode.split_once(' ').map_or((mode, None), |(kind, node)| (kind, Some(node)));
    SwitchBody { kind: kind.into(), node: node.map(str::to_owned), ..SwitchBody::default() }
}

/// Asks for a change of mode, with a drain time as `0s`.
pub async fn switch(client: &Client, mode: &str, drain: &str) -> Result<SwitchDoc, ClientError> {
    let body = SwitchBody { drain_timeout: Some(drain.to_owned()), ..command(mode) };
    client.switch(&body, &Conditions::default()).await.map(|answer| answer.doc)
}

/// The stable code of a refusal; fails the test where the command was carried out.
pub fn code(answer: Result<SwitchDoc, ClientError>) -> String {
    match answer {
        Err(ClientError::Problem(problem)) => problem.code,
        other => panic!("no problem: {other:?}"),
    }
}

/// Waits until `node` is in `state`, by what the gateway itself says.
pub async fn node_is(client: &Client, node: &str, state: &str) {
    let what = format!("{node} is {state}");
    eventually(&what, async || {
        client.status().await.is_ok_and(|status| {
            status.doc.nodes.iter().any(|known| known.id == node && known.state == state)
        })
    })
    .await;
}

/// Does `/ready` on the admin address say yes?
pub async fn is_ready(admin: SocketAddr) -> bool {
    http(admin, "GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await
        .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// Sends bytes, returns everything that comes back until the other side closes.
pub async fn http(address: SocketAddr, request: &str) -> std::io::Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// One GET on a connection of its own; status and body.
pub async fn get(address: SocketAddr, target: &str) -> (u16, String) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n");
    let answer = http(address, &request).await.expect("an answer");
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
    (status.unwrap_or_else(|| panic!("no status in {answer:?}")), body)
}

/// The real binary as a process. Killed, by its id, when dropped.
pub struct Process {
    pub child: Child,
    pub directory: PathBuf,
}

/// The real binary.
pub fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_drawspan"))
}

fn path(directory: &Path, name: &str) -> String {
    directory.join(name).to_str().expect("a plain path").to_owned()
}

impl Process {
    /// `drawspan run` over `nodes` with its state under `directory`; `listen` may be port 0.
    /// Its output goes to files in the folder: a full pipe is a test of its own.
    pub fn spawn(
        directory: &Path,
        listen: &str,
        nodes: &[SocketAddr],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut arguments = vec!["--listen".to_owned(), listen.to_owned()];
        for address in nodes {
            arguments.extend(["--node".to_owned(), format!("http://{address}")]);
        }
        arguments.extend(["--state-dir".to_owned(), path(directory, "state")]);
        arguments.extend(["--control".to_owned(), path(directory, "control.sock")]);
        arguments.extend(["--admin", "127.0.0.1:0", "--workers", "2"].map(str::to_owned));
        Self::spawn_with(directory, &arguments, environment)
    }

    /// `drawspan run` with these arguments, its output in files in `directory`, where its control
    /// socket is expected.
    pub fn spawn_with(
        directory: &Path,
        arguments: &[String],
        environment: &[(&str, &str)],
    ) -> Self {
        let file = |name| std::fs::File::create(directory.join(name)).expect("a file");
        let mut command = binary();
        command.arg("run").args(arguments);
        command.envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
        let child = command.spawn().expect("the binary starts");
        Self { child, directory: directory.to_owned() }
    }

    /// Waits until it answers on its control socket, which is before it lets clients in.
    pub async fn status(&mut self) -> StatusDoc {
        let end = Instant::now() + PATIENCE;
        loop {
            self.must_run();
            if let Ok(answer) = self.client().status().await {
                return answer.doc;
            }
            assert!(Instant::now() < end, "it never answered");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn must_run(&mut self) {
        if let Some(status) = self.child.try_wait().expect("our child") {
            panic!("it ended with {status}: {}", self.stderr());
        }
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.directory.join("stderr")).unwrap_or_default()
    }

    /// Asks for an orderly stop.
    pub fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.expect("a process id");
        rustix::process::kill_process(pid, signal).expect("our child");
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return status;
            }
            assert!(Instant::now() < end, "it does not end");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub fn client(&self) -> Client {
        Client::new(self.directory.join("control.sock"))
    }

    /// Waits until it answers and lets clients in.
    pub async fn ready(&mut self) -> StatusDoc {
        let end = Instant::now() + PATIENCE;
        loop {
            self.must_run();
            if let Ok(answer) = self.client().status().await
                && let Some(admin) = answer.doc.admin.as_ref().and_then(|a| a.parse().ok())
                && is_ready(admin).await
            {
                return answer.doc;
            }
            assert!(Instant::now() < end, "it never became ready");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// SIGKILL, and wait until it is gone.
    pub fn kill(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        self.child.wait().expect("our child");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
