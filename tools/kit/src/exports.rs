//! What `ntoskrnl.exe` and `HAL.dll` export to a driver on x64, and since which Windows: the facts in `sysroot/exports.txt`, of which the
//! import libraries are made and by which an image's imports are judged.

use std::{collections::BTreeMap, fmt, sync::LazyLock};

const FACTS: &str = include_str!("../sysroot/exports.txt");
const INLINES: &str = include_str!("../sysroot/inlines.txt");

/// A Windows, by its build number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Windows(u32);

impl Windows {
    /// Windows 10, version 2004: the oldest that the facts tell apart from later ones.
    pub const V2004: Self = Self(19041);
    /// Windows Server 2022, the first with KMDF 1.33 ("KMDF Version History", Microsoft Learn).
    pub const SERVER_2022: Self = Self(20348);

    /// The releases from 2004 on, each with its first build ("Windows 10 release information", "Windows 11 release information" and "Windows
    /// Server release information", Microsoft Learn).
    const RELEASES: &'static [(u32, &'static str)] = &[
        (19041, "Windows 10, version 2004"),
        (20348, "Windows Server 2022"),
        (22000, "Windows 11, version 21H2"),
        (22621, "Windows 11, version 22H2"),
        (26100, "Windows 11, version 24H2"),
    ];

    /// The Windows with that build number, or 2004 for an older one.
    #[must_use]
    pub const fn from_build(build: u32) -> Self {
        if build > Self::V2004.0 {
            Self(build)
        } else {
            Self::V2004
        }
    }

    /// Its build number.
    #[must_use]
    pub const fn build(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Self::RELEASES.iter().find(|(build, _)| *build == self.0);
        match known {
            Some((build, name)) => write!(f, "{name} (build {build})"),
            None => write!(f, "Windows of build {}", self.0),
        }
    }
}

/// Since when a name is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// By this Windows and all later ones.
    Windows(Windows),
    /// By an older Windows; no source says more.
    Unknown,
}

/// One of the two images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// The kernel, of which the HAL has been a part since Windows 10, version 2004.
    Ntoskrnl,
    /// What the HAL's routines are imported from, on that Windows as before.
    Hal,
}

impl Image {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ntoskrnl, Self::Hal];

    /// Its name, as drivers import from it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ntoskrnl => "ntoskrnl.exe",
            Self::Hal => "HAL.dll",
        }
    }

    /// Whether it exports what is imported from the image `of`.
    #[must_use]
    pub fn has(self, of: Self) -> bool {
        self == of || self == Self::Ntoskrnl
    }
}

/// A function or a variable that is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Export {
    /// The image that it is imported from.
    pub image: Image,
    /// Whether it is a variable, whose name stands for its slot in the import table.
    pub variable: bool,
    /// Since when it is there.
    pub since: Since,
}

impl Export {
    /// What the words behind a name say; `None` if they are none of the file's.
    fn parse(words: &str) -> Option<Self> {
        let mut export = Self {
            image: Image::Ntoskrnl,
            variable: false,
            since: Since::Windows(Windows::V2004),
        };
        let mut words = words.split_whitespace();
        while let Some(word) = words.next() {
            match word {
                "variable" => export.variable = true,
                "hal" => export.image = Image::Hal,
                "unknown" => export.since = Since::Unknown,
                "since" => export.since = Since::Windows(Windows(words.next()?.parse().ok()?)),
                _ => return None,
            }
        }
        Some(export)
    }
}

static EXPORTS: LazyLock<BTreeMap<&'static str, Export>> = LazyLock::new(|| {
    let lines = FACTS.lines().filter(|line| !line.starts_with('#'));
    let line = |line: &'static str| {
        let (name, words) = line.split_once(' ').unwrap_or((line, ""));
        // A test reads every line.
        Some((name, Export::parse(words)?))
    };
    lines.filter_map(line).collect()
});

/// Every name with what is known of it, sorted.
#[must_use]
pub fn all() -> &'static BTreeMap<&'static str, Export> {
    &EXPORTS
}

/// The names that are inlines or macros of the WDK, and so never imports.
pub fn inlines() -> impl Iterator<Item = &'static str> {
    INLINES.lines().filter(|line| !line.starts_with('#'))
}

/// The module definition of an image's import library.
#[must_use]
pub fn definition(image: Image) -> String {
    let mut text = format!("LIBRARY {}\nEXPORTS\n", image.name());
    for (name, export) in all().iter().filter(|(_, export)| export.image == image) {
        text.push_str(name);
        text.push_str(if export.variable { " CONSTANT\n" } else { "\n" });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_and_sorted() {
        let lines: Vec<&str> = FACTS.lines().filter(|line| !line.starts_with('#')).collect();
        for (line, name) in lines.iter().zip(all().keys()) {
            assert_eq!(line.split(' ').next(), Some(*name));
        }
        assert_eq!(lines.len(), all().len());
        assert!(Export::parse("variabel").is_none() && Export::parse("since").is_none());
        let inlines: Vec<&str> = inlines().collect();
        assert!(inlines.is_sorted() && inlines.len() > 40, "{inlines:?}");
    }

    #[test]
    fn no_inline_of_the_wdk_is_an_import() {
        for inline in inlines() {
            assert!(!all().contains_key(inline), "{inline}");
        }
    }

    #[test]
    fn a_definition_has_what_is_its_images() {
        let kernel = definition(Image::Ntoskrnl);
        assert!(kernel.starts_with("LIBRARY ntoskrnl.exe\nEXPORTS\n"));
        assert!(kernel.contains("\nKeSetEvent\n") && kernel.contains("\nPsThreadType CONSTANT\n"));
        let hal = definition(Image::Hal);
        assert!(hal.contains("\nHalTranslateBusAddress\n") && !hal.contains("KeSetEvent"));
        assert!(!kernel.contains("HalTranslateBusAddress"));
    }

    #[test]
    fn builds_have_their_releases_names() {
        assert_eq!(
            Windows::from_build(16299).to_string(),
            "Windows 10, version 2004 (build 19041)"
        );
        assert_eq!(Windows::from_build(27000).to_string(), "Windows of build 27000");
        let known = |since| match since {
            Since::Windows(windows) => Windows::RELEASES.iter().any(|(build, _)| *build == windows.0),
            Since::Unknown => true,
        };
        assert!(all().values().all(|export| known(export.since)));
    }
}
