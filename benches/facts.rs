//! What follows from a request's head: its class, and does it change what runs?
//! Taken once per request, before the pick.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use drawspan::nocobase::{Method, Paths, RequestFacts, RequestHead};

const JSON: &str = "application/json, text/plain, */*";
const HTML: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

fn head<'a>(
    method: Method,
    target: &'a str,
    accept: &'a str,
    sec_fetch_mode: &'a str,
) -> RequestHead<'a> {
    RequestHead {
        method,
        target,
        accept: Some(accept),
        upgrade: None,
        sec_fetch_mode: Some(sec_fetch_mode),
    }
}

fn facts(criterion: &mut Criterion) {
    let list = "/api/posts:list?pageSize=20&page=1&sort=-id";
    // Percent signs take the way that allocates.
    let escaped = "/api/posts%3Alist?pageSize=20";
    let handshake =
        RequestHead { upgrade: Some("websocket"), ..head(Method::Get, "/ws", "*/*", "websocket") };
    let heads = [
        ("api_list", head(Method::Get, list, JSON, "cors")),
        ("api_post", head(Method::Other, "/api/posts:create", JSON, "cors")),
        ("api_escaped", head(Method::Get, escaped, JSON, "cors")),
        ("asset", head(Method::Get, "/assets/index-0a1b2c3d.js", "*/*", "no-cors")),
        ("page", head(Method::Get, "/admin/settings", HTML, "navigate")),
        ("handshake", handshake),
    ];
    let paths = Paths::default();
    let mut group = criterion.benchmark_group("facts");
    for (name, head) in heads {
        group.bench_function(name, |bencher| {
            bencher.iter(|| RequestFacts::new(black_box(&head), black_box(&paths)));
        });
    }
    group.finish();
}

criterion_group!(benches, facts);
criterion_main!(benches);
