//! The oldest Windows that a driver is for, from what its INF and its version of KMDF say.

use rundown_inf::Inf;
use rundown_kit::exports::Windows;

/// The INF's, or that of KMDF 1.`kmdf` if that is later; without either it is the oldest that the kit knows.
pub(crate) fn oldest(inf: Option<&str>, kmdf: Option<u32>) -> Windows {
    let of_inf = inf.and_then(|text| of_models(&Inf::parse(text).ok()?));
    let of_kmdf = match kmdf {
        // The kit's entry library asks for the framework that the driver is built for.
        Some(33..) => Windows::SERVER_2022,
        _ => Windows::V2004,
    };
    of_inf.unwrap_or(Windows::V2004).max(of_kmdf)
}

/// The least that a decoration of `[Manufacturer]` asks for: `NTamd64.10.0...19041`, where the build comes after the type of the product and its
/// suite ("INF Manufacturer Section", Microsoft Learn).
fn of_models(inf: &Inf) -> Option<Windows> {
    let manufacturer = inf.section("Manufacturer")?;
    let decorations = manufacturer
        .entries
        .iter()
        .flat_map(|entry| entry.values.iter().skip(1));
    let builds = decorations.map(|decoration| {
        let build = decoration
            .trim()
            .split('.')
            .nth(5)
            .and_then(|build| build.parse().ok());
        Windows::from_build(build.unwrap_or_default())
    });
    builds.min()
}

#[test]
fn it_is_the_infs_or_the_frameworks() {
    let of = |models: &str, kmdf| {
        let inf =
            format!("[Version]\nSignature = \"$WINDOWS NT$\"\n[Manufacturer]\n%M% = Standard,{models}\n");
        oldest(Some(&inf), kmdf).build()
    };
    for (models, build) in [
        ("NTamd64", 19041),
        ("NTamd64.10.0", 19041),
        ("NTamd64.10.0...16299", 19041),
        ("NTamd64.10.0...22621", 22621),
        ("NTamd64.10.0...26100, NTamd64.10.0...22000", 22000),
    ] {
        assert_eq!(of(models, None), build, "{models}");
    }
    assert_eq!(of("NTamd64.10.0...16299", Some(33)), 20348);
    assert_eq!(of("NTamd64.10.0...22000", Some(31)), 22000);
    assert_eq!(oldest(None, None), Windows::V2004);
}
