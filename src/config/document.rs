//! A TOML document, read section by section. Whatever is wrong with one key (its type, its name)
//! is noted with its place, and the reading goes on, so that no problem hides another.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problems::{At, Place, Problems, Warning, shown};
use super::suggest::nearest;

/// Lists longer than this are refused before their entries are looked at.
const LIST_ENTRIES_MAX: usize = 4096;

/// Where the settings come from; what is missing is asked for in its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    File,
    Flags,
}

/// What the reading has found so far.
pub(super) struct Findings {
    pub(super) problems: Problems,
    pub(super) warnings: Vec<Warning>,
    origin: Origin,
    /// Byte offsets at which the lines begin.
    lines: Vec<usize>,
    /// By section name (empty at the top), the keys that it may hold.
    known: BTreeMap<&'static str, Vec<&'static str>>,
    unknown: Vec<Unknown>,
    /// Where each key stands that is there, or the flag that replaces it.
    places: BTreeMap<String, Place>,
}

struct Unknown {
    section: &'static str,
    key: String,
    place: Place,
}

impl Findings {
    pub(super) fn new(origin: Origin, text: &str) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self {
            problems: Problems::default(),
            warnings: Vec::new(),
            origin,
            lines: [0].into_iter().chain(newlines.map(|(at, _)| at + 1)).collect(),
            known: BTreeMap::new(),
            unknown: Vec::new(),
            places: BTreeMap::new(),
        }
    }

    fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset)
    }

    /// All problems in the order of the file, the unknown keys among them; warnings; and where what
    /// was set was set.
    pub(super) fn into_problems(mut self) -> (Problems, Vec<Warning>, BTreeMap<String, Place>) {
        for unknown in std::mem::take(&mut self.unknown) {
            let message = format!("is no setting; {}", self.instead_of(&unknown));
            self.problems.add(unknown.place, message);
        }
        (self.problems.in_order(), self.warnings, self.places)
    }

    /// What the writer of an unknown key probably wanted.
    fn instead_of(&self, unknown: &Unknown) -> String {
        let here = self.known.get(unknown.section).map(Vec::as_slice).unwrap_or_default();
        if let Some(meant) = nearest(&unknown.key, here.iter().copied()) {
            return format!("did you mean `{meant}`?");
        }
        // A key of the top written below a [section] header silently belongs to that section.
        let elsewhere = self.known.iter().find(|(_, keys)| keys.contains(&unknown.key.as_str()));
        match elsewhere {
            Some((&"", _)) => {
                "it belongs at the top of the file, above the first [section]".to_owned()
            }
            Some((section, _)) => format!("it belongs under [{section}]"),
            None => format!("remove it (known here: {})", here.join(", ")),
        }
    }
}

/// What stands at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Absent,
    List,
    Table,
    /// In words.
    Other(&'static str),
}

/// Reads one table. A table that is not in the document reads as one without keys.
pub(super) struct Section<'d, 'f> {
    table: Option<&'d DeTable<'d>>,
    /// As `nodes`, for every table of that name; empty at the top.
    name: &'static str,
    /// As `nodes[1]`; empty at the top.
    path: String,
    line: Option<usize>,
    asked: Vec<&'static str>,
    pub(super) findings: &'f mut Findings,
}

impl<'d, 'f> Section<'d, 'f> {
    /// Reads the document by `read`, then notes the keys that it did not ask for.
    pub(super) fn top<T>(
        table: Option<&'d DeTable<'d>>,
        findings: &'f mut Findings,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        Self { table, name: "", path: String::new(), line: None, asked: Vec::new(), findings }
            .read_by(read)
    }

