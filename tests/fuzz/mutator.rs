//! Inputs made out of others: spliced, cut, repeated, and spoilt where parsers are known to differ.

#![allow(
    dead_code,
    reason = "the fuzz targets and the differential tests use their own parts of it"
)]

use fastrand::Rng;

/// What parsers read differently, and what heads and bodies are made of.
pub const TOKENS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\0",
    b"\x7f",
    b"\x0b",
    b"\x80",
    b"\xff",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"_",
    b"#",
    b"?",
    b"*",
    b"%00",
    b"%0d%0a",
    b"\xc3\xa4",
    b"\r\n folded",
    b"\r\n\tfolded",
    b" :",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"HTTP/1.2",
    b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding: Chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Transfer_Encoding: chunked\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: +5\r\n",
    b"Content_Length: 5\r\n",
    b"Content-Length: 18446744073709551615\r\n",
    b"Content-Length: 18446744073709551616\r\n",
    b"Host: a\r\n",
    b"Host: b\r\n",
    b"Host: a@b\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: X-A, Host, Content-Length\r\n",
    b"X-A: 1\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    b"Upgrade: h2c\r\n",
    b"TE: trailers\r\n",
    b"Expect: 100-continue\r\n",
    b"X-Forwarded-For: 6.6.6.6\r\n",
    b"X_Forwarded_For: 6.6.6.6\r\n",
    b"X-Request-Id: 1\r\n",
    b"Trailer: X-Sum\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"0\r\n",
    b"00000000000000005\r\n",
    b"ffffffffffffffff\r\n",
    b"10000000000000000\r\n",
    b"5;a=b\r\n",
    b"5;a=\"\n\"\r\n",
    b"5 \r\n",
    b"0x5\r\n",
    b"+5\r\n",
    b"-1\r\n",
    b"X-Sum: 9\r\n",
    b": x\r\n",
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"OPTIONS * ",
    b"CONNECT a:1 ",
    b"TRACE ",
    b"PRI * ",
    b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    b"http://a.test/b",
    b"http://u@a/",
    b"//a/b",
    b"/",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 204 No Content\r\n",
    b"HTTP/1.1 304 Not Modified\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 200\r\n",
    b"HTTP/1.1 099 X\r\n",
    b"HTTP/1.1 599 \r\n",
];

/// Longer ones find nothing more, and cost.
const BYTES_MAX: usize = 60_000;

/// An input out of `corpus`, which is not empty.
pub fn input(rng: &mut Rng, corpus: &[Vec<u8>], tokens: &[&[u8]]) -> Vec<u8> {
    // The shorter of two: long ones cost more than they find.
    let (one, other) = (some(rng, corpus), some(rng, corpus));
    let mut input = if one.len() < other.len() { one.to_vec() } else { other.to_vec() };
    for _ in 0..rng.usize(1..=6) {
        mutate(rng, &mut input, corpus, tokens);
    }
    input.truncate(BYTES_MAX);
    input
}

fn mutate(rng: &mut Rng, input: &mut Vec<u8>, corpus: &[Vec<u8>], tokens: &[&[u8]]) {
    let at = rng.usize(..=input.len());
    let part = span(rng, input.len());
    match rng.u8(..14) {
        0 if !part.is_empty() => input[part.start] ^= 1 << rng.u8(..8),
        1 if !part.is_empty() => input[part.start] = rng.u8(..),
        // Where lines begin and end is where it matters.
        2..=5 => {
            let at = if rng.bool() { border(rng, input) } else { at };
            input.splice(at..at, token(rng, tokens).iter().copied());
        }
        6 => {
            input.drain(part);
        }
        7 => {
            let copy = input[part].to_vec();
            input.splice(at..at, copy);
        }
        8 => {
            let other = some(rng, corpus);
            let from = rng.usize(..=other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        9 => {
            let other = some(rng, corpus);
            let part = span(rng, other.len());
            input.splice(at..at, other[part].iter().copied());
        }
        10 => {
            let begin = border(rng, input);
            let end = input[begin..].iter().position(|byte| *byte == b'\n');
            let end = end.map_or(input.len(), |end| begin + end + 1);
            match rng.bool() {
                true => drop(input.drain(begin..end)),
                false => drop(input.splice(begin..end, token(rng, tokens).iter().copied())),
            }
        }
        11 => {
            let numbers = ["0", "1", "5", "00", "ff", "65536", "4294967296", "9223372036854775808"];
            let number = numbers[rng.usize(..numbers.len())];
            let digit = input.iter().enumerate().skip(at).find(|(_, byte)| byte.is_ascii_digit());
            let at = digit.map_or(at, |(at, _)| at);
            let end = input.len().min(at + 1);
            input.splice(at..end, number.bytes());
        }
        12 => input[part].iter_mut().for_each(|byte| match rng.bool() {
            true => byte.make_ascii_uppercase(),
            false => byte.make_ascii_lowercase(),
        }),
        _ => repeat(rng, input, at, tokens),
    }
}

/// Many of one thing; rarely so many that a limit is met.
fn repeat(rng: &mut Rng, input: &mut Vec<u8>, at: usize, tokens: &[&[u8]]) {
    let letters: [&[u8]; 4] = [b"a", b"0", b"1\r\na\r\n", b"A: b\r\n"];
    let what = match rng.bool() {
        true => letters[rng.usize(..letters.len())],
        false => token(rng, tokens),
    };
    let count = match rng.u8(..16) {
        0 if rng.u8(..4) == 0 => (34_000 / what.len()).max(1),
        0..4 => rng.usize(90..120),
        _ => rng.usize(2..12),
    };
    input.splice(at..at, what.repeat(count));
}

fn some<'a>(rng: &mut Rng, corpus: &'a [Vec<u8>]) -> &'a [u8] {
    &corpus[rng.usize(..corpus.len())]
}

fn token<'a>(rng: &mut Rng, tokens: &[&'a [u8]]) -> &'a [u8] {
    let at = rng.usize(..TOKENS.len() + tokens.len());
    match at.checked_sub(TOKENS.len()) {
        Some(at) => tokens[at],
        None => TOKENS[at],
    }
}

/// Where a line begins, or the end.
fn border(rng: &mut Rng, input: &[u8]) -> usize {
    let from = rng.usize(..=input.len());
    memchr::memchr(b'\n', &input[from..]).map_or(0, |at| from + at + 1)
}

/// A part of so many bytes, mostly a short one.
fn span(rng: &mut Rng, length: usize) -> std::ops::Range<usize> {
    let from = rng.usize(..=length);
    let most = if rng.u8(..4) == 0 { length - from } else { (length - from).min(16) };
    from..from + rng.usize(..=most)
}

/// Where to cut `input` into pieces: the same each time.
pub fn cuts(input: &[u8], pieces: usize) -> Vec<&[u8]> {
    let seed = input.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let mut rng = Rng::with_seed(seed ^ pieces as u64);
    let mut places: Vec<usize> = (1..pieces).map(|_| rng.usize(..=input.len())).collect();
    places.sort_unstable();
    let (mut begin, mut cut) = (0, Vec::new());
    for place in places.into_iter().chain([input.len()]) {
        cut.push(&input[begin..place]);
        begin = place;
    }
    cut
}
