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
            eprintln!("cannot make the man page: {error}");
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
    page.render_extra_section(&mut text)?;
    page.render_version_section(&mut text)?;
    Ok(text)
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
            eprintln!("cannot write to stdout: {error}");
            Exit::Internal
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_man_page_has_every_verb_with_its_options_and_the_exit_codes() {
        let text = String::from_utf8(page().expect("a page")).expect("text");
        for verb in Cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
            assert!(text.contains(&format!(".SH \"{}\"", verb.get_name().to_uppercase())));
        }
        for words in ["drain\\-timeout", "state\\-dir", "gateway does not answer"] {
            assert!(text.contains(words), "{words}");
        }
        assert!(!text.contains("STAND-IN"));
    }
}
