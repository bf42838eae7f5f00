//! What is a mutant.
//!
//! | rule | of | becomes |
//! |---|---|---|
//! | compare | `a < b`, `a == b` | `a <= b`, `a != b`: off by one, or the opposite |
//! | condition | an operand of `&&`, of `||` | `true`, `false`: it does not matter |
//! | negate | a condition; what asks, such as `is_empty` | the opposite |
//! | counter | `a += b` and its like | nothing |
//! | call | a call whose result nobody wants | nothing |
//! | field | a field that a value is made of | its type's default |
//! | limit | an integer | one more |
//! | bound | `a.min(b)`, `a.max(b)` | `a` |
//! | ordering | `Acquire`, `Release`, `AcqRel`, `SeqCst` | `Relaxed` |
//! | flag | an operand of `|` | none of its bits |
//! | answer | a function's | what says nothing: `true` and `false`, zero, none, nothing done |
//!
//! Tests, constants, patterns and the insides of macros are left alone, but for `vec!`. A mutant's name has no line, so that it stays
//! what it is when lines come and go.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
};

use anyhow::{Context as _, Result};
use syn::{
    Attribute, BinOp, Block, Expr, ExprBinary, ExprIf, ExprMethodCall, ExprPath, ExprStruct, ExprWhile, File,
    ImplItemFn, ItemConst, ItemFn, ItemImpl, ItemMod, ItemStatic, Lit, Pat, ReturnType, Signature, Stmt,
    Type,
    punctuated::Punctuated,
    spanned::Spanned as _,
    visit::{self, Visit},
};

use crate::edit::Edit;

/// A place where a defect can be planted.
#[derive(Debug)]
pub(crate) struct Mutant {
    pub(crate) name: String,
    pub(crate) rule: &'static str,
    pub(crate) line: usize,
    pub(crate) range: Range<usize>,
    change: Change,
}

/// How the text asks whether the defect is planted. `{}` is the switch.
#[derive(Debug)]
enum Change {
    Around(&'static str, String),
    Operator(Range<usize>, &'static str, String),
    Bound(Range<usize>),
}

/// What was found in a file.
pub(crate) struct Found {
    pub(crate) mutants: Vec<Mutant>,
    /// What has to be changed for them to be possible.
    pub(crate) edits: Vec<Edit>,
}

impl Mutant {
    /// The mutant behind its switch.
    pub(crate) fn edits(&self, number: u32) -> Vec<Edit> {
        let switch = format!("crate::planted::is({number})");
        let filled = |text: &str| text.replace("{}", &switch);
        match &self.change {
            Change::Around(before, behind) => {
                vec![Edit::Around(self.range.clone(), filled(before), filled(behind))]
            }
            Change::Operator(operator, original, mutated) => vec![
                Edit::Around(
                    self.range.clone(),
                    "(match (&(".into(),
                    filled(&format!(
                        ")) {{ (left_, right_) => if {{}} {{ *left_ {mutated} *right_ }} else {{ *left_ {original} *right_ }} }})"
                    )),
                ),
                Edit::Instead(operator.clone(), "), &(".into()),
            ],
            Change::Bound(receiver) => vec![
                Edit::Around(self.range.clone(), "({ let left_ = ".into(), " } })".into()),
                Edit::Around(
                    receiver.clone(),
                    String::new(),
                    filled("; if {} { left_ } else { left_"),
                ),
            ],
        }
    }
}

/// The mutants of a file. Functions called one of `constant` stay `const`, and have none; the others become ordinary ones.
pub(crate) fn mutants(file: &str, text: &str, constant: &HashSet<&str>) -> Result<Found> {
    let parsed: File = syn::parse_file(text).with_context(|| format!("{file} is no Rust"))?;
    let mut finder = Finder {
        file,
        text,
        constant,
        functions: Vec::new(),
        found: Found {
            mutants: Vec::new(),
            edits: Vec::new(),
        },
    };
    finder.visit_file(&parsed);
    Ok(finder.found)
}

/// The mutants' names, each of its own: the second of one name ends in `#2`.
pub(crate) fn names(mutants: &[Mutant]) -> Vec<String> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    let numbered = mutants.iter().map(|mutant| {
        let count = counts.entry(&mutant.name).or_default();
        *count += 1;
        match *count {
            1 => mutant.name.clone(),
            more => format!("{} #{more}", mutant.name),
        }
    });
    numbered.collect()
}

struct Finder<'a> {
    file: &'a str,
    text: &'a str,
    constant: &'a HashSet<&'a str>,
    /// The functions around what is looked at, and the types that they are of.
    functions: Vec<String>,
    found: Found,
}

