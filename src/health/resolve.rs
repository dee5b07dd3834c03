//! Names to addresses, off the data plane: workers only ever read what is found here.

use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::model::limits::ADDRESSES_PER_NODE_MAX;

/// Why a node's name gave no address.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error("{source}")]
    Failed {
        #[source]
        source: io::Error,
    },
    #[error("it has no address")]
    NoAddress,
    #[error("no answer within {limit:?}")]
    TimedOut { limit: Duration },
    #[error("an earlier look-up still has no answer")]
    StillRunning,
}

/// Looks names up.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of `authority` (`host:port`), in any order.
    ///
    /// # Errors
    /// [`ResolveError`] where there is none, or none in time.
    ///
    /// # Cancel safety
    /// A dropped look-up is as if it had never begun.
    fn resolve(
        &self,
        authority: &str,
    ) -> impl Future<Output = Result<Vec<SocketAddr>, ResolveError>> + Send;
}

/// The system's resolver (hosts file, DNS). A look-up blocks a thread until the system gives up,
/// longer than anybody waits for it; so at most one runs for each name.
#[derive(Debug)]
pub struct SystemResolver {
    limit: Duration,
    running: Arc<Mutex<HashSet<String>>>,
    lookups: TaskTracker,
}

impl SystemResolver {
    /// `limit` bounds the wait for one look-up.
    pub fn new(limit: Duration) -> Self {
        Self { limit, running: Arc::default(), lookups: TaskTracker::new() }
    }
}

impl Resolve for SystemResolver {
    async fn resolve(&self, authority: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        let running = Running::begin(&self.running, authority).ok_or(ResolveError::StillRunning)?;
        let lookup = self.lookups.spawn(async move {
            let found = tokio::net::lookup_host(&running.name).await;
            found.map(|found| found.take(ADDRESSES_PER_NODE_MAX).collect::<Vec<_>>())
        });
        match timeout(self.limit, lookup).await {
            Err(_) => Err(ResolveError::TimedOut { limit: self.limit }),
            Ok(Err(join)) => Err(ResolveError::Failed { source: io::Error::other(join) }),
            Ok(Ok(Err(source))) => Err(ResolveError::Failed { source }),
            Ok(Ok(Ok(found))) if found.is_empty() => Err(ResolveError::NoAddress),
            Ok(Ok(Ok(found))) => Ok(found),
        }
    }
}

/// Marks a name as being looked up, until the look-up itself has ended.
struct Running {
    all: Arc<Mutex<HashSet<String>>>,
    name: String,
}

impl Running {
    fn begin(all: &Arc<Mutex<HashSet<String>>>, name: &str) -> Option<Self> {
        let is_new = all.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        is_new.then(|| Self { all: all.clone(), name: name.to_owned() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

/// The order in which addresses are kept: a resolver that shuffles them changes nothing.
pub(super) fn in_order(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(ADDRESSES_PER_NODE_MAX);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_system_resolves_a_name_of_its_hosts_file() {
        let resolver = SystemResolver::new(Duration::from_secs(10));
        let found = resolver.resolve("localhost:13001").await.expect("every system has localhost");
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 13001));
    }

    #[tokio::test]
    async fn a_name_that_cannot_exist_is_an_error_and_not_a_panic() {
        let resolver = SystemResolver::new(Duration::from_secs(10));
        for authority in ["no such name:80", "localhost", "localhost:x", ":", "a..b:1"] {
            assert!(resolver.resolve(authority).await.is_err(), "{authority}");
        }
    }

    #[test]
    fn a_name_is_looked_up_once_at_a_time() {
        let all = Arc::default();
        let first = Running::begin(&all, "n1:80");
        assert!(first.is_some());
        assert!(Running::begin(&all, "n1:80").is_none());
        assert!(Running::begin(&all, "n2:80").is_some());
        drop(first);
        assert!(Running::begin(&all, "n1:80").is_some());
    }

    #[test]
    fn addresses_are_kept_in_order_once_each_and_up_to_the_limit() {
        let address = |n: u16| SocketAddr::from(([127, 0, 0, 1], n));
        assert_eq!(in_order(vec![address(2), address(1), address(2)]), [address(1), address(2)]);
        assert_eq!(in_order((0..99).map(address).collect()).len(), ADDRESSES_PER_NODE_MAX);
    }
}
