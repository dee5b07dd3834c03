//! A control socket in a folder of its own, before a stand-in for the engine.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drawspan::control::client::{Client, ClientError};
use drawspan::control::wire::SwitchBody;
use drawspan::control::{Access, Bounds, ControlListener, Settings, SocketError, serve};
use drawspan::engine::{
    Acknowledged, After, BackNode, BeforeDoubt, BeginCommand, ChoiceCommand, Commands, Event,
    EventKind, HistoryEnding, HistoryEntry, JournalState, NodeLeft, PastProcedure, Plan,
    PlanCommand, ProcedureError, ProcedureReply, Shown, Status, SwitchCommand, SwitchError,
    SwitchReply, WaitFor,
};
use drawspan::model::{Generation, Mode, NodeId, NodeRole, NodeState, Revision, Timestamp, Weight};
use drawspan::procedure::View;
use drawspan::telemetry::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::played::Played;

/// What the stand-in does with a switch.
#[derive(Clone, Debug)]
pub enum Script {
    Do,
    /// Do it once released.
    Hold,
    Fail(SwitchError),
    Panic,
}

/// A stand-in for the engine: its status is what the test makes it.
#[derive(Clone)]
pub struct Fake(Arc<Inner>);

struct Inner {
    script: Script,
    status: Mutex<Status>,
    kept: Mutex<Vec<Event>>,
    live: broadcast::Sender<Event>,
    asked: Mutex<Vec<SwitchCommand>>,
    past: Mutex<Vec<HistoryEntry>>,
    procedure: Mutex<Played>,
    gate: Semaphore,
    /// Without a permit, no look at the status is answered.
    awake: Semaphore,
    looks: AtomicUsize,
    begun: AtomicUsize,
    ended: AtomicUsize,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fake {
    pub fn new() -> Self {
        Self::scripted(Script::Do)
    }

    pub fn scripted(script: Script) -> Self {
        Self(Arc::new(Inner {
            script,
            status: Mutex::new(status()),
            kept: Mutex::default(),
            live: broadcast::Sender::new(64),
            asked: Mutex::default(),
            past: Mutex::default(),
            procedure: Mutex::default(),
            gate: Semaphore::new(0),
            awake: Semaphore::new(1),
            looks: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
        }))
    }

    pub fn with_status<T>(&self, change: impl FnOnce(&mut Status) -> T) -> T {
        change(&mut locked(&self.0.status))
    }

    /// The procedures that it plays.
    pub fn with_procedure<T>(&self, change: impl FnOnce(&mut Played) -> T) -> T {
        change(&mut locked(&self.0.procedure))
    }

    /// Shows a procedure as this view has it.
    pub fn show(&self, view: View) {
        let taken = Timestamp::from_millis(1_763_800_000_000);
        let (output, logs) = (None, vec![]);
        self.with_status(|status| {
            status.procedure = Some(Arc::new(Shown { taken, view, output, logs }));
        });
    }

    pub fn happened(&self, revision: u64, kind: EventKind) {
        let mut kept = locked(&self.0.kept);
        let (at, seq) = (Timestamp::from_millis(0), kept.len() as u64);
        let event = Event { seq, at, revision: Revision(revision), kind };
        kept.push(event.clone());
        let _ = self.0.live.send(event);
    }

    pub fn last_command(&self) -> Option<SwitchCommand> {
        locked(&self.0.asked).last().cloned()
    }

    /// Calls that listen to events now; a `wait` is one of them.
    pub fn listeners(&self) -> usize {
        self.0.live.receiver_count()
    }

    pub fn begun(&self) -> usize {
        self.0.begun.load(Ordering::SeqCst)
    }

    pub fn ended(&self) -> usize {
        self.0.ended.load(Ordering::SeqCst)
    }

    /// How often its status was asked for.
    pub fn looks(&self) -> usize {
        self.0.looks.load(Ordering::SeqCst)
    }

    /// From now on it answers nobody.
    pub fn hang(&self) {
        self.0.awake.forget_permits(1);
    }

    pub fn release(&self) {
        self.0.gate.add_permits(1);
    }

    fn make(&self, command: &SwitchCommand) -> SwitchReply {
        let (from, reply) = self.with_status(|status| {
            let from = status.mode.clone();
            let changed = from != command.target;
            status.mode = command.target.clone();
            if changed {
                status.revision.0 += 1;
                status.generation.0 += 1;
            }
            let mut removed = Vec::new();
            for node in &mut status.nodes {
                node.routed = match &command.target {
                    Mode::Cluster => true,
                    Mode::Single(kept) => *kept == node.id,
                    Mode::Maintenance => false,
                };
                if !node.routed && changed {
                    removed.push(NodeLeft {
                        node: node.id.clone(),
                        in_flight: 0,
                        cut: 1,
                        tunnels_closed: 2,
                        abandoned: 3,
                    });
                }
            }
            let acknowledged = match command.wait {
                WaitFor::Drained => Acknowledged::Drained,
                WaitFor::Fenced => Acknowledged::Fenced,
            };
            let reply = SwitchReply {
                changed,
                mode: command.target.clone(),
                revision: status.revision,
                generation: status.generation,
                acknowledged,
                removed,
                forced_over: vec![],
                journal_degraded: false,
                took: Duration::from_millis(12),
                warnings: vec![],
                replayed: None,
            };
            (from, reply)
        });
        locked(&self.0.past).insert(
            0,
            HistoryEntry {
                revision: reply.revision,
                at: Timestamp::from_millis(0),
                by: command.by.name.clone(),
                from: Some(from),
                to: command.target.clone(),
                why: command.why.as_ref().map(|why| why.as_str().to_owned()),
                procedure: command.procedure,
                forced: command.force.is_some(),
                ending: HistoryEnding::Drained,
            },
        );
        let (to, cut) = (command.target.clone(), 1);
        let finished = EventKind::SwitchFinished { to, cut, tunnels_closed: 2 };
        self.happened(reply.revision.0, finished);
        reply
    }
}

impl Commands for Fake {
    async fn status(&self) -> Status {
        self.0.looks.fetch_add(1, Ordering::SeqCst);
        let _awake = self.0.awake.acquire().await.expect("never closed");
        locked(&self.0.status).clone()
    }

