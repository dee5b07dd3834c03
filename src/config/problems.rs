//! What is wrong with a configuration, or may become so: where it stands, and what would be right.

use std::fmt;

use crate::model::limits::CONFIG_PROBLEMS_MAX;

/// Where a setting was written, or is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A position in the file, where it is no TOML.
    Text { line: usize, column: usize },
    /// A key, as `nodes[1].address`. `line` is where it stands; a missing key has none.
    Key { path: String, line: Option<usize> },
    /// A flag of the command line, as `--node`.
    Flag(String),
}

impl Place {
    fn line(&self) -> Option<usize> {
        match self {
            Self::Text { line, .. } => Some(*line),
            Self::Key { line, .. } => *line,
            Self::Flag(_) => None,
        }
    }

    /// `drawspan.toml:12: nodes[1].address`, as editors and terminals take one to the line.
    fn within(&self, file: &str) -> String {
        match self {
            Self::Text { line, column } => format!("{file}:{line}:{column}"),
            Self::Key { path, line: Some(line) } => format!("{file}:{line}: {path}"),
            Self::Key { path, line: None } => format!("{file}: {path}"),
            Self::Flag(name) => name.clone(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { line, column } => write!(f, "line {line}, column {column}"),
            Self::Key { path, .. } => f.write_str(path),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    pub place: Place,
    pub value: T,
}

/// One thing that keeps a configuration from being used: what is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct Problem {
    pub place: Place,
    pub message: String,
}

/// One thing that a configuration may be used with and that its owner should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub place: Place,
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl Problem {
    /// The problem as one line that begins with the file and the line.
    pub fn within(&self, file: &str) -> String {
        format!("{}: {}", self.place.within(file), self.message)
    }
}

impl Warning {
    /// The warning as one line that begins with the file and the line.
    pub fn within(&self, file: &str) -> String {
        format!("{}: {}", self.place.within(file), self.message)
    }
}

/// Every problem of one configuration, in the order of the file. Past
/// [`CONFIG_PROBLEMS_MAX`] they are counted only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    found: Vec<Problem>,
    more: usize,
}

impl Problems {
    pub fn add(&mut self, place: Place, message: impl Into<String>) {
        if self.found.len() < CONFIG_PROBLEMS_MAX {
            self.found.push(Problem { place, message: message.into() });
        } else {
            self.more += 1;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub fn len(&self) -> usize {
        self.found.len() + self.more
    }

    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.found.iter()
    }

    /// Brings them into the order of the file; what stands nowhere comes last.
    pub fn in_order(mut self) -> Self {
        self.found.sort_by_key(|problem| problem.place.line().unwrap_or(usize::MAX));
        self
    }

    /// One line for each problem, each beginning with the file and the line.
    pub fn within(&self, file: &str) -> Vec<String> {
        let more = (self.more > 0).then(|| format!("{file}: and {} more problems", self.more));
        self.found.iter().map(|problem| problem.within(file)).chain(more).collect()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.found.iter().enumerate() {
            let between = if i == 0 { "" } else { "\n" };
            write!(f, "{between}{problem}")?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more problems"),
        }
    }
}

impl std::error::Error for Problems {}

/// Text of the operator as messages show it: quoted, control characters escaped, and cut.
pub(super) fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    let short: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let cut = if short.len() < text.len() { "..." } else { "" };
    format!("\"{}{cut}\"", short.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str, line: Option<usize>) -> Place {
        Place::Key { path: path.to_owned(), line }
    }

    #[test]
    fn a_problem_begins_with_the_file_the_line_and_the_key() {
        let mut problems = Problems::default();
        problems.add(key("nodes", None), "is missing");
        problems.add(key("nodes[1].address", Some(12)), "is wrong");
        problems.add(Place::Text { line: 3, column: 7 }, "is no TOML");
        problems.add(Place::Flag("--node".into()), "is wrong");
        assert_eq!(
            problems.in_order().within("drawspan.toml"),
            [
                "drawspan.toml:3:7: is no TOML",
                "drawspan.toml:12: nodes[1].address: is wrong",
                "drawspan.toml: nodes: is missing",
                "--node: is wrong",
            ]
        );
    }

    #[test]
    fn past_the_limit_problems_are_counted_only() {
        let mut problems = Problems::default();
        for _ in 0..CONFIG_PROBLEMS_MAX + 5 {
            problems.add(key("k", None), "is wrong");
        }
        assert_eq!(problems.len(), CONFIG_PROBLEMS_MAX + 5);
        assert_eq!(problems.iter().count(), CONFIG_PROBLEMS_MAX);
        assert!(problems.to_string().ends_with("\nand 5 more problems"));
    }

    #[test]
    fn shown_text_is_cut_and_cannot_write_to_the_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb"), r#""a\u{1b}[2Jb""#);
        assert!(shown(&"x".repeat(1_000)).len() < 100);
    }
}
