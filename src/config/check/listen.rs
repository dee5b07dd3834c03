//! The addresses that the gateway takes: for public traffic and for its admin pages.

use std::net::SocketAddr;

use super::super::address::listen_address;
use super::super::document::Section;
use super::super::problems::{At, Place};
use super::super::{Flags, values::number_of};
use crate::model::limits::LISTEN_ADDRESSES_MAX;

/// What `drawspan run --node URL` listens on.
const LISTEN_BY_FLAGS: &str = "0.0.0.0:8080";

pub(super) struct Sockets {
    pub(super) listen: Vec<At<SocketAddr>>,
    pub(super) admin: Option<At<SocketAddr>>,
}

pub(super) fn sockets(top: &mut Section, flags: &Flags) -> Sockets {
    let listen = listen(top, flags);
    let admin = admin(top, flags);
    let mut taken: Vec<&At<SocketAddr>> = Vec::new();
    for at in listen.iter().chain(&admin) {
        if let Some(other) = taken.iter().find(|other| overlap(other.value, at.value)) {
            let message = format!(
                "{} is taken by {} ({}); write another port or address, or remove one of the two",
                at.value, other.place, other.value
            );
            top.problem(&at.place, message);
        }
        taken.push(at);
    }
    Sockets { listen, admin }
}

fn listen(top: &mut Section, flags: &Flags) -> Vec<At<SocketAddr>> {
    let written = top.texts("listen", LISTEN_BY_FLAGS);
    let in_file = top.has("listen");
    let texts = match written {
        _ if !flags.listen.is_empty() => {
            let by_flag = |(i, value): (usize, &String)| {
                let place = Place::Flag(number_of("--listen", i, flags.listen.len()));
                At { place, value: value.clone() }
            };
            // The file's own list is checked all the same, and then replaced.
            addresses(top, written.into_iter().flat_map(|at| at.value));
            flags.listen.iter().enumerate().map(by_flag).collect()
        }
        Some(At { place, value }) => {
            if value.is_empty() {
                top.problem(&place, "names no address; write at least one, as \"0.0.0.0:8080\"");
            } else if LISTEN_ADDRESSES_MAX < value.len() {
                let message =
                    format!("has {} addresses; write at most {LISTEN_ADDRESSES_MAX}", value.len());
                top.problem(&place, message);
            }
            value
        }
        None if in_file => Vec::new(),
        None => match top.missing("listen", "--listen") {
            place @ Place::Flag(_) => vec![At { place, value: LISTEN_BY_FLAGS.to_owned() }],
            place @ (Place::Key { .. } | Place::Text { .. }) => {
                top.problem(
                    &place,
                    "is missing; write the addresses of public traffic, as \
                                     listen = [\"0.0.0.0:8080\"]",
                );
                Vec::new()
            }
        },
    };
    addresses(top, texts)
}

fn addresses(
    top: &mut Section,
    texts: impl IntoIterator<Item = At<String>>,
) -> Vec<At<SocketAddr>> {
    texts.into_iter().filter_map(|at| address(top, at)).collect()
}

fn address(top: &mut Section, At { place, value }: At<String>) -> Option<At<SocketAddr>> {
    match listen_address(&value) {
        Ok(value) => Some(At { place, value }),
        Err(wrong) => {
            top.problem(&place, wrong);
            None
        }
    }
}

fn admin(top: &mut Section, flags: &Flags) -> Option<At<SocketAddr>> {
    let written = top.text("admin", "127.0.0.1:9090").and_then(|at| address(top, at));
    let admin = match &flags.admin {
        Some(value) => {
            let place = Place::Flag("--admin".to_owned());
            address(top, At { place, value: value.clone() })
        }
        None => written,
    };
    if let Some(At { place, value }) = admin.as_ref().filter(|at| at.value.ip().is_unspecified()) {
        top.warn(
            place,
            format!(
                "{value} shows metrics and state to everybody who reaches this machine; write an \
                 address that only monitoring reaches, as 127.0.0.1:{}",
                value.port()
            ),
        );
    }
    admin
}

/// Would the second of the two find its port taken? Of the two families each is asked alone, for
/// it depends on the system whether `[::]` takes IPv4 too.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let every = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port()
        && a.port() != 0
        && a.is_ipv4() == b.is_ipv4()
        && (every || a.ip() == b.ip())
}
