//! The nodes of the demonstration: processes of this same program.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};

use super::folder::Folder;

pub(super) const NODES: usize = 3;

/// One stand-in node. Ends when dropped, and with the thread that started it.
#[derive(Debug)]
pub(super) struct NodeProcess {
    pub(super) id: String,
    pub(super) address: SocketAddr,
    child: Child,
}

impl NodeProcess {
    fn start(id: String, folder: &Folder) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut command = Command::new(program);
        command.args(["stand-in", "--listen", "127.0.0.1:0", "--id", &id, "--database"]);
        command.arg(folder.path().join("database"));
        command.arg("--end-with").arg(std::process::id().to_string());
        // Out of the terminal's group: ctrl-C ends the gateway first, and then the nodes.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start node {id}"))?;
        let Some(stdout) = child.stdout.take() else { bail!("node {id} has no stdout") };
        let mut node = Self { id, address: ([127, 0, 0, 1], 0).into(), child };
        let mut line = String::new();
        // It says where it listens, or ends, which is an empty line.
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ").and_then(|text| text.parse().ok());
        node.address = address.with_context(|| format!("node {} did not start", node.id))?;
        Ok(node)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // It may have been ended by whoever tries what the demonstration invites to.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// # Errors
/// A node that does not start; the others are ended then.
pub(super) fn start_all(folder: &Folder) -> anyhow::Result<Vec<NodeProcess>> {
    (1..=NODES).map(|number| NodeProcess::start(format!("n{number}"), folder)).collect()
}
