//! A function's signature in terms that C and Rust share.

use std::fmt;

/// A parameter's or a result's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Type {
    Void,
    /// An integer, an enumeration or a structure of eight bytes that is passed as one: `i32`, `u64`.
    Integer(&'static str),
    /// A pointer, to `void` or to something that has no name on one of the two sides.
    Pointer,
    /// A pointer to a type with a name.
    PointerTo(String),
    /// A structure by value, or something that is not known, by its name.
    Other(String),
}

impl Type {
    fn agrees_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pointer, Self::Pointer | Self::PointerTo(_)) | (Self::PointerTo(_), Self::Pointer) => true,
            _ => self == other,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Signature {
    pub(crate) result: Type,
    pub(crate) parameters: Vec<Type>,
}

impl Signature {
    /// The signature of a pointer to a function, as clang writes a canonical type.
    pub(crate) fn of_c(text: &str) -> Self {
        let (result, parameters) = text.split_once("(*)(").unwrap_or_else(|| panic!("{text}"));
        let parameters = parameters.split(") __attribute__").next().unwrap_or_default();
        let parameters = parameters.strip_suffix(')').unwrap_or(parameters);
        let mut depth = 0;
        let parameters = parameters
            .split(|character| {
                depth += i32::from(character == '(') - i32::from(character == ')');
                character == ',' && depth == 0
            })
            .filter(|parameter| !matches!(parameter.trim(), "" | "void"));
        Self {
            result: c_type(result),
            parameters: parameters.map(c_type).collect(),
        }
    }

    /// Whether both describe one function; a pointer to `void` agrees with every pointer, as it does in C.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        self.result.agrees_with(&other.result)
            && self.parameters.len() == other.parameters.len()
            && self
                .parameters
                .iter()
                .zip(&other.parameters)
                .all(|(one, other)| one.agrees_with(other))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} -> {:?}", self.parameters, self.result)
    }
}

fn c_type(text: &str) -> Type {
    let text = text
        .trim()
        .trim_start_matches("const ")
        .trim_start_matches("volatile ");
    if text.contains("(*)") {
        return Type::Pointer;
    }
    if let Some(to) = text.strip_suffix('*') {
        let to = to.trim().trim_start_matches("const ");
        return match c_type(to) {
            Type::Other(name) => Type::PointerTo(name),
            // Windows' BOOLEAN and UCHAR are one type in C, and bytes of both kinds are written through PVOID.
            _ => Type::Pointer,
        };
    }
    match text {
        "void" => Type::Void,
        "char" | "signed char" => Type::Integer("i8"),
        "unsigned char" => Type::Integer("u8"),
        "short" => Type::Integer("i16"),
        "unsigned short" => Type::Integer("u16"),
        "int" | "long" => Type::Integer("i32"),
        "unsigned int" | "unsigned long" => Type::Integer("u32"),
        "long long" | "_LARGE_INTEGER" => Type::Integer("i64"),
        "unsigned long long" => Type::Integer("u64"),
        // Enumerations, of which the kernel's routines take these.
        "_EVENT_TYPE" | "_KWAIT_REASON" | "_MODE" | "_TIMER_TYPE" | "_WAIT_TYPE" | "_KDPC_IMPORTANCE" => {
            Type::Integer("i32")
        }
        other => Type::Other(other.trim_start_matches('_').to_owned()),
    }
}

#[test]
fn c_types_are_read() {
    let signature =
        Signature::of_c("void (*)(void **, unsigned long, _OBJECT_ATTRIBUTES *, void (*)(void *), void *)");
    assert_eq!(signature.result, Type::Void);
    assert_eq!(
        signature.parameters,
        [
            Type::Pointer,
            Type::Integer("u32"),
            Type::PointerTo("OBJECT_ATTRIBUTES".to_owned()),
            Type::Pointer,
            Type::Pointer
        ]
    );
    assert_eq!(Signature::of_c("unsigned long long (*)()").parameters, []);
}