    async fn switch(&self, command: SwitchCommand) -> Result<SwitchReply, SwitchError> {
        locked(&self.0.asked).push(command.clone());
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        match &self.0.script {
            Script::Do => {}
            Script::Hold => self.0.gate.acquire().await.expect("never closed").forget(),
            Script::Fail(error) => return Err(error.clone()),
            Script::Panic => panic!("as the test wants it"),
        }
        let reply = self.make(&command);
        self.0.ended.fetch_add(1, Ordering::SeqCst);
        Ok(reply)
    }

    fn events(&self, after: Option<After>) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let kept = locked(&self.0.kept);
        let live = self.0.live.subscribe();
        let wanted = |event: &&Event| match after {
            Some(After::Revision(after)) => after < event.revision,
            Some(After::Seq(after)) => after < event.seq,
            None => false,
        };
        (kept.iter().filter(wanted).cloned().collect(), live)
    }

    async fn plan(&self, command: PlanCommand) -> Result<Plan, ProcedureError> {
        self.with_procedure(|played| played.plan(&command))
    }

    async fn begin(&self, command: BeginCommand) -> Result<ProcedureReply, ProcedureError> {
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        if matches!(self.0.script, Script::Hold) {
            self.0.gate.acquire().await.expect("never closed").forget();
        }
        let reply = self.with_status(|status| locked(&self.0.procedure).begin(command, status));
        self.0.ended.fetch_add(1, Ordering::SeqCst);
        reply
    }

    async fn choose(&self, command: ChoiceCommand) -> Result<ProcedureReply, ProcedureError> {
        self.with_status(|status| locked(&self.0.procedure).choose(command, status))
    }

    async fn procedures(&self, id: Option<u64>) -> Vec<PastProcedure> {
        self.with_procedure(|played| played.past(id))
    }

    async fn history(&self, limit: usize) -> Vec<HistoryEntry> {
        locked(&self.0.past).iter().take(limit).cloned().collect()
    }
}

