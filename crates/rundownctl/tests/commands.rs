//! What the program prints is part of its contract: `tests/cmd/*.trycmd` are transcripts, told by a lab without a machine.
//! `TRYCMD=overwrite cargo test -p rundownctl --test commands` writes them anew.

use std::{env, fs, path::Path, process::Command};

#[path = "fake/program.rs"]
mod program;

use program::fake_lab;

fn cases() -> trycmd::TestCases {
    let cases = trycmd::TestCases::new();
    cases
        .env("RUNDOWN_LAB", fake_lab().display().to_string())
        .env("LC_ALL", "C.UTF-8")
        .case("tests/cmd/*.trycmd");
    cases
}

#[test]
fn transcripts() {
    cases().run();
}

/// On Windows the program's file is `rundownctl.exe`, and what it prints is the same.
#[test]
fn transcripts_of_the_program_by_its_name_on_windows() {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rundownctl.exe");
    fs::copy(env!("CARGO_BIN_EXE_rundownctl"), &copy).expect("the program can be copied");
    cases().register_bin("rundownctl", copy).run();
}

/// What Windows PowerShell 5.1 writes: `>` as UTF-16, `Out-File -Encoding utf8` as UTF-8, each behind a byte order mark
/// and with lines that end in CRLF (*about Character Encoding* and *about Redirection*, Microsoft Learn).
fn from_windows_powershell(text: &str) -> [(&'static str, Vec<u8>); 2] {
    let text = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let wide = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    [("utf-16", wide), ("utf-8", text.into_bytes())]
}

#[test]
fn a_page_is_made_of_what_powershell_wrote() {
    let lab = fake_lab();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let client = |arguments: &[&str]| {
        let mut client = Command::new(env!("CARGO_BIN_EXE_rundownctl"));
        client
            .arg("--target")
            .arg(format!("lab:program={}", lab.display()))
            .args(arguments);
        let output = client.output().expect("the client runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).expect("JSON is UTF-8")
    };
    let page_of = |name: &str, json: &[u8], listing: &[u8]| {
        let path = |end: &str| folder.join(format!("{name}.{end}")).display().to_string();
        fs::write(path("json"), json).expect("the JSON can be written");
        fs::write(path("txt"), listing).expect("the listing can be written");
        let listing = format!("native={}", path("txt"));
        client(&[
            "report",
            &path("json"),
            "--listing",
            &listing,
            "--out",
            &path("html"),
        ]);
        fs::read_to_string(path("html")).expect("there is a page")
    };
    let json = client(&["stress", "--json", "--duration", "200"]);
    let listing = "nt!ExAcquireRundownProtection:\nfffff804`12345670 4883ec28 sub rsp,28h\n";
    let page = page_of("plain", json.as_bytes(), listing.as_bytes());
    assert!(page.contains("sub rsp,28h"), "the listing is on the page");
    let encoded = from_windows_powershell(&json)
        .into_iter()
        .zip(from_windows_powershell(listing));
    for ((name, json), (_, listing)) in encoded {
        let same = page_of(name, &json, &listing).replace("\r\n", "\n") == page;
        assert!(same, "{name}: another page than from plain UTF-8");
    }
}
