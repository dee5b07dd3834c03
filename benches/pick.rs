//! What a worker decides per attempt: the look at the published table and the pick of a node,
//! and what follows from a request's head.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use drawspan::model::{Mode, NodeRole, NodeState, Weight};
use drawspan::routing::{Balance, Node, Nodes, Publisher, Rotation, Tried};

const NOW_MS: u64 = 1_000;

fn ready_nodes(count: usize) -> Nodes {
    let ready_node = |i| {
        let id = format!("n{i}").parse().expect("letters and digits are a legal id");
        let node = Node::new(id, NodeRole::Request, Weight::ONE, format!("127.0.0.1:{i}"));
        node.set_state(NodeState::Ready);
        Arc::new(node)
    };
    (1..=count).map(ready_node).collect()
}

/// A fresh look at the table and a pick, as every attempt does; 3 nodes are the usual cluster,
/// the others show how it grows.
fn pick(criterion: &mut Criterion) {
    let balances =
        [("round_robin", Balance::RoundRobin), ("least_requests", Balance::LeastRequests)];
    for (name, balance) in balances {
        let mut group = criterion.benchmark_group(format!("pick/{name}"));
        for count in [3, 16, 64] {
            let publisher = Publisher::new(Mode::Cluster, ready_nodes(count), &[]);
            let mut reader = publisher.tables().reader();
            let mut rotation = Rotation::new(count, 0);
            group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
                bencher.iter(|| {
                    let table = reader.current();
                    table.pick(balance, &mut rotation, &Tried::default(), black_box(NOW_MS))
                });
            });
        }
    }
}

/// The same with all that a request that succeeds does to its node's values.
fn attempt(criterion: &mut Criterion) {
    let publisher = Publisher::new(Mode::Cluster, ready_nodes(3), &[]);
    let mut reader = publisher.tables().reader();
    let mut rotation = Rotation::new(3, 0);
    criterion.bench_function("attempt/3", |bencher| {
        bencher.iter(|| {
            let table = reader.current();
            let tried = Tried::default();
            let picked = table.pick(Balance::RoundRobin, &mut rotation, &tried, black_box(NOW_MS));
            let index = picked.expect("every node is ready in cluster mode");
            let node = &table.nodes[index.0];
            node.request_began();
            node.answered();
            node.request_ended();
            index
        });
    });
}

/// No node may take a request: what the notice costs before its bytes.
fn raised(criterion: &mut Criterion) {
    let publisher = Publisher::new(Mode::Maintenance, ready_nodes(3), &[]);
    let mut reader = publisher.tables().reader();
    let mut rotation = Rotation::new(3, 0);
    criterion.bench_function("pick/raised", |bencher| {
        bencher.iter(|| {
            let table = reader.current();
            let tried = Tried::default();
            table.pick(Balance::RoundRobin, &mut rotation, &tried, black_box(NOW_MS))
        });
    });
}

criterion_group!(benches, pick, attempt, raised);
criterion_main!(benches);
