//! What Rust sources take from wdk-sys: every path that begins with its name, and the functions of KMDF that they call.

use std::{collections::BTreeSet, fs, iter::Peekable, path::Path};

use proc_macro2::{TokenStream, TokenTree, token_stream::IntoIter};

use crate::Uses;

const CRATE: &str = "wdk_sys";
/// wdk-sys's macro, whose first argument is the function.
const KMDF_CALL: &str = "call_unsafe_wdf_function_binding";

pub(crate) fn of_folder(folder: &Path) -> Uses {
    let mut uses = Uses {
        names: BTreeSet::new(),
        kmdf: BTreeSet::new(),
    };
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                of_tokens(text.parse().unwrap(), &mut uses);
            }
        }
    }
    uses
}

fn of_tokens(tokens: TokenStream, uses: &mut Uses) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(name) if name == CRATE => path(&mut tokens, uses),
            TokenTree::Ident(name) if name == KMDF_CALL => {
                if tokens.next_if(|next| is(next, '!')).is_some()
                    && let Some(TokenTree::Group(arguments)) = tokens.next()
                {
                    if let Some(TokenTree::Ident(function)) = arguments.stream().into_iter().next() {
                        uses.kmdf.insert(function.to_string());
                    }
                    of_tokens(arguments.stream(), uses);
                }
            }
            TokenTree::Group(group) => of_tokens(group.stream(), uses),
            _ => {}
        }
    }
}

fn is(token: &TokenTree, punctuation: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == punctuation)
}

/// The rest of a path behind a name that was just read; its last name is what is used.
fn path(tokens: &mut Peekable<IntoIter>, uses: &mut Uses) {
    let mut last = None;
    while tokens.next_if(|next| is(next, ':')).is_some() {
        assert!(tokens.next().is_some_and(|next| is(&next, ':')), "half a path");
        match tokens.next() {
            Some(TokenTree::Ident(name)) => last = Some(name.to_string()),
            Some(TokenTree::Group(group)) => return members(group.stream(), uses),
            other => panic!("wdk_sys is used by a name, not by {other:?}, which hides what is used"),
        }
    }
    if let Some(name) = last.filter(|name| name != KMDF_CALL) {
        uses.names.insert(name);
    }
}

/// The braces of a `use`.
fn members(tokens: TokenStream, uses: &mut Uses) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let TokenTree::Ident(name) = token else { continue };
        if tokens.peek().is_some_and(|next| is(next, ':')) {
            path(&mut tokens, uses);
        } else if name == "as" {
            tokens.next();
        } else if name != KMDF_CALL && name != "self" {
            uses.names.insert(name.to_string());
        }
    }
}

#[test]
fn every_form_of_use_is_found() {
    let mut uses = Uses {
        names: BTreeSet::new(),
        kmdf: BTreeSet::new(),
    };
    let text = "use wdk_sys::{A, ntddk::{B, c::C}, D as E, call_unsafe_wdf_function_binding}; use wdk_sys::F;
                fn f(x: wdk_sys::_ENUM::G) { g!(wdk_sys::H); call_unsafe_wdf_function_binding!(WdfI, wdk_sys::J, x) }";
    of_tokens(text.parse().unwrap(), &mut uses);
    let names: Vec<&str> = uses.names.iter().map(String::as_str).collect();
    assert_eq!(names, ["A", "B", "C", "D", "F", "G", "H", "J"]);
    assert_eq!(uses.kmdf.into_iter().collect::<Vec<_>>(), ["WdfI"]);
}
