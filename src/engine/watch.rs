//! What is gathered for the running procedure beside the probes: the answers of the operator's
//! commands. Forgotten with the process; gathered again by the next one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::alarms::Obstacles;
use super::equipment::{ASK_AGAIN, ASK_STATUS_EVERY, Equipment};
use super::outputs::Outputs;
use crate::clock;
use crate::config::NodeConfig;
use crate::drivers::{self, Order, Outcome, Runner, artefact, parse_status};
use crate::model::limits::{COMMAND_OUTPUT_BYTES_SHOWN, COMMAND_OUTPUT_LINES, LOG_LINES};
use crate::model::{NodeId, Timestamp};
use crate::procedure::{Artefact, Flaw, Image, NodeStatus, Procedure, Reported, Ticket};

/// What a task found out.
#[derive(Debug)]
pub(super) enum Finding {
    Status(NodeId, Reported),
    Image(NodeId, Timestamp, Image),
    Logs(NodeId, Vec<String>),
    Space(Option<u64>),
    /// The last lines of a command's output, and what is new of it.
    Output {
        number: u64,
        last: Vec<String>,
        new: Vec<String>,
    },
    /// After the whole of its output.
    Ended {
        number: u64,
        outcome: Outcome,
    },
    Measured {
        number: u64,
        artefacts: Vec<Artefact>,
        flaws: Vec<Flaw>,
    },
}

/// How often what a running command wrote is looked for.
const READ_OUTPUT_EVERY: Duration = Duration::from_millis(500);
/// Of what a build command prints: a digest, or a version.
const IMAGE_CHARS_MAX: usize = 200;
/// Quick commands under way at once; others wait for their turn.
const ASKS_MAX: usize = 16;
/// Notifications under way at once; more are dropped, and the log says so.
const NOTIFICATIONS_MAX: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Node(AskedOfNode),
    Space,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum AskedOfNode {
    Status,
    Image,
    Logs,
}

/// What is known, and what is being asked.
pub(super) struct Watch {
    pub(super) statuses: BTreeMap<NodeId, Reported>,
    /// What each said that it runs, and when it was asked.
    pub(super) images: BTreeMap<NodeId, (Timestamp, Image)>,
    pub(super) logs: BTreeMap<NodeId, Vec<String>>,
    pub(super) free_bytes: Option<u64>,
    /// Why the switch that the phase wants was not begun.
    pub(super) switch_refused: Option<String>,
    pub(super) outputs: Outputs,
    /// What stands in the way, and was told or not.
    pub(super) obstacles: Obstacles,
    /// When each was asked last, and whether its answer is still to come.
    asked: BTreeMap<(Asked, Option<NodeId>), (Instant, bool)>,
    /// When each was asked what it runs, to compare with when it came up.
    images_asked: BTreeMap<NodeId, Timestamp>,
    findings: mpsc::Sender<Finding>,
    tasks: TaskTracker,
    asks: Arc<Semaphore>,
    notifications: Arc<Semaphore>,
}

impl Watch {
    pub(super) fn new(findings: mpsc::Sender<Finding>, tasks: TaskTracker) -> Self {
        Self {
            statuses: BTreeMap::new(),
            images: BTreeMap::new(),
            logs: BTreeMap::new(),
            free_bytes: None,
            switch_refused: None,
            outputs: Outputs::default(),
            obstacles: Obstacles::default(),
            asked: BTreeMap::new(),
            images_asked: BTreeMap::new(),
            findings,
            tasks,
            asks: Arc::new(Semaphore::new(ASKS_MAX)),
            notifications: Arc::new(Semaphore::new(NOTIFICATIONS_MAX)),
        }
    }

    /// Another procedure begins.
    pub(super) fn forget(&mut self) {
        self.statuses.clear();
        self.logs.clear();
        self.outputs.forget();
        self.obstacles.forget();
        (self.free_bytes, self.switch_refused) = (None, None);
    }

    /// Asks again what is due to be asked.
    pub(super) fn ask(&mut self, equipment: &Equipment, procedure: &Procedure) {
        for (member, _) in procedure.members() {
            let own = equipment.of_node(&member.id);
            let status = own.and_then(|own| own.status.as_ref());
            let status = equipment.ask(status, &member.id, procedure);
            self.ask_node(AskedOfNode::Status, &member.id, status, &equipment.runner);
        }
        // From the stop on, so that it is known before the backup may begin.
        if let crate::procedure::Phase::Stop | crate::procedure::Phase::BackUp = procedure.phase {
            self.ask_space(equipment.backup_place(procedure));
        }
    }