fn status() -> Status {
    let moment = Timestamp::from_millis(1_763_800_000_000);
    let node = |id: &str| BackNode {
        id: id.parse::<NodeId>().expect("a legal id"),
        address: format!("{id}.internal:13000"),
        resolved: vec![],
        role: NodeRole::Request,
        weight: Weight::ONE,
        state: NodeState::Ready,
        reason: "health and app:getInfo answer 200".into(),
        since: moment,
        last_answer: Some((moment, "200".into())),
        routed: true,
        takes_requests: true,
        ejected: false,
        in_flight: 0,
        tunnels: 0,
        abandoned: 0,
    };
    Status {
        taken: moment,
        mode: Mode::Cluster,
        revision: Revision(7),
        generation: Generation(1),
        since: moment,
        by: "root".into(),
        why: None,
        doubt: None,
        before_doubt: BeforeDoubt::default(),
        switch: None,
        journal: JournalState::Ok,
        unfenced_workers: vec![],
        must_restart: vec![],
        procedure: None,
        excluded: vec![],
        warnings: vec![],
        nodes: vec![node("n1"), node("n2")],
        listen: vec![],
        admin: None,
        version: "0.0.0",
        pid: 1,
        started: moment,
    }
}

/// A served control socket.
pub struct Gateway {
    pub path: PathBuf,
    pub engine: Fake,
    pub stop: CancellationToken,
    tasks: JoinSet<Result<(), SocketError>>,
    _folder: tempfile::TempDir,
}

impl Gateway {
    pub async fn start(engine: Fake) -> Self {
        Self::build(engine, Bounds::default(), None)
    }

    pub async fn with(engine: Fake, bounds: Bounds) -> Self {
        Self::build(engine, bounds, None)
    }

    pub async fn in_group(engine: Fake, gid: u32) -> Self {
        Self::build(engine, Bounds::default(), Some(gid))
    }

    fn build(engine: Fake, bounds: Bounds, group: Option<u32>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // Others must come as far as the socket, whose own rights are what is tested.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("opened");
        let path = folder.path().join("control.sock");
        let listener = ControlListener::bind(&path, group).expect("binds");
        let stop = CancellationToken::new();
        let access = Access::new(rustix::process::getuid().as_raw());
        let metrics = Metrics::new(std::iter::empty().collect()).expect("it registers");
        let drain_timeout = Duration::from_secs(30);
        let settings = Settings { access, drain_timeout, bounds, metrics };
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, engine.clone(), settings, stop.clone()));
        Self { path, engine, stop, tasks, _folder: folder }
    }

    pub fn client(&self) -> Client {
        Client::new(&self.path)
    }

    /// Resolves when the serving has ended in good order.
    pub async fn served(&mut self) {
        self.tasks.join_next().await.expect("one task").expect("no panic").expect("no error");
    }
}

pub fn body(kind: &str) -> SwitchBody {
    SwitchBody { kind: kind.to_owned(), ..SwitchBody::default() }
}

/// The stable code of a problem that the gateway answered with.
pub fn code(error: ClientError) -> String {
    match error {
        ClientError::Problem(problem) => problem.code,
        other => panic!("no problem document: {other}"),
    }
}

/// Resolves once `condition` holds; a test whose condition never does is ended by its runner.
pub async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Resolves once the gateway answers: a seat is free.
pub async fn until_answered(gateway: &Gateway) {
    while gateway.client().status().await.is_err() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Sends bytes and returns everything that comes back until the gateway closes. It does not say
/// that nothing more will come: to the gateway that means that its client left.
pub async fn raw(path: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).await.expect("connects");
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

pub async fn run_curl(path: &Path, arguments: &[&str]) -> String {
    output(Command::new("curl"), path, arguments).await
}

/// `identity` are arguments of setpriv.
pub async fn curl_as(identity: &[&str], path: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("setpriv");
    command.args(identity).arg("curl");
    output(command, path, arguments).await
}

async fn output(mut command: Command, path: &Path, arguments: &[&str]) -> String {
    command.args(["-sS", "--max-time", "30", "--unix-socket"]).arg(path).args(arguments);
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("no panic").expect("curl runs");
    String::from_utf8(output.stdout).expect("text")
}

/// What the audit of this thread says.
pub struct Audit {
    text: Arc<Mutex<Vec<u8>>>,
    _installed: tracing::subscriber::DefaultGuard,
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        locked(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Audit {
    pub fn install() -> Self {
        let text: Arc<Mutex<Vec<u8>>> = Arc::default();
        let sink = text.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter("audit=info")
            .with_ansi(false)
            .without_time()
            .with_writer(move || Sink(sink.clone()))
            .finish();
        Self { text, _installed: tracing::subscriber::set_default(subscriber) }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&locked(&self.text)).into_owned()
    }
}