/// Methods that ask something.
const QUESTIONS: [&str; 14] = [
    "is_some",
    "is_none",
    "is_empty",
    "is_ok",
    "is_err",
    "is_some_and",
    "is_none_or",
    "contains",
    "contains_key",
    "any",
    "all",
    "starts_with",
    "ends_with",
    "success",
];

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute
                    .meta
                    .require_list()
                    .is_ok_and(|list| list.tokens.to_string() == "test"))
    })
}

impl Finder<'_> {
    fn add(&mut self, rule: &'static str, range: Range<usize>, told: &str, change: Change) {
        let mut told: String = told.split_whitespace().collect::<Vec<_>>().join(" ");
        if told.chars().count() > 90 {
            told = told.chars().take(87).collect::<String>() + "...";
        }
        let line = self.text[..range.start].matches('\n').count() + 1;
        self.found.mutants.push(Mutant {
            name: format!("{}: {}: {rule} `{told}`", self.file, self.functions.join("::")),
            rule,
            line,
            range,
            change,
        });
    }

    fn around(&mut self, rule: &'static str, range: Range<usize>, before: &'static str, behind: &str) {
        let told = self.text[range.clone()].to_owned();
        self.add(rule, range, &told, Change::Around(before, behind.to_owned()));
    }

    fn is_in_function(&self) -> bool {
        !self.functions.is_empty()
    }

    /// A function with its body; what it answers is a mutant.
    fn function(&mut self, signature: &Signature, block: &Block) {
        let name = signature.ident.to_string();
        if signature.constness.is_some() {
            if self.constant.contains(name.as_str()) {
                return;
            }
            if let Some(token) = signature.constness {
                // As long as it was, so that no line is longer.
                self.found
                    .edits
                    .push(Edit::Instead(token.span().byte_range(), "     ".into()));
            }
        }
        self.functions.push(name);
        let body = block.span().byte_range();
        let inside = body.start + 1..body.end - 1;
        if !self.text[inside.clone()].trim().is_empty() {
            let answers: &[&'static str] = match &signature.output {
                ReturnType::Default => &["return;"],
                ReturnType::Type(_, of) => match &**of {
                    Type::Path(path) => match path.path.segments.last() {
                        Some(last) if last.ident == "bool" => &["return true;", "return false;"],
                        Some(last) if last.ident == "Option" => &["return None;"],
                        Some(last)
                            if ["u8", "u16", "u32", "u64", "usize", "i32", "Vec", "String"]
                                .iter()
                                .any(|name| last.ident == name) =>
                        {
                            &["return Default::default();"]
                        }
                        _ => &[],
                    },
                    _ => &[],
                },
            };
            for answer in answers {
                let before = match *answer {
                    "return;" => "if {} { return; } ",
                    "return true;" => "if {} { return true; } ",
                    "return false;" => "if {} { return false; } ",
                    "return None;" => "if {} { return None; } ",
                    _ => "if {} { return Default::default(); } ",
                };
                self.add(
                    "answer",
                    inside.clone(),
                    answer,
                    Change::Around(before, String::new()),
                );
            }
        }
        visit::visit_block(self, block);
        self.functions.pop();
    }

    /// Each operand of a chain of `&&`, of `||`: as if it were not there.
    fn operand(&mut self, of: &BinOp, operand: &Expr) {
        let same = matches!(
            (of, operand),
            (
                BinOp::And(_),
                Expr::Binary(ExprBinary {
                    op: BinOp::And(_),
                    ..
                })
            ) | (BinOp::Or(_), Expr::Binary(ExprBinary { op: BinOp::Or(_), .. }))
        );
        if same || matches!(operand, Expr::Let(_)) {
            return;
        }
        let before = if matches!(of, BinOp::And(_)) {
            "({} || ("
        } else {
            "(!{} && ("
        };
        self.around("condition", operand.span().byte_range(), before, "))");
    }

    fn condition(&mut self, condition: &Expr) {
        let is_plain = match condition {
            Expr::Let(_) => false,
            Expr::Binary(binary) => {
                !is_comparison(&binary.op) && !matches!(binary.op, BinOp::And(_) | BinOp::Or(_))
            }
            Expr::MethodCall(call) => !QUESTIONS.iter().any(|name| call.method == name),
            _ => true,
        };
        if is_plain {
            self.around("negate", condition.span().byte_range(), "({} != (", "))");
        }
    }
}

