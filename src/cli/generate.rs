//! `drawspan completions SHELL` and `drawspan man`: made from the command line itself.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_mangen::Man;

use super::{Cli, Exit};

#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell to write for.
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

pub fn completions(args: &CompletionsArgs) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "drawspan", &mut text);
    print(&text)
}

pub fn man() -> Exit {
    match page() {
        Ok(text) => print(&text),
        Err(error) => {
            eprintln!("error: cannot make the man page: {error}");
            Exit::Internal
        }
    }
}

/// One page: the program, then each verb with its options.
fn page() -> io::Result<Vec<u8>> {
    let mut command = Cli::command();
    command.build();
    let page = Man::new(command.clone());
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    for verb in command.get_subcommands() {
        if !verb.is_hide_set() && verb.get_name() != "help" {
            of_verb(verb, &mut text)?;
        }
    }
    exit_status(&mut text)?;
    table("FILES", &FILES, &mut text)?;
    table("ENVIRONMENT", &ENVIRONMENT, &mut text)?;
    page.render_version_section(&mut text)?;
    Ok(text)
}

const FILES: [(&str, &str); 4] = [
    ("/etc/drawspan/drawspan.toml", "Where the configuration is kept by custom; run names it."),
    (
        "/var/lib/drawspan",
        "The state folder of root's gateway: it holds the mode, and whoever deletes it forgets the \
         mode. Under systemd $STATE_DIRECTORY; for other users drawspan below $XDG_STATE_HOME or \
         ~/.local/state.",
    ),
    (
        "/run/drawspan/control.sock",
        "The control socket of root's gateway. Under systemd in $RUNTIME_DIRECTORY; for other users \
         drawspan/control.sock below $XDG_RUNTIME_DIR, or",
    ),
    ("/tmp/drawspan-UID/control.sock", "where there is no such folder."),
];

const ENVIRONMENT: [(&str, &str); 4] = [
    ("DRAWSPAN_CONTROL", "The control socket for the verbs that talk to a running gateway."),
    ("STATE_DIRECTORY, RUNTIME_DIRECTORY", "Set by systemd; before all other defaults."),
    ("XDG_STATE_HOME, XDG_RUNTIME_DIR", "The folders of a user's session; not for root."),
    ("HOME", "Where XDG_STATE_HOME is not set."),
];

fn exit_status(text: &mut Vec<u8>) -> io::Result<()> {
    writeln!(text, ".SH \"EXIT STATUS\"")?;
    for exit in Exit::ALL {
        writeln!(text, ".TP\n{}\n{}", exit.code(), exit.meaning())?;
    }
    Ok(())
}

fn table(title: &str, rows: &[(&str, &str)], text: &mut Vec<u8>) -> io::Result<()> {
    writeln!(text, ".SH {title}")?;
    for (name, what) in rows {
        writeln!(text, ".TP\n.B {name}\n{what}")?;
    }
    Ok(())
}

/// A section for the verb, with the sections of its own page one level below.
fn of_verb(verb: &clap::Command, text: &mut Vec<u8>) -> io::Result<()> {
    let own = Man::new(verb.clone());
    let mut sections = Vec::new();
    own.render_synopsis_section(&mut sections)?;
    own.render_description_section(&mut sections)?;
    own.render_options_section(&mut sections)?;
    if verb.get_after_help().is_some() {
        own.render_extra_section(&mut sections)?;
    }
    writeln!(text, ".SH \"{}\"", verb.get_name().to_uppercase())?;
    let sections = String::from_utf8_lossy(&sections).replace(".SH ", ".SS ");
    text.write_all(sections.as_bytes())
}

fn print(text: &[u8]) -> Exit {
    match io::stdout().lock().write_all(text) {
        Ok(()) => Exit::True,
        // Whoever stopped reading has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::True,
        Err(error) => {
            eprintln!("error: cannot write to stdout: {error}");
            Exit::Internal
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    #[test]
    fn the_man_page_has_every_verb_with_its_options_and_the_exit_codes() {
        let text = String::from_utf8(page().expect("a page")).expect("text");
        for verb in Cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
            assert!(text.contains(&format!(".SH \"{}\"", verb.get_name().to_uppercase())));
        }
        for words in ["drain\\-timeout", "state\\-dir", "gateway does not answer"] {
            assert!(text.contains(words), "{words}");
        }
        for section in ["\"EXIT STATUS\"", "FILES", "ENVIRONMENT"] {
            assert!(text.contains(&format!(".SH {section}\n")), "{section}");
        }
        assert!(!text.contains("EXTRA\n.PP\nExit codes"));
        for path in [
            Environment { uid: 0, ..Environment::default() }.control_path(),
            Environment { uid: 0, ..Environment::default() }.state_dir(),
        ] {
            assert!(text.contains(&path.display().to_string()), "{path:?}");
        }
        assert!(!text.contains("STAND-IN"));
    }
}
