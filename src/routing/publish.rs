//! One writer, many readers: the point where the control plane and the data plane meet.

use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

use super::{Nodes, Table};
use crate::model::{Generation, Mode, NodeId};

/// The published table; cloned into every worker.
#[derive(Clone, Debug)]
pub struct Tables(Arc<ArcSwap<Table>>);

impl Tables {
    /// The table of this moment, for readers off the request path.
    pub fn load(&self) -> Arc<Table> {
        self.0.load_full()
    }

    /// A reader for one thread: a look costs a few nanoseconds while nothing changes.
    pub fn reader(&self) -> Reader {
        Reader(Cache::new(self.0.clone()))
    }
}

/// One thread's view of the published table.
#[derive(Debug)]
pub struct Reader(Cache<Arc<ArcSwap<Table>>, Arc<Table>>);

impl Reader {
    /// The table that is published now. The borrow keeps callers from holding it over an
    /// `.await`: each decision takes a fresh look.
    pub fn current(&mut self) -> &Arc<Table> {
        self.0.load()
    }
}

/// The only writer. It is not `Clone`, and the engine owns it.
#[derive(Debug)]
pub struct Publisher {
    tables: Tables,
    generation: Generation,
    nodes: Nodes,
}

impl Publisher {
    /// Publishes the table of the start as generation 1.
    pub fn new(mode: Mode, nodes: Nodes, excluded: &[NodeId]) -> Self {
        let generation = Generation(1);
        let table = Table::new(generation, mode, nodes.clone(), excluded);
        let tables = Tables(Arc::new(ArcSwap::from_pointee(table)));
        Self { tables, generation, nodes }
    }

    pub fn tables(&self) -> Tables {
        self.tables.clone()
    }

    /// Publishes `mode` without the `excluded` nodes as the next generation. From here on some
    /// workers may route by it; all do once they are fenced.
    pub fn publish(&mut self, mode: Mode, excluded: &[NodeId]) -> Generation {
        self.generation = Generation(self.generation.0 + 1);
        let table = Table::new(self.generation, mode, self.nodes.clone(), excluded);
        self.tables.0.store(Arc::new(table));
        self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NodeRole, Weight};
    use crate::routing::{Node, NodeIndex};

    #[test]
    fn a_reader_sees_what_was_published_last() {
        let mut publisher = Publisher::new(Mode::Cluster, Arc::from([]), &[]);
        let mut reader = publisher.tables().reader();
        assert_eq!(reader.current().generation, Generation(1));
        let generation = publisher.publish(Mode::Maintenance, &[]);
        assert_eq!(reader.current().generation, generation);
        assert_eq!(reader.current().mode, Mode::Maintenance);
    }

    #[test]
    fn each_table_is_without_the_nodes_that_it_was_published_without() {
        let id: NodeId = "n1".parse().expect("a legal id");
        let node = Node::new(id.clone(), NodeRole::Request, Weight::ONE, String::new());
        let excluded = [id];
        let mut publisher = Publisher::new(Mode::Cluster, Arc::from([Arc::new(node)]), &excluded);
        let mut reader = publisher.tables().reader();
        assert!(reader.current().is_excluded(NodeIndex(0)));
        publisher.publish(Mode::Cluster, &[]);
        assert!(reader.current().allows(NodeIndex(0)));
        publisher.publish(Mode::Cluster, &excluded);
        assert!(!reader.current().allows(NodeIndex(0)));
    }
}
