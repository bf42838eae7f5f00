//! Builds the driver: `rundown.sys`, its symbols, its stamped INF.

use std::{
    borrow::Cow,
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    Error, inf, linker,
    sysroot::{self, Llvm, Sysroot},
    toolchain::{Target, Toolchain, cargo_home},
    wdk, wrapper,
};

/// A driver's package, whose artefacts have its name, and its INF in the tree of sources.
#[derive(Debug, Clone)]
pub struct Package {
    /// The package's name.
    pub name: Cow<'static, str>,
    /// Its INF before it is stamped.
    pub inx: &'static str,
}

impl Package {
    /// `rundown.sys`.
    pub const RUNDOWN: Self = Self {
        name: Cow::Borrowed("rundown"),
        inx: "inf/rundown.inx",
    };
    /// `inflight.sys`, the example.
    pub const EXAMPLE: Self = Self {
        name: Cow::Borrowed("inflight"),
        inx: "example/inflight.inx",
    };
}

/// A tree with the driver's sources, and where to build it.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// The folder with the driver's Cargo.toml.
    sources: PathBuf,
    /// cargo's target folder. wdk-build looks for Cargo.lock in the folders above it.
    target: PathBuf,
    /// Where the artefacts go, if not beside cargo's own.
    artefacts: Option<PathBuf>,
    /// The repository with the kit's own sources.
    repository: PathBuf,
    /// cargo's own folder, if not the environment's.
    cargo_home: Option<PathBuf>,
    /// Where cargo's messages go as JSON, if not to people.
    messages: Option<PathBuf>,
    /// What is built of it.
    package: Package,
    /// The one program that is the kit's compiler wrapper and linker by the name that it is called by, if they are not built from the repository.
    program: Option<PathBuf>,
    /// What cargo is told besides.
    arguments: Vec<OsString>,
    /// LLVM, if it is not where Debian has it.
    llvm: Option<Llvm>,
    /// The user's own WDK in place of the stand-in, and the minor version of KMDF that is asked of it.
    wdk: Option<(PathBuf, Option<u32>)>,
    /// Whether versions of windows-drivers-rs that the kit does not know are tried.
    try_anyway: bool,
}

impl Workspace {
    /// The repository itself, built in its `target/`.
    #[must_use]
    pub fn new(repository: &Path) -> Self {
        Self {
            sources: repository.to_path_buf(),
            target: repository.join("target"),
            artefacts: None,
            repository: repository.to_path_buf(),
            cargo_home: None,
            messages: None,
            package: Package::RUNDOWN,
            program: None,
            arguments: vec!["--locked".into()],
            llvm: None,
            wdk: None,
            try_anyway: false,
        }
    }

    /// A changed copy of the repository's driver, in the folder `sources` below the repository's `target/`; its
    /// artefacts go to `artefacts`.
    ///
    /// The copy is built in a target folder of its own, beside it. cargo names the crates of a workspace by their place
    /// in it, not by where it lies, so that in one target folder the crates of a copy pass for the repository's.
    /// Whoever changes the copy must let the time of each changed file become new, also where a change is undone.
    #[must_use]
    pub fn copy(repository: &Path, sources: &Path, artefacts: &Path) -> Self {
        let mut target = sources.as_os_str().to_owned();
        target.push("-target");
        Self {
            sources: sources.to_path_buf(),
            target: target.into(),
            artefacts: Some(artefacts.to_path_buf()),
            repository: repository.to_path_buf(),
            cargo_home: None,
            messages: None,
            package: Package::RUNDOWN,
            program: None,
            arguments: vec!["--locked".into()],
            llvm: None,
            wdk: None,
            try_anyway: false,
        }
    }

    /// Anybody's: the workspace in the folder `sources`, built in `target`. `program`, called `kit-rustc-wrapper` or
    /// `lld-link`, is the kit's; `arguments` are for cargo.
    #[must_use]
    pub fn foreign(sources: &Path, target: &Path, program: &Path, arguments: Vec<OsString>) -> Self {
        Self {
            target: target.to_path_buf(),
            program: Some(program.to_path_buf()),
            arguments,
            ..Self::new(sources)
        }
    }

