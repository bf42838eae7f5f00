//! lcov's files (`geninfo(1)`, "TRACEFILE FORMAT"): of each source file the functions and lines that have code, and how often they ran. Branches are
//! left out: what the lab sees does not tell them.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt;

/// What ran of one program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The program's name: letters, digits and underscores.
    pub test: String,
    /// By path.
    pub files: BTreeMap<String, File>,
}

/// What ran of a source file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    /// By name: the first line with code, and how often it was entered.
    pub functions: BTreeMap<String, (u32, u64)>,
    /// By number.
    pub lines: BTreeMap<u32, u64>,
}

impl Coverage {
    /// Reads a file; nothing at all is the coverage of no program.
    ///
    /// # Errors
    /// One line with the number of the line that is not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut coverage = Self::default();
        let mut open: Option<String> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let wrong = || format!("line {number}, `{line}`, is not lcov's");
            let (key, value) = line.split_once(':').unwrap_or((line, ""));
            match (key, &open) {
                ("TN", None) => value.clone_into(&mut coverage.test),
                ("SF", None) => {
                    coverage.files.entry(value.to_owned()).or_default();
                    open = Some(value.to_owned());
                }
                ("end_of_record", Some(_)) => open = None,
                ("FNF" | "FNH" | "LF" | "LH", Some(_)) => {}
                ("FN" | "FNDA" | "DA", Some(path)) => {
                    let file = coverage.files.entry(path.clone()).or_default();
                    file.read(key, value).ok_or_else(wrong)?;
                }
                _ => return Err(wrong()),
            }
        }
        match open {
            None => Ok(coverage),
            Some(path) => Err(format!("it ends within {path}")),
        }
    }

    /// Adds what ran in another run of the same program.
    pub fn add(&mut self, other: Self) {
        for (path, file) in other.files {
            self.files.entry(path).or_default().add(file);
        }
    }
}

impl File {
    fn read(&mut self, key: &str, value: &str) -> Option<()> {
        let (first, second) = value.split_once(',')?;
        match key {
            "DA" => *self.lines.entry(first.parse().ok()?).or_default() += second.parse::<u64>().ok()?,
            "FN" => self.functions.entry(second.into()).or_default().0 = first.parse().ok()?,
            _ => self.functions.entry(second.into()).or_default().1 += first.parse::<u64>().ok()?,
        }
        Some(())
    }

    fn add(&mut self, other: Self) {
        for (line, hits) in other.lines {
            *self.lines.entry(line).or_default() += hits;
        }
        for (name, (line, hits)) in other.functions {
            let function = self.functions.entry(name).or_insert((line, 0));
            *function = (function.0.min(line), function.1 + hits);
        }
    }

    /// How many lines have code, and how many of them ran.
    #[must_use]
    pub fn lines_run(&self) -> (usize, usize) {
        (
            self.lines.len(),
            self.lines.values().filter(|&&hits| hits != 0).count(),
        )
    }

    /// How many functions have code, and how many of them ran.
    #[must_use]
    pub fn functions_run(&self) -> (usize, usize) {
        let ran = self.functions.values().filter(|(_, hits)| *hits != 0);
        (self.functions.len(), ran.count())
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, file) in &self.files {
            writeln!(f, "TN:{}\nSF:{path}", self.test)?;
            for (name, (line, _)) in &file.functions {
                writeln!(f, "FN:{line},{name}")?;
            }
            for (name, (_, hits)) in &file.functions {
                writeln!(f, "FNDA:{hits},{name}")?;
            }
            let (functions, entered) = file.functions_run();
            writeln!(f, "FNF:{functions}\nFNH:{entered}")?;
            for (line, hits) in &file.lines {
                writeln!(f, "DA:{line},{hits}")?;
            }
            let (lines, run) = file.lines_run();
            writeln!(f, "LF:{lines}\nLH:{run}\nend_of_record")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In lcov's own words.
    const TEXT: &str = "TN:mine\nSF:/a/b.rs\nFN:3,a::b<u8,u16>\nFN:9,a::c\nFNDA:2,a::b<u8,u16>\nFNDA:0,a::c\nFNF:2\nFNH:1\n\
                        DA:3,2\nDA:4,1\nDA:9,0\nLF:3\nLH:2\nend_of_record\n";

    #[test]
    fn what_is_written_is_read() {
        let coverage = Coverage::parse(TEXT).unwrap();
        assert_eq!(coverage.to_string(), TEXT);
        assert_eq!(Coverage::parse(""), Ok(Coverage::default()));
    }

    #[test]
    fn runs_are_summed_line_by_line() {
        let mut sum = Coverage::parse(TEXT).unwrap();
        let other = "TN:mine\nSF:/a/b.rs\nFN:9,a::c\nFNDA:1,a::c\nDA:9,1\nDA:3,1\nend_of_record\nTN:mine\nSF:/c.rs\nDA:1,0\nend_of_record\n";
        sum.add(Coverage::parse(other).unwrap());
        let file = &sum.files["/a/b.rs"];
        assert_eq!(file.lines, BTreeMap::from([(3, 3), (4, 1), (9, 1)]));
        assert_eq!(file.functions["a::c"], (9, 1));
        assert_eq!((file.lines_run(), file.functions_run()), ((3, 3), (2, 2)));
        assert_eq!(sum.files["/c.rs"].lines_run(), (1, 0));
    }

    #[test]
    fn what_is_not_lcovs_is_named() {
        for (text, word) in [
            ("hello\n", "line 1, `hello`"),
            ("TN:a\nSF:b\nDA:x,1\n", "line 3"),
            ("SF:b\nSF:c\n", "line 2"),
            ("SF:b\nDA:1,1\n", "ends within b"),
            ("DA:1,1\n", "line 1"),
        ] {
            let error = Coverage::parse(text).unwrap_err();
            assert!(error.contains(word) && error.lines().count() == 1, "{error}");
        }
    }
}
