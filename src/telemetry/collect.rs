//! Adds the workers' blocks up and looks at the nodes, at the moment of a scrape.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use super::metrics::Log;
use super::outlet::Dropped;
use super::process::Process;
use super::worker::{
    Block, Common, Count, LATENCY_BOUNDS, NodeCounts, NodeFact, OwnError, STATUS_CLASSES,
};
use crate::clock;
use crate::model::{ModeKind, NodeState};
use crate::nocobase::RequestClass;
use crate::routing::{Node, Nodes};

/// The node label of answers that the gateway gave by itself. No node id has parentheses.
const NO_NODE: &str = "(none)";

type Labels<'a> = &'a [(&'static str, &'a str)];

/// What is counted elsewhere and read here.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) nodes: Nodes,
    pub(super) blocks: Mutex<Vec<Arc<Block>>>,
    pub(super) dropped: Mutex<Vec<(Log, Dropped)>>,
}

/// The registry's way to the [`Sources`].
pub(super) struct Collected {
    pub(super) sources: Arc<Sources>,
    /// The registry wants one description to know a collector by.
    pub(super) desc: Desc,
}

impl Collected {
    pub(super) fn new(sources: Arc<Sources>) -> Result<Self, prometheus::Error> {
        let (name, help) = ("drawspan_collected", "Everything that is read at a scrape.");
        let desc = Desc::new(name.into(), help.into(), vec![], HashMap::new())?;
        Ok(Self { sources, desc })
    }
}

impl Collector for Collected {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let sources = &*self.sources;
        let blocks = sources.blocks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut families = vec![requests(&sources.nodes, &blocks), latency(&blocks)];
        families.extend(node_facts(&sources.nodes, &blocks));
        families.extend(node_states(&sources.nodes));
        families.extend(connections(&blocks));
        families.push(own_errors(&blocks));
        families.extend(process());
        let dropped = sources.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = dropped.iter().map(|(log, dropped)| {
            let lines = dropped.lines() as f64;
            counter(&[("log", log.as_str())], lines)
        });
        let help = "Lines that were thrown away because nobody took them in time.";
        families.push(family("drawspan_log_lines_dropped_total", help, dropped.collect()));
        families
    }
}

fn requests(nodes: &Nodes, blocks: &[Arc<Block>]) -> MetricFamily {
    let names = nodes.iter().map(|node| node.id.as_str()).chain([NO_NODE]);
    let mut metrics = vec![];
    for (slot, node) in names.enumerate() {
        for (mode, class, (status, status_name)) in series() {
            let value = sum_nodes(blocks, slot, |node| node.requests(mode, class, status));
            // Most of these never happen; a series begins with its first request.
            if value != 0 {
                let labels = [
                    ("class", class.as_str()),
                    ("mode", mode.as_str()),
                    ("node", node),
                    ("status", status_name),
                ];
                metrics.push(counter(&labels, value as f64));
            }
        }
    }
    family("drawspan_requests_total", "Requests that are over, by who answered them.", metrics)
}

