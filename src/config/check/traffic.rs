//! How traffic is carried: the application's paths, time-outs, limits, health.

use std::num::NonZeroU32;
use std::time::Duration;

use super::super::document::Section;
use super::super::problems::{At, shown};
use super::super::values::Bounds;
use super::super::{Health, HumanDuration, Limits, Timeouts};
use crate::model::limits::DRAIN_TIMEOUT_MAX;
use crate::nocobase::Paths;

const HOUR: Duration = Duration::from_secs(3600);
/// Long enough that a loaded machine does not miss it by itself.
const SHORTEST: Duration = Duration::from_millis(10);

/// Where only the public path is given, it moves the other two as NocoBase does.
pub(super) fn app(s: &mut Section) -> Paths {
    let default = Paths::default();
    let public = prefix(s, "public_path", &default.public).unwrap_or(default.public);
    let base = public.trim_end_matches('/');
    let api = prefix(s, "api_path", &default.api);
    let ws = prefix(s, "ws_path", &default.ws);
    let api = api.unwrap_or_else(|| format!("{base}{}", default.api));
    let ws = ws.unwrap_or_else(|| format!("{base}{}", default.ws));
    for (key, path) in [("api_path", &api), ("ws_path", &ws)] {
        let place = s.place(key);
        if path == "/" || *path == public {
            let message = format!(
                "{path} holds the pages too; write a path of its own, as \
                                   {base}{}",
                if key == "api_path" { "/api" } else { "/ws" }
            );
            s.problem(&place, message);
        }
    }
    if api == ws {
        let place = s.place("ws_path");
        s.problem(&place, format!("{ws} is also api_path; write the one of the WebSocket, as /ws"));
    }
    Paths { public, api, ws }
}

/// A path prefix; one `/` at its end is dropped, as NocoBase writes it.
fn prefix(s: &mut Section, key: &'static str, example: &str) -> Option<String> {
    let At { place, value } = s.text(key, example)?;
    let path = if value == "/" { "/" } else { value.strip_suffix('/').unwrap_or(&value) };
    let is_segment = |segment: &str| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&b);
        !segment.is_empty() && segment.bytes().all(legal) && segment != "." && segment != ".."
    };
    let segments = path.strip_prefix('/');
    if path == "/" || segments.is_some_and(|segments| segments.split('/').all(is_segment)) {
        return Some(path.to_owned());
    }
    let message = format!(
        "{} is no path prefix; begin it with / and write plain segments, as \
                           {example}",
        shown(&value)
    );
    s.problem(&place, message);
    None
}

pub(super) fn timeouts(s: &mut Section) -> Timeouts {
    let default = Timeouts::default();
    let within_hour: Bounds = SHORTEST..=HOUR;
    let may_be_none: Bounds = Duration::ZERO..=HOUR;
    Timeouts {
        head: s.duration("head", default.head, &within_hour),
        keep_alive: s.duration("keep_alive", default.keep_alive, &within_hour),
        body_stall: s.duration("body_stall", default.body_stall, &within_hour),
        connect: s.duration("connect", default.connect, &(SHORTEST..=Duration::from_secs(60))),
        response_head: s.duration("response_head", default.response_head, &(SHORTEST..=24 * HOUR)),
        drain: s.duration("drain", default.drain, &(Duration::ZERO..=DRAIN_TIMEOUT_MAX)),
        grace: s.duration("grace", default.grace, &may_be_none),
        withdraw_delay: s.duration("withdraw_delay", default.withdraw_delay, &may_be_none),
    }
}

pub(super) fn limits(s: &mut Section) -> Limits {
    Limits {
        connections: s.count("connections", &(1..=1_000_000)),
        request_body: s.size("request_body", &(1..=1 << 40)),
    }
}

pub(super) fn health(s: &mut Section) -> Health {
    let default = Health::default();
    let times = 1..=100_u32;
    let bounds: Bounds = SHORTEST..=Duration::from_secs(300);
    let interval = s.duration("interval", default.interval, &bounds);
    let timeout = s.duration("timeout", default.timeout, &bounds);
    if interval <= timeout {
        // Also where only the interval was written, and shorter than the default time-out.
        let message = format!(
            "is {}, and must be shorter than health.interval ({}), so that probes do not pile up",
            HumanDuration(timeout),
            HumanDuration(interval)
        );
        let place = s.place("timeout");
        s.problem(&place, message);
    }
    Health {
        interval,
        timeout,
        rise: s.count("rise", &times).and_then(NonZeroU32::new).unwrap_or(default.rise),
        fall: s.count("fall", &times).and_then(NonZeroU32::new).unwrap_or(default.fall),
    }
}
