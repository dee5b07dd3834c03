//! Streams of bytes by name: one for each way in which readers are known to differ, and plain ones.

/// Behind each stream stands another request that a lenient reader would serve.
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

fn get(lines: &str) -> String {
    format!("GET /a HTTP/1.1\r\nHost: a\r\n{lines}\r\n{NEXT}")
}

fn post(lines: &str, body: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}{NEXT}")
}

fn chunks(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

type Stream = (&'static str, Vec<u8>);

fn of<const N: usize>(streams: [(&'static str, String); N]) -> Vec<Stream> {
    streams.into_iter().map(|(name, text)| (name, text.into_bytes())).collect()
}

/// What clients send.
pub fn requests() -> Vec<Stream> {
    // No text: a character of two bytes is cut.
    let cut = ("a cut head with half a character in its target", b"GET /\xC3b HTTP/".to_vec());
    [plain(), framings(), lines(), first_lines(), bodies(), vec![cut]].concat()
}

fn plain() -> Vec<Stream> {
    of([
        ("a GET", NEXT.to_owned()),
        ("two", get("")),
        ("a body", post("Content-Length: 5\r\n", "hello")),
        ("an empty body", post("Content-Length: 0\r\n", "")),
        ("zeros before a length", post("Content-Length: 005\r\n", "hello")),
        ("chunks", chunks("5\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n")),
        ("small letters of a coding", post("transfer-encoding: Chunked\r\n", "0\r\n\r\n")),
        ("trailers", chunks("5\r\nhello\r\n0\r\nX-Sum: 9\r\nx-sum: 10\r\n\r\n")),
        ("an extension", chunks("5;a=b\r\nhello\r\n0;c\r\n\r\n")),
        ("a quoted extension", chunks("5 ;a=\"b;c\"\r\nhello\r\n0\r\n\r\n")),
        ("blanks around a value", get("A: \t b c \t\r\nB:\r\nC:x\r\n")),
        ("bytes of no alphabet", "GET /a HTTP/1.1\r\nHost: a\r\nA: \u{e4}\r\n\r\n".to_owned()),
        ("close", get("Connection: close\r\n")),
        ("close in a list", get("Connection: x\r\nConnection: y, CLOSE\r\n")),
        ("close with a parameter", get("Connection: close;a\r\n")),
        ("a control character and no end", "GET /a HTTP/1.1\r\nA: \0".to_owned()),
        (
            "a trailer without a colon and no end",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA b\r\nC"
                .to_owned(),
        ),
        ("a carriage return before", format!("\r{NEXT}")),
        ("half an empty line behind", format!("{NEXT}\r")),
        ("HTTP/1.0", format!("GET /a HTTP/1.0\r\nHost: a\r\n\r\n{NEXT}")),
        (
            "HTTP/1.0, kept",
            format!("GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n{NEXT}"),
        ),
        ("HTTP/1.0 with a body", "POST /a HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi".to_owned()),
        ("an empty line before", format!("\r\n\r\n{NEXT}")),
        ("an empty line between", format!("{NEXT}\r\n{NEXT}")),
        ("a whole URL", format!("GET http://b.test:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n{NEXT}")),
        ("an asterisk", format!("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n{NEXT}")),
        ("HEAD", format!("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n{NEXT}")),
        ("a method of its own", format!("M-SEARCH /a HTTP/1.1\r\nHost: a\r\n\r\n{NEXT}")),
        ("leave to go on", post("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello")),
        ("an upgrade", get("Connection: Upgrade\r\nUpgrade: websocket\r\n")),
        ("a cut head", "GET /a HTTP/1.1\r\nHost: a\r\n".to_owned()),
        ("a cut head with a fault", "GET /a HTTP/3.0\r\nHost: a\r\n".to_owned()),
        ("a cut method of digits", "5".to_owned()),
        ("a cut body", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello".to_owned()),
        (
            "a cut chunk",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi".into(),
        ),
        ("nothing", String::new()),
    ])
}

fn framings() -> Vec<Stream> {
    let chunked = "5\r\nhello\r\n0\r\n\r\n";
    of([
        ("CL and TE", post("Content-Length: 15\r\nTransfer-Encoding: chunked\r\n", chunked)),
        ("TE and CL", post("Transfer-Encoding: chunked\r\nContent-Length: 15\r\n", chunked)),
        ("CL twice, the same", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello")),
        ("CL twice, another", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello")),
        ("a list of lengths", post("Content-Length: 5, 5\r\n", "hello")),
        ("a length with a sign", post("Content-Length: +5\r\n", "hello")),
        ("a negative length", post("Content-Length: -5\r\n", "hello")),
        ("a hexadecimal length", post("Content-Length: 0x5\r\n", "hello")),
        ("a length with a blank", post("Content-Length: 5 5\r\n", "hello")),
        ("an empty length", post("Content-Length:\r\n", "hello")),
        ("a length that overflows", post("Content-Length: 18446744073709551616\r\n", "hello")),
        ("the longest length", post("Content-Length: 18446744073709551615\r\n", "hello")),
        ("gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n", chunked)),
        (
            "gzip above chunked",
            post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", chunked),
        ),
        ("chunked, identity", post("Transfer-Encoding: chunked, identity\r\n", chunked)),
        ("identity", post("Transfer-Encoding: identity\r\n", chunked)),
        ("xchunked", post("Transfer-Encoding: xchunked\r\n", chunked)),
        (
            "chunked twice",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunked),
        ),
        ("chunked, chunked", post("Transfer-Encoding: chunked, chunked\r\n", chunked)),
        ("a comma before", post("Transfer-Encoding: ,chunked\r\n", chunked)),
        ("a parameter", post("Transfer-Encoding: chunked;a=b\r\n", chunked)),
        ("a vertical tab", post("Transfer-Encoding:\x0bchunked\r\n", chunked)),
        ("an empty coding", post("Transfer-Encoding:\r\n", chunked)),
        (
            "HTTP/1.0 in chunks",
            format!("POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"),
        ),
    ])
}

fn lines() -> Vec<Stream> {
    of([
        ("a bare LF", "GET /a HTTP/1.1\nHost: a\n\n".to_owned()),
        ("a bare LF behind the first line", format!("GET /a HTTP/1.1\nHost: a\r\n\r\n{NEXT}")),
        ("a bare LF behind a line", format!("GET /a HTTP/1.1\r\nHost: a\nA: b\r\n\r\n{NEXT}")),
        ("a bare LF at the end", format!("GET /a HTTP/1.1\r\nHost: a\r\n\n{NEXT}")),
        ("a bare LF before", format!("\n{NEXT}")),
        ("a bare CR in a value", get("A: b\rc\r\n")),
        ("a bare CR behind a line", get("A: b\r\r\n")),
        ("a folded line", get("A: b\r\n c\r\n")),
        ("a folded first line", format!("GET /a HTTP/1.1\r\n Host: a\r\n\r\n{NEXT}")),
        ("NUL in a value", get("A: b\0c\r\n")),
        ("NUL in a name", get("A\0: b\r\n")),
        ("DEL in a value", get("A: b\x7fc\r\n")),
        ("a blank before the colon", get("Content-Length : 5\r\n")),
        ("a blank in a name", get("A B: c\r\n")),
        ("no name", get(": b\r\n")),
        ("no colon", get("A\r\n")),
        ("a hundred lines", get(&"A: b\r\n".repeat(99))),
        ("a hundred and one lines", get(&"A: b\r\n".repeat(100))),
        ("a long head", get(&format!("A: {}\r\n", "b".repeat(40_000)))),
    ])
}

fn first_lines() -> Vec<Stream> {
    let first = |line: &str| format!("{line}\r\nHost: a\r\n\r\n{NEXT}");
    let mut streams = of([
        ("two blanks", first("GET  /a HTTP/1.1")),
        ("two blanks behind", first("GET /a  HTTP/1.1")),
        ("a tab", first("GET\t/a\tHTTP/1.1")),
        ("a blank in the target", first("GET /a b HTTP/1.1")),
        ("a blank at the end", first("GET /a HTTP/1.1 ")),
        ("no target", first("GET HTTP/1.1")),
        ("no version", first("GET /a")),
        ("HTTP/2.0", first("PRI * HTTP/2.0")),
        ("HTTP/1.2", first("GET /a HTTP/1.2")),
        ("small letters of a version", first("GET /a http/1.1")),
        ("a fragment", first("GET /a#b HTTP/1.1")),
        ("NUL in the target", first("GET /a\0 HTTP/1.1")),
        ("DEL in the target", first("GET /a\x7f HTTP/1.1")),
        ("UTF-8 in the target", first("GET /\u{e4} HTTP/1.1")),
        ("a brace in the target", first("GET /{a}|\"^ HTTP/1.1")),
        ("a bad method", first("G(T /a HTTP/1.1")),
        ("a relative target", first("GET a/b HTTP/1.1")),
        ("CONNECT", first("CONNECT a:443 HTTP/1.1")),
        ("TRACE", first("TRACE /a HTTP/1.1")),
    ]);
    streams.push(("no UTF-8 in the target", b"GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()));
    streams
}

fn bodies() -> Vec<Stream> {
    let many =
        "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\na\r\n".repeat(300);
    of([
        ("a sign before a size", chunks("+5\r\nhello\r\n0\r\n\r\n")),
        ("0x before a size", chunks("0x5\r\nhello\r\n0\r\n\r\n")),
        ("a blank before a size", chunks(" 5\r\nhello\r\n0\r\n\r\n")),
        ("a blank behind a size", chunks("5 \r\nhello\r\n0\r\n\r\n")),
        ("two sizes", chunks("5 5\r\nhello\r\n0\r\n\r\n")),
        ("no size", chunks("\r\nhello\r\n0\r\n\r\n")),
        ("a size that overflows", chunks("10000000000000005\r\nhello\r\n0\r\n\r\n")),
        ("a size with zeros", chunks("00000000000000005\r\nhello\r\n0\r\n\r\n")),
        ("a bare LF behind a size", chunks("5\nhello\r\n0\r\n\r\n")),
        ("a bare LF in an extension", chunks("5;a\nhello\r\n0\r\n\r\n")),
        ("a bare CR in an extension", chunks("5;a\rb\r\nhello\r\n0\r\n\r\n")),
        ("NUL in an extension", chunks("5;a\0\r\nhello\r\n0\r\n\r\n")),
        ("an extension without a name", chunks("5;\r\nhello\r\n0\r\n\r\n")),
        ("many extensions", chunks(&format!("{many}0\r\n\r\n"))),
        (
            "many blanks behind a size",
            chunks(&format!("5{};a\r\nhello\r\n0\r\n\r\n", " ".repeat(17_000))),
        ),
        ("a bare LF behind a chunk", chunks("5\r\nhello\n0\r\n\r\n")),
        ("more than a size says", chunks("5\r\nhello!\r\n0\r\n\r\n")),
        ("less than a size says", chunks("6\r\nhello\r\n0\r\n\r\n")),
        ("a bare LF behind the last chunk", chunks("0\n\n")),
        ("a bare LF at the end of a body", chunks("0\r\n\n")),
        ("a bare LF in trailers", chunks("0\r\nA: b\n\r\n")),
        ("a bare CR in trailers", chunks("0\r\nA: b\rc\r\n\r\n")),
        ("a folded trailer", chunks("0\r\nA: b\r\n c\r\n\r\n")),
        ("a trailer without a name", chunks("0\r\n: b\r\n\r\n")),
        ("a trailer without a colon", chunks("0\r\nA\r\n\r\n")),
        ("a blank before a trailer's colon", chunks("0\r\nA : b\r\n\r\n")),
        ("NUL in a trailer", chunks("0\r\nA: b\0\r\n\r\n")),
        ("many trailers", chunks(&format!("0\r\n{}\r\n", "A: b\r\n".repeat(101)))),
        ("long trailers", chunks(&format!("0\r\nA: {}\r\n\r\n", "b".repeat(40_000)))),
    ])
}

/// What a proxy looks at beside the grammar.
pub fn for_proxies() -> Vec<Stream> {
    let get = |target: &str, lines: &str| format!("GET {target} HTTP/1.1\r\n{lines}\r\n{NEXT}");
    of([
        ("no Host", get("/a", "")),
        ("two Hosts", get("/a", "Host: a\r\nHost: b\r\n")),
        ("the same Host twice", get("/a", "Host: a\r\nHost: a\r\n")),
        ("a path in Host", get("/a", "Host: a/b\r\n")),
        ("a user in Host", get("/a", "Host: u@a\r\n")),
        ("a list in Host", get("/a", "Host: a, b\r\n")),
        ("an empty Host", get("/a", "Host:\r\n")),
        ("a user in the target", get("http://u@a/b", "Host: a\r\n")),
        ("another scheme", get("ftp://a/b", "Host: a\r\n")),
        ("a URL without a path", get("http://a", "Host: a\r\n")),
        ("a URL with only a query", get("http://a?b", "Host: a\r\n")),
        ("a port that is none", get("http://a:x1/b", "Host: a\r\n")),
        ("a method in small letters", "get /a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        (
            "HTTP/1.0, kept by a part of a word",
            format!("GET /a HTTP/1.0\r\nHost: a\r\nConnection: xkeep-alive\r\n\r\n{NEXT}"),
        ),
        ("an authority", get("a:80", "Host: a\r\n")),
        ("two slashes", get("//a/b", "Host: a\r\n")),
        ("dots", get("/a/../b/./%2e%2e/c", "Host: a\r\n")),
        ("a coded NUL", get("/a%00b", "Host: a\r\n")),
        (
            "a named length",
            get("/a", "Host: a\r\nConnection: Content-Length\r\nContent-Length: 0\r\n"),
        ),
    ])
}

/// What nodes answer to a GET until they close.
pub fn responses() -> Vec<Stream> {
    [answers(), bad_answers()].concat()
}

fn ok(lines: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n{body}")
}

/// In two chunks, of this coding.
fn coded(coding: &str) -> String {
    ok(&format!("Transfer-Encoding: {coding}\r\n"), CHUNKED)
}

const CHUNKED: &str = "5\r\nhello\r\n0\r\n\r\n";

fn answers() -> Vec<Stream> {
    of([
        ("a length", ok("Content-Length: 5\r\n", "hello")),
        ("a length and more", ok("Content-Length: 5\r\n", "hello!")),
        ("a cut length", ok("Content-Length: 6\r\n", "hello")),
        ("chunks", coded("chunked")),
        ("trailers", ok("Transfer-Encoding: chunked\r\n", "0\r\nX-Sum: 9\r\n\r\n")),
        ("cut chunks", ok("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n")),
        ("until the end", ok("", "hello")),
        ("HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nhello".to_owned()),
        (
            "HTTP/1.0 in chunks",
            format!("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKED}"),
        ),
        (
            "hints",
            format!(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n{}",
                ok("Content-Length: 0\r\n", "")
            ),
        ),
        (
            "a hint with a length",
            format!(
                "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n{}",
                ok("Content-Length: 0\r\n", "")
            ),
        ),
        ("204", "HTTP/1.1 204 No Content\r\n\r\n".to_owned()),
        (
            "204 with a length",
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        ),
        ("304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n".to_owned()),
        ("no reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n".to_owned()),
        ("no blank and no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n".to_owned()),
    ])
}

fn bad_answers() -> Vec<Stream> {
    of([
        ("a control character and no end", "HTTP/1.1 200 OK\r\nA: \0".to_owned()),
        (
            "a trailer without a colon and no end",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA b\r\nC".to_owned(),
        ),
        ("CL and TE", ok("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", CHUNKED)),
        ("TE and CL", ok("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", CHUNKED)),
        ("CL twice, the same", ok("Content-Length: 5\r\nContent-Length: 5\r\n", "hello")),
        ("CL twice, another", ok("Content-Length: 5\r\nContent-Length: 4\r\n", "hello")),
        ("a list of lengths", ok("Content-Length: 5, 5\r\n", "hello")),
        ("a length that is none", ok("Content-Length: five\r\n", "hello")),
        ("gzip", coded("gzip")),
        ("gzip, chunked", coded("gzip, chunked")),
        ("chunked, gzip", coded("chunked, gzip")),
        ("a bare LF", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello".to_owned()),
        ("a bare LF behind a line", ok("A: b\nContent-Length: 5\r\n", "hello")),
        ("a bare CR", ok("A: b\rc\r\nContent-Length: 5\r\n", "hello")),
        ("a folded line", ok("A: b\r\n c\r\nContent-Length: 5\r\n", "hello")),
        ("NUL", ok("A: b\0c\r\nContent-Length: 5\r\n", "hello")),
        ("a blank before the colon", ok("Content-Length : 5\r\n", "hello")),
        ("an empty line before", format!("\r\n{}", ok("Content-Length: 5\r\n", "hello"))),
        ("a status of two digits", "HTTP/1.1 20 OK\r\n\r\n".to_owned()),
        ("a status below 100", "HTTP/1.1 099 OK\r\n\r\n".to_owned()),
        ("HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n".to_owned()),
        ("no HTTP", "hello\r\n\r\n".to_owned()),
        ("nothing", String::new()),
        ("a cut head", "HTTP/1.1 200 OK\r\nA:".to_owned()),
        ("a cut head with a fault", "HTTP/1.1 200 OK\r\nA B: c\r\n".to_owned()),
        ("a cut status line without a blank", "HTTP/1.1lo".to_owned()),
        (
            "a long head",
            ok(&format!("A: {}\r\nContent-Length: 5\r\n", "b".repeat(40_000)), "hello"),
        ),
        ("a hundred and one lines", ok(&"A: b\r\n".repeat(101), "hello")),
        ("a blank behind a size", ok("Transfer-Encoding: chunked\r\n", "5 \r\nhello\r\n0\r\n\r\n")),
        (
            "a switch nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\n\r\nhello".into(),
        ),
    ])
}
