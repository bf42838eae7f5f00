//! Both commands of README.md on a bare Debian: a fresh system of debootstrap's smallest variant, with what README names and nothing else.
//!
//! debootstrap needs root. The system is entered in a mount namespace of its own, so that what is mounted in it goes with the program.
//! rustup's own download is left out: the host's rustup and its stable toolchain are copied, as its script would install them.

use std::{
    env, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use rundown_kit::toolchain::cargo_home;

use super::tally::{Gate, Tally};
use crate::{mutate::copy, process, progress::Progress, tree::Tree};

/// The releases that README names, each with its number.
const RELEASES: [(&str, &str); 2] = [("bookworm", "12"), ("trixie", "13")];
/// What README names, and what rustup's own download needs.
const NAMED: &str = "gcc libc6-dev ca-certificates";
/// Its two commands.
const COMMANDS: [&str; 2] = ["cargo xtask lab", "cargo xtask test"];
/// Where packages come from that the host's own sources do not name.
const MIRROR: &str = "http://deb.debian.org/debian";
/// Of the host's, what its packages and certificates are fetched with.
const SETTINGS: [&str; 4] = [
    "etc/apt/apt.conf.d",
    "etc/apt/auth.conf.d",
    "usr/local/share/ca-certificates",
    "etc/ssl/certs",
];
const NETWORK: [&str; 6] = [
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

const MAKE: &str = "debootstrap";

/// A step for each release and command.
pub(super) fn steps(gate: &mut Gate, tree: &Tree) {
    for (release, number) in RELEASES {
        let names = COMMANDS.map(|command| format!("`{command}` on a bare Debian {number}"));
        if let Some(why) = missing() {
            for name in &names {
                gate.not_run(name, &why);
            }
            continue;
        }
        let system = System {
            root: tree.target().join("bare").join(release),
            release,
        };
        let made = gate.step(format!("a bare Debian {number}"), |progress| {
            system.make(tree, progress).map(|()| Tally::one(None))
        });
        for (name, command) in names.into_iter().zip(COMMANDS) {
            if made {
                gate.step(name, |progress| system.run(command, progress));
            } else {
                gate.not_run(name, "there is no such system");
            }
        }
    }
}

/// Why no system can be made here.
fn missing() -> Option<String> {
    let found = env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(MAKE).is_file()));
    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    match (found, root) {
        (false, _) => Some(format!(
            "there is no {MAKE} (Debian and Ubuntu: apt-get install {MAKE})"
        )),
        (true, false) => Some(format!("{MAKE} and chroot need root")),
        (true, true) => None,
    }
}

/// A system in a folder.
struct System {
    root: PathBuf,
    release: &'static str,
}

impl System {
    /// Makes it anew, with what README names and the sources.
    fn make(&self, tree: &Tree, progress: &Progress) -> Result<()> {
        if self.root.exists() {
            fs::remove_dir_all(&self.root)
                .with_context(|| format!("{} cannot be removed", self.root.display()))?;
        }
        let mirror = mirror();
        // It mounts the new system's /proc and leaves it there.
        let mut make = Command::new("unshare");
        make.args(["--mount", "--propagation", "private", MAKE])
            .args(["--variant=minbase", self.release])
            .arg(&self.root)
            .arg(&mirror);
        process::succeed(&mut make, progress)?;
        for settings in SETTINGS {
            let from = Path::new("/").join(settings);
            if from.is_dir() {
                add(&from, &self.root.join(settings))?;
            }
        }
        for file in ["etc/resolv.conf", "etc/hosts"] {
            // A machine without a network has neither.
            let _ = fs::copy(Path::new("/").join(file), self.root.join(file));
        }
        let install = format!("apt-get update && apt-get install --yes --no-install-recommends {NAMED}");
        process::succeed(&mut self.shell(&install), progress)?;
        let rustup = env::var_os("RUSTUP_HOME").map(PathBuf::from);
        let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let rustup = rustup.unwrap_or_else(|| home.join(".rustup"));
        let cargo = cargo_home().context("there is neither CARGO_HOME nor HOME")?;
        let stable = fs::read_dir(rustup.join("toolchains"))
            .with_context(|| format!("{} has no toolchains", rustup.display()))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .find(|name| name.starts_with("stable-"));
        let Some(stable) = stable else {
            bail!("{} has no stable toolchain to copy", rustup.display());
        };
        let toolchain = Path::new("toolchains").join(&stable);
        for (from, to) in [
            (cargo.join("bin"), "root/.cargo/bin".into()),
            (
                rustup.join(&toolchain),
                Path::new("root/.rustup").join(&toolchain),
            ),
            (tree.root().to_owned(), PathBuf::from("root/rundown")),
        ] {
            if from == tree.root() {
                copy::refresh(&from, &self.root.join(to))?;
            } else {
                add(&from, &self.root.join(to))?;
            }
        }
        let settings = "default_toolchain = \"stable\"\nprofile = \"default\"\nversion = \"12\"\n";
        fs::write(self.root.join("root/.rustup/settings.toml"), settings)
            .context("rustup's settings cannot be written")?;
        Ok(())
    }

    /// Runs one of README's commands. What it prints is the reason of a failure.
    fn run(&self, command: &str, progress: &Progress) -> Result<Tally> {
        let mut shell = self.shell(&format!("cd /root/rundown && CI=true {command}"));
        let finished = process::watch_within(process::HOURS, &mut shell, progress)?;
        Ok(Tally::of_program(&finished))
    }

    /// A shell's command in the system, with nothing of the host's environment but the way to the network.
    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("unshare");
        // What is mounted in the namespace is gone with its last process.
        let enter = "for part in proc sys dev; do mount --rbind /$part \"$0/$part\"; done; exec chroot \"$0\" /bin/sh -c \"$1\"";
        shell
            .args(["--mount", "--propagation", "private", "/bin/sh", "-ec", enter])
            .arg(&self.root)
            .arg(command)
            .env_clear()
            .envs(env::vars_os().filter(|(name, _)| NETWORK.iter().any(|known| name == known)))
            .env("HOME", "/root")
            .env("PATH", "/root/.cargo/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive")
            // The toolchain is there; the network need not have another.
            .env("RUSTUP_AUTO_INSTALL", "0");
        shell
    }
}

/// Where the host's own packages come from, if it is a Debian.
fn mirror() -> String {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let more = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten();
    files.extend(more.filter_map(|entry| Some(entry.ok()?.path())));
    let known = files.iter().find_map(|file| {
        let text = fs::read_to_string(file).ok()?;
        let mut words = text.split_whitespace();
        words
            .find(|word| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian"))
            .map(str::to_owned)
    });
    known.unwrap_or_else(|| MIRROR.into())
}

/// Adds a folder's files and links to another folder, with their rights.
fn add(from: &Path, to: &Path) -> Result<()> {
    let unreadable = || format!("{} cannot be copied to {}", from.display(), to.display());
    fs::create_dir_all(to).with_context(unreadable)?;
    for entry in fs::read_dir(from).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().with_context(unreadable)?;
        if kind.is_dir() {
            add(&from, &to)?;
        } else if kind.is_symlink() {
            // One that is there already is as good.
            let _ = std::os::unix::fs::symlink(fs::read_link(&from).with_context(unreadable)?, &to);
        } else if kind.is_file() {
            fs::copy(&from, &to).with_context(unreadable)?;
        }
    }
    Ok(())
}
