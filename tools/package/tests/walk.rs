//! scripts/walk.ps1, which no PowerShell runs here, against what is known to differ in Windows PowerShell: the script's
//! syntax by a grammar of others, and a rule for each trap that a script like it falls into. And the syntax of the
//! workflow's steps.

use std::collections::{BTreeMap, BTreeSet};

use tree_sitter::{Node, Parser, Tree};

const SCRIPT: &str = include_str!("../../../scripts/walk.ps1");
const WORKFLOW: &str = include_str!("../../../.github/workflows/windows.yml");

/// Properties that the script reads and that their objects always have: of what, and who says so. `Set-StrictMode` makes
/// an error of any other (about *Set-StrictMode*, Microsoft Learn).
const PROPERTIES: &[&str] = &[
    // System.Diagnostics.Stopwatch, System.TimeSpan, System.Environment, System.Security.Principal
    "elapsed",
    "totalseconds",
    "processorcount",
    "administrator",
    // Win32_OperatingSystem, Win32_PnPEntity, Win32_PnPSignedDriver: a CIM instance has all of its class's properties
    "caption",
    "buildnumber",
    "hardwareid",
    "deviceid",
    "configmanagererrorcode",
    "infname",
    // System.IO.FileInfo, System.Diagnostics.Eventing.Reader.EventLogRecord, System.Management.Automation.CommandInfo
    "creationtime",
    "message",
    "source",
    // What every object has, and what its collection of properties answers
    "psobject",
    "properties",
    "value",
    // The loader writes it at every boot; without it the step is recorded as not walked
    "systemstartoptions",
];

struct Script<'a> {
    text: &'a str,
    tree: Tree,
}

impl<'a> Script<'a> {
    fn read(text: &'a str) -> Self {
        let mut parser = Parser::new();
        parser
            .set_language(&tree_sitter_powershell::LANGUAGE.into())
            .unwrap();
        let tree = parser.parse(text, None).unwrap();
        Self { text, tree }
    }

    fn text(&self, node: Node<'_>) -> &'a str {
        &self.text[node.byte_range()]
    }

    /// The nodes of a kind in and below a node, in the order of the text.
    fn below<'t>(node: Node<'t>, kind: &str) -> Vec<Node<'t>> {
        let mut found = Vec::new();
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            if node.kind() == kind {
                found.push(node);
            }
            open.extend(
                (0..node.named_child_count())
                    .rev()
                    .filter_map(|index| node.named_child(u32::try_from(index).unwrap())),
            );
        }
        found
    }

    fn all(&self, kind: &str) -> Vec<Node<'_>> {
        Self::below(self.tree.root_node(), kind)
    }

    /// What is wrong: the rule and where.
    fn faults(&self) -> Vec<(&'static str, &'a str)> {
        let mut faults = Vec::new();
        if self.tree.root_node().has_error() {
            faults.push(("syntax", ""));
        }
        faults.extend(self.spellings().into_iter().map(|name| ("spelling", name)));
        faults.extend(self.properties().into_iter().map(|name| ("property", name)));
        faults.extend(self.defaults().into_iter().map(|text| ("default", text)));
        faults.extend(self.paths().into_iter().map(|text| ("path", text)));
        faults
    }

    /// Names are case-insensitive (about *Variables*): a second spelling is meant as another variable and is the same.
    fn spellings(&self) -> Vec<&'a str> {
        let mut spellings: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for name in self.all("variable").into_iter().map(|node| self.text(node)) {
            spellings.entry(name.to_lowercase()).or_default().insert(name);
        }
        let several = spellings.into_values().filter(|spellings| spellings.len() > 1);
        several.flatten().collect()
    }

    fn properties(&self) -> Vec<&'a str> {
        let names = self.all("member_access").into_iter().filter_map(|access| {
            let own = access.named_child(1).filter(|name| name.kind() == "member_name");
            own.map(|name| self.text(name))
        });
        names
            .filter(|name| !PROPERTIES.contains(&name.to_lowercase().as_str()))
            .collect()
    }

    /// Windows PowerShell 5.1 leaves `$PSScriptRoot` empty in the default values of an advanced script's parameters
    /// (PowerShell/PowerShell#4688).
    fn defaults(&self) -> Vec<&'a str> {
        let parameters = self.all("param_block").into_iter();
        let variables = parameters.flat_map(|block| Self::below(block, "variable"));
        variables
            .map(|variable| self.text(variable))
            .filter(|name| name.eq_ignore_ascii_case("$PSScriptRoot"))
            .collect()
    }

    /// .NET takes a relative path from the folder of the process, which is not PowerShell's location
    /// (PowerShell/PowerShell#10278): it is given none that was not resolved before.
    fn paths(&self) -> Vec<&'a str> {
        let resolved: BTreeSet<&str> = self
            .all("assignment_expression")
            .into_iter()
            .filter(|assignment| {
                self.text(*assignment)
                    .contains(".GetUnresolvedProviderPathFromPSPath(")
            })
            .filter_map(|assignment| Some(self.text(*Self::below(assignment, "variable").first()?)))
            .collect();
        let calls = self.all("invokation_expression").into_iter();
        let of_files = calls.filter(|call| self.text(*call).starts_with("[System.IO."));
        of_files
            .filter_map(|call| {
                let first = Self::below(call, "argument_expression").first().copied()?;
                Some(self.text(first))
            })
            .filter(|argument| !resolved.contains(argument))
            .collect()
    }
}

