//! docs/rundownctl.md says what `--help` says, and the schemas beside it what `--json` prints. `SNAPSHOTS=overwrite cargo test -p rundownctl --test documentation`
//! writes them anew.

use clap::{Command, CommandFactory, ValueEnum};
use rundownctl::{cli::Cli, commands::schema::Of};
use snapbox::{Data, assert_data_eq};

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");

const INTRODUCTION: &str = "\
<!-- Made of the definitions in crates/rundownctl by its test `documentation`; edit those. -->

# rundownctl

One program for Windows, where it talks to the driver's device, and for Linux, where it talks to a machine in the lab.
The same text is in `rundownctl --help`, and as manual pages in `rundownctl man --out FOLDER`.

What `--json` prints is described by JSON Schemas: [stress](rundownctl-stress.schema.json),
[compare](rundownctl-compare.schema.json), [info](rundownctl-info.schema.json), [objects](rundownctl-objects.schema.json),
[conform](rundownctl-conform.schema.json), [interop](rundownctl-interop.schema.json), [status](rundownctl-status.schema.json)
(also `rundownctl schema`). The names are stable: within a version of the schema, fields are added and never changed.
";

fn section(command: &mut Command, path: &str, level: usize, page: &mut String) {
    let help = command.render_long_help().to_string();
    page.extend(["\n", &"#".repeat(level), " ", path, "\n\n```text\n"]);
    for line in help.trim_end().lines() {
        page.extend([line.trim_end(), "\n"]);
    }
    page.push_str("```\n");
    for inner in command
        .get_subcommands_mut()
        .filter(|inner| inner.get_name() != "help")
    {
        let path = format!("{path} {}", inner.get_name());
        section(inner, &path, level + 1, page);
    }
}

#[test]
fn the_page_is_what_help_says() {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut page = INTRODUCTION.to_owned();
    section(&mut command, "rundownctl", 2, &mut page);
    let path = format!("{DOCS}/rundownctl.md");
    assert_data_eq!(page, Data::read_from(path.as_ref(), None).raw());
}

#[test]
fn the_schemas_are_those_of_the_program() {
    for of in Of::value_variants() {
        let name = of.to_possible_value().expect("no command is hidden");
        let path = format!("{DOCS}/rundownctl-{}.schema.json", name.get_name());
        let schema = format!("{:#}\n", of.schema().as_value());
        assert_data_eq!(schema, Data::read_from(path.as_ref(), None).raw());
    }
}
