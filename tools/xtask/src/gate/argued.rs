//! The list of lines that no test carries out, each with the reason why that is right.
//!
//! A line is known by its file, its function and its text, so that it may move. `*` for the text is every such line of the function. The reason follows, indented, for all
//! the lines before it. One that begins with `at times:` is of lines that depend on how threads meet, and may run or not.

use std::fmt;

/// A line of the sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    file: String,
    number: u32,
    function: String,
    text: String,
}

impl Line {
    /// The line of that number; none if there is no such line, which is not of these sources then.
    pub(super) fn of(file: &str, source: &str, number: u32) -> Option<Self> {
        let lines: Vec<&str> = source.lines().collect();
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        let text = lines.get(index)?.trim();
        let function = lines[..=index].iter().rev().find_map(|line| function(line));
        Some(Self {
            file: file.into(),
            number,
            function: function.unwrap_or("-").into(),
            text: text.into(),
        })
    }
}

/// The function that begins on this line.
fn function(line: &str) -> Option<&str> {
    let line = line.trim_start();
    if line.starts_with("//") {
        return None;
    }
    let at = line
        .find("fn ")
        .filter(|&at| at == 0 || line[..at].ends_with(' '))?;
    let name = line[at + 3..]
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()?;
    (!name.is_empty()).then_some(name)
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}: {}",
            self.file, self.number, self.function, self.text
        )
    }
}

/// An entry of the list.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    file: String,
    function: String,
    text: String,
    at_times: bool,
}

impl Entry {
    fn means(&self, line: &Line) -> bool {
        self.file == line.file
            && self.function == line.function
            && (self.text == "*" || self.text == line.text)
    }
}

/// The list.
#[derive(Debug)]
pub(super) struct Argued(Vec<Entry>);

impl Argued {
    /// Reads the list.
    ///
    /// # Errors
    /// One line that says which line of it is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (mut entries, mut open) = (Vec::new(), Vec::new());
        let lines = (1..).zip(text.lines());
        for (number, line) in lines.filter(|(_, line)| !line.starts_with('#') && !line.trim().is_empty()) {
            if line.starts_with(' ') {
                let at_times = line.trim().starts_with("at times:");
                // More lines of a reason.
                entries.extend(open.drain(..).map(|(_, entry)| Entry { at_times, ..entry }));
                continue;
            }
            let mut parts = line.splitn(3, ": ");
            let (Some(file), Some(function), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(format!("line {number} is not `FILE: FUNCTION: TEXT`"));
            };
            open.push((
                number,
                Entry {
                    file: file.into(),
                    function: function.into(),
                    text: text.trim().into(),
                    at_times: false,
                },
            ));
        }
        match open.first() {
            None => Ok(Self(entries)),
            Some((number, _)) => Err(format!("line {number} has no reason, which follows indented")),
        }
    }

    /// How many of these lines have a reason.
    pub(super) fn count(&self, never: &[Line]) -> usize {
        never.iter().filter(|line| self.has(line)).count()
    }

    fn has(&self, line: &Line) -> bool {
        self.0.iter().any(|entry| entry.means(line))
    }

    /// The lines that did not run and have no reason, and the reasons of lines that did, or that are not there any more.
    pub(super) fn faults(&self, never: &[Line], source: impl Fn(&str) -> String) -> Vec<String> {
        let unargued = never.iter().filter(|line| !self.has(line));
        let unargued = unargued.map(|line| format!("{line}: did not run, and nothing says why it need not"));
        let is_there = |entry: &Entry| {
            let text = source(&entry.file);
            let numbers = 1..=u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
            numbers
                .filter_map(|number| Line::of(&entry.file, &text, number))
                .any(|line| entry.means(&line))
        };
        let stale = self.0.iter().filter(|entry| {
            let unmet = !never.iter().any(|line| entry.means(line));
            unmet && !(entry.at_times && is_there(entry))
        });
        let stale = stale.map(|entry| {
            let Entry {
                file, function, text, ..
            } = entry;
            format!("{file}: {function}: {text}: is argued not to run, and it did, or is not there any more")
        });
        unargued.chain(stale).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "//! fn nothing\npub(crate) fn f() {\n    a();\n}\n\nconst fn g<T>() {\n    // fn h\n    a();\n    b();\n}\n";

    fn lines(numbers: &[u32]) -> Vec<Line> {
        numbers
            .iter()
            .filter_map(|&number| Line::of("src/a.rs", SOURCE, number))
            .collect()
    }

    #[test]
    fn a_line_belongs_to_its_function() {
        let [f, g] = &lines(&[3, 8])[..] else {
            panic!("both are there")
        };
        assert_eq!((&f.function[..], &f.text[..]), ("f", "a();"));
        assert_eq!(g.to_string(), "src/a.rs:8: g: a();");
        assert_eq!(lines(&[99]), []);
        assert_eq!(lines(&[1])[0].function, "-");
    }

    #[test]
    fn every_line_that_did_not_run_has_a_reason_and_every_reason_a_line() {
        let source = |_: &str| SOURCE.to_owned();
        let list = "# a comment\nsrc/a.rs: f: a();\nsrc/a.rs: g: *\n    nobody calls it\n    at all\n";
        let argued = Argued::parse(list).unwrap();
        assert_eq!(argued.faults(&lines(&[3, 8, 9]), source), [""; 0]);
        assert_eq!(argued.count(&lines(&[3, 8, 9])), 3);
        let [only] = &argued.faults(&lines(&[3, 4, 8]), source)[..] else {
            panic!("one is not argued")
        };
        assert!(only.starts_with("src/a.rs:4: f: }: did not run"), "{only}");
        let [only] = &argued.faults(&lines(&[8]), source)[..] else {
            panic!("one ran")
        };
        assert!(only.starts_with("src/a.rs: f: a();: is argued"), "{only}");
    }

    #[test]
    fn what_depends_on_how_threads_meet_may_run_while_it_is_there() {
        let source = |_: &str| SOURCE.to_owned();
        let argued =
            |text: &str| Argued::parse(&format!("src/a.rs: g: {text}\n  at times: a race\n")).unwrap();
        assert_eq!(argued("b();").faults(&[], source), [""; 0]);
        assert_eq!(argued("c();").faults(&[], source).len(), 1);
    }

    #[test]
    fn an_entry_without_a_reason_is_none() {
        assert!(
            Argued::parse("src/a.rs: f: a();\n")
                .unwrap_err()
                .contains("line 1 has no reason")
        );
        assert!(
            Argued::parse("src/a.rs: f\n  why\n")
                .unwrap_err()
                .contains("line 1 is not")
        );
    }
}