    /// As it is, and the compiler's messages go to a file, one JSON object a line.
    #[must_use]
    pub fn with_messages(self, file: &Path) -> Self {
        Self {
            messages: Some(file.to_path_buf()),
            ..self
        }
    }

    /// As it is, for another driver of the tree's.
    #[must_use]
    pub fn with_package(self, package: Package) -> Self {
        Self { package, ..self }
    }

    /// As it is, with another LLVM than Debian's.
    #[must_use]
    pub fn with_llvm(self, llvm: Llvm) -> Self {
        Self {
            llvm: Some(llvm),
            ..self
        }
    }

    /// As it is, with the user's own WDK in place of the stand-in, for a driver of KMDF 1.`kmdf` or of WDM, and in a target folder for it.
    #[must_use]
    pub fn with_wdk(self, wdk: &Path, kmdf: Option<u32>) -> Self {
        Self {
            target: wdk::target(&self.target, wdk),
            wdk: Some((wdk.to_path_buf(), kmdf)),
            ..self
        }
    }

    /// As it is, and versions of windows-drivers-rs that the kit does not know are treated as those that it does.
    #[must_use]
    pub fn with_unknown_versions(self, try_anyway: bool) -> Self {
        Self { try_anyway, ..self }
    }

    /// As it is, with another target folder. `Cargo.lock` has to lie in a folder above it, by which wdk-build finds the workspace.
    #[must_use]
    pub fn with_target(self, target: &Path) -> Self {
        Self {
            target: target.to_path_buf(),
            ..self
        }
    }

    /// As it is, with another folder for cargo's registry and settings (`CARGO_HOME`).
    #[must_use]
    pub fn with_cargo_home(self, home: &Path) -> Self {
        Self {
            cargo_home: Some(home.to_path_buf()),
            ..self
        }
    }

    /// The folder with cargo's registry.
    fn cargo_home(&self) -> Option<PathBuf> {
        self.cargo_home.clone().or_else(cargo_home)
    }

    /// The folder with the sources.
    pub(crate) fn sources(&self) -> &Path {
        &self.sources
    }

    /// cargo's target folder.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    fn artefacts(&self, profile: Profile) -> PathBuf {
        self.artefacts
            .clone()
            .unwrap_or_else(|| self.cargo_output(profile))
    }

    fn cargo_output(&self, profile: Profile) -> PathBuf {
        self.target.join(Target::Driver.triple()).join(profile.folder())
    }
}

/// cargo's profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// With overflow checks and debug assertions.
    Dev,
    /// As it is shipped.
    Release,
}

impl Profile {
    const fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
        }
    }

    const fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// What a build leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artefacts {
    /// The driver.
    pub sys: PathBuf,
    /// Its symbols.
    pub pdb: PathBuf,
    /// Its INF, stamped.
    pub inf: PathBuf,
}

/// Builds the driver. cargo's progress goes to standard error.
///
/// # Errors
///
/// If a tool is missing, the sources do not compile, or a file cannot be written.
pub fn build(workspace: &Workspace, toolchain: &Toolchain, profile: Profile) -> Result<Artefacts, Error> {
    let [sys, pdb] = image(workspace, toolchain, profile)?;
    let inx = workspace.sources.join(workspace.package.inx);
    let text = fs::read_to_string(&inx).map_err(Error::file("read", &inx))?;
    let inf = sys.with_extension("inf");
    let stamp = inf::Stamp::new(&version(&workspace.sources)?);
    let text = inf::ascii(&text)
        .and_then(|text| inf::stamp(text, &stamp))
        .map_err(|what| Error::new(format!("{}: {what}", inx.display())))?;
    fs::write(&inf, text).map_err(Error::file("write", &inf))?;
    Ok(Artefacts { sys, pdb, inf })
}

