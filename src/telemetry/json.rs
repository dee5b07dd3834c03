//! JSON strings from bytes that anybody may have sent.

/// Writes `bytes` as a JSON string, quotes included, cut to `bytes_max` of its bytes.
///
/// UTF-8 stays as it is. Text that is none is read as Latin-1, so that a line of the log is
/// always valid JSON and always valid UTF-8, on one line.
pub(super) fn push_string(out: &mut Vec<u8>, bytes: &[u8], bytes_max: usize) {
    out.push(b'"');
    push_escaped(out, cut(bytes, bytes_max));
    out.push(b'"');
}

/// Up to `bytes_max` bytes, and not through the middle of a character.
fn cut(bytes: &[u8], bytes_max: usize) -> &[u8] {
    let Some(head) = bytes.get(..bytes_max).filter(|_| bytes_max < bytes.len()) else {
        return bytes;
    };
    let follows = |b: u8| b & 0b1100_0000 == 0b1000_0000;
    if !follows(bytes[bytes_max]) {
        return head;
    }
    // At most three bytes of a character can stand before the cut.
    let tail = head.iter().rev().take(3).take_while(|b| follows(**b)).count();
    head.get(..head.len().saturating_sub(tail + 1)).unwrap_or(head)
}

fn push_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    let plain = |b: u8| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\';
    // Not `all`: without a way out in the middle, the compiler looks at many bytes at once.
    if bytes.iter().fold(true, |all, b| all & plain(*b)) {
        out.extend_from_slice(bytes);
        return;
    }
    let utf8 = std::str::from_utf8(bytes).is_ok();
    for &byte in bytes {
        if plain(byte) || (utf8 && 0x80 <= byte) {
            out.push(byte);
        } else {
            push_escape(out, byte);
        }
    }
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        _ => {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(bytes: &[u8], bytes_max: usize) -> String {
        let mut out = vec![];
        push_string(&mut out, bytes, bytes_max);
        assert!(!out.contains(&b'\n'));
        serde_json::from_slice(&out).unwrap_or_else(|e| panic!("{bytes:?} became {out:?}: {e}"))
    }

    #[test]
    fn every_pair_of_bytes_becomes_valid_json() {
        for a in 0..=u8::MAX {
            for b in 0..=u8::MAX {
                read_back(&[a, b], 9);
            }
        }
    }

    #[test]
    fn text_reads_back_and_bytes_that_are_none_as_latin_1() {
        assert_eq!(read_back("a\"b\\c\n\u{7f}é字".as_bytes(), 99), "a\"b\\c\n\u{7f}é字");
        assert_eq!(read_back(&[b'a', 0xe9], 99), "aé");
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        let text = "aé字😀z";
        for end in 0..=text.len() {
            let back = read_back(text.as_bytes(), end);
            assert!(text.starts_with(&back) && back.len() <= end, "{end}: {back}");
            assert!(end < back.len() + 4, "{end}: {back} lost too much");
        }
    }
}
