//! Stamps an INF as the WDK's stampinf does.

use std::env;

/// What is put into the INF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The version, four numbers.
    pub version: String,
    /// The date, as `mm/dd/yyyy`.
    pub date: String,
    /// KMDF's version, as `1.31`.
    pub kmdf: String,
}

/// A build without `SOURCE_DATE_EPOCH` carries this date, so that the same sources give the same bytes.
const FIXED_DATE: &str = "01/01/2026";

impl Stamp {
    /// For a package of `version` (three numbers, as cargo has them), dated by `SOURCE_DATE_EPOCH` where it is set.
    #[must_use]
    pub fn new(version: &str) -> Self {
        let date = env::var("SOURCE_DATE_EPOCH")
            .ok()
            .and_then(|seconds| seconds.trim().parse().ok())
            .map(date);
        Self {
            version: format!("{version}.0"),
            date: date.unwrap_or_else(|| FIXED_DATE.to_owned()),
            kmdf: "1.31".to_owned(),
        }
    }
}

/// The text, if it is ASCII.
///
/// # Errors
///
/// If it is not.
pub fn ascii(inx: &str) -> Result<&str, String> {
    if inx.is_ascii() {
        Ok(inx)
    } else {
        Err("is not ASCII, which Windows would read in the installing machine's code page".to_owned())
    }
}

/// Replaces `$ARCH$` and `$KMDFVERSION$` and completes `DriverVer`, or adds it to the section `Version`.
///
/// # Errors
///
/// If the text has more than one `DriverVer`, or none and no section `Version`, or keeps a variable that is not known here.
pub fn stamp(inx: &str, stamp: &Stamp) -> Result<String, String> {
    let is = |line: &str, name: &str| {
        line.split('=')
            .next()
            .is_some_and(|key| key.trim().eq_ignore_ascii_case(name))
    };
    let dated = format!("DriverVer = {},{}", stamp.date, stamp.version);
    let has_none = !inx.lines().any(|line| is(line, "DriverVer"));
    let mut stamped = 0;
    let mut inf = String::with_capacity(inx.len() + 64);
    for line in inx.lines() {
        let (text, comment) = line
            .find(';')
            .map_or((line, ""), |position| line.split_at(position));
        if is(text, "DriverVer") {
            stamped += 1;
            inf.push_str(&dated);
        } else {
            let text = text
                .replace("$ARCH$", "amd64")
                .replace("$KMDFVERSION$", &stamp.kmdf);
            if let Some(variable) = text.split('$').nth(1)
                && variable != "WINDOWS NT"
            {
                return Err(format!("has the variable ${variable}$, which is not known"));
            }
            inf.push_str(&text);
            inf.push_str(comment);
            if has_none && is(&text, "[Version]") {
                stamped += 1;
                inf.extend(["\r\n", &dated]);
            }
        }
        inf.push_str("\r\n");
    }
    if stamped == 1 {
        Ok(inf)
    } else {
        Err(format!("has {stamped} lines DriverVer, not one"))
    }
}

/// The civil date, UTC, of a number of seconds since 1970 (the days since 1 March of year 0, in eras of 400 years).
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{month:02}/{day:02}/{year}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Stamp {
        Stamp {
            version: "1.2.3.0".to_owned(),
            date: "02/29/2024".to_owned(),
            kmdf: "1.33".to_owned(),
        }
    }

    #[test]
    fn adds_what_stampinf_adds() {
        let inx = "[Version] ; first\nClass=Sample\n[Manufacturer]\n";
        let inf = "[Version] ; first\r\nDriverVer = 02/29/2024,1.2.3.0\r\nClass=Sample\r\n[Manufacturer]\r\n";
        assert_eq!(stamp(inx, &sample()).as_deref(), Ok(inf));
    }

    #[test]
    fn fills_in_what_stampinf_fills_in() {
        let inx = "[Version]\nSignature=\"$WINDOWS NT$\"\nDriverVer = ; later\n[M]\n%A%=S,NT$ARCH$ ; $X$\nK=$KMDFVERSION$\n";
        let inf = "[Version]\r\nSignature=\"$WINDOWS NT$\"\r\nDriverVer = 02/29/2024,1.2.3.0\r\n[M]\r\n\
                   %A%=S,NTamd64 ; $X$\r\nK=1.33\r\n";
        assert_eq!(stamp(inx, &sample()).as_deref(), Ok(inf));
    }

    #[test]
    fn refuses_what_it_cannot_stamp() {
        assert!(
            ascii("DriverVer=\nProvider=\u{e9}\n")
                .unwrap_err()
                .contains("ASCII")
        );
        assert!(
            stamp("[Strings]\nProvider=x\n", &sample())
                .unwrap_err()
                .contains("0 lines")
        );
        assert!(
            stamp("DriverVer=\nDriverVer=\n", &sample())
                .unwrap_err()
                .contains("2 lines")
        );
        assert!(
            stamp("DriverVer=\nX=$UMDFVERSION$\n", &sample())
                .unwrap_err()
                .contains("$UMDFVERSION$")
        );
    }

    #[test]
    fn dates_are_civil_ones() {
        for (seconds, expected) in [
            (0, "01/01/1970"),
            (951_782_400, "02/29/2000"),
            (1_709_164_800, "02/29/2024"),
            (1_767_225_599, "12/31/2025"),
            (1_767_225_600, "01/01/2026"),
            (4_107_542_400, "03/01/2100"),
        ] {
            assert_eq!(date(seconds), expected, "{seconds}");
        }
    }
}