/// Builds the driver's image and its symbols alone. cargo's progress goes to standard error.
///
/// # Errors
///
/// As [`build`].
pub fn image(workspace: &Workspace, toolchain: &Toolchain, profile: Profile) -> Result<[PathBuf; 2], Error> {
    let environment = Environment::prepare(workspace, toolchain)?;
    let mut cargo = toolchain.cargo(Target::Driver);
    environment.apply(&mut cargo);
    cargo.arg("build").args(selection(workspace, profile));
    run(workspace, &mut cargo, "the driver does not compile for Windows")?;

    let output = workspace.cargo_output(profile);
    let folder = workspace.artefacts(profile);
    fs::create_dir_all(&folder).map_err(Error::file("make the folder", &folder))?;
    // cargo names a library's files as rustc names the crate.
    let name = workspace.package.name.replace('-', "_");
    let (sys, pdb) = (
        folder.join(&name).with_extension("sys"),
        folder.join(&name).with_extension("pdb"),
    );
    copy(&output.join(&name).with_extension("dll"), &sys)?;
    copy(&output.join(&name).with_extension("pdb"), &pdb)?;
    Ok([sys, pdb])
}

/// Checks that the driver compiles for Windows, without linking it, in the build's profile and target folder.
///
/// # Errors
///
/// As [`build`].
pub fn check(workspace: &Workspace, toolchain: &Toolchain, profile: Profile) -> Result<(), Error> {
    let environment = Environment::prepare(workspace, toolchain)?;
    let mut cargo = toolchain.cargo(Target::Driver);
    environment.apply(&mut cargo);
    cargo.arg("check").args(selection(workspace, profile));
    run(workspace, &mut cargo, "the driver does not compile for Windows")
}

/// Runs clippy over the driver with warnings denied, in the build's profile and target folder, where everything but
/// the workspace's own crates is then already checked.
///
/// # Errors
///
/// As [`build`]; a warning is an error.
pub fn clippy(workspace: &Workspace, toolchain: &Toolchain, profile: Profile) -> Result<(), Error> {
    let environment = Environment::prepare(workspace, toolchain)?;
    let mut cargo = toolchain.clippy(Target::Driver);
    environment.apply(&mut cargo);
    cargo
        .arg("--no-deps")
        .args(selection(workspace, profile))
        .args(["--", "--deny", "warnings"]);
    run(workspace, &mut cargo, "clippy has complaints about the driver")
}

/// Runs cargo over the driver's package; `what` says for people what failed.
fn run(workspace: &Workspace, cargo: &mut Command, what: &str) -> Result<(), Error> {
    if let Some(home) = &workspace.cargo_home {
        cargo.env("CARGO_HOME", home);
    }
    // Standard output may be the caller's, for a program to read.
    let mut output = Stdio::null();
    if let Some(file) = &workspace.messages {
        cargo.arg("--message-format=json");
        output = fs::File::create(file).map_err(Error::file("write", file))?.into();
    }
    let status = cargo
        .current_dir(&workspace.sources)
        .stdin(Stdio::null())
        .stdout(output)
        .status()
        .map_err(|error| Error::new(format!("cannot run cargo: {error}")))?;
    if status.success() {
        return Ok(());
    }
    // A status without a code is a signal's, and then cargo had no chance to say anything.
    Err(Error::new(match status.code() {
        Some(_) => format!("{what}; see cargo's messages above"),
        None => format!("{what}: cargo was ended from outside ({status})"),
    }))
}

/// What cargo builds and lints alike.
fn selection(workspace: &Workspace, profile: Profile) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = [
        "--package",
        &workspace.package.name,
        "--profile",
        profile.name(),
        "--target-dir",
    ]
    .map(Into::into)
    .into();
    arguments.push((&workspace.target).into());
    arguments.extend_from_slice(&workspace.arguments);
    arguments
}

/// The version of the sources' packages, from their manifest: the workspace's, or else the package's own.
fn version(sources: &Path) -> Result<String, Error> {
    let manifest = sources.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(Error::file("read", &manifest))?;
    version_in(&text).map(str::to_owned).ok_or_else(|| {
        Error::new(format!(
            "{} has no `version = \"...\"` in [workspace.package] or [package]",
            manifest.display()
        ))
    })
}

