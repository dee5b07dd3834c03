//! Looks whether nodes on this machine can be reached past the gateway.
//!
//! Modest on purpose: it sees listening sockets of its own network namespace, not firewalls, nor
//! other machines. Finding nothing proves nothing.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::{Config, NodeConfig};

/// One warning for each node on this machine whose port is open beyond loopback.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    // Without /proc there is nothing to see, and nothing is said.
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let tables = tables.iter().filter_map(|path| fs::read_to_string(path).ok());
    let listening: Vec<SocketAddr> = tables.flat_map(|table| listening(&table)).collect();
    config.nodes.iter().filter_map(|node| warning(node, &listening)).collect()
}

fn warning(node: &NodeConfig, listening: &[SocketAddr]) -> Option<String> {
    let address = node.address.as_ref().filter(|address| address.is_loopback())?;
    let open = listening.iter().find(|socket| {
        socket.port() == address.port && !socket.ip().to_canonical().is_loopback()
    })?;
    Some(format!(
        "node {}: its port is open beyond this machine (something listens on {open}), so people may \
         reach it past the gateway; let it listen on 127.0.0.1, or close the port in the firewall",
        node.id
    ))
}

/// The listening sockets of a table as proc_pid_net(5) describes it: the second column is the local
/// address in hexadecimal, the fourth the state, of which 0A is listening.
fn listening(table: &str) -> Vec<SocketAddr> {
    let row = |line: &str| {
        let mut columns = line.split_whitespace().skip(1);
        let local = columns.next()?;
        let state = columns.nth(1)?;
        if state == "0A" { socket(local) } else { None }
    };
    table.lines().filter_map(row).collect()
}

/// `0100007F:1F90` is 127.0.0.1:8080: each 32 bits of the address are in the machine's own order.
fn socket(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = address.get(at..at + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let mut bytes = [0; 16];
            bytes.copy_from_slice(words.as_flattened());
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::config::{Environment, Flags, from_flags};

    fn config_of(node: SocketAddr) -> Config {
        let flags = Flags {
            listen: vec!["127.0.0.1:0".into()],
            nodes: vec![node.to_string()],
            ..Flags::default()
        };
        from_flags(&flags, &Environment::default()).expect("a right configuration").config
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_table_of_the_kernel_gives_its_listening_sockets() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n   \
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000\n   \
            1: 00000000:32C8 00000000:0000 0A 00000000:00000000 00:00000000\n   \
            2: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000\n   \
            3: 00000000000000000000000001000000:0050 0:0 0A\n broken\n 4: é:1 x 0A\n";
        let shown: Vec<String> = listening(table).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["127.0.0.1:8080", "0.0.0.0:13000", "[::1]:80"]);
    }

    #[test]
    fn a_node_that_listens_to_everybody_is_named_and_one_on_loopback_is_not() {
        let open = TcpListener::bind("0.0.0.0:0").expect("a free port");
        let port = open.local_addr().expect("bound").port();
        let found = warnings(&config_of((Ipv4Addr::LOCALHOST, port).into()));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("node n1") && found[0].contains("127.0.0.1"), "{found:?}");

        let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = closed.local_addr().expect("bound");
        assert_eq!(warnings(&config_of(address)), Vec::<String>::new());
    }
}
