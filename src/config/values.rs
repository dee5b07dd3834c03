//! Settings with a default and bounds: durations, sizes, counts, choices, paths.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::document::Section;
use super::problems::{At, Place, shown};
use super::suggest::nearest;
use super::units::{HumanDuration, HumanSize};

/// The shortest and the longest that a duration may be.
pub(super) type Bounds = RangeInclusive<Duration>;

impl Section<'_, '_> {
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        bounds: &Bounds,
    ) -> Duration {
        let example = HumanDuration(default).to_string();
        let Some(At { place, value }) = self.text(key, &example) else { return default };
        match value.parse::<HumanDuration>() {
            Ok(HumanDuration(duration)) if bounds.contains(&duration) => duration,
            Ok(duration) => {
                let (least, most) = (HumanDuration(*bounds.start()), HumanDuration(*bounds.end()));
                self.problem(&place, format!("is {duration}; write {least} to {most}"));
                default
            }
            Err(wrong) => {
                self.problem(&place, wrong.to_string());
                default
            }
        }
    }

    /// A size; nothing where the key is not there.
    pub(super) fn size(&mut self, key: &'static str, bounds: &RangeInclusive<u64>) -> Option<u64> {
        let At { place, value } = self.text(key, "20MiB")?;
        match value.parse::<HumanSize>() {
            Ok(HumanSize(size)) if bounds.contains(&size) => return Some(size),
            Ok(size) => {
                let (least, most) = (HumanSize(*bounds.start()), HumanSize(*bounds.end()));
                self.problem(&place, format!("is {size}; write {least} to {most}"));
            }
            Err(wrong) => self.problem(&place, wrong.to_string()),
        }
        None
    }

    /// A count; nothing where the key is not there.
    pub(super) fn count<N>(&mut self, key: &'static str, bounds: &RangeInclusive<N>) -> Option<N>
    where
        N: TryFrom<i64> + PartialOrd + Display,
    {
        let written = self.integer(key)?;
        self.bounded(&written, bounds)
    }

    /// A number within its bounds, or a problem at its place.
    pub(super) fn bounded<N>(&mut self, written: &At<i64>, bounds: &RangeInclusive<N>) -> Option<N>
    where
        N: TryFrom<i64> + PartialOrd + Display,
    {
        let number = N::try_from(written.value).ok().filter(|number| bounds.contains(number));
        if number.is_none() {
            let (is, least, most) = (written.value, bounds.start(), bounds.end());
            self.problem(&written.place, format!("is {is}; write {least} to {most}"));
        }
        number
    }

    /// One of a few words.
    pub(super) fn choice<T: Clone>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
        default: T,
    ) -> T {
        let example = choices.first().map_or("", |(word, _)| *word);
        let Some(At { place, value }) = self.text(key, example) else { return default };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == value) {
            return choice.clone();
        }
        let words = choices.iter().map(|(word, _)| *word);
        self.problem(&place, not_among(&value, words));
        default
    }

    /// A path, not empty and without NUL; nothing where the key is not there.
    pub(super) fn path(&mut self, key: &'static str, example: &str) -> Option<At<PathBuf>> {
        let At { place, value } = self.text(key, example)?;
        self.check_path(&place, &value).then(|| At { place, value: PathBuf::from(value) })
    }

    /// Notes what keeps a text from being a path of a file. A relative one may stand in a file,
    /// with a warning: a service starts in another folder than the one who wrote it.
    pub(super) fn check_path(&mut self, place: &Place, text: &str) -> bool {
        if text.is_empty() || text.contains('\0') {
            let message = format!("{} is no path; write one, as /var/lib/drawspan", shown(text));
            self.problem(place, message);
            return false;
        }
        if !text.starts_with('/') {
            let message = format!(
                "{} is taken from the folder that the gateway is started in; a path that begins \
                 with / is the same everywhere",
                shown(text)
            );
            self.warn(place, message);
        }
        true
    }
}

/// A word that is none of the known ones: names them, and the nearest.
pub(super) fn not_among<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let list: Vec<String> = known.clone().map(|word| format!("\"{word}\"")).collect();
    let is = format!("{} is not known here; write {}", shown(word), list.join(" or "));
    match nearest(word, known) {
        Some(meant) => format!("{is} (did you mean \"{meant}\"?)"),
        None => is,
    }
}

/// A flag that was given several times, with its position: `--node (number 2)`.
pub(super) fn number_of(flag: &str, index: usize, count: usize) -> String {
    if count <= 1 { flag.to_owned() } else { format!("{flag} (number {})", index + 1) }
}