fn version_in(manifest: &str) -> Option<&str> {
    ["[workspace.package]", "[package]"].iter().find_map(|table| {
        manifest
            .lines()
            .skip_while(|line| line.trim() != *table)
            .skip(1)
            .take_while(|line| !line.starts_with('['))
            .find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
    })
}

/// What cargo has to find in its environment.
struct Environment(Vec<(&'static str, OsString)>);

impl Environment {
    fn prepare(workspace: &Workspace, toolchain: &Toolchain) -> Result<Self, Error> {
        let llvm = workspace.llvm.clone().unwrap_or_default();
        llvm.complete(workspace.wdk.is_none())?;
        let kit = workspace.target.join("kit");
        let root = kit.join("wdk");
        let sysroot = match &workspace.wdk {
            Some((wdk, kmdf)) => Sysroot::of_wdk(&root, wdk, *kmdf)?,
            None => Sysroot::prepare(&root, &llvm)?,
        };
        let compatibility = sysroot.compatibility();
        if sysroot.headers_changed {
            forget_generated(&workspace.target)?;
        }
        if sysroot.libraries_changed {
            forget_linked(workspace)?;
        }
        let [wrapper, linker] = if let Some(program) = &workspace.program {
            let wrapper = kit.join("kit-rustc-wrapper");
            sysroot::link(program, &wrapper)?;
            [wrapper, program.clone()]
        } else {
            let programs = build_programs(&workspace.repository, toolchain)?;
            ["kit-rustc-wrapper", "kit-linker"].map(|name| programs.join(name))
        };

        // cc and rustc decide by the name what a program is: a compiler that takes MSVC's options, lld for Windows.
        let (clang_cl, lld_link) = (kit.join("clang-cl"), kit.join("lld-link"));
        sysroot::link(&llvm.program("clang"), &clang_cl)?;
        sysroot::link(&linker, &lld_link)?;
        let caller = ["RUSTC_WRAPPER", "CARGO_BUILD_RUSTC_WRAPPER"].map(env::var_os);
        let caller = caller
            .into_iter()
            .flatten()
            .find(|value| !value.is_empty())
            .unwrap_or_default();

        let mut variables: Vec<(&'static str, OsString)> = vec![
            ("WDKContentRoot", sysroot.root().into()),
            ("BINDGEN_EXTRA_CLANG_ARGS", compatibility.into()),
            ("LIBCLANG_PATH", llvm.libraries().into()),
            ("CC_x86_64_pc_windows_msvc", clang_cl.into()),
            (
                "CFLAGS_x86_64_pc_windows_msvc",
                match compatibility {
                    "" => "-w".into(),
                    flag => format!("/clang:{flag} -w").into(),
                },
            ),
            ("AR_x86_64_pc_windows_msvc", llvm.program("llvm-lib").into()),
            ("CARGO_TARGET_X86_64_PC_WINDOWS_MSVC_LINKER", lld_link.into()),
            // Takes the place of the flags in .cargo/config.toml, which are among them.
            ("CARGO_ENCODED_RUSTFLAGS", rustflags(workspace).into()),
            ("RUSTC_WRAPPER", wrapper.into()),
            (wrapper::STAND_INS_VARIABLE, kit.join("stand-ins").into()),
            (wrapper::CHAINED_VARIABLE, caller),
            (linker::LLD_VARIABLE, llvm.program("lld-link").into()),
            (linker::TARGET_VARIABLE, (&workspace.target).into()),
        ];
        if workspace.try_anyway {
            variables.push((wrapper::TRY_VARIABLE, "1".into()));
        }
        Ok(Self(variables))
    }

    fn apply(&self, command: &mut Command) {
        command.envs(self.0.iter().map(|(name, value)| (name, value)));
    }
}

/// What the linker is told beyond wdk-build's arguments.
pub const LINK_ARGUMENTS: &[&str] = &[
    // The checksum, which the loader of boot drivers verifies.
    "/RELEASE",
    // The same bytes from the same sources.
    "/Brepro",
    // Otherwise a section of its own, with which StartService fails (windows-drivers-rs, issue 182).
    "/MERGE:.retplne=INIT",
    // lld ignores /KERNEL, by which Microsoft's linker marks sections as not to be paged (P, in lld's letters) and
    // INIT as discardable (D).
    "/SECTION:.text,ERP",
    "/SECTION:.rdata,RP",
    "/SECTION:.data,RWP",
    "/SECTION:.pdata,RP",
    "/SECTION:INIT,ERD",
];

/// What rustc is told about the code that it makes.
pub const CODE_FLAGS: &[&str] = &["-Ctarget-feature=+crt-static", "-Ccontrol-flow-guard"];

/// rustc's flags, in cargo's encoding, in which a flag may have spaces.
fn rustflags(workspace: &Workspace) -> String {
    let mut flags: Vec<String> = CODE_FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
    flags.extend(
        LINK_ARGUMENTS
            .iter()
            .map(|argument| format!("-Clink-arg={argument}")),
    );
    // Paths in panic messages and symbols, the same on every machine; the last one that fits counts.
    let mut map = |from: &Path, to: &str| flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    map(&workspace.sources, "/rundown");
    map(&workspace.target, linker::MAPPED_TARGET);
    if let Some(home) = workspace.cargo_home() {
        map(&home.join("registry/src"), "/registry");
    }
    flags.join("\u{1f}")
}

/// Builds the programs that cargo and rustc run, for the host and without themselves; answers with their folder.
fn build_programs(repository: &Path, toolchain: &Toolchain) -> Result<PathBuf, Error> {
    let tools = repository.join("tools/Cargo.toml");
    let target = repository.join("target/tools");
    let status = toolchain
        .host_cargo()
        .args([
            "build",
            "--quiet",
            "--locked",
            "--package",
            "rundown-kit",
            "--bins",
            "--manifest-path",
        ])
        .arg(&tools)
        .arg("--target-dir")
        .arg(&target)
        .stdout(Stdio::null())
        .status()
        .map_err(|error| Error::new(format!("cannot run cargo: {error}")))?;
    if !status.success() {
        return Err(Error::new(
            "the kit's own programs do not compile; see cargo's messages above",
        ));
    }
    Ok(target.join("debug"))
}

/// wdk-macros keeps the signatures that it read from the headers, and does not see when they change.
fn forget_generated(target: &Path) -> Result<(), Error> {
    let name = "cached_function_info_map.json";
    let mut folders = vec![target.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.file_name().is_some_and(|found| found == name) {
                fs::remove_file(&path).map_err(Error::file("remove", &path))?;
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            }
        }
    }
    Ok(())
}

/// cargo does not see when a library of the WDK changes; an image that is missing it links anew.
fn forget_linked(workspace: &Workspace) -> Result<(), Error> {
    for profile in [Profile::Dev, Profile::Release] {
        let image = workspace
            .cargo_output(profile)
            .join("deps")
            .join(workspace.package.name.replace('-', "_"))
            .with_extension("dll");
        if image.exists() {
            fs::remove_file(&image).map_err(Error::file("remove", &image))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    if from == to {
        // Copying a file onto itself would empty it.
        return Ok(());
    }
    fs::copy(from, to).map(drop).map_err(Error::file("copy", from))
}

#[test]
fn a_version_is_the_workspaces_or_the_packages_own() {
    let own = "[package]\nname = \"a\"\nversion = \"1.2.3\"\n[dependencies.b]\nversion = \"4\"\n";
    assert_eq!(version_in(own), Some("1.2.3"));
    let inherited = "[package]\nversion.workspace = true\n[dependencies.b]\nversion = \"4\"\n[workspace.package]\nversion = \"0.1.0\"\n";
    assert_eq!(version_in(inherited), Some("0.1.0"));
    assert_eq!(
        version_in("[package]\nname = \"a\"\n[dependencies.b]\nversion = \"4\"\n"),
        None
    );
}