fn series() -> impl Iterator<Item = (ModeKind, RequestClass, (usize, &'static str))> {
    ModeKind::ALL.into_iter().flat_map(|mode| {
        RequestClass::ALL.into_iter().flat_map(move |class| {
            STATUS_CLASSES.into_iter().enumerate().map(move |status| (mode, class, status))
        })
    })
}

fn latency(blocks: &[Arc<Block>]) -> MetricFamily {
    let histogram = |class: &RequestClass| {
        let of =
            |block: &Common, place: usize| block.latency[*class as usize].buckets[place].value();
        let mut below = 0;
        let bucket = |(place, bound): (usize, &f64)| {
            below += sum(blocks, |common| of(common, place));
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(below);
            bucket
        };
        let buckets = LATENCY_BOUNDS.iter().enumerate().map(bucket).collect();
        let nanos = sum(blocks, |common| common.latency[*class as usize].nanos.value());
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(below + sum(blocks, |common| of(common, LATENCY_BOUNDS.len())));
        histogram.set_sample_sum(nanos as f64 / 1e9);
        let mut metric = labelled(&[("class", class.as_str())]);
        metric.set_histogram(histogram);
        metric
    };
    let help = "Seconds from a request's head to the end of its response.";
    let metrics = RequestClass::ALL.iter().map(histogram).collect();
    family("drawspan_request_duration_seconds", help, metrics)
}

fn node_facts(nodes: &Nodes, blocks: &[Arc<Block>]) -> Vec<MetricFamily> {
    let of = |slot: usize, fact| sum_nodes(blocks, slot, |node| node.fact(fact));
    let counters = [
        ("pool_hits_total", "Attempts on a pooled connection.", NodeFact::PoolHit),
        ("connections_total", "Connections opened to a node.", NodeFact::Connected),
        ("pool_stale_total", "Pooled connections found dead when used.", NodeFact::StaleReplaced),
        (
            "connect_failures_total",
            "Connections that could not be opened.",
            NodeFact::ConnectFailed,
        ),
        ("retries_total", "Attempts that failed and went on to another.", NodeFact::Retried),
        ("ejections_total", "Times a node was passed over for failures.", NodeFact::Ejected),
    ];
    let mut families: Vec<_> = counters
        .into_iter()
        .map(|(name, help, fact)| {
            let metric =
                |(slot, labels): (usize, Labels<'_>)| counter(labels, of(slot, fact) as f64);
            by_node(&format!("drawspan_node_{name}"), help, nodes, metric)
        })
        .collect();
    families.push(by_node(
        "drawspan_node_pool_idle",
        "Connections waiting in the pools.",
        nodes,
        |(slot, labels)| {
            // Read in this order, a connection that moves meanwhile counts once too often at most.
            let left = of(slot, NodeFact::IdleLeft);
            gauge(labels, of(slot, NodeFact::IdleKept).saturating_sub(left) as f64)
        },
    ));
    families
}

fn node_states(nodes: &Nodes) -> Vec<MetricFamily> {
    let now = clock::uptime_ms();
    let gauge_of = |name: &str, help: &str, value: &dyn Fn(&Node) -> f64| {
        by_node(name, help, nodes, |(slot, labels)| gauge(labels, value(&nodes[slot])))
    };
    let abandoned = |(slot, labels): (usize, Labels<'_>)| {
        let node: &Node = &nodes[slot];
        counter(labels, node.abandoned() as f64)
    };
    let states = nodes.iter().flat_map(|node| {
        NodeState::ALL.into_iter().map(|state| {
            let current = f64::from(u8::from(node.state() == state));
            gauge(&[("node", node.id.as_str()), ("state", state.as_str())], current)
        })
    });
    vec![
        gauge_of("drawspan_node_in_flight", "Requests held on a node now.", &|node| {
            node.requests() as f64
        }),
        gauge_of("drawspan_node_tunnels", "Tunnels open on a node now.", &|node| {
            node.tunnels() as f64
        }),
        gauge_of("drawspan_node_ejected", "1 while a node is passed over.", &|node| {
            f64::from(u8::from(node.is_ejected(now)))
        }),
        by_node(
            "drawspan_node_abandoned_total",
            "Requests written to a node whose response never completed.",
            nodes,
            abandoned,
        ),
        family("drawspan_node_state", "1 for the state that a node is in.", states.collect()),
    ]
}

fn connections(blocks: &[Arc<Block>]) -> Vec<MetricFamily> {
    let total = |name: &str, help: &str, of: fn(&Common) -> &Count| {
        let value = sum(blocks, |common| of(common).value());
        family(name, help, vec![counter(&[], value as f64)])
    };
    let closed = sum(blocks, |common| common.closed.value());
    let open = sum(blocks, |common| common.accepted.value()).saturating_sub(closed);
    vec![
        family(
            "drawspan_client_connections_open",
            "Client connections open now.",
            vec![gauge(&[], open as f64)],
        ),
        total("drawspan_client_connections_accepted_total", "Client connections served.", |c| {
            &c.accepted
        }),
        total(
            "drawspan_client_connections_refused_total",
            "Client connections over the cap.",
            |c| &c.refused,
        ),
        total("drawspan_accept_errors_total", "Times that accepting failed.", |c| &c.accept_failed),
    ]
}

fn own_errors(blocks: &[Arc<Block>]) -> MetricFamily {
    let metric = |error: &OwnError| {
        let value = sum(blocks, |common| common.own_errors[*error as usize].value());
        counter(&[("status", error.label())], value as f64)
    };
    let help = "Errors that the gateway answered by itself, the notice aside.";
    family("drawspan_own_errors_total", help, OwnError::ALL.iter().map(metric).collect())
}

fn process() -> Vec<MetricFamily> {
    let process = Process::look();
    let gauges = [
        ("process_resident_memory_bytes", "Memory in use.", process.resident_bytes),
        ("process_threads", "Threads.", process.threads),
        ("process_open_fds", "Descriptors open.", process.open_descriptors),
        ("process_max_fds", "Descriptors that may be open.", process.max_descriptors),
    ];
    let gauges = gauges
        .into_iter()
        .filter_map(|(name, help, value)| Some(family(name, help, vec![gauge(&[], value?)])));
    let cpu = process.cpu_seconds.map(|seconds| {
        family("process_cpu_seconds_total", "Processor time used.", vec![counter(&[], seconds)])
    });
    gauges.chain(cpu).collect()
}

fn sum(blocks: &[Arc<Block>], of: impl Fn(&Common) -> u64) -> u64 {
    blocks.iter().map(|block| of(&block.common)).sum()
}

fn sum_nodes(blocks: &[Arc<Block>], slot: usize, of: impl Fn(&NodeCounts) -> u64) -> u64 {
    blocks.iter().filter_map(|block| block.nodes.get(slot)).map(|node| of(node)).sum()
}

fn by_node(
    name: &str,
    help: &str,
    nodes: &Nodes,
    metric: impl Fn((usize, Labels<'_>)) -> Metric,
) -> MetricFamily {
    let metric = |(slot, node): (usize, &Arc<Node>)| metric((slot, &[("node", node.id.as_str())]));
    family(name, help, nodes.iter().enumerate().map(metric).collect())
}

/// By the rules of Prometheus' naming, a counter is what ends in `_total`.
fn family(name: &str, help: &str, metrics: Vec<Metric>) -> MetricFamily {
    let kind = if name.ends_with("_total") {
        MetricType::COUNTER
    } else if name.ends_with("_duration_seconds") {
        MetricType::HISTOGRAM
    } else {
        MetricType::GAUGE
    };
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn counter(labels: Labels<'_>, value: f64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = labelled(labels);
    metric.set_counter(counter);
    metric
}

fn gauge(labels: Labels<'_>, value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = labelled(labels);
    metric.set_gauge(gauge);
    metric
}

fn labelled(labels: Labels<'_>) -> Metric {
    let pair = |(name, value): &(&'static str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    Metric::from_label(labels.iter().map(pair).collect())
}
