//! Whether a natvis file still fits the types of a PDB.
//!
//! A debugger is silent about a view whose type or field is gone: it shows the raw structure. So every `Type` has to
//! match a structure of the PDB, and the first name of every field path has to be a field of each structure that it
//! matches.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use pdb::{FallibleIterator, TypeData, TypeFinder, TypeIndex};

use crate::{Error, read, text};

/// The structures of a PDB: names, and the names of their fields.
type Structures = BTreeMap<String, BTreeSet<String>>;

/// Checks a natvis file against a PDB.
///
/// # Errors
/// Files that cannot be read, and what does not fit.
pub fn check(natvis: &Path, pdb: &Path) -> Result<(), Error> {
    let bytes = read(natvis)?;
    let file = fs::File::open(pdb).map_err(|error| Error::io("cannot be read", pdb, error))?;
    let structures = structures(file).map_err(|source| Error::Pdb {
        path: pdb.to_owned(),
        source,
    })?;
    let misfits = misfits(&text(&bytes), &structures);
    if misfits.is_empty() {
        Ok(())
    } else {
        Err(Error::Natvis {
            path: natvis.to_owned(),
            misfits,
        })
    }
}

fn structures(file: fs::File) -> pdb::Result<Structures> {
    let mut pdb = pdb::PDB::open(file)?;
    let types = pdb.type_information()?;
    let mut finder = types.finder();
    let mut iterator = types.iter();
    let mut found = Structures::new();
    while let Some(item) = iterator.next()? {
        finder.update(&iterator);
        // Types of this crate's dialect that the reader does not know are none of ours.
        if let Ok(TypeData::Class(class)) = item.parse()
            && !class.properties.forward_reference()
            && let Some(fields) = class.fields
        {
            let names = found.entry(class.name.to_string().into_owned()).or_default();
            collect(&finder, fields, names)?;
        }
    }
    Ok(found)
}

fn collect(finder: &TypeFinder<'_>, fields: TypeIndex, names: &mut BTreeSet<String>) -> pdb::Result<()> {
    let mut next = Some(fields);
    while let Some(index) = next {
        next = None;
        if let TypeData::FieldList(list) = finder.find(index)?.parse()? {
            for field in list.fields {
                if let TypeData::Member(member) = field {
                    names.insert(member.name.to_string().into_owned());
                }
            }
            next = list.continuation;
        }
    }
    Ok(())
}

fn misfits(natvis: &str, structures: &Structures) -> Vec<String> {
    let document = match roxmltree::Document::parse(natvis) {
        Ok(document) => document,
        Err(error) => return vec![format!("not XML: {error}")],
    };
    let mut misfits = Vec::new();
    for view in document.descendants().filter(|node| {
        node.has_tag_name((
            "http://schemas.microsoft.com/vstudio/debugger/natvis/2010",
            "Type",
        ))
    }) {
        let pattern = view.attribute("Name").unwrap_or_default();
        let matching: Vec<_> = structures
            .iter()
            .filter(|(name, _)| matches(pattern, name))
            .collect();
        if matching.is_empty() {
            misfits.push(format!("{pattern}: no such type"));
        }
        for field in fields(view) {
            for (name, _) in matching.iter().filter(|(_, names)| !names.contains(&field)) {
                misfits.push(format!("{pattern}: {name} has no field {field}"));
            }
        }
    }
    if document
        .descendants()
        .all(|node| node.tag_name().name() != "Type")
    {
        misfits.push("no Type in it".into());
    }
    misfits
}

/// A natvis name: a `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(position) => rest = &rest[position + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The first names of all field paths of a view.
fn fields(view: roxmltree::Node<'_, '_>) -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    for node in view.descendants().filter(roxmltree::Node::is_element) {
        if let Some(condition) = node.attribute("Condition") {
            names(condition, &mut fields);
        }
        let text = node.text().unwrap_or_default();
        match node.tag_name().name() {
            // Text with expressions in braces.
            "DisplayString" => {
                for part in text.split('{').skip(1) {
                    names(part.split('}').next().unwrap_or_default(), &mut fields);
                }
            }
            "Item" | "ExpandedItem" | "Size" | "ValuePointer" => names(text, &mut fields),
            _ => {}
        }
    }
    fields
}

/// Words of the expression language that are no fields.
const LANGUAGE: &[&str] = &[
    "unsigned", "signed", "int", "char", "void", "bool", "__int64", "this", "sizeof",
];

fn names(expression: &str, fields: &mut BTreeSet<String>) {
    // A format specifier behind the last comma is no part of the expression.
    let expression = expression
        .rsplit_once(',')
        .map_or(expression, |(expression, _)| expression);
    let mut previous = ' ';
    let mut word = String::new();
    let mut before = ' ';
    for character in expression.chars().chain([' ']) {
        if character.is_ascii_alphanumeric() || character == '_' {
            if word.is_empty() {
                before = previous;
            }
            word.push(character);
        } else if !word.is_empty() {
            let starts = word.starts_with(|first: char| !first.is_ascii_digit());
            // What follows a dot or an arrow is a field of another type.
            if starts && before != '.' && before != '>' && !LANGUAGE.contains(&word.as_str()) {
                fields.insert(word.clone());
            }
            word.clear();
        }
        previous = character;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn structures() -> Structures {
        let fields = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        [
            ("a::Word<a::Nt,a::Strict>".to_owned(), fields(&["word", "policy"])),
            ("a::Run".to_owned(), fields(&["number", "crew"])),
        ]
        .into()
    }

    fn view(name: &str, body: &str) -> Vec<String> {
        let text = format!(
            "<AutoVisualizer xmlns=\"http://schemas.microsoft.com/vstudio/debugger/natvis/2010\">\
             <Type Name=\"{name}\">{body}</Type></AutoVisualizer>"
        );
        misfits(&text, &structures())
    }

    #[test]
    fn a_view_that_fits() {
        let body = "<DisplayString Condition=\"(*(unsigned __int64 *)&amp;word &amp; 1) == 0\">live({*(__int64 *)&amp;word / 2,d})\
                    </DisplayString><Expand><Item Name=\"x\">*(unsigned int *)(word - 1 + 0x20)</Item></Expand>";
        assert_eq!(view("a::Word&lt;*&gt;", body), [""; 0]);
        assert_eq!(
            view(
                "a::Run",
                "<DisplayString>run {number,d}: {crew.threads->value}</DisplayString>"
            ),
            [""; 0]
        );
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert_eq!(view("a::Gone", ""), ["a::Gone: no such type"]);
        assert_eq!(
            view("a::Run", "<DisplayString>{gone,d}</DisplayString>"),
            ["a::Run: a::Run has no field gone"]
        );
        assert_eq!(
            view("a::Run", "<DisplayString Condition=\"gone\">x</DisplayString>").len(),
            1
        );
        assert_eq!(misfits("<a>", &structures()).len(), 1);
        assert_eq!(misfits("<a/>", &structures()), ["no Type in it"]);
    }

    #[test]
    fn names_match_with_wildcards() {
        assert!(matches("a<*>", "a<b,c<d> >"));
        assert!(matches("a<*,c>", "a<b,c>"));
        assert!(!matches("a<*>", "a2<b>"));
        assert!(!matches("a", "ab"));
        assert!(matches("a", "a"));
    }
}
