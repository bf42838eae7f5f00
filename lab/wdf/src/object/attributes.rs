//! What drivers say of an object in `WDF_OBJECT_ATTRIBUTES`, and how much of it each function lets them say.
//!
//! Source of the rules and their order: fxvalidatefunctions.cpp:45-219 of Microsoft's Windows-Driver-Frameworks repository, and the flags that each
//! function passes there.

use crate::layout::{
    ContextType, EXECUTION_LEVEL_DISPATCH, EXECUTION_LEVEL_INHERIT, FirstContextType, ObjectAttributes,
    SCOPE_INHERIT, SCOPE_NONE,
};
use rundown_lab_kernel::status;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Parent {
    Optional,
    Required,
    Forbidden,
}

/// What a function takes in its attributes.
#[derive(Clone, Copy)]
pub struct Allowed {
    parent: Parent,
    execution_level: bool,
    scope: bool,
}

impl Allowed {
    /// A parent or none; the object has no callbacks that an execution level or a lock could be for.
    pub const PLAIN: Self = Self {
        parent: Parent::Optional,
        execution_level: false,
        scope: false,
    };
    /// The same where the framework says what the parent is.
    pub const NO_PARENT: Self = Self {
        parent: Parent::Forbidden,
        ..Self::PLAIN
    };
    /// The same where the driver has to.
    pub const WITH_PARENT: Self = Self {
        parent: Parent::Required,
        ..Self::PLAIN
    };

    /// An execution level, too.
    #[must_use]
    pub const fn and_level(self) -> Self {
        Self {
            execution_level: true,
            ..self
        }
    }

    /// A synchronization scope, too.
    #[must_use]
    pub const fn and_scope(self) -> Self {
        Self { scope: true, ..self }
    }
}

/// Attributes that a driver passed, or `None` for `WDF_NO_OBJECT_ATTRIBUTES`.
///
/// # Errors
/// `STATUS_INFO_LENGTH_MISMATCH` for a wrong size of the attributes or of the context type; `STATUS_WDF_PARENT_NOT_SPECIFIED`,
/// `..._PARENT_ASSIGNMENT_NOT_ALLOWED`, `..._SYNCHRONIZATION_SCOPE_INVALID`, `..._EXECUTION_LEVEL_INVALID` for what
/// is not `allowed`, and `..._OBJECT_ATTRIBUTES_INVALID` for values that are none.
///
/// # Safety
/// `attributes` is null or points to a `WDF_OBJECT_ATTRIBUTES`.
pub unsafe fn attributes(
    attributes: *const ObjectAttributes,
    allowed: Allowed,
) -> Result<Option<ObjectAttributes>, i32> {
    // SAFETY: the caller promises it.
    let Some(attributes) = (unsafe { attributes.as_ref() }) else {
        return if allowed.parent == Parent::Required {
            Err(status::WDF_PARENT_NOT_SPECIFIED)
        } else {
            Ok(None)
        };
    };
    if attributes.size as usize != size_of::<ObjectAttributes>() {
        return Err(status::INFO_LENGTH_MISMATCH);
    }
    check_context(attributes)?;
    match allowed.parent {
        Parent::Forbidden if attributes.parent != 0 => return Err(status::WDF_PARENT_ASSIGNMENT_NOT_ALLOWED),
        Parent::Required if attributes.parent == 0 => return Err(status::WDF_PARENT_NOT_SPECIFIED),
        _ => {}
    }
    let (level, scope) = (attributes.execution_level, attributes.synchronization_scope);
    if !(EXECUTION_LEVEL_INHERIT..=EXECUTION_LEVEL_DISPATCH).contains(&level)
        || !(SCOPE_INHERIT..=SCOPE_NONE).contains(&scope)
    {
        return Err(status::WDF_OBJECT_ATTRIBUTES_INVALID);
    }
    if !allowed.scope && scope != SCOPE_INHERIT && scope != SCOPE_NONE {
        return Err(status::WDF_SYNCHRONIZATION_SCOPE_INVALID);
    }
    if !allowed.execution_level && level != EXECUTION_LEVEL_INHERIT {
        return Err(status::WDF_EXECUTION_LEVEL_INVALID);
    }
    Ok(Some(*attributes))
}

fn check_context(attributes: &ObjectAttributes) -> Result<(), i32> {
    let context_type = attributes.context_type as *const ContextType;
    if context_type.is_null() {
        return if attributes.context_size_override == 0 {
            Ok(())
        } else {
            Err(status::WDF_OBJECT_ATTRIBUTES_INVALID)
        };
    }
    let FirstContextType {
        size,
        name,
        context_size,
    } = *of_type(context_type);
    if ![size_of::<ContextType>(), size_of::<FirstContextType>()].contains(&(size as usize)) {
        return Err(status::INFO_LENGTH_MISMATCH);
    }
    let nameless = context_size != 0 && name == 0;
    let shortened = attributes.context_size_override != 0 && attributes.context_size_override < context_size;
    if nameless || shortened {
        return Err(status::WDF_OBJECT_ATTRIBUTES_INVALID);
    }
    Ok(())
}

/// What both forms of a context type begin with.
fn of_type(context_type: *const ContextType) -> &'static FirstContextType {
    // SAFETY: a WDF_OBJECT_CONTEXT_TYPE_INFO of either form, which a driver keeps in its image.
    unsafe { &*context_type.cast() }
}

/// Bytes that the attributes' context has; `None` without a context type.
pub(super) fn context_size(attributes: &ObjectAttributes) -> Option<u64> {
    let context_type = attributes.context_type as *const ContextType;
    if context_type.is_null() {
        return None;
    }
    Some(
        of_type(context_type)
            .context_size
            .max(attributes.context_size_override),
    )
}

/// A context type's identity: every module that declares the type has a description, and all name one.
pub(super) fn unique(context_type: *const ContextType) -> u64 {
    let present = !context_type.is_null() && of_type(context_type).size as usize == size_of::<ContextType>();
    let unique = if present {
        // SAFETY: a WDF_OBJECT_CONTEXT_TYPE_INFO of the present form, which a driver keeps in its image.
        unsafe { &*context_type }.unique_type
    } else {
        core::ptr::null()
    };
    if unique.is_null() {
        context_type as u64
    } else {
        unique as u64
    }
}