    /// Asks what a node runs: at once when it has come up, at `since`, and then now and then.
    pub(super) fn ask_image(
        &mut self,
        equipment: &Equipment,
        node: &NodeConfig,
        since: Timestamp,
        every: Duration,
    ) {
        let now = clock::now();
        let asked = self.images_asked.get(&node.id);
        if asked.is_some_and(|at| since <= *at && now.since(*at) < every) {
            return;
        }
        let order = equipment.build_of(node);
        if self.ask_node(AskedOfNode::Image, &node.id, order, &equipment.runner) {
            self.images_asked.insert(node.id.clone(), now);
        }
    }

    /// Asks for the last lines of a node's log.
    pub(super) fn ask_logs(&mut self, equipment: &Equipment, node: &NodeId, of: &Procedure) {
        let logs = equipment.of_node(node).and_then(|own| own.logs.as_ref());
        let order = equipment.ask(logs, node, of);
        self.ask_node(AskedOfNode::Logs, node, order, &equipment.runner);
    }

    /// Is it to be asked now? Notes that it is.
    fn is_due(&mut self, what: Asked, node: Option<&NodeId>) -> bool {
        let every = match what {
            Asked::Node(AskedOfNode::Status | AskedOfNode::Logs) | Asked::Space => ASK_STATUS_EVERY,
            Asked::Node(AskedOfNode::Image) => ASK_AGAIN,
        };
        let key = (what, node.cloned());
        let now = Instant::now();
        if self.asked.get(&key).is_some_and(|(at, open)| *open || now.duration_since(*at) < every) {
            return false;
        }
        self.asked.insert(key, (now, true));
        true
    }

    /// Asks in the background; `false` where there is no command for it, or its turn has not come.
    fn ask_node(
        &mut self,
        what: AskedOfNode,
        node: &NodeId,
        order: Option<Order>,
        runner: &Runner,
    ) -> bool {
        let Some(order) = order else { return false };
        if !self.is_due(Asked::Node(what), Some(node)) {
            return false;
        }
        let (node, runner) = (node.clone(), runner.clone());
        let (findings, asks) = (self.findings.clone(), self.asks.clone());
        self.tasks.spawn(async move {
            // Never closed.
            let _turn = asks.acquire().await;
            // Asked before it ran: what it says was true at this moment or later.
            let at = clock::now();
            let answer = runner.quick(&order).await;
            let finding = match what {
                AskedOfNode::Image => {
                    Finding::Image(node, at, image(answer.map_err(|error| error.to_string())))
                }
                AskedOfNode::Logs => Finding::Logs(
                    node,
                    answer.map_or_else(|e| vec![e.to_string()], |a| a.last_lines(LOG_LINES)),
                ),
                AskedOfNode::Status => {
                    let status = answer.map_or_else(
                        |error| NodeStatus::Unknown(error.to_string()),
                        |answer| parse_status(&answer),
                    );
                    Finding::Status(node, Reported { at, status })
                }
            };
            // The engine ends before its tasks do.
            let _ = findings.send(finding).await;
        });
        true
    }

    fn ask_space(&mut self, place: PathBuf) {
        if !self.is_due(Asked::Space, None) {
            return;
        }
        let findings = self.findings.clone();
        self.tasks.spawn(async move {
            let free = spawn_blocking(move || artefact::free_space(&place).ok()).await;
            let _ = findings.send(Finding::Space(free.unwrap_or_default())).await;
        });
    }

    /// Watches a command until it ends. What it wrote comes before its end does.
    pub(super) fn follow(&self, runner: &Runner, ticket: Ticket) {
        let (runner, findings) = (runner.clone(), self.findings.clone());
        self.tasks.spawn(async move {
            let number = ticket.number;
            let mut ended = pin!(runner.watch(number, &ticket));
            let mut told = 0;
            loop {
                let outcome = timeout(READ_OUTPUT_EVERY, &mut ended).await;
                told = tell_output(&runner, &findings, number, told).await;
                if let Ok(outcome) = outcome {
                    let _ = findings.send(Finding::Ended { number, outcome }).await;
                    return;
                }
            }
        });
    }

