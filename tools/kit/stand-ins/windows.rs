//! Stand-in for the crate `windows` (0.58 and 0.62) on hosts that are not Windows: the items that wdk-build names, over a
//! registry in which nothing is found. wdk-build looks for the WDK there only when `WDKContentRoot` does not say.

#![no_std]
#![allow(non_snake_case, non_camel_case_types, missing_docs, clippy::all)]

pub mod core {
    pub use crate::s;

    #[derive(Clone, Copy)]
    pub struct PCSTR(pub *const u8);
}

/// A string literal as a pointer to its bytes with a terminating zero.
#[macro_export]
macro_rules! s {
    ($text:literal) => {
        $crate::core::PCSTR(::core::concat!($text, "\0").as_ptr())
    };
}

pub mod Win32 {
    pub mod Foundation {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct WIN32_ERROR(pub u32);

        pub const ERROR_FILE_NOT_FOUND: WIN32_ERROR = WIN32_ERROR(2);

        impl WIN32_ERROR {
            pub const fn is_ok(self) -> bool {
                self.0 == 0
            }

            pub const fn ok(self) -> Result<(), Self> {
                if self.is_ok() { Ok(()) } else { Err(self) }
            }
        }
    }

    pub mod System {
        pub mod Registry {
            use core::ffi::c_void;

            use crate::Win32::Foundation::{ERROR_FILE_NOT_FOUND, WIN32_ERROR};
            use crate::core::PCSTR;

            #[derive(Clone, Copy, Default)]
            pub struct HKEY(pub usize);
            #[derive(Clone, Copy)]
            pub struct REG_SAM_FLAGS(pub u32);
            #[derive(Clone, Copy)]
            pub struct REG_ROUTINE_FLAGS(pub u32);
            #[derive(Clone, Copy)]
            pub struct REG_VALUE_TYPE(pub u32);

            pub const HKEY_LOCAL_MACHINE: HKEY = HKEY(0x8000_0002);
            pub const KEY_READ: REG_SAM_FLAGS = REG_SAM_FLAGS(0x2_0019);
            pub const RRF_RT_REG_SZ: REG_ROUTINE_FLAGS = REG_ROUTINE_FLAGS(2);

            pub unsafe fn RegOpenKeyExA(
                _key: HKEY,
                _sub_key: PCSTR,
                _options: Option<u32>,
                _access: REG_SAM_FLAGS,
                _result: *mut HKEY,
            ) -> WIN32_ERROR {
                ERROR_FILE_NOT_FOUND
            }

            pub unsafe fn RegGetValueA(
                _key: HKEY,
                _sub_key: Option<PCSTR>,
                _value: PCSTR,
                _flags: REG_ROUTINE_FLAGS,
                _type: Option<*mut REG_VALUE_TYPE>,
                _data: Option<*mut c_void>,
                _length: Option<*mut u32>,
            ) -> WIN32_ERROR {
                ERROR_FILE_NOT_FOUND
            }

            pub unsafe fn RegCloseKey(_key: HKEY) -> WIN32_ERROR {
                ERROR_FILE_NOT_FOUND
            }
        }
    }
}
