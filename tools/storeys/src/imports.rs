//! The paths into its own crate that a file names, in `use` and anywhere else.

use std::str::FromStr;

use proc_macro2::{Delimiter, LexError, TokenStream, TokenTree};

/// A path from the crate's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its segments, without `crate`.
    pub path: Vec<String>,
    /// The line where it begins.
    pub line: usize,
}

/// Every path of `text` into its own crate, in the module `module`: those that begin with `crate`, `super`, `self`, or the
/// name of one of `children`, the modules that it declares. What `mod tests` names does not count: a test may look at
/// everything.
///
/// # Errors
/// `text` is no Rust.
pub fn of(text: &str, module: &str, children: &[&str]) -> Result<Vec<Import>, LexError> {
    let here: Vec<String> = module
        .split("::")
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    let mut found = Vec::new();
    walk(&TokenStream::from_str(text)?, &here, children, &mut found);
    Ok(found)
}

fn walk(stream: &TokenStream, here: &[String], children: &[&str], found: &mut Vec<Import>) {
    let tokens: Vec<TokenTree> = stream.clone().into_iter().collect();
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        match token {
            TokenTree::Ident(word) if is_path(&tokens[index + 1..]) => {
                let (mut first, line) = (word.to_string(), word.span().start().line);
                let mut from = here.to_vec();
                while first == "super" && is_path(&tokens[index + 1..]) {
                    from.pop();
                    match tokens.get(index + 3) {
                        Some(TokenTree::Ident(next)) if next == "super" => index += 3,
                        _ => first = "self".into(),
                    }
                }
                let begin = match first.as_str() {
                    "crate" => Some(Vec::new()),
                    "self" => Some(from),
                    child if children.contains(&child) => {
                        from.push(first);
                        Some(from)
                    }
                    _ => None,
                };
                index = path(&tokens, index + 1, begin.as_deref(), line, found);
                continue;
            }
            TokenTree::Ident(word) if word == "pub" => {
                // A module that re-exports what lies in its children does not use it.
                let visibility = matches!(tokens.get(index + 1), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
                index += 1 + usize::from(visibility);
                if matches!(tokens.get(index), Some(TokenTree::Ident(word)) if word == "use") {
                    let end = tokens[index..]
                        .iter()
                        .position(is_semicolon)
                        .map_or(tokens.len(), |length| index + length);
                    let mut shown = Vec::new();
                    let statement = tokens[index + 1..end].iter().cloned().collect();
                    walk(&statement, here, children, &mut shown);
                    found.extend(
                        shown
                            .into_iter()
                            .filter(|import| !import.path.starts_with(here) || import.path == here),
                    );
                    index = end;
                }
                continue;
            }
            TokenTree::Ident(word) if word == "mod" => {
                // An inline module: its `super` is this one.
                if let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) =
                    (tokens.get(index + 1), tokens.get(index + 2))
                {
                    if name != "tests" {
                        let inner: Vec<String> = here.iter().cloned().chain([name.to_string()]).collect();
                        walk(&body.stream(), &inner, &[], found);
                    }
                    index += 3;
                    continue;
                }
            }
            TokenTree::Group(group) => walk(&group.stream(), here, children, found),
            _ => {}
        }
        index += 1;
    }
}

/// Follows the segments from `index` on, where `::` comes first; returns where the path ends. `begin` is what lies before,
/// or nothing for a path into another crate, which does not count.
fn path(
    tokens: &[TokenTree],
    mut index: usize,
    begin: Option<&[String]>,
    line: usize,
    found: &mut Vec<Import>,
) -> usize {
    let mut segments = begin.unwrap_or_default().to_vec();
    while is_path(&tokens[index..]) {
        match tokens.get(index + 2) {
            Some(TokenTree::Ident(word)) => segments.push(word.to_string()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                if begin.is_some() {
                    branches(&group.stream(), &segments, found);
                }
                return index + 3;
            }
            _ => break,
        }
        index += 3;
    }
    if begin.is_some() {
        found.push(Import { path: segments, line });
    }
    index
}

/// The branches between the braces of a `use`.
fn branches(stream: &TokenStream, before: &[String], found: &mut Vec<Import>) {
    let tokens: Vec<TokenTree> = stream.clone().into_iter().collect();
    for branch in tokens.split(|token| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ',')) {
        let Some(first) = branch.first() else { continue };
        let mut segments = before.to_vec();
        match first {
            TokenTree::Ident(word) if word != "self" => segments.push(word.to_string()),
            _ => {}
        }
        path(branch, 1, Some(&segments), first.span().start().line, found);
    }
}

fn is_semicolon(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(point) if point.as_char() == ';')
}

/// Whether `::` comes next.
fn is_path(tokens: &[TokenTree]) -> bool {
    let colon =
        |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(point)) if point.as_char() == ':');
    colon(tokens.first()) && colon(tokens.get(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str, module: &str) -> Vec<String> {
        let found = of(text, module, &["child"]).unwrap();
        found.iter().map(|import| import.path.join("::")).collect()
    }

    #[test]
    fn every_form_of_a_path_counts() {
        for (text, expected) in [
            ("use crate::a::B;", &["a::B"][..]),
            (
                "use crate::{a::{self, B as C, d::*}, e};",
                &["a", "a::B", "a::d", "e"],
            ),
            ("use super::c::D;", &["m::c::D"]),
            ("use super::super::c::D;", &["c::D"]),
            ("use super::{x, y::Z};", &["m::x", "m::y::Z"]),
            (
                "fn f() -> crate::a::B { crate::a::g::<super::T>(1) }",
                &["a::B", "a::g", "m::T"],
            ),
            ("fn f() { call!(\"{}\", crate::a::G) }", &["a::G"]),
            (
                "pub(crate) fn f() {} pub(super) fn g() {} use other::crate_name;",
                &[],
            ),
            ("mod inner { use super::x; }", &["m::n::x"]),
            ("use self::a::B; use child::C;", &["m::n::a::B", "m::n::child::C"]),
            ("fn f() { child::g(other::child::h()) }", &["m::n::child::g"]),
            (
                "pub use child::C; pub(crate) use self::d::D; pub use super::E;",
                &["m::E"],
            ),
            ("mod tests { use crate::everything; }", &[]),
            (
                "use ::std::fmt; // crate::comment\nconst TEXT: &str = \"crate::text\";",
                &[],
            ),
        ] {
            assert_eq!(paths(text, "m::n"), expected, "{text}");
        }
    }

    #[test]
    fn the_line_is_told() {
        assert_eq!(of("\n\nuse crate::{\n    a,\n};", "", &[]).unwrap()[0].line, 4);
    }
}
