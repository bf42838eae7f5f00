//! Which system this is, as far as it decides where packages come from.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use rundown_kit::sysroot::Llvm;

/// A Linux system.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum System {
    /// One whose packages the set-up knows.
    Known(Release),
    /// A relative of Debian or Ubuntu, by its name: it may have the same packages.
    Relative(String),
    /// A system without apt, by its name.
    Other(String),
}

/// A release whose package names were compared with its index: Debian 12's by its own apt and by every run of the gate, those of
/// Debian 13 (clang-19, libclang1-19, rust-web-llvm 1.96 of the source rustc-web), of Ubuntu 24.04 (clang-19 and libclang1-19
/// in noble-updates) and of Ubuntu 22.04 (LLVM ends with 15) by the pages of packages.debian.org and packages.ubuntu.com.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Release {
    Debian12,
    Debian13,
    Ubuntu2204,
    Ubuntu2404,
}

impl Release {
    const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Debian12, "debian", "12"),
        (Self::Debian13, "debian", "13"),
        (Self::Ubuntu2204, "ubuntu", "22.04"),
        (Self::Ubuntu2404, "ubuntu", "24.04"),
    ];

    /// Whether the release has `package` at all.
    fn has(self, package: &str) -> bool {
        let rust_web = package.ends_with("-web") || package.starts_with("rust-web");
        let llvm = ["clang-", "libclang1-", "llvm-", "lld-"]
            .iter()
            .any(|name| package.starts_with(name));
        match self {
            Self::Debian12 | Self::Debian13 => true,
            Self::Ubuntu2404 => !rust_web,
            Self::Ubuntu2204 => !rust_web && !llvm,
        }
    }
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
        let [id, version] = ["ID", "VERSION_ID"].map(|key| value(key).unwrap_or_default());
        let known = Release::ALL
            .iter()
            .find(|(_, its_id, its_version)| id == *its_id && version == *its_version);
        if let Some((release, ..)) = known {
            return Self::Known(*release);
        }
        let name = value("PRETTY_NAME").unwrap_or_else(|| "this Linux".into());
        let like = value("ID_LIKE").unwrap_or_default();
        if like
            .split_whitespace()
            .chain([id.as_str()])
            .any(|family| family == "debian" || family == "ubuntu")
        {
            Self::Relative(name)
        } else {
            Self::Other(name)
        }
    }

    /// Whether apt could bring all of `packages`; of a relative that is found out by trying.
    pub(super) fn may_have(&self, packages: &[&str]) -> bool {
        match self {
            Self::Known(release) => packages.iter().all(|package| release.has(package)),
            Self::Relative(_) => true,
            Self::Other(_) => false,
        }
    }

    /// What a user has to be told before `packages` are asked for.
    ///
    /// # Errors
    ///
    /// When there is no use in asking; the message says what else to do.
    pub(super) fn notice(&self, packages: &[&str]) -> Result<Option<String>> {
        match self {
            Self::Known(release) => {
                let lacking: Vec<&str> = packages
                    .iter()
                    .copied()
                    .filter(|package| !release.has(package))
                    .collect();
                let (_, id, version) = Release::ALL[*release as usize];
                ensure!(
                    lacking.is_empty(),
                    "{id} {version} has no {}. LLVM's packages for it are at https://apt.llvm.org (`llvm.sh {}`), Rust is at \
                     https://rustup.rs.\n{CONTAINER}",
                    lacking.join(" "),
                    Llvm::RELEASE
                );
                Ok(None)
            }
            Self::Relative(name) => {
                let known = Release::ALL
                    .map(|(_, id, version)| format!("{id} {version}"))
                    .join(", ");
                Ok(Some(format!(
                    "{name} is none of the systems whose packages are known here ({known}); theirs are tried"
                )))
            }
            Self::Other(name) => bail!("{}", advice(name, packages)),
        }
    }
}

const CONTAINER: &str = "The container has it all:\n  \
    podman build -t rundown . && podman run --rm -it -v \"$PWD\":/rundown -v rundown-target:/rundown/target rundown cargo xtask lab";

/// What to do on a system without apt.
fn advice(name: &str, packages: &[&str]) -> String {
    format!(
        "on {name} the set-up cannot install what is missing (on Debian 12: {}).\n{CONTAINER}",
        packages.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use rundown_kit::toolchain::{self, Route};

    use super::*;

    #[test]
    fn releases_are_known_by_name_and_number() {
        for (text, release) in [
            (
                "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n",
                Release::Debian12,
            ),
            ("ID=debian\nVERSION_ID=\"13\"\n", Release::Debian13),
            (
                "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"22.04\"\n",
                Release::Ubuntu2204,
            ),
            ("VERSION_ID=\"24.04\"\nID=ubuntu\n", Release::Ubuntu2404),
        ] {
            assert_eq!(System::from_os_release(text), System::Known(release), "{text}");
        }
        for (at, (release, ..)) in Release::ALL.into_iter().enumerate() {
            assert_eq!(release as usize, at);
        }
    }

    #[test]
    fn relatives_are_tried_and_told_so() {
        for text in [
            "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux trixie/sid\"\n",
            "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"26.04\"\n",
            // Another system's number is not Debian's.
            "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=\"12\"\n",
            "ID='pop'\nID_LIKE='ubuntu debian'\nVERSION_ID=\"22.04\"\n",
        ] {
            let system = System::from_os_release(text);
            assert!(matches!(system, System::Relative(_)), "{text}");
            let notice = system.notice(&["clang-19"]).unwrap().unwrap();
            assert!(
                notice.contains("debian 12, debian 13, ubuntu 22.04, ubuntu 24.04"),
                "{notice}"
            );
        }
    }

    #[test]
    fn what_a_release_lacks_is_not_asked_for() {
        let every = [
            &toolchain::packages(Route::Debian)[..],
            &["qemu-system-x86", "nodejs"],
        ]
        .concat();
        let llvm = toolchain::packages(Route::Installed);
        let [debian12, debian13, jammy, noble] = Release::ALL.map(|(release, ..)| System::Known(release));
        assert!(debian12.may_have(&every) && debian13.may_have(&every));
        assert!(!noble.may_have(&every) && noble.may_have(&llvm));
        assert!(!jammy.may_have(&llvm) && jammy.may_have(&["mingw-w64-common", "qemu-system-x86"]));
        let refused = jammy.notice(&llvm).unwrap_err().to_string();
        assert!(
            refused.starts_with("ubuntu 22.04 has no clang-19 libclang1-19 llvm-19 lld-19. ")
                && refused.contains("apt.llvm.org"),
            "{refused}"
        );
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
