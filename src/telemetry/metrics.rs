//! The registry behind `/metrics`, and the facts that the control plane adds to it.
//!
//! Names begin with `drawspan_`; labels come from closed enums and from the configuration, never
//! from what a client sent.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use super::collect::{Collected, Sources};
use super::outlet::Dropped;
use super::worker::{Block, WorkerMetrics};
use crate::model::{Generation, ModeKind, Revision};
use crate::procedure::{Phase, Procedure};
use crate::routing::Nodes;

/// Seconds that a switch may take: a fence is milliseconds, a drain up to an hour.
const SWITCH_BOUNDS: [f64; 14] =
    [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 600.0, 3600.0];

/// The two logs whose lines may be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    Access,
    Diagnostics,
}

impl Log {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Diagnostics => "diagnostics",
        }
    }
}

/// All metrics of the process. Clones are the same metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    sources: Arc<Sources>,
    control: Arc<Control>,
}

/// What the control plane counts. It is not on a request's path, so plain shared counters do.
#[derive(Debug)]
struct Control {
    mode: IntGaugeVec,
    revision: IntGauge,
    generation: IntGauge,
    fenced: Histogram,
    drained: Histogram,
    switches: IntCounterVec,
    journal_errors: IntCounter,
    journal_degraded: IntGauge,
    doubt: IntGauge,
    procedure: IntGaugeVec,
    procedure_overdue: IntGauge,
    procedures: IntCounterVec,
    requests: IntCounterVec,
    errors: IntCounter,
}

impl Metrics {
    /// # Errors
    /// Only where two metrics have the same name, which a test rules out.
    pub fn new(nodes: Nodes) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let sources = Sources { nodes, blocks: Mutex::default(), dropped: Mutex::default() };
        let sources = Arc::new(sources);
        registry.register(Box::new(Collected::new(sources.clone())?))?;
        let control = Arc::new(Control::register(&registry)?);
        Ok(Self { registry, sources, control })
    }

    /// Counters for one more worker thread; at most [`WORKERS_MAX`](crate::model::limits::WORKERS_MAX)
    /// in the life of a process, since what a worker counted stays when it ends.
    pub fn worker(&self) -> WorkerMetrics {
        let block = Arc::new(Block::new(self.sources.nodes.len()));
        let mut blocks = self.sources.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.push(block.clone());
        WorkerMetrics::new(block)
    }

    /// Shows from here on how many lines of `log` were dropped.
    pub fn watch_dropped(&self, log: Log, dropped: Dropped) {
        let mut all = self.sources.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(other, _)| *other != log);
        all.push((log, dropped));
    }

    /// Everything, in Prometheus' text format.
    ///
    /// # Errors
    /// Where a metric cannot be written in that format.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// A table was published.
    pub fn published(&self, mode: ModeKind, generation: Generation) {
        for kind in ModeKind::ALL {
            let current = i64::from(kind == mode);
            self.control.mode.with_label_values(&[kind.as_str()]).set(current);
        }
        self.control.generation.set(whole(generation.0));
    }

    /// Is the bridge raised in doubt?
    pub fn doubt(&self, is_in_doubt: bool) {
        self.control.doubt.set(i64::from(is_in_doubt));
    }

    /// How a procedure stands: after each of its events.
    pub fn procedure(&self, procedure: &Procedure) {
        let late = procedure.overdue || procedure.closed_too_long;
        self.control.procedure_overdue.set(i64::from(late && !procedure.is_over()));
        for phase in Phase::ALL {
            let current = i64::from(phase == procedure.phase && !procedure.is_over());
            self.control.procedure.with_label_values(&[phase.as_str()]).set(current);
        }
        if let Some(outcome) = procedure.outcome {
            self.control.procedures.with_label_values(&[outcome.as_str()]).inc();
        }
    }

    /// The state is at this revision.
    pub fn revision(&self, revision: Revision) {
        self.control.revision.set(whole(revision.0));
    }

    /// Every worker routes by the new table, this long after it was published.
    pub fn switch_fenced(&self, took: Duration) {
        self.control.fenced.observe(took.as_secs_f64());
    }

    /// Nothing old is left on the removed nodes, this long after the table was published.
    pub fn switch_drained(&self, took: Duration) {
        self.control.drained.observe(took.as_secs_f64());
    }

    /// A command to switch was answered: `changed`, `unchanged`, `replayed`, or the code of its
    /// error. The text is a constant of the program, so the label set is closed.
    pub fn switch_answered(&self, outcome: &'static str) {
        self.control.switches.with_label_values(&[outcome]).inc();
    }

    /// The journal could not be written or read.
    pub fn journal_failed(&self) {
        self.control.journal_errors.inc();
    }

    /// The marker holds the mode, because the journal does not write.
    pub fn journal_degraded(&self) {
        self.control.journal_degraded.set(1);
    }

    /// The journal writes again.
    pub fn journal_recovered(&self) {
        self.control.journal_degraded.set(0);
    }

    /// A request on the control socket was answered.
    pub fn control_answered(&self, status: u16) {
        let outcome = match status {
            100..400 => "ok",
            401 | 403 => "not_allowed",
            400..500 => "refused",
            _ => "failed",
        };
        self.control.requests.with_label_values(&[outcome]).inc();
    }

    /// A connection on the control socket broke, or could not be accepted.
    pub fn control_failed(&self) {
        self.control.errors.inc();
    }
}