/// Whether a value is a literal, or its type's default by its looks.
fn is_default(value: &Expr) -> bool {
    let last = |path: &Expr| match path {
        Expr::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
        _ => None,
    };
    match value {
        Expr::Lit(_) => true,
        Expr::Path(_) => matches!(last(value).as_deref(), Some("None" | "ZERO")),
        Expr::Call(call) => {
            call.args.iter().all(is_zero) && matches!(last(&call.func).as_deref(), Some("new" | "default"))
        }
        Expr::Repeat(repeat) => is_default(&repeat.expr),
        _ => false,
    }
}

/// Whether a value is a literal 0 or `false`: what an atomic of it begins with is its type's default.
fn is_zero(value: &Expr) -> bool {
    match value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Int(number) => number.base10_digits() == "0",
            Lit::Bool(truth) => !truth.value,
            _ => false,
        },
        _ => false,
    }
}

const fn is_comparison(op: &BinOp) -> bool {
    matches!(
        op,
        BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_) | BinOp::Eq(_) | BinOp::Ne(_)
    )
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        if is_test(&item.attrs) {
            return;
        }
        let of = match &*item.self_ty {
            Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
            _ => None,
        };
        // Known by the type, and outside of every function.
        let around = std::mem::take(&mut self.functions);
        for inner in &item.items {
            if let syn::ImplItem::Fn(function) = inner {
                self.functions.extend(of.clone());
                self.visit_impl_item_fn(function);
                self.functions.clear();
            }
        }
        self.functions = around;
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if !is_test(&item.attrs) {
            self.function(&item.sig, &item.block);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if !is_test(&item.attrs) {
            self.function(&item.sig, &item.block);
        }
    }

    fn visit_item_const(&mut self, _: &'ast ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast ItemStatic) {}
    fn visit_pat(&mut self, _: &'ast Pat) {}
    fn visit_type(&mut self, _: &'ast Type) {}
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}
    fn visit_generic_argument(&mut self, _: &'ast syn::GenericArgument) {}

    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr);
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        if let Stmt::Expr(Expr::MethodCall(_) | Expr::Call(_), Some(_)) = statement {
            self.around("call", statement.span().byte_range(), "if !{} { ", " }");
        }
        visit::visit_stmt(self, statement);
    }

    fn visit_expr_binary(&mut self, binary: &'ast ExprBinary) {
        let operator = match &binary.op {
            BinOp::Lt(_) => Some(("<", "<=")),
            BinOp::Le(_) => Some(("<=", "<")),
            BinOp::Gt(_) => Some((">", ">=")),
            BinOp::Ge(_) => Some((">=", ">")),
            BinOp::Eq(_) => Some(("==", "!=")),
            BinOp::Ne(_) => Some(("!=", "==")),
            _ => None,
        };
        let range = binary.span().byte_range();
        if let Some((original, mutated)) = operator {
            let told = self.text[range.clone()].to_owned();
            let change = Change::Operator(binary.op.span().byte_range(), original, mutated.to_owned());
            self.add("compare", range.clone(), &told, change);
        }
        match &binary.op {
            op @ (BinOp::And(_) | BinOp::Or(_)) => {
                self.operand(op, &binary.left);
                self.operand(op, &binary.right);
            }
            BinOp::BitOr(_) => {
                for operand in [&binary.left, &binary.right] {
                    if !matches!(
                        &**operand,
                        Expr::Binary(ExprBinary {
                            op: BinOp::BitOr(_),
                            ..
                        })
                    ) {
                        self.around(
                            "flag",
                            operand.span().byte_range(),
                            "(if {} { Default::default() } else { ",
                            " })",
                        );
                    }
                }
            }
            BinOp::AddAssign(_) | BinOp::SubAssign(_) | BinOp::BitOrAssign(_) | BinOp::BitAndAssign(_) => {
                self.around("counter", range, "{ if !{} { ", " } }");
            }
            _ => {}
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_if(&mut self, item: &'ast ExprIf) {
        self.condition(&item.cond);
        visit::visit_expr_if(self, item);
    }

    fn visit_expr_while(&mut self, item: &'ast ExprWhile) {
        self.condition(&item.cond);
        visit::visit_expr_while(self, item);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if let Some((_, guard)) = &arm.guard {
            self.condition(guard);
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let range = call.span().byte_range();
        if QUESTIONS.iter().any(|name| call.method == name) {
            self.around("negate", range, "({} != (", "))");
        } else if ["min", "max"].iter().any(|name| call.method == name) && call.args.len() == 1 {
            let told = self.text[range.clone()].to_owned();
            self.add(
                "bound",
                range,
                &told,
                Change::Bound(call.receiver.span().byte_range()),
            );
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_struct(&mut self, made: &'ast ExprStruct) {
        for field in &made.fields {
            if field.colon_token.is_some() && !is_default(&field.expr) {
                let told = self.text[field.span().byte_range()].to_owned();
                let change = Change::Around(
                    "({ let value_ = ",
                    "; if {} { Default::default() } else { value_ } })".into(),
                );
                self.add("field", field.expr.span().byte_range(), &told, change);
            }
        }
        visit::visit_expr_struct(self, made);
    }

    fn visit_expr_path(&mut self, path: &'ast ExprPath) {
        let name = path.path.segments.last().map(|last| last.ident.to_string());
        if matches!(name.as_deref(), Some("Acquire" | "Release" | "AcqRel" | "SeqCst"))
            && self.is_in_function()
        {
            self.around(
                "ordering",
                path.span().byte_range(),
                "(if {} { ::core::sync::atomic::Ordering::Relaxed } else { ",
                " })",
            );
        }
    }

    fn visit_expr_lit(&mut self, literal: &'ast syn::ExprLit) {
        if let Lit::Int(number) = &literal.lit
            && self.is_in_function()
            && let Ok(value) = number.base10_parse::<u128>()
        {
            let more = format!(" }} else {{ {}{} }})", value + 1, number.suffix());
            // The other way round, since what stands before it is fixed.
            self.around("limit", literal.span().byte_range(), "(if !{} { ", &more);
        }
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        if item.path.is_ident("vec")
            && let Ok(elements) = item.parse_body_with(Punctuated::<Expr, syn::Token![,]>::parse_terminated)
        {
            // They live no longer than this call, which is as long as they are looked at.
            let mut inner = Finder {
                file: self.file,
                text: self.text,
                constant: self.constant,
                functions: std::mem::take(&mut self.functions),
                found: Found {
                    mutants: std::mem::take(&mut self.found.mutants),
                    edits: std::mem::take(&mut self.found.edits),
                },
            };
            for element in &elements {
                inner.visit_expr(element);
            }
            self.functions = inner.functions;
            self.found = inner.found;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit;

    /// The names of a text's mutants, and the text with all of them behind their switches.
    fn planted(text: &str) -> (Vec<String>, String) {
        let found = mutants("a.rs", text, &HashSet::from(["stays"])).unwrap();
        let mut edits = found.edits;
        for (number, mutant) in (1..).zip(&found.mutants) {
            edits.extend(mutant.edits(number));
        }
        let names = found
            .mutants
            .iter()
            .map(|mutant| mutant.name["a.rs: ".len()..].to_owned());
        (names.collect(), edit::apply(text, edits).0)
    }

    #[test]
    fn a_field_that_is_its_types_default_is_no_mutant() {
        let (names, _) = planted(
            "fn new() -> Slot { Slot { flag: AtomicBool::new(false), last: [None; 3], at: Cell::new(5), list: Vec::new() } }",
        );
        assert_eq!(names, ["new: field `at: Cell::new(5)`", "new: limit `5`"]);
    }

    #[test]
    fn each_rule_finds_its_places() {
        let text = "
            const LIMIT: u32 = 5;
            const fn stays(a: u32) -> bool { a < 3 }
            impl Sum {
                fn add(&mut self, other: &Self) {
                    self.inside += other.inside;
                    if self.flag.load(Acquire) && self.n > LIMIT { self.list.push(vec![a == b]); }
                }
            }
            fn made(tally: &Tally) -> Violations {
                Violations { poisoned: tally.poisoned, inside: 0, other }
            }
            fn bound(a: u32) -> u32 { a.min(7) | FLAG }
            #[cfg(test)]
            mod tests { fn f() { a < b } }
        ";
        let (names, changed) = planted(text);
        assert_eq!(
            names,
            [
                "Sum::add: answer `return;`",
                "Sum::add: counter `self.inside += other.inside`",
                "Sum::add: condition `self.flag.load(Acquire)`",
                "Sum::add: condition `self.n > LIMIT`",
                "Sum::add: ordering `Acquire`",
                "Sum::add: compare `self.n > LIMIT`",
                "Sum::add: call `self.list.push(vec![a == b]);`",
                "Sum::add: compare `a == b`",
                "made: field `poisoned: tally.poisoned`",
                "made: limit `0`",
                "bound: answer `return Default::default();`",
                "bound: flag `a.min(7)`",
                "bound: flag `FLAG`",
                "bound: bound `a.min(7)`",
                "bound: limit `7`",
            ]
        );
        // What it makes is Rust, and the original is in it.
        syn::parse_file(&changed).unwrap_or_else(|error| panic!("{error}: {changed}"));
        assert!(
            changed.contains("const fn stays") && changed.contains("a < 3"),
            "{changed}"
        );
    }
}
