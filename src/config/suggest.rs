//! The known word that a misspelt one was probably meant to be.

/// The candidate nearest to `word`, where one is near enough to be a slip of the fingers.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    const WORD_CHARS_MAX: usize = 40;
    const BEGINNING_CHARS_MIN: usize = 4;
    let word: Vec<char> = word.chars().take(WORD_CHARS_MAX + 1).map(fold).collect();
    if WORD_CHARS_MAX < word.len() {
        return None;
    }
    // A slip or two in a word of ordinary length; in a short one two slips make another word.
    let near = match word.len() {
        0..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    let measured = candidates.into_iter().map(|candidate| {
        let letters: Vec<char> = candidate.chars().map(fold).collect();
        // A word cut short or drawn out, as `warning` for `warn`, is one slip.
        let begins = letters.starts_with(&word) || word.starts_with(&letters);
        let part = begins && BEGINNING_CHARS_MIN <= word.len().min(letters.len());
        (if part { 1 } else { distance(&word, &letters) }, candidate)
    });
    let (least, candidate) = measured.min_by_key(|(distance, _)| *distance)?;
    (least <= near).then_some(candidate)
}

/// Case and the choice of hyphen or underscore are no difference.
fn fold(letter: char) -> char {
    if letter == '-' { '_' } else { letter.to_ascii_lowercase() }
}

/// Letters to insert, remove, replace or swap with their neighbour (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if 1 < i && 1 < j && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 5] = ["listen", "nodes", "timeouts", "keep_alive", "log"];

    #[test]
    fn a_slip_of_the_fingers_finds_its_word() {
        for (slip, meant) in [
            ("lsiten", "listen"),
            ("listens", "listen"),
            ("node", "nodes"),
            ("timeout", "timeouts"),
            ("keepalive", "keep_alive"),
            ("Keep-Alive", "keep_alive"),
            ("logs", "log"),
            ("listening", "listen"),
            ("keep", "keep_alive"),
        ] {
            assert_eq!(nearest(slip, KEYS), Some(meant), "{slip}");
        }
    }

    #[test]
    fn another_word_finds_none() {
        for other in ["", "tls", "upstream", "x", &"listen".repeat(1_000)] {
            assert_eq!(nearest(other, KEYS), None, "{other}");
        }
    }
}