#[test]
fn the_script_has_none_of_the_known_faults() {
    assert_eq!(Script::read(SCRIPT).faults(), []);
    let read = Script::read(SCRIPT).all("member_access").len();
    assert!(read > 10, "{read} properties were looked at");
}

#[test]
fn each_fault_is_found() {
    for (text, rule) in [
        ("if ($a { }", "syntax"),
        ("$Inf = 1\nfunction f { $inf = 2 }", "spelling"),
        ("$p = Get-PnpDeviceProperty x\n$p.Data", "property"),
        (
            "[CmdletBinding()]\nparam([string] $F = (Join-Path $PSScriptRoot 'f'))",
            "default",
        ),
        ("[System.IO.File]::AppendAllText($File, 'x')", "path"),
        ("$File = 'x'\n[System.IO.File]::ReadAllText($File)", "path"),
    ] {
        let script = Script::read(text);
        let faults = script.faults();
        assert!(
            faults.iter().any(|(found, _)| *found == rule),
            "{text}: {faults:?}"
        );
    }
    let sound = "param([string] $File)\n$File = $PSCmdlet.GetUnresolvedProviderPathFromPSPath($File)\n\
                 [System.IO.File]::AppendAllText($File, 'x')\n$file_length = (Get-Item $File).CreationTime";
    assert_eq!(Script::read(sound).faults(), []);
}

/// The scripts of a workflow's steps, which are indented deeper than their `run: |`.
fn steps(workflow: &str) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    let mut inside = None;
    for line in workflow.lines() {
        let indent = line.len() - line.trim_start().len();
        if inside.is_some_and(|of_run| indent > of_run || line.trim().is_empty()) {
            let step = steps.last_mut().unwrap();
            step.push_str(line);
            step.push('\n');
        } else {
            inside = (line.trim() == "run: |").then_some(indent);
            steps.extend(inside.map(|_| String::new()));
        }
    }
    steps
}

#[test]
fn the_steps_of_the_workflow_are_powershell() {
    let steps = steps(WORKFLOW);
    assert_eq!(steps.len(), WORKFLOW.matches("run: |").count());
    assert!(steps.len() >= 6, "{} steps", steps.len());
    for step in steps {
        assert!(!Script::read(&step).tree.root_node().has_error(), "{step}");
    }
}

/// `wdk_build::cargo_make` takes both for the folders of a version, as an eWDK prompt sets them.
#[test]
fn the_workflow_names_the_folders_of_the_kits_version() {
    for root in ["WDKBinRoot", "WDKToolRoot"] {
        let setting = WORKFLOW
            .lines()
            .find_map(|line| line.trim().strip_prefix('"')?.strip_prefix(root))
            .unwrap();
        let (folder, _) = setting.split_once('"').unwrap();
        assert!(folder.ends_with("\\$env:WDK_KIT"), "{root}{folder}");
    }
}
