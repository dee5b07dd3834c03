//! Where we and others differ, and why ours is right.

use crate::outcome::{Outcome, Verdict, our_requests};
use crate::strict::Line;

/// A listed difference.
pub struct Difference {
    pub name: &'static str,
    /// Why ours is right.
    pub why: &'static str,
    is: fn(&Case<'_>) -> bool,
}

/// Two readings of the same bytes.
pub struct Case<'a> {
    pub bytes: &'a [u8],
    pub ours: &'a Outcome,
    pub theirs: &'a Outcome,
}

impl Case<'_> {
    /// Do both take the same messages, and come to the same end? Which fault of several is found
    /// first does not matter.
    pub fn is_same(&self) -> bool {
        let same_end = match (&self.ours.verdict, &self.theirs.verdict) {
            (Verdict::Refused(_), Verdict::Refused(_)) => true,
            (ours, theirs) => ours == theirs,
        };
        same_end && self.ours.messages == self.theirs.messages
    }

    /// We refuse it for this, and took nothing that they did not take as well.
    fn refused_for(&self, why: &str) -> bool {
        let refused = matches!(&self.ours.verdict, Verdict::Refused(ours) if ours.ends_with(why));
        refused && self.theirs.messages.starts_with(&self.ours.messages)
    }
}

/// The entry that explains a difference.
pub fn explained<'a>(list: &'a [Difference], case: &Case<'_>) -> Option<&'a Difference> {
    list.iter().find(|difference| (difference.is)(case))
}

const BARE_LF: Difference = Difference {
    name: "a bare line feed",
    why: "RFC 9112 section 2.2 lets a recipient take it for a line's end; not all do, and whoever \
          does not sees other lines (CVE-2025-22871, CVE-2025-58056)",
    is: |case| case.refused_for("ends without a carriage return"),
};

const TWO_FRAMINGS: Difference = Difference {
    name: "Content-Length beside Transfer-Encoding",
    why: "RFC 9112 section 6.1: it might be an attempt at smuggling, and a server may refuse it; \
          hyper goes by the coding and drops the length, which a node behind us need not do",
    is: |case| case.refused_for("both Content-Length and Transfer-Encoding"),
};

const TWICE: Difference = Difference {
    name: "a framing line twice",
    why: "RFC 9112 section 6.3 lets equal lengths pass as one; readers that go by the first or the \
          last line agree only where it stands once",
    is: |case| case.refused_for("a framing header stands twice"),
};

const CODING: Difference = Difference {
    name: "a coding other than just chunked",
    why: "RFC 9112 section 6.1 has 501 for codings that are not understood, and forbids chunked \
          twice; readers differ in what ends such a list (CVE-2026-2835, RUSTSEC-2021-0020)",
    is: |case| case.refused_for("a Transfer-Encoding other than chunked"),
};

const LONG: Difference = Difference {
    name: "a head or trailers over 32 KiB",
    why: "our bound on memory, 431 by RFC 6585 section 5; hyper's is 400 KiB",
    is: |case| case.refused_for("longer than 32768 bytes"),
};

const SIZE_LINE: Difference = Difference {
    name: "a chunk's size line with more than a size",
    why: "RFC 9112 section 7.1 has digits, and blanks only before an extension; hyper also takes \
          blanks before the line's end, any byte but LF in an extension, and zeros without end, \
          where readers are known to differ (CVE-2025-55315, CVE-2025-43859)",
    is: |case| case.refused_for("malformed: a size line"),
};

const EARLY: Difference = Difference {
    name: "a fault in a head that is not whole",
    why: "what no more bytes can mend is refused as soon as it is there; hyper waits for the end",
    is: |case| {
        matches!(case.ours.verdict, Verdict::Refused(_))
            && case.theirs.verdict == Verdict::Cut
            && case.ours.messages == case.theirs.messages
    },
};

const LATE: Difference = Difference {
    name: "a fault in a first line that is not whole",
    why: "we look at a word of it when all of it has come, and pass nothing on before; who leaves \
          in the middle gets no answer in either case",
    is: |case| {
        case.ours.verdict == Verdict::Cut
            && matches!(case.theirs.verdict, Verdict::Refused(_))
            && case.ours.messages == case.theirs.messages
    },
};

