//! Holds the floors of ARCHITECTURE.md, and the few rules of this code that no lint knows.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. An import points down; up never, sideways only where [`SIDEWAYS`] says why.
const FLOORS: [&[&str]; 6] = [
    &["model"],
    &["config", "http1", "routing", "procedure", "nocobase"],
    &["clock", "failpoint", "fence", "journal", "upstream", "notice", "drivers", "telemetry"],
    &["edge", "proxy", "health", "engine"],
    &["control", "dashboard", "standin"],
    &["app", "cli", "main"],
];

/// Imports within a floor.
const SIDEWAYS: &[(&str, &str, &str)] = &[
    ("config", "nocobase", "paths are checked as NocoBase's own router reads them"),
    ("config", "routing", "how requests are shared out is a setting"),
    ("drivers", "clock", "a result says when the command ended"),
    ("drivers", "failpoint", "a crash at each of its steps is tested"),
    ("journal", "failpoint", "a crash at each of its steps is tested"),
    ("telemetry", "clock", "a scrape and a log line carry the time"),
    ("edge", "proxy", "a connection hands its requests on"),
    ("cli", "app", "the verbs `run` and `demo` start what is composed there"),
    ("main", "cli", "the binary is the command line"),
];

/// Used by one module alone, whatever the floors allow.
const RESERVED: &[(&str, &str, &str)] =
    &[("standin", "cli", "a played node is for demonstrations and tests, not for the gateway")];

/// They decide: no I/O, no clock, no runtime. What they need comes in as data.
const PURE: [&str; 6] = ["model", "config", "http1", "routing", "procedure", "nocobase"];
const IMPURE: [&str; 12] = [
    "tokio",
    "hyper",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "Instant::now",
    "SystemTime",
    "tracing::",
];

const LINES_MAX: usize = 500;
/// Longer ones, and why they are one idea all the same.
const LONG: &[(&str, &str)] = &[];

/// A file of the library or the binary, without its tests, its comments and its strings.
struct Source {
    path: String,
    /// First part of its path in the crate.
    module: String,
    code: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let inside = path.strip_prefix("src/").expect("a file of src");
        let module = inside.split('/').next().expect("at least one part");
        let module = module.strip_suffix(".rs").unwrap_or(module).to_owned();
        Self { path: path.to_owned(), module, code: without_tests(&code(text)) }
    }

    fn line(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }

    /// Modules of this crate that it names, with the line.
    fn imports(&self) -> Vec<(usize, String)> {
        let mut imports = Vec::new();
        for root in ["crate::", "drawspan::"] {
            for (at, _) in self.code.match_indices(root) {
                let line = self.line(at);
                let rest = &self.code[at + root.len()..];
                imports.extend(first_parts(rest).into_iter().map(|name| (line, name)));
            }
        }
        imports.retain(|(_, name)| *name != self.module);
        imports
    }
}

/// Where a chain of `super::` leaves the module and hides an import, with the line.
fn escapes(source: &Source) -> Vec<String> {
    let inside = source.path.trim_start_matches("src/").trim_end_matches("/mod.rs");
    let depth = inside.split('/').count();
    let chain = "super::".repeat(depth);
    let found = source.code.match_indices(&chain);
    let problem = |(at, _)| format!("{}:{}: say crate::", source.path, source.line(at));
    found.map(problem).collect()
}

fn before_tests(text: &str) -> &str {
    text.find("\n#[cfg(test)]\nmod ").map_or(text, |at| &text[..at + 1])
}

/// Code with its test modules blanked out, line for line.
fn without_tests(code: &str) -> String {
    let Some((before, tests)) = code.split_once("#[cfg(test)]") else { return code.to_owned() };
    let mut depth = 0;
    let end = tests.char_indices().find_map(|(at, c)| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        (depth == 0 && (c == '}' || c == ';')).then_some(at + 1)
    });
    let (tests, after) = tests.split_at(end.unwrap_or(tests.len()));
    let blank: String = tests.chars().filter(|c| *c == '\n').collect();
    format!("{before}{blank}{}", without_tests(after))
}

