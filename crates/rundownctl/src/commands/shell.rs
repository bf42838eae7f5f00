//! `rundownctl shell`: objects by hand. The handle stays open from prompt to prompt.

use std::{env, fs, path::PathBuf};

use clap::CommandFactory;
use rustyline::{
    Context, Editor, Helper, Highlighter, Hinter, Validator,
    completion::{Completer, Pair},
    error::ReadlineError,
    history::FileHistory,
};

use super::objects::{first_line, tell};
use crate::{
    bench::{Bench, Line, Step},
    client::Client,
    error::Error,
    names::ObjectKind,
    print,
    session::Session,
    target::Access,
};

/// Reads steps until the end of input, takes them, and prints what came of each. A refusal ends nothing.
///
/// # Errors
/// When the target cannot be reached or dies.
pub fn run(session: &Session<'_>) -> Result<u8, Error> {
    let unusable = |error: ReadlineError| Error::Unreachable {
        what: format!("the terminal cannot be used: {error}"),
        advice: "`rundownctl objects` takes its steps from the command line".into(),
    };
    crate::print::tell(format_args!("{}", session.beginning()));
    let mut target = session.connect()?;
    let mut bench = Bench::new(Client::open(&mut *target, Access::ReadWrite)?);
    let mut editor: Editor<Words, FileHistory> = Editor::new().map_err(unusable)?;
    editor.set_helper(Some(Words::default()));
    let history = history();
    if let Some(file) = &history {
        // The first time there is none.
        let _ = editor.load_history(file);
    }
    print::line("an open handle; `create ours` makes an object, `help` lists the steps, `quit` leaves")?;
    loop {
        bench.news()?.iter().try_for_each(tell)?;
        let line = match editor.readline("rundown> ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(unusable(error)),
        };
        match line.trim() {
            "" => continue,
            "help" => {
                print::raw(help())?;
                continue;
            }
            _ => {}
        }
        // A history that cannot be kept is no reason to stop.
        let _ = editor.add_history_entry(&line);
        match Step::parse(&line) {
            Ok(Step::Quit) => break,
            Ok(step) => match bench.take(&step) {
                Ok(outcome) => outcome.iter().try_for_each(tell)?,
                Err(error @ (Error::Refused { .. } | Error::Usage(_))) => {
                    crate::print::tell(format_args!("{error}"));
                }
                Err(error) => return Err(error),
            },
            Err(error) => crate::print::tell(format_args!("{}; `help` lists the steps", first_line(&error))),
        }
        if let Some(words) = editor.helper_mut() {
            words.objects = bench.objects();
        }
    }
    if let Some(file) = &history {
        let kept = file.parent().map(fs::create_dir_all);
        if matches!(kept, Some(Ok(()))) {
            let _ = editor.save_history(file);
        }
    }
    bench.close()?;
    target.finish()?;
    Ok(0)
}

/// A line for each step.
fn help() -> String {
    let mut command = Line::command();
    command
        .get_subcommands_mut()
        .filter_map(|step| step.get_about().map(|about| format!("    {about}\n")))
        .collect()
}

/// Where steps are kept from one shell to the next: with the user's other local data.
fn history() -> Option<PathBuf> {
    let folder = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    folder("LOCALAPPDATA")
        .or_else(|| folder("XDG_STATE_HOME"))
        .or_else(|| folder("HOME").map(|home| home.join(".local/state")))
        .map(|base| base.join("rundownctl").join("history"))
}

/// The words that can be completed: steps, kinds, and the numbers of the objects that there are.
#[derive(Default, Helper, Highlighter, Hinter, Validator)]
struct Words {
    objects: usize,
}

impl Words {
    fn candidates(&self, line: &str) -> Vec<String> {
        let mut before: Vec<_> = line.split_whitespace().collect();
        let begun = if line.ends_with(char::is_whitespace) {
            ""
        } else {
            before.pop().unwrap_or_default()
        };
        let all: Vec<String> = match before[..] {
            [] => Line::command()
                .get_subcommands()
                .map(|step| step.get_name().to_owned())
                .chain(["help".to_owned()])
                .collect(),
            ["create"] => ObjectKind::ALL
                .iter()
                .map(|kind| kind.name().to_owned())
                .collect(),
            ["create", _] => vec!["disabled".to_owned()],
            [_] => (1..=self.objects).map(|object| object.to_string()).collect(),
            _ => Vec::new(),
        };
        all.into_iter().filter(|word| word.starts_with(begun)).collect()
    }
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(&self, line: &str, place: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let line = &line[..place];
        let start = line.rfind(char::is_whitespace).map_or(0, |blank| blank + 1);
        // The next word begins at once.
        let pair = |word: String| Pair {
            replacement: format!("{word} "),
            display: word,
        };
        Ok((start, self.candidates(line).into_iter().map(pair).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_follow_is_completed() {
        let words = Words { objects: 2 };
        assert_eq!(words.candidates("cr"), ["create"]);
        assert_eq!(
            words.candidates("create native"),
            ["native", "native-cache-aware"]
        );
        assert_eq!(words.candidates("create ours "), ["disabled"]);
        assert_eq!(words.candidates("wait "), ["1", "2"]);
        assert_eq!(words.candidates("acquire 1 "), [""; 0]);
        assert!(words.candidates("").contains(&"reinit".to_owned()));
    }

    #[test]
    fn every_step_has_its_line_of_help() {
        let help = help();
        for step in Line::command().get_subcommands() {
            assert!(help.contains(&format!("    {}", step.get_name())), "{help}");
        }
    }
}
