//! The tour: the bridge moves under load, and every number on the screen was measured.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::sleep;

use super::load::{Answerers, Load, Tally};
use super::nodes::NodeProcess;
use crate::app::Gateway;
use crate::cli::client::Failure;
use crate::cli::mode;
use crate::control::client::{Client, Conditions};
use crate::control::wire::SwitchBody;

/// How long each mode is watched.
const WATCHED: Duration = Duration::from_millis(2_200);
const READY_WITHIN: Duration = Duration::from_secs(20);

/// What the tour leads through.
#[derive(Debug)]
pub(super) struct Scene {
    public: SocketAddr,
    admin: SocketAddr,
    control: PathBuf,
    database: PathBuf,
    program: PathBuf,
    nodes: Vec<Sight>,
}

/// One node, as it is shown.
#[derive(Debug)]
struct Sight {
    id: String,
    address: SocketAddr,
    pid: u32,
}

impl Scene {
    pub(super) fn of(
        gateway: &Gateway,
        nodes: &[NodeProcess],
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let sight = |node: &NodeProcess| {
            let (id, address, pid) = (node.id.clone(), node.address, node.pid());
            Sight { id, address, pid }
        };
        Ok(Self {
            public: *gateway.listen.first().context("the gateway listens nowhere")?,
            admin: gateway.admin.context("the gateway has no admin address")?,
            control: gateway.control.clone(),
            database: folder.join("database"),
            program: std::env::current_exe()?,
            nodes: nodes.iter().map(sight).collect(),
        })
    }
}

/// Whether the gateway kept what it promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Kept,
    Broken,
}

/// One move of the bridge.
struct Move {
    kind: &'static str,
    node: Option<&'static str>,
    answerers: Answerers,
    meaning: &'static str,
}

const MOVES: [Move; 3] = [
    Move {
        kind: "maintenance",
        node: None,
        answerers: Answerers::NOTICE,
        meaning: "raised: nobody crosses, and everybody is told why",
    },
    Move {
        kind: "single",
        node: Some("n1"),
        answerers: Answerers::node(0),
        meaning: "single lane: n1 carries all of it",
    },
    Move {
        kind: "cluster",
        node: None,
        answerers: Answerers::EVERY_NODE,
        meaning: "lowered: every node carries traffic again",
    },
];

/// Switches through the modes under load, and tells what became of every request.
///
/// # Errors
/// The gateway refuses or does not answer, or nobody reads.
pub(super) async fn lead(scene: &Scene, out: &mut impl Write) -> Result<Verdict, Failure> {
    let client = Client::new(&scene.control);
    introduce(scene, out)?;
    for node in &scene.nodes {
        client.wait(&format!("node={}:ready", node.id), READY_WITHIN).await?;
    }
    let mut load = Load::start(scene.public);
    writeln!(out, "Clients ask without a break from now on. They began in cluster mode:\n")?;
    let mut total = Tally::default();
    watch(&load, &mut total, out).await?;
    for step in &MOVES {
        go(step, &client, &load, out).await?;
        watch(&load, &mut total, out).await?;
    }
    load.end().await;
    total.add(&load.take());
    let verdict = if total.failed == 0 { Verdict::Kept } else { Verdict::Broken };
    let (served, noticed, failed) = (total.served, total.noticed, total.failed);
    writeln!(
        out,
        "The tour is over: {served} requests served, {noticed} got the notice, {failed} failed."
    )?;
    if let Some(why) = load.first_failure() {
        writeln!(out, "The first failure: {why}.")?;
    }
    out.flush()?;
    Ok(verdict)
}

fn introduce(scene: &Scene, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "Drawspan, a movable bridge in front of a NocoBase cluster.\n")?;
    for Sight { id, address, pid } in &scene.nodes {
        writeln!(out, "  node {id}   http://{address}   pid {pid} (a stand-in for NocoBase)")?;
    }
    writeln!(out, "  gateway   http://{}   pid {}\n", scene.public, std::process::id())?;
    out.flush()
}

async fn go(
    step: &Move,
    client: &Client,
    load: &Load,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let node = step.node.map_or_else(String::new, |node| format!(" {node}"));
    writeln!(out, "$ drawspan mode {}{node}", step.kind)?;
    out.flush()?;
    let body = SwitchBody {
        kind: step.kind.to_owned(),
        node: step.node.map(str::to_owned),
        why: Some("the demonstration".to_owned()),
        ..SwitchBody::default()
    };
    load.may_also_come_from(step.answerers);
    let switched = client.switch(&body, &Conditions::default()).await?;
    load.must_come_from(step.answerers);
    mode::render(&switched.doc, out)?;
    writeln!(out, "  {}", step.meaning)?;
    Ok(())
}

/// Lets the load go on for a while, and tells what became of it since the last time.
async fn watch(load: &Load, total: &mut Tally, out: &mut impl Write) -> io::Result<()> {
    sleep(WATCHED).await;
    let tally = load.take();
    total.add(&tally);
    let [first, second, third] = tally.by_node;
    writeln!(
        out,
        "  since then: {} served (n1 {first}, n2 {second}, n3 {third}, slow ones {}), \
         {} got the notice, {} failed\n",
        tally.served,
        tally.served.saturating_sub(first + second + third),
        tally.noticed,
        tally.failed
    )?;
    out.flush()
}

/// What to try now.
///
/// # Errors
/// Nobody reads.
pub(super) fn invite(scene: &Scene, out: &mut impl Write) -> io::Result<()> {
    let (public, admin, control) = (scene.public, scene.admin, scene.control.display());
    let program = scene.program.display();
    writeln!(out, "\nNow it is yours, until ctrl-C. In another terminal:\n")?;
    writeln!(out, "  export DRAWSPAN_CONTROL={control}")?;
    writeln!(out, "  alias drawspan={program}")?;
    writeln!(out, "  drawspan status --watch")?;
    writeln!(out, "  drawspan events")?;
    writeln!(out, "  drawspan mode maintenance --why 'a look at the notice'")?;
    writeln!(out, "  drawspan mode single n2")?;
    writeln!(out, "  drawspan wait node=n2:ready --timeout 30s")?;
    writeln!(out, "  drawspan mode cluster")?;
    writeln!(
        out,
        "  curl -i -H 'Accept: text/html' http://{public}/      # the notice, as a browser gets it"
    )?;
    writeln!(out, "  curl -s http://{public}/__test/whoami      # which node answers")?;
    writeln!(out, "  curl -s --unix-socket {control} http://drawspan/v1/status")?;
    writeln!(out, "  curl -s http://{admin}/metrics")?;
    if let Some(Sight { id, address, pid }) = scene.nodes.last() {
        let database = scene.database.display();
        writeln!(out, "\nLose a node, look at the status, and bring it back:\n")?;
        writeln!(out, "  kill {pid}")?;
        writeln!(out, "  drawspan stand-in --id {id} --listen {address} --database {database}")?;
    }
    out.flush()
}
