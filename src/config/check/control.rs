//! The control socket.

use std::os::unix::ffi::OsStrExt;

use super::super::document::Section;
use super::super::problems::{At, shown};
use super::super::{Control, Environment, Flags, GroupRole};
use super::path_setting;
use crate::model::limits::SOCKET_PATH_BYTES_MAX;

/// Longest name of a group, as useradd(8) allows it.
const GROUP_BYTES_MAX: usize = 32;

pub(super) fn control(s: &mut Section, flags: &Flags, environment: &Environment) -> Control {
    let flag = ("--control", flags.control.as_ref());
    let At { place, value: path } = path_setting(s, "path", flag, environment.control_path());
    let bytes = path.as_os_str().as_bytes();
    if SOCKET_PATH_BYTES_MAX < bytes.len() {
        let message = format!(
            "has {} bytes, and a Unix socket's path holds at most {SOCKET_PATH_BYTES_MAX}; choose \
             a shorter one, as /run/drawspan/control.sock",
            bytes.len()
        );
        s.problem(&place, message);
    } else if bytes.ends_with(b"/") {
        let message = format!(
            "{} is a folder; write the socket's own path, as \
                               /run/drawspan/control.sock",
            path.display()
        );
        s.problem(&place, message);
    }
    let group = s.text("group", "drawspan").and_then(|At { place, value }| {
        let legal = |c: char| c.is_alphanumeric() || "_-.$".contains(c);
        let named = !value.is_empty() && value.len() <= GROUP_BYTES_MAX && value.chars().all(legal);
        if !named {
            let message = format!(
                "{} is no name of a group; write one of this machine's, or its \
                                   number in quotes",
                shown(&value)
            );
            s.problem(&place, message);
        }
        named.then_some(value)
    });
    let roles = [("viewer", GroupRole::Viewer), ("operator", GroupRole::Operator)];
    Control { path, group, group_role: s.choice("group_role", &roles, GroupRole::default()) }
}