    fn read_by<T>(mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let value = read(&mut self);
        let keys = self.table.into_iter().flat_map(|table| table.keys());
        for key in keys.filter(|key| !self.asked.contains(&key.get_ref().as_ref())) {
            let place = Place::Key {
                path: self.path_of(&shown_key(key.get_ref())),
                line: Some(self.findings.line(key.span().start)),
            };
            let key = key.get_ref().to_string();
            self.findings.unknown.push(Unknown { section: self.name, key, place });
        }
        self.findings.known.entry(self.name).or_insert(self.asked);
        value
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn find(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        let value = self.table.and_then(|table| table.get(key))?;
        let path = self.path_of(key);
        let line = Some(self.findings.line(value.span().start));
        let place = || Place::Key { path: path.clone(), line };
        self.findings.places.entry(path.clone()).or_insert_with(place);
        Some(value)
    }

    /// Is the key there, whatever its value?
    pub(super) fn has(&mut self, key: &'static str) -> bool {
        self.find(key).is_some()
    }

    pub(super) fn form(&mut self, key: &'static str) -> Form {
        match self.find(key).map(Spanned::get_ref) {
            None => Form::Absent,
            Some(DeValue::Array(_)) => Form::List,
            Some(DeValue::Table(_)) => Form::Table,
            Some(other) => Form::Other(kind(other)),
        }
    }

    /// The place of a key that is there, or of the section that lacks it.
    pub(super) fn place(&mut self, key: &'static str) -> Place {
        let line = match self.find(key) {
            Some(value) => Some(self.findings.line(value.span().start)),
            None => self.line,
        };
        Place::Key { path: self.path_of(key), line }
    }

    /// A flag replaces the key.
    pub(super) fn replaced(&mut self, key: &str, flag: &Place) {
        let path = self.path_of(key);
        self.findings.places.insert(path, flag.clone());
    }

    pub(super) fn is_file(&self) -> bool {
        self.findings.origin == Origin::File
    }

    /// The place of the section itself.
    pub(super) fn here(&self) -> Place {
        Place::Key { path: self.path.clone(), line: self.line }
    }

    /// The place of something required that neither the file nor the flags name.
    pub(super) fn missing(&mut self, key: &'static str, flag: &str) -> Place {
        match self.findings.origin {
            Origin::File => self.place(key),
            Origin::Flags => Place::Flag(flag.to_owned()),
        }
    }

    pub(super) fn problem(&mut self, place: &Place, message: impl Into<String>) {
        self.findings.problems.add(place.clone(), message);
    }

    pub(super) fn warn(&mut self, place: &Place, message: impl Into<String>) {
        let message = message.into();
        self.findings.warnings.push(Warning { place: place.clone(), message });
    }

    /// Text; `example` shows in the problem what could stand there.
    pub(super) fn text(&mut self, key: &'static str, example: &str) -> Option<At<String>> {
        let value = self.find(key)?;
        let place = self.place(key);
        self.text_of(value, place, example)
    }

    fn text_of(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        place: Place,
        example: &str,
    ) -> Option<At<String>> {
        match value.get_ref() {
            DeValue::String(text) => Some(At { place, value: text.to_string() }),
            other => {
                let is = kind(other);
                self.problem(&place, format!("is {is}; write text in quotes, as \"{example}\""));
                None
            }
        }
    }

    /// A list of texts. One text alone counts as a list of one.
    pub(super) fn texts(
        &mut self,
        key: &'static str,
        example: &str,
    ) -> Option<At<Vec<At<String>>>> {
        let value = self.find(key)?;
        let place = self.place(key);
        let DeValue::Array(entries) = value.get_ref() else {
            let only = self.text_of(value, place.clone(), example)?;
            return Some(At { place, value: vec![only] });
        };
        if !self.is_short(&place, entries.len()) {
            return None;
        }
        let mut texts = Vec::with_capacity(entries.len());
        for (i, entry) in entries.iter().enumerate() {
            let path = self.path_of(&format!("{key}[{i}]"));
            let line = Some(self.findings.line(entry.span().start));
            texts.extend(self.text_of(entry, Place::Key { path, line }, example));
        }
        Some(At { place, value: texts })
    }

    /// A table of texts under names that the writer chooses, in the order of the names.
    pub(super) fn named_texts(
        &mut self,
        key: &'static str,
        example: &str,
    ) -> Vec<(String, At<String>)> {
        let Some(value) = self.find(key) else { return Vec::new() };
        let place = self.place(key);
        let DeValue::Table(entries) = value.get_ref() else {
            let is = kind(value.get_ref());
            self.problem(&place, format!("is {is}; write {key} = {{ NAME = \"{example}\" }}"));
            return Vec::new();
        };
        let mut texts = Vec::new();
        if self.is_short(&place, entries.len()) {
            for (name, entry) in entries {
                let path = self.path_of(&format!("{key}.{}", shown_key(name.get_ref())));
                let line = Some(self.findings.line(entry.span().start));
                let text = self.text_of(entry, Place::Key { path, line }, example);
                texts.extend(text.map(|text| (name.get_ref().to_string(), text)));
            }
        }
        texts
    }

    /// A whole number.
    pub(super) fn integer(&mut self, key: &'static str) -> Option<At<i64>> {
        let value = self.find(key)?;
        let place = self.place(key);
        match value.get_ref() {
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(value) => Some(At { place, value }),
                    Err(_) => {
                        self.problem(&place, "is beyond every bound; write a smaller number");
                        None
                    }
                }
            }
            other => {
                let is = kind(other);
                self.problem(&place, format!("is {is}; write a whole number without quotes"));
                None
            }
        }
    }

    /// A table of its own, as `[timeouts]`, read by `read` whether it is there or not.
    pub(super) fn section<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'d, '_>) -> T,
    ) -> T {
        self.section_called(key, key, read)
    }

    /// As [`Section::section`], where the key alone would not tell which tables it means.
    pub(super) fn section_called<T>(
        &mut self,
        key: &'static str,
        name: &'static str,
        read: impl FnOnce(&mut Section<'d, '_>) -> T,
    ) -> T {
        let value = self.find(key);
        let path = self.path_of(key);
        let line = value.map(|value| self.findings.line(value.span().start));
        let table = match value.map(Spanned::get_ref) {
            None => None,
            Some(DeValue::Table(table)) => Some(table),
            Some(other) => {
                let message = format!("is {}; write a section headed [{path}]", kind(other));
                let place = self.place(key);
                self.problem(&place, message);
                None
            }
        };
        let findings = &mut *self.findings;
        Section { table, name, path, line, asked: Vec::new(), findings }.read_by(read)
    }

    /// A list of tables, as `[[nodes]]`, each read by `read`.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'d, '_>) -> T,
    ) -> Vec<T> {
        let Some(value) = self.find(key) else { return Vec::new() };
        let place = self.place(key);
        let entries = match value.get_ref() {
            DeValue::Array(entries) => entries,
            other => {
                let is = kind(other);
                self.problem(&place, format!("is {is}; head each of its entries [[{key}]]"));
                return Vec::new();
            }
        };
        if !self.is_short(&place, entries.len()) {
            return Vec::new();
        }
        let mut values = Vec::with_capacity(entries.len());
        for (i, entry) in entries.iter().enumerate() {
            let path = self.path_of(&format!("{key}[{i}]"));
            let line = Some(self.findings.line(entry.span().start));
            if let DeValue::Table(table) = entry.get_ref() {
                let findings = &mut *self.findings;
                let table = Some(table);
                let entry = Section { table, name: key, path, line, asked: Vec::new(), findings };
                values.push(entry.read_by(&mut read));
            } else {
                let is = kind(entry.get_ref());
                let place = Place::Key { path, line };
                self.problem(&place, format!("is {is}; write a table headed [[{key}]]"));
            }
        }
        values
    }

    fn is_short(&mut self, place: &Place, entries: usize) -> bool {
        if LIST_ENTRIES_MAX < entries {
            let message = format!("has {entries} entries; write at most {LIST_ENTRIES_MAX}");
            self.problem(place, message);
        }
        entries <= LIST_ENTRIES_MAX
    }
}

/// The tables of a TOML text.
///
/// # Errors
/// Each line that is no TOML, with line and column.
pub(super) fn parse(text: &str) -> Result<DeTable<'_>, Problems> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(table.into_inner());
    }
    let mut problems = Problems::default();
    let mut last_line = 0;
    for error in errors {
        let at = error.span().map_or(text.len(), |span| span.start);
        let (line, column) = position(text, at);
        // The first error of a line often causes the others.
        if line != last_line {
            let place = Place::Text { line, column };
            let message = error.message().trim();
            problems.add(place, format!("is no TOML: {message}; correct this line"));
        }
        last_line = line;
    }
    Err(problems.in_order())
}

/// Line and column, both from 1; columns are characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.get(line_start..).map_or(0, |rest| rest.chars().count()) + 1;
    (line, column)
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

/// A key as TOML writes it: bare where it can be, else quoted.
fn shown_key(key: &str) -> String {
    const BARE_CHARS_MAX: usize = 80;
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !key.is_empty() && key.len() <= BARE_CHARS_MAX && key.bytes().all(bare) {
        key.to_owned()
    } else {
        shown(key)
    }
}
