//! nginx as a proxy in front of the played node.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running nginx; ended, by its id, when dropped.
pub struct Nginx {
    pub version: String,
    pub address: SocketAddr,
    child: Child,
    folder: TempDir,
}

/// What nginx passes on it passes on as we do: over connections that are kept, every line of a head.
fn configuration(folder: &str, address: SocketAddr, node: SocketAddr) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {folder}/{kind};"))
        .join(" ");
    format!(
        "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
         events {{ worker_connections 64; }}
         http {{
           access_log off; {temporary} large_client_header_buffers 4 32k; underscores_in_headers on;
           upstream node {{ server {node}; keepalive 4; }}
           server {{
             listen {address};
             location / {{
               proxy_pass http://node; proxy_http_version 1.1; proxy_ignore_client_abort on;
               proxy_set_header Connection \"\"; proxy_set_header Host $http_host;
               proxy_next_upstream off;
             }}
           }}
         }}"
    )
}

impl Nginx {
    /// `None` where there is none on this machine.
    pub fn start(node: SocketAddr) -> Option<Self> {
        let told = Command::new("nginx").arg("-v").output().ok()?;
        let version = String::from_utf8_lossy(&told.stderr).into_owned();
        let folder = tempfile::tempdir().expect("a folder");
        // Free a moment ago; where somebody took it, nginx ends and the test says so.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|taken| taken.local_addr());
        let address = address.expect("a free port");
        let path = folder.path().join("nginx.conf");
        let place = folder.path().to_str().expect("a plain path");
        std::fs::write(&path, configuration(place, address, node)).expect("a file");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder.path()).arg("-c").arg(&path).arg("-e").arg("error.log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut nginx =
            Self { version, address, child: command.spawn().expect("it is installed"), folder };
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            let over = nginx.child.try_wait().expect("our child").is_some();
            assert!(!over && Instant::now() < end, "nginx does not start: {}", nginx.errors());
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(nginx)
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