    /// Measures the artefacts.
    pub(super) fn measure(&self, number: u64, paths: Vec<String>) {
        let findings = self.findings.clone();
        self.tasks.spawn(async move {
            let measured = artefact::measure(paths.iter().map(PathBuf::from).collect()).await;
            let (mut artefacts, mut flaws) = (Vec::new(), Vec::new());
            for (path, measured) in paths.into_iter().zip(measured) {
                match measured {
                    Ok(found) => artefacts.push(Artefact {
                        path,
                        bytes: found.bytes,
                        sha256: found.sha256,
                        modified: found.modified,
                    }),
                    Err(error) => flaws.push(flaw(path, &error)),
                }
            }
            let _ = findings.send(Finding::Measured { number, artefacts, flaws }).await;
        });
    }

    /// Tells people something by the operator's command; never waits, never repeats.
    pub(super) fn notify(&self, order: Option<Order>, runner: &Runner) {
        let Some(order) = order else { return };
        let Ok(permit) = self.notifications.clone().try_acquire_owned() else {
            tracing::warn!("a notification was dropped: too many run already");
            return;
        };
        let runner = runner.clone();
        self.tasks.spawn(async move {
            match runner.quick(&order).await {
                Ok(answer) if answer.ending.is_success() => {}
                Ok(answer) => tracing::warn!(ending = %answer.ending, "the notify command failed"),
                Err(error) => tracing::warn!(%error, "the notify command failed"),
            }
            drop(permit);
        });
    }

    /// Takes in what a task found, where it concerns nobody else. Gives the new lines of a command.
    pub(super) fn take(&mut self, finding: Finding) -> Vec<String> {
        match finding {
            Finding::Status(node, reported) => {
                self.answered(Asked::Node(AskedOfNode::Status), Some(&node));
                self.statuses.insert(node, reported);
            }
            Finding::Image(node, asked, image) => {
                self.answered(Asked::Node(AskedOfNode::Image), Some(&node));
                self.images.insert(node, (asked, image));
            }
            Finding::Logs(node, lines) => {
                self.answered(Asked::Node(AskedOfNode::Logs), Some(&node));
                self.logs.insert(node, lines);
            }
            Finding::Space(free) => {
                self.answered(Asked::Space, None);
                self.free_bytes = free;
            }
            Finding::Output { number, last, new } => {
                self.outputs.wrote(number, last);
                return new;
            }
            Finding::Ended { .. } | Finding::Measured { .. } => {}
        }
        Vec::new()
    }

    fn answered(&mut self, what: Asked, node: Option<&NodeId>) {
        if let Some((_, open)) = self.asked.get_mut(&(what, node.cloned())) {
            *open = false;
        }
    }
}

/// Tells what a command wrote since `told`, an offset; gives the offset behind it.
async fn tell_output(
    runner: &Runner,
    findings: &mpsc::Sender<Finding>,
    number: u64,
    told: u64,
) -> u64 {
    let of = runner.clone();
    let read = spawn_blocking(move || {
        let last = of.tail(number, COMMAND_OUTPUT_LINES, COMMAND_OUTPUT_BYTES_SHOWN);
        (last, of.output_after(number, told, COMMAND_OUTPUT_BYTES_SHOWN))
    });
    // Given up only while the runtime stops.
    let Ok((last, (new, offset))) = read.await else { return told };
    if new.is_empty() {
        return told;
    }
    let text = String::from_utf8_lossy(&new);
    let new = text.lines().map(|line| line.escape_debug().to_string()).collect();
    let _ = findings.send(Finding::Output { number, last, new }).await;
    offset
}

fn image(answer: Result<drivers::Quick, String>) -> Image {
    let answer = match answer {
        Ok(answer) if answer.ending.is_success() => answer,
        Ok(answer) => return Image::Unknown(answer.ending.to_string()),
        Err(error) => return Image::Unknown(error),
    };
    match answer.output.lines().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) => Image::Known(line.chars().take(IMAGE_CHARS_MAX).collect()),
        None => Image::Unknown("it printed nothing".to_owned()),
    }
}

fn flaw(path: String, error: &artefact::ArtefactError) -> Flaw {
    match error {
        artefact::ArtefactError::Missing(_) => Flaw::Missing { path },
        artefact::ArtefactError::Empty(_) => Flaw::Empty { path },
        artefact::ArtefactError::NotAFile(_)
        | artefact::ArtefactError::Changed(_)
        | artefact::ArtefactError::Io { .. } => Flaw::Unreadable { path, why: error.to_string() },
    }
}