impl Control {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let version = Opts::new("drawspan_build_info", "1, for the version that runs.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        let version = IntGauge::with_opts(version)?;
        version.set(1);
        registry.register(Box::new(version))?;
        let gauge = |name: &str, help: &str| keep(registry, IntGauge::new(name, help)?);
        let counter = |name: &str, help: &str| keep(registry, IntCounter::new(name, help)?);
        let counters = |name: &str, help: &str| {
            keep(registry, IntCounterVec::new(Opts::new(name, help), &["outcome"])?)
        };
        let seconds = |name: &str, help: &str| {
            let options = HistogramOpts::new(name, help).buckets(SWITCH_BOUNDS.to_vec());
            keep(registry, Histogram::with_opts(options)?)
        };
        let phase = "1 for the phase that a running procedure is in.";
        let phase = Opts::new("drawspan_procedure_phase", phase);
        let mode = Opts::new("drawspan_mode", "1 for the mode of the published table.");
        Ok(Self {
            mode: keep(registry, IntGaugeVec::new(mode, &["mode"])?)?,
            revision: gauge("drawspan_revision", "Last journal record that changed state.")?,
            generation: gauge("drawspan_generation", "Number of the published table.")?,
            fenced: seconds(
                "drawspan_switch_fence_seconds",
                "Seconds until every worker routed by a published table.",
            )?,
            drained: seconds(
                "drawspan_switch_drain_seconds",
                "Seconds until nothing old was left on removed nodes.",
            )?,
            switches: counters("drawspan_switches_total", "Commands to switch, by outcome.")?,
            journal_errors: counter("drawspan_journal_errors_total", "Journal failures.")?,
            journal_degraded: gauge(
                "drawspan_journal_degraded",
                "1 while the journal does not write and only raising is possible.",
            )?,
            doubt: gauge(
                "drawspan_doubt",
                "1 while the bridge is raised in doubt, without a command.",
            )?,
            procedure: keep(registry, IntGaugeVec::new(phase, &["phase"])?)?,
            procedure_overdue: gauge(
                "drawspan_procedure_overdue",
                "1 while a phase, or the time that traffic is closed, is over its limit.",
            )?,
            procedures: counters("drawspan_procedures_total", "Procedures that ended.")?,
            requests: counters(
                "drawspan_control_requests_total",
                "Requests on the control socket, by outcome.",
            )?,
            errors: counter("drawspan_control_errors_total", "Control connections that broke.")?,
        })
    }
}

