//! The registry by handles. The structures are wdm.h's, the statuses those of the routines' pages.

use crate::Specimen;
use crate::nt::*;
use core::ptr::{null, null_mut};

pub(crate) const SPECIMENS: &[(&str, Specimen)] = &[
    ("sound-registry", sound_registry),
    ("open-key-at-apc", open_key_at_apc),
    ("leave-key", leave_key),
];

static BELOW: [u16; 4] = utf16("Made");
static VALUE: [u16; 5] = utf16("Count");
static TEXT_VALUE: [u16; 4] = utf16("Text");
static TERMINATED_VALUE: [u16; 6] = utf16("Count\0");
static TERMINATED_TEXT: [u16; 5] = utf16("Text\0");
static NOWHERE: [u16; 17] = utf16("\\Registry\\Nowhere");
const ALL: u32 = 0xF_003F;
const REG_SZ: u32 = 1;
const REG_DWORD: u32 = 4;
/// Statuses, as their pages name them.
const NAME_NOT_FOUND: i32 = 0xC000_0034_u32 as i32;
const BUFFER_OVERFLOW: i32 = 0x8000_0005_u32 as i32;
const BUFFER_TOO_SMALL: i32 = 0xC000_0023_u32 as i32;
const NO_MORE_ENTRIES: i32 = 0x8000_001A_u32 as i32;
const TYPE_MISMATCH: i32 = 0xC000_0024_u32 as i32;
const CANNOT_DELETE: i32 = 0xC000_0121_u32 as i32;

unsafe fn open(name: &UnicodeString, root: u64) -> Result<u64, i32> {
    let mut handle = 0;
    let status = unsafe { ZwOpenKey(&mut handle, ALL, &ObjectAttributes::named(name, root)) };
    if status < 0 { Err(status) } else { Ok(handle) }
}

/// The service's own key, or one above it that is there.
unsafe fn parent() -> Result<u64, i32> {
    static SERVICES: [u16; 60] = utf16("\\Registry\\Machine\\System\\CurrentControlSet\\Services\\Specimen");
    static MACHINE: [u16; 17] = utf16("\\Registry\\Machine");
    static ROOT: [u16; 9] = utf16("\\Registry");
    unsafe {
        open(&unicode(&SERVICES), 0)
            .or_else(|_| open(&unicode(&MACHINE), 0))
            .or_else(|_| open(&unicode(&ROOT), 0))
    }
}

unsafe fn sound_registry() -> i32 {
    unsafe {
        check!(open(&unicode(&NOWHERE), 0) == Err(NAME_NOT_FOUND));
        let Ok(parent) = parent() else { return FAILED };
        let (name, value, text) = (unicode(&BELOW), unicode(&VALUE), unicode(&TEXT_VALUE));
        let (mut key, mut made) = (0, 0);
        let attributes = ObjectAttributes::named(&name, parent);
        check!(ZwCreateKey(&mut key, ALL, &attributes, 0, null(), 0, &mut made) == 0 && made == 1);
        ZwClose(key);
        check!(ZwCreateKey(&mut key, ALL, &attributes, 0, null(), 0, &mut made) == 0 && made == 2);

        // KEY_VALUE_PARTIAL_INFORMATION: index, type, length, data.
        let (mut buffer, mut length) = ([0_u32; 8], 0);
        check!(ZwQueryValueKey(key, &value, 2, buffer.as_mut_ptr(), 32, &mut length) == NAME_NOT_FOUND);
        check!(ZwSetValueKey(key, &value, 0, REG_DWORD, [7, 1, 0, 0].as_ptr(), 4) == 0);
        check!(ZwQueryValueKey(key, &value, 2, buffer.as_mut_ptr(), 32, &mut length) == 0 && length == 16);
        check!(buffer[1..4] == [REG_DWORD, 4, 0x107]);
        check!(ZwQueryValueKey(key, &value, 2, buffer.as_mut_ptr(), 14, &mut length) == BUFFER_OVERFLOW);
        check!(
            ZwQueryValueKey(key, &value, 2, null_mut(), 0, &mut length) == BUFFER_TOO_SMALL && length == 16
        );
        // KEY_VALUE_FULL_INFORMATION: index, type, offset, length, length of the name, name.
        check!(
            ZwQueryValueKey(key, &value, 1, buffer.as_mut_ptr(), 40, &mut length) == BUFFER_OVERFLOW
                || length == 36
        );
        check!(buffer[1..5] == [REG_DWORD, 32, 4, 10]);

        // A text, and both by RtlQueryRegistryValues, which looks at the types.
        check!(ZwSetValueKey(key, &text, 0, REG_SZ, TERMINATED_TEXT.as_ptr().cast(), 10) == 0);
        let mut number = 0_u32;
        let mut string = UnicodeString {
            length: 0,
            maximum: 0,
            buffer: null(),
        };
        let entry = |name: &'static [u16], context: u64, kind: u32| {
            let flags = 0x120_u64; // DIRECT and TYPECHECK
            [
                0,
                flags,
                name.as_ptr() as u64,
                context,
                u64::from(kind) << 24,
                0,
                0,
            ]
        };
        let (count, word) = (&raw mut number as u64, &raw mut string as u64);
        let end = [0; 7];
        let table = [
            entry(&TERMINATED_VALUE, count, REG_DWORD),
            entry(&TERMINATED_TEXT, word, REG_SZ),
            end,
        ];
        const BY_HANDLE: u32 = 0x4000_0000;
        let path = core::ptr::without_provenance(key as usize);
        check!(RtlQueryRegistryValues(BY_HANDLE, path, table.as_ptr(), 0, 0) == 0);
        check!(number == 0x107 && string.length == 8 && RtlEqualUnicodeString(&string, &text, 0) == 1);
        RtlFreeUnicodeString(&mut string);
        let wrong = [entry(&TERMINATED_VALUE, count, REG_SZ), end];
        check!(RtlQueryRegistryValues(BY_HANDLE, path, wrong.as_ptr(), 0, 0) == TYPE_MISMATCH);

        // KEY_BASIC_INFORMATION: time, index, length of the name, name.
        check!(ZwEnumerateKey(key, 0, 0, buffer.as_mut_ptr(), 32, &mut length) == NO_MORE_ENTRIES);
        let below = ObjectAttributes::named(&name, key);
        let mut deeper = 0;
        check!(ZwCreateKey(&mut deeper, ALL, &below, 0, null(), 0, null_mut()) == 0);
        check!(ZwEnumerateKey(key, 0, 0, buffer.as_mut_ptr(), 32, &mut length) == 0 && length == 24);
        check!(buffer[3] == 8 && buffer[4] == u32::from(BELOW[0]) | u32::from(BELOW[1]) << 16);
        check!(ZwDeleteKey(key) == CANNOT_DELETE && ZwDeleteKey(deeper) == 0);
        check!(ZwDeleteValueKey(key, &value) == 0 && ZwDeleteValueKey(key, &value) == NAME_NOT_FOUND);
        check!(ZwDeleteKey(key) == 0);
        for handle in [deeper, key, parent] {
            ZwClose(handle);
        }
        check!(open(&name, 0).is_err());
    }
    0
}

unsafe fn open_key_at_apc() -> i32 {
    unsafe {
        KfRaiseIrql(1);
        let _ = open(&unicode(&NOWHERE), 0);
    }
    0
}

unsafe fn leave_key() -> i32 {
    unsafe { parent() }.err().unwrap_or(0)
}
