//! What a plain request costs a worker in memory: nothing that has to be allocated.

#![allow(unsafe_code, reason = "an allocator that counts hands every call on to the system's")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::thread;

use common::{InProcess, Wish};

/// Counts what one thread allocates.
struct Counting;

/// The thread's number; 0 for none.
static COUNTED: AtomicI32 = AtomicI32::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

fn count() {
    let counted = COUNTED.load(Ordering::Relaxed);
    if counted != 0 && rustix::thread::gettid().as_raw_nonzero().get() == counted {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: each call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised us.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promised us.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const REQUESTS: usize = 2_000;

/// The number of the thread on which requests are served.
fn worker() -> i32 {
    let threads = fs::read_dir("/proc/self/task").expect("threads").filter_map(Result::ok);
    let mut named = threads.filter(|thread| {
        fs::read_to_string(thread.path().join("comm")).is_ok_and(|name| name.trim() == "worker-0")
    });
    let worker = named.next().expect("a worker");
    worker.file_name().to_str().expect("digits").parse().expect("a number")
}

/// One connection of a client.
struct Asking {
    stream: TcpStream,
    answer: Vec<u8>,
}

const GET: &[u8] = b"GET /api/app:getInfo?a=b HTTP/1.1\r\nHost: crm.example.com\r\nAccept: */*\r\n\
User-Agent: Mozilla/5.0\r\nAuthorization: Bearer abc\r\nCookie: a=b\r\nConnection: keep-alive\r\n\r\n";

impl Asking {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the gateway listens");
        Self { stream, answer: vec![0; 64 * 1024] }
    }

    /// One request and its answer.
    fn ask(&mut self) {
        self.stream.write_all(GET).expect("taken");
        let mut count = 0;
        while !is_whole(&String::from_utf8_lossy(&self.answer[..count])) {
            let more = self.stream.read(&mut self.answer[count..]).expect("an answer");
            assert!(0 < more, "an answer that breaks off");
            count += more;
        }
        assert!(self.answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
}

/// Has it come to the end that its head tells?
fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let head = format!("{}\r\n", head.to_lowercase());
    head.contains(&format!("content-length: {}\r\n", body.len()))
}

/// What the worker allocates while `work` is done.
fn allocated(worker: i32, work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    COUNTED.store(worker, Ordering::Relaxed);
    work();
    COUNTED.store(0, Ordering::Relaxed);
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

#[tokio::test]
async fn a_plain_request_on_a_kept_connection_allocates_nothing() {
    let nodes = common::nodes(1);
    let gateway = InProcess::start(&nodes, Wish { workers: 1, ..Wish::default() }).await;
    let address = gateway.address;
    let asked = thread::spawn(move || {
        let mut asking = Asking::new(address);
        asking.ask();
        let worker = worker();
        let opening = allocated(worker, || Asking::new(address).ask());
        assert!(0 < opening, "a connection cannot be had for nothing: nobody counts");
        allocated(worker, || (0..REQUESTS).for_each(|_| asking.ask()))
    });
    let joined = tokio::task::spawn_blocking(|| asked.join()).await.expect("no panic");
    let allocations = joined.expect("answers");
    // The worker's clock ticks meanwhile, and writes its date: much less than once for a request.
    assert!(allocations < REQUESTS / 10, "{allocations} in {REQUESTS} requests");
}