/// Registers a metric and keeps a handle to it.
fn keep<M>(registry: &Registry, metric: M) -> Result<M, prometheus::Error>
where
    M: prometheus::core::Collector + Clone + 'static,
{
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::model::{NodeRole, NodeState, Weight};
    use crate::nocobase::RequestClass;
    use crate::routing::{Node, NodeIndex};
    use crate::telemetry::RequestRecord;

    fn nodes() -> Nodes {
        let node = |id: &str| {
            let id = id.parse().expect("a legal id");
            Arc::new(Node::new(id, NodeRole::Request, Weight::ONE, "127.0.0.1:1".into()))
        };
        Arc::from([node("n1"), node("n2")])
    }

    fn metrics(nodes: &Nodes) -> Metrics {
        Metrics::new(nodes.clone()).expect("no name is given twice")
    }

    fn has(text: &str, line: &str) {
        assert!(text.lines().any(|l| l == line), "no `{line}` in\n{text}");
    }

    fn get(node: Option<usize>, status: u16, took: Duration) -> RequestRecord {
        let (mode, class) = (ModeKind::Cluster, RequestClass::Api);
        RequestRecord { node: node.map(NodeIndex), mode, class, status, took }
    }

    #[test]
    fn requests_of_all_workers_add_up_while_they_are_counted() {
        let metrics = metrics(&nodes());
        let count = |worker: WorkerMetrics| {
            for _ in 0..10_000 {
                worker.request(get(Some(1), 204, Duration::from_millis(3)));
            }
        };
        let workers: Vec<_> = (0..3).map(|_| metrics.worker()).collect();
        thread::scope(|scope| {
            for worker in workers {
                scope.spawn(move || count(worker));
            }
            for _ in 0..20 {
                metrics.render().expect("it renders while workers count");
            }
        });
        let text = metrics.render().expect("it renders");
        let labels = r#"class="api",mode="cluster",node="n2",status="2xx""#;
        has(&text, &format!("drawspan_requests_total{{{labels}}} 30000"));
        let name = "drawspan_request_duration_seconds";
        has(&text, &format!(r#"{name}_bucket{{class="api",le="0.0025"}} 0"#));
        has(&text, &format!(r#"{name}_bucket{{class="api",le="0.005"}} 30000"#));
        has(&text, &format!(r#"{name}_bucket{{class="api",le="+Inf"}} 30000"#));
        has(&text, &format!(r#"{name}_sum{{class="api"}} 90"#));
        has(&text, &format!(r#"{name}_count{{class="api"}} 30000"#));
    }

    #[test]
    fn answers_of_the_gateway_belong_to_no_node() {
        let metrics = metrics(&nodes());
        let worker = metrics.worker();
        worker.request(get(None, 503, Duration::ZERO));
        worker.own_error(503);
        let text = metrics.render().expect("it renders");
        let labels = r#"class="api",mode="cluster",node="(none)",status="5xx""#;
        has(&text, &format!("drawspan_requests_total{{{labels}}} 1"));
        has(&text, r#"drawspan_own_errors_total{status="503"} 1"#);
        has(&text, r#"drawspan_own_errors_total{status="504"} 0"#);
    }

    #[test]
    fn nodes_show_what_they_hold_at_the_moment_of_the_scrape() {
        let nodes = nodes();
        let metrics = metrics(&nodes);
        nodes[0].request_began();
        nodes[0].request_began();
        nodes[0].request_ended();
        nodes[1].tunnel_began();
        nodes[1].request_abandoned();
        nodes[1].set_state(NodeState::Busy);
        let text = metrics.render().expect("it renders");
        has(&text, r#"drawspan_node_in_flight{node="n1"} 1"#);
        has(&text, r#"drawspan_node_tunnels{node="n2"} 1"#);
        has(&text, r#"drawspan_node_abandoned_total{node="n2"} 1"#);
        has(&text, r#"drawspan_node_state{node="n2",state="busy"} 1"#);
        has(&text, r#"drawspan_node_state{node="n2",state="ready"} 0"#);
        has(&text, "# TYPE drawspan_node_abandoned_total counter");
    }

    #[test]
    fn connections_and_pools_show_what_is_left_of_what_came() {
        let metrics = metrics(&nodes());
        let worker = metrics.worker();
        let n1 = NodeIndex(0);
        for _ in 0..3 {
            worker.client_accepted();
            worker.connected(n1);
            worker.idle_kept(n1);
        }
        worker.client_closed();
        worker.client_refused();
        worker.idle_left(n1);
        worker.pool_hit(n1);
        worker.stale_replaced(n1);
        let text = metrics.render().expect("it renders");
        has(&text, "drawspan_client_connections_open 2");
        has(&text, "drawspan_client_connections_accepted_total 3");
        has(&text, "drawspan_client_connections_refused_total 1");
        has(&text, r#"drawspan_node_pool_idle{node="n1"} 2"#);
        has(&text, r#"drawspan_node_connections_total{node="n1"} 3"#);
        has(&text, r#"drawspan_node_pool_hits_total{node="n1"} 1"#);
        has(&text, r#"drawspan_node_pool_stale_total{node="n1"} 1"#);
    }

    #[test]
    fn the_control_plane_shows_mode_and_switches() {
        let metrics = metrics(&nodes());
        metrics.published(ModeKind::Cluster, Generation(1));
        metrics.published(ModeKind::Maintenance, Generation(2));
        metrics.revision(Revision(7));
        metrics.switch_fenced(Duration::from_millis(2));
        metrics.switch_answered("changed");
        metrics.control_answered(200);
        metrics.control_answered(412);
        metrics.journal_failed();
        metrics.journal_degraded();
        let text = metrics.render().expect("it renders");
        has(&text, r#"drawspan_mode{mode="maintenance"} 1"#);
        has(&text, r#"drawspan_mode{mode="cluster"} 0"#);
        has(&text, "drawspan_generation 2");
        has(&text, "drawspan_revision 7");
        has(&text, r#"drawspan_switch_fence_seconds_bucket{le="0.005"} 1"#);
        has(&text, r#"drawspan_switches_total{outcome="changed"} 1"#);
        has(&text, r#"drawspan_control_requests_total{outcome="refused"} 1"#);
        has(&text, "drawspan_journal_degraded 1");
    }

    #[test]
    fn every_metric_has_help_and_a_name_of_ours_or_the_usual_one() {
        let metrics = metrics(&nodes());
        metrics.worker().request(get(Some(0), 200, Duration::ZERO));
        metrics.published(ModeKind::Cluster, Generation(1));
        metrics.watch_dropped(Log::Access, Dropped::default());
        let text = metrics.render().expect("it renders");
        for line in text.lines().filter(|line| line.starts_with("# TYPE")) {
            let name = line.split(' ').nth(2).expect("TYPE names a metric");
            assert!(name.starts_with("drawspan_") || name.starts_with("process_"), "{name}");
            assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
        }
        has(&text, r#"drawspan_log_lines_dropped_total{log="access"} 0"#);
    }
}