/// Of requests.
pub const REQUESTS: &[Difference] = &[
    BARE_LF,
    TWO_FRAMINGS,
    TWICE,
    CODING,
    LONG,
    SIZE_LINE,
    Difference {
        name: "a target that nothing here serves",
        why: "RFC 9112 section 3.2 has no fragments (hyper cuts them off, others pass them on); of \
              other protocols than HTTP we know nothing",
        is: |case| case.refused_for("malformed: the target"),
    },
    Difference {
        name: "many blanks behind a size",
        why: "a bound on work that serves nobody; hyper has it for extensions, not for the blanks \
              before them",
        is: |case| case.refused_for("too many bytes of extensions"),
    },
    Difference {
        name: "a length that no body has",
        why: "hyper keeps its two largest numbers for itself; to us it is a length like others, \
              and the body is cut short when the client leaves",
        is: |case| {
            let too_large =
                matches!(&case.theirs.verdict, Verdict::Refused(why) if why.contains("TooLarge"));
            too_large
                && case.ours.verdict == Verdict::Cut
                && case.ours.messages == case.theirs.messages
        },
    },
    EARLY,
    LATE,
    Difference {
        name: "half an empty line at the end",
        why: "nothing was asked in it; we tell a connection that ends so from one that ends between \
              two requests, and answer neither",
        is: |case| {
            let ends =
                (&case.ours.verdict, &case.theirs.verdict) == (&Verdict::Cut, &Verdict::Taken);
            ends && case.bytes.ends_with(b"\r") && case.ours.messages == case.theirs.messages
        },
    },
    Difference {
        name: "a connection option with a parameter",
        why: "RFC 9110 section 7.6.1 has none; we pass over it, as in other lists, and the worst \
              that comes of it is a connection that closes, or waits for its time-out",
        is: |case| {
            let (ours, theirs) = (&case.ours.messages, &case.theirs.messages);
            let last = theirs.last().filter(|_| ours.starts_with(theirs));
            let last = last.or(ours.last().filter(|_| theirs.starts_with(ours)));
            let lines = last.map_or(&[][..], |last| &last.lines);
            let parameter = |(name, value): &Line| name == b"connection" && value.contains(&b';');
            lines.iter().any(parameter)
        },
    },
    Difference {
        name: "what follows a CONNECT",
        why: "RFC 9110 section 9.3.6: an agreed CONNECT ends the requests, and the service here \
              agrees to everything; the gateway refuses every CONNECT and closes",
        is: |case| {
            let last = case.theirs.messages.last();
            last.is_some_and(|last| last.first.starts_with("CONNECT "))
                && case.ours.messages.starts_with(&case.theirs.messages)
        },
    },
];

/// Of responses.
pub const RESPONSES: &[Difference] = &[
    BARE_LF,
    TWO_FRAMINGS,
    TWICE,
    CODING,
    LONG,
    SIZE_LINE,
    EARLY,
    LATE,
    Difference {
        name: "a coding in an answer of HTTP/1.0",
        why: "RFC 9112 section 6.1: its framing is faulty, whatever was asked; to HEAD hyper does not \
              look at it",
        is: |case| case.refused_for("Transfer-Encoding in HTTP/1.0"),
    },
    Difference {
        name: "a list of equal lengths",
        why: "RFC 9110 section 8.6 lets a recipient take it for one; a reader that does not sees \
              no length at all",
        is: |case| case.refused_for("a Content-Length that is no number"),
    },
    Difference {
        name: "an empty line before a status line",
        why: "RFC 9112 section 2.2 has it before requests alone; before an answer it is the end of \
              another one's bytes",
        is: |case| case.refused_for("malformed: an empty line"),
    },
];

