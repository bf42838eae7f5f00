//! What only the crate of the NT platform may have: the declarations of the system's routines, its own routines for run-down
//! protection, instructions by hand, and the `impl`s of the primitive's seams.

use std::str::FromStr;

use proc_macro2::{Delimiter, LexError, TokenStream, TokenTree};

/// Each such thing in `text`, with the line where it stands.
///
/// # Errors
/// `text` is no Rust.
pub fn of(text: &str) -> Result<Vec<(usize, &'static str)>, LexError> {
    let mut found = Vec::new();
    walk(&TokenStream::from_str(text)?, &mut found);
    Ok(found)
}

fn walk(stream: &TokenStream, found: &mut Vec<(usize, &'static str)>) {
    let tokens: Vec<TokenTree> = stream.clone().into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(word) => {
                if let Some(what) = thing(&word.to_string(), &tokens[index + 1..]) {
                    found.push((word.span().start().line, what));
                }
            }
            TokenTree::Group(group) => walk(&group.stream(), found),
            _ => {}
        }
    }
}

/// What a word is, by those that follow it.
fn thing(word: &str, after: &[TokenTree]) -> Option<&'static str> {
    match (word, after) {
        ("asm" | "naked_asm" | "global_asm", [TokenTree::Punct(mark), ..]) if mark.as_char() == '!' => {
            Some("instructions")
        }
        // What is declared lies between braces; a function that C calls has `fn` there.
        ("extern", [TokenTree::Literal(_), TokenTree::Group(group), ..] | [TokenTree::Group(group), ..])
            if group.delimiter() == Delimiter::Brace =>
        {
            Some("declarations of foreign routines")
        }
        (name, [TokenTree::Ident(next), ..]) if name.ends_with("Platform") && next == "for" => {
            Some("an implementation of a seam")
        }
        (name, _) if name.starts_with("Ex") && name.contains("Rundown") => {
            Some("the system's own run-down protection")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_found_and_nothing_that_looks_like_it() {
        for (text, expected) in [
            (
                "fn f() { unsafe { core::arch::asm!(\"nop\") } }",
                &[(1, "instructions")][..],
            ),
            (
                "unsafe extern \"system\" {\n fn ExAcquireRundownProtection(word: *mut usize) -> u8; }",
                &[
                    (1, "declarations of foreign routines"),
                    (2, "the system's own run-down protection"),
                ],
            ),
            ("extern { fn f(); }", &[(1, "declarations of foreign routines")]),
            (
                "\nunsafe impl ex_rundown::PoolPlatform for Os {}",
                &[(2, "an implementation of a seam")],
            ),
            (
                "use wdk_sys::ntddk::{ExRundownCompleted, KeSetEvent};",
                &[(1, "the system's own run-down protection")],
            ),
            // A callback, a bound, text, a comment.
            ("unsafe extern \"C\" fn f(device: WDFDEVICE) {}", &[]),
            ("extern crate alloc;", &[]),
            ("fn f<P: Platform>() where P: PoolPlatform {}", &[]),
            (
                "/* ExRundownCompleted */ const NAME: &str = \"ExAcquireRundownProtection asm!\";",
                &[],
            ),
        ] {
            assert_eq!(of(text).unwrap(), expected, "{text}");
        }
    }
}