/// `b::c` gives b; `{b, c::{d, e}}` gives b and c; what is no module's name gives nothing.
fn first_parts(rest: &str) -> Vec<String> {
    let name = |text: &str| -> Option<String> {
        let text = text.trim_start();
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        let legal = text.starts_with(|c: char| c.is_ascii_lowercase());
        (legal && 0 < end).then(|| text[..end].to_owned())
    };
    let Some(group) = rest.strip_prefix('{') else { return name(rest).into_iter().collect() };
    let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' | ',' if depth == 0 => {
                names.extend(name(&group[start..=at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names
}

/// The text with comments and strings blanked out, line for line.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '"' => string_length(rest),
            'r' if !code.ends_with(|c: char| c.is_alphanumeric() || c == '_') => raw_length(rest),
            '\'' => char_length(rest),
            _ => 0,
        };
        let (gone, left) = rest.split_at(skipped);
        code.extend(gone.chars().filter(|c| *c == '\n'));
        rest = left;
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    code
}

fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// Of `r"..."` and `r#"..."#`; 0 for anything else.
fn raw_length(rest: &str) -> usize {
    let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
    let inside = 2 + hashes;
    if !rest[1 + hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    rest[inside..].find(&end).map_or(rest.len(), |at| inside + at + end.len())
}

/// Of `'x'` and `'\n'`; 0 for a lifetime.
fn char_length(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((after, _))) => {
            rest[after + 1..].find('\'').map_or(0, |at| after + 1 + at + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// What is wrong with the imports of one file.
fn trespasses(source: &Source) -> Vec<String> {
    let Some(own) = floor(&source.module) else {
        return vec![format!("{}: module {} stands on no floor", source.path, source.module)];
    };
    let wrong = |(line, name): (usize, String)| {
        let direction = match floor(&name) {
            None if name == "Cli" => return None,
            None => "nowhere",
            Some(other) if own < other => "up",
            Some(other) if own == other && !listed(SIDEWAYS, &source.module, &name) => "sideways",
            Some(_) => match RESERVED.iter().find(|(module, _, _)| *module == name) {
                Some((_, user, _)) if *user != source.module => "at what is not for it",
                Some(_) | None => return None,
            },
        };
        Some(format!("{}:{line}: {} points {direction}: {name}", source.path, source.module))
    };
    source.imports().into_iter().filter_map(wrong).collect()
}

fn listed(list: &[(&str, &str, &str)], from: &str, to: &str) -> bool {
    list.iter().any(|(one, other, _)| *one == from && *other == to)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the project") {
        let path = entry.expect("its entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Every file of `src` but those that are tests as a whole, as (path, text).
fn texts() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    files(&root().join("src"), &mut paths);
    paths.retain(|path| !path.ends_with("tests.rs") && !path.ends_with("lib.rs"));
    paths.sort();
    assert!(100 < paths.len(), "the project's files were not found");
    let text = |path: &PathBuf| {
        let inside = path.strip_prefix(root()).expect("below it").to_string_lossy().into_owned();
        (inside, fs::read_to_string(path).expect("a file of the project"))
    };
    paths.iter().map(text).collect()
}

fn sources() -> Vec<Source> {
    texts().iter().map(|(path, text)| Source::new(path, text)).collect()
}

#[track_caller]
fn none(problems: &[String]) {
    let mut text = String::new();
    for problem in problems {
        let _ = writeln!(text, "  {problem}");
    }
    assert!(problems.is_empty(), "\n{text}");
}

#[test]
fn every_import_points_down_or_is_listed_with_its_reason() {
    let sources = sources();
    none(&sources.iter().flat_map(trespasses).collect::<Vec<_>>());
    none(&sources.iter().flat_map(escapes).collect::<Vec<_>>());
}

#[test]
fn what_is_listed_as_an_exception_is_one_today() {
    let sources = sources();
    let imports = |from: &str, to: &str| {
        let of = sources.iter().filter(|source| source.module == from);
        of.flat_map(Source::imports).any(|(_, name)| name == to)
    };
    for (from, to, why) in SIDEWAYS {
        assert!(imports(from, to), "{from} does not import {to} any more ({why})");
    }
    for (path, why) in LONG {
        assert!(LINES_MAX < lines(path), "{path} is not long any more ({why})");
    }
}

#[test]
fn pure_modules_touch_no_clock_no_file_and_no_runtime() {
    let mut problems = Vec::new();
    for source in sources().iter().filter(|source| PURE.contains(&source.module.as_str())) {
        for word in IMPURE {
            let found = source.code.match_indices(word);
            let problem = |(at, _)| format!("{}:{}: {word}", source.path, source.line(at));
            problems.extend(found.map(problem));
        }
    }
    none(&problems);
}

#[test]
fn nothing_outside_tests_unwraps() {
    let mut problems = Vec::new();
    for source in sources() {
        let found = source.code.match_indices(".unwrap()");
        problems.extend(found.map(|(at, _)| format!("{}:{}", source.path, source.line(at))));
    }
    none(&problems);
}

fn lines(path: &str) -> usize {
    let text = fs::read_to_string(root().join(path)).expect("a file of the project");
    before_tests(&text).lines().count()
}

#[test]
fn no_file_is_longer_than_one_idea() {
    let allowed = |path: &str| LONG.iter().any(|(long, _)| *long == path);
    let long = texts().into_iter().map(|(path, _)| path).filter(|path| !allowed(path));
    let problem = |path: String| match lines(&path) {
        count if LINES_MAX < count => Some(format!("{path}: {count} lines before its tests")),
        _ => None,
    };
    none(&long.filter_map(problem).collect::<Vec<_>>());
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    let (mut problems, mut dependencies, mut explained, mut count) = (Vec::new(), false, false, 0);
    for line in manifest.lines() {
        if line.starts_with('[') {
            dependencies = line.ends_with("dependencies]");
        } else if dependencies && line.contains('=') {
            count += 1;
            // A comment may stand for the lines right below it.
            if !explained {
                problems.push(line.to_owned());
            }
        }
        explained = line.starts_with('#') || explained && !line.is_empty();
    }
    assert!(20 < count, "the dependencies were not found");
    none(&problems);
}

#[test]
fn the_map_names_every_module() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the map");
    let missing = |source: &Source| {
        let row = format!("| `{}` |", source.module);
        (source.module != "main" && !map.contains(&row)).then(|| source.module.clone())
    };
    let mut missing: Vec<String> = sources().iter().filter_map(missing).collect();
    missing.dedup();
    none(&missing);
}

#[test]
fn an_import_that_points_up_or_sideways_is_named_with_its_line() {
    let text = "//! crate::app in words\nuse crate::model::Mode;\nuse crate::{\n    clock,\n    \
                engine::{Handle, api},\n};\n\nfn f<'a>() { crate::health::g(\"crate::cli\", '\"') }\n\
                \n#[cfg(test)]\nmod tests {\n    use crate::app::start;\n}\n";
    let found = trespasses(&Source::new("src/proxy/some.rs", text));
    assert_eq!(
        found,
        [
            "src/proxy/some.rs:3: proxy points sideways: engine",
            "src/proxy/some.rs:8: proxy points sideways: health"
        ]
    );
    let found = trespasses(&Source::new("src/model/some.rs", "use crate::routing::Table;\n"));
    assert_eq!(found, ["src/model/some.rs:1: model points up: routing"]);
    let found = trespasses(&Source::new("src/app/some.rs", "use crate::standin::StandIn;\n"));
    assert_eq!(found, ["src/app/some.rs:1: app points at what is not for it: standin"]);
    let found = trespasses(&Source::new("src/utils.rs", ""));
    assert_eq!(found, ["src/utils.rs: module utils stands on no floor"]);
    let found = escapes(&Source::new("src/proxy/a.rs", "use super::b;\nuse super::super::engine;"));
    assert_eq!(found, ["src/proxy/a.rs:2: say crate::"]);
}

#[test]
fn strings_and_comments_are_no_code() {
    let text = "a(\"x\\\"crate::b\", r#\"crate::\"c\"#, '\"', '\\'') // crate::d\n&'e f";
    assert_eq!(code(text), "a(, , , ) \n&'e f");
    let text = "a\n#[cfg(test)]\nmod tests {\n  b { c }\n}\nd\n#[cfg(test)]\nmod e;\nf";
    assert_eq!(without_tests(text), "a\n\n\n\n\nd\n\n\nf");
}