/// Of what reaches a node through the gateway, and through nginx.
pub const PROXIES: &[Difference] = &[
    Difference {
        name: "a bare line feed, to nginx",
        why: "RFC 9112 section 2.2 lets a recipient take it for a line's end; not all do, and whoever \
              does not sees other lines (CVE-2025-22871, CVE-2025-58056)",
        is: |case| case.refused_for("ends without a carriage return"),
    },
    LONG,
    SIZE_LINE,
    Difference {
        name: "control bytes in a value",
        why: "RFC 9110 section 5.5: CR, LF and NUL are dangerous, other control bytes invalid; nginx \
              cuts a CR off at a line's end, passes DEL on, and does not look at trailers",
        is: |case| case.refused_for("malformed: a header's value"),
    },
    Difference {
        name: "a line that is none",
        why: "RFC 9112 section 5: a name, a colon, a value; nginx drops what it cannot read and \
              passes the rest on, and what it drops others may have read (section 5.2 of folds)",
        is: |case| case.refused_for("malformed: a header's name"),
    },
    Difference {
        name: "more than a hundred lines",
        why: "our bound on memory, 431 by RFC 6585 section 5; nginx counts bytes alone",
        is: |case| case.refused_for("more than 100 lines"),
    },
    Difference {
        name: "a first line of another shape",
        why: "RFC 9112 section 3: three words, one blank between two; to read it leniently may \
              be to read another request. HTTP/0.9 and HTTP/1.2 are not spoken",
        is: |case| {
            ["the first line", "the version", "a line's end"]
                .iter()
                .any(|part| case.refused_for(part))
        },
    },
    Difference {
        name: "a fragment in the target, to nginx",
        why: "RFC 9112 section 3.2 has none; nginx passes it on to a node that need not cut it off",
        is: |case| case.refused_for("malformed: the target"),
    },
    Difference {
        name: "no CR LF behind a chunk",
        why: "RFC 9112 section 7.1; to nginx a bare LF is enough, and a reader who takes two bytes \
              unseen finds another chunk (CVE-2025-55315)",
        is: |case| case.refused_for("more data than its size says"),
    },
    Difference {
        name: "many extensions",
        why: "a bound on work that serves nobody, as hyper has it",
        is: |case| case.refused_for("too many bytes of extensions"),
    },
    Difference {
        name: "OPTIONS of the whole server",
        why: "RFC 9112 section 3.2.4: a proxy passes the asterisk on; nginx knows no such target",
        is: |case| {
            let asks = |outcome: &Outcome| {
                outcome.messages.iter().any(|message| message.first == "OPTIONS *")
            };
            asks(case.ours) && matches!(case.theirs.verdict, Verdict::Refused(_))
        },
    },
    Difference {
        name: "what follows a handshake",
        why: "a node that did not agree may have agreed to somebody else: what was sent behind the \
              handshake may be the other protocol's, and is no request (CVE-2026-2833)",
        is: |case| {
            let bytes = case.bytes.to_ascii_lowercase();
            let upgrade = memchr::memmem::find(&bytes, b"upgrade: websocket").is_some();
            upgrade && case.theirs.messages.starts_with(&case.ours.messages)
        },
    },
    Difference {
        name: "a fault in a head that is not whole, to nginx",
        why: "we look at a word when all of it has come, and pass nothing on before (nor serve \
              HTTP/0.9, which has one line); who leaves in the middle gets no answer",
        is: |case| {
            case.ours.verdict == Verdict::Taken
                && our_requests(case.bytes).verdict == Verdict::Cut
                && case.theirs.messages.starts_with(&case.ours.messages)
        },
    },
    Difference {
        name: "a carriage return before a request, to nginx",
        why: "RFC 9112 section 2.2 has us skip empty lines, which are CR and LF; nginx skips either",
        is: |case| {
            let skipped = case.bytes.starts_with(b"\r") && !case.bytes.starts_with(b"\r\n");
            skipped && case.refused_for("malformed: the method")
        },
    },
    Difference {
        name: "keep-alive as a part of an option",
        why: "RFC 9110 section 7.6.1: options are whole tokens; nginx is content with the letters, \
              and goes on where a client of HTTP/1.0 expects the end",
        is: |case| {
            let taken = our_requests(case.bytes);
            let last = taken.messages.last().filter(|last| last.first.ends_with(" 1.0"));
            let in_part = |(name, value): &Line| {
                name == b"connection"
                    && memchr::memmem::find(&value.to_ascii_lowercase(), b"keep-alive").is_some()
            };
            last.is_some_and(|last| last.lines.iter().any(in_part))
        },
    },
    Difference {
        name: "a body that breaks off",
        why: "the client has finished sending and may still read: it is told; nginx says nothing",
        is: |case| {
            case.ours.verdict == Verdict::Refused("400".to_owned())
                && case.theirs.verdict == Verdict::Taken
                && case.ours.messages == case.theirs.messages
        },
    },
    Difference {
        name: "an authority of another kind",
        why: "RFC 9110 section 4.2.4 takes user information for a trick, and section 7.2 has none in \
              Host; a scheme other than http and https is no matter of this server (section 7.4)",
        is: |case| {
            case.ours.verdict == Verdict::Refused("400".to_owned())
                && case.theirs.messages.starts_with(&case.ours.messages)
        },
    },
    Difference {
        name: "an empty Host",
        why: "RFC 9112 section 3.2: where the target has no authority, Host is sent empty",
        is: |case| {
            let taken = our_requests(case.bytes).messages;
            let empty = taken.iter().any(|taken| taken.lines.contains(&(b"host".to_vec(), vec![])));
            empty && refused_by_them(case, "400")
        },
    },
    Difference {
        name: "a coded NUL",
        why: "in a target it is three plain characters; what they mean is the node's to say",
        is: |case| {
            let coded = memchr::memmem::find(case.bytes, b"%00").is_some();
            coded && refused_by_them(case, "400")
        },
    },
    Difference {
        name: "a method that is not in capitals",
        why: "RFC 9110 section 9.1: any token is a method; nginx has capitals, _ and - alone",
        is: |case| {
            let next = case.ours.messages.get(case.theirs.messages.len());
            let method = next.and_then(|next| next.first.split(' ').next());
            let odd = |byte: u8| !byte.is_ascii_uppercase() && !b"_-".contains(&byte);
            method.is_some_and(|method| method.bytes().any(odd)) && refused_by_them(case, "400")
        },
    },
];

/// They refuse what we took, and nothing before it.
fn refused_by_them(case: &Case<'_>, status: &str) -> bool {
    case.theirs.verdict == Verdict::Refused(status.to_owned())
        && case.ours.messages.starts_with(&case.theirs.messages)
}
