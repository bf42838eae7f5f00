//! Which system this is, as far as it decides where packages come from.

use std::fs;

use anyhow::{Context, Result};

/// A Linux system.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum System {
    /// Debian, Ubuntu and their relatives.
    Apt,
    /// Another one, by its name.
    Other(String),
}

impl System {
    /// The system that we run on.
    pub(super) fn here() -> Result<Self> {
        let text = fs::read_to_string("/etc/os-release")
            .or_else(|_| fs::read_to_string("/usr/lib/os-release"))
            .context("/etc/os-release cannot be read, which says which Linux this is")?;
        Ok(Self::from_os_release(&text))
    }

    /// Reads os-release(5).
    fn from_os_release(text: &str) -> Self {
        let value = |key: &str| {
            let line = text
                .lines()
                .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
            Some(line.trim_matches(['"', '\'']).to_owned())
        };
        let families = [value("ID"), value("ID_LIKE")]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ");
        if families
            .split_whitespace()
            .any(|family| family == "debian" || family == "ubuntu")
        {
            Self::Apt
        } else {
            Self::Other(value("PRETTY_NAME").unwrap_or_else(|| "this Linux".into()))
        }
    }
}

/// What to do on a system without apt.
pub(super) fn advice(name: &str, packages: &[&str]) -> String {
    format!(
        "on {name} the set-up cannot install what is missing (on Debian 12: {}).\nThe container has it all:\n  \
         podman build -t rundown . && podman run --rm -it -v \"$PWD\":/rundown -v rundown-target:/rundown/target rundown cargo xtask lab",
        packages.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_its_relatives_have_apt() {
        for text in [
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n",
            "ID=ubuntu\nID_LIKE=debian\n",
            "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n",
            "ID='pop'\nID_LIKE='ubuntu debian'\n",
        ] {
            assert_eq!(System::from_os_release(text), System::Apt, "{text}");
        }
    }

    #[test]
    fn others_are_named() {
        let fedora = "ID=fedora\nPRETTY_NAME=\"Fedora Linux 42\"\n";
        assert_eq!(
            System::from_os_release(fedora),
            System::Other("Fedora Linux 42".into())
        );
        assert_eq!(System::from_os_release(""), System::Other("this Linux".into()));
        // A name that contains debian is not debian.
        assert_eq!(
            System::from_os_release("ID=debianesque\n"),
            System::Other("this Linux".into())
        );
    }

    #[test]
    fn the_advice_names_the_packages_and_the_container() {
        let advice = advice("Fedora", &["clang-19", "patch"]);
        assert!(advice.contains("clang-19 patch") && advice.contains("podman build"));
    }
}
