//! Files by handles. The structures are wdm.h's, the statuses those of `ZwCreateFile`'s, `ZwReadFile`'s and `ZwSetInformationFile`'s pages, and of
//! Microsoft's [MS-ERREF].

use crate::Specimen;
use crate::nt::*;
use core::ptr::null;

pub(crate) const SPECIMENS: &[(&str, Specimen)] = &[
    ("sound-files", sound_files),
    ("leave-file", leave_file),
    ("create-file-at-apc", create_file_at_apc),
];

static LOG: [u16; 25] = utf16("\\SystemRoot\\Temp\\made.log");
/// The same file.
static SAME: [u16; 28] = utf16("\\??\\c:\\WINDOWS\\TEMP\\MADE.LOG");
static DIRECTORY: [u16; 24] = utf16("\\??\\C:\\Windows\\Temp\\made");
static TEMP: [u16; 16] = utf16("\\SystemRoot\\Temp");
static RELATIVE: [u16; 10] = utf16("made\\a.txt");
static NOWHERE: [u16; 23] = utf16("\\SystemRoot\\No\\made.log");
static OTHER_DRIVE: [u16; 11] = utf16("\\??\\Q:\\a.tx");
static NO_ROOT: [u16; 8] = utf16("made.log");
static WILD: [u16; 18] = utf16("\\SystemRoot\\Temp\\*");

const READ: u32 = 0x1;
const WRITE: u32 = 0x2;
const DELETE: u32 = 0x1_0000;
const SYNCHRONIZE: u32 = 0x10_0000;
const ALL: u32 = READ | WRITE | DELETE | SYNCHRONIZE;
const SHARE_ALL: u32 = 7;
/// FILE_OPEN, FILE_CREATE, FILE_OPEN_IF, FILE_OVERWRITE_IF.
const OPEN: u32 = 1;
const CREATE: u32 = 2;
const OPEN_IF: u32 = 3;
const OVERWRITE_IF: u32 = 5;
/// FILE_DIRECTORY_FILE, FILE_SYNCHRONOUS_IO_NONALERT, FILE_NON_DIRECTORY_FILE, FILE_DELETE_ON_CLOSE.
const A_DIRECTORY: u32 = 0x1;
const SYNCHRONOUS: u32 = 0x20;
const NO_DIRECTORY: u32 = 0x40;
const DELETE_ON_CLOSE: u32 = 0x1000;
/// FileStandardInformation, FileDispositionInformation, FilePositionInformation, FileEndOfFileInformation.
const STANDARD: u32 = 5;
const DISPOSITION: u32 = 13;
const POSITION: u32 = 14;
const END_OF_FILE_CLASS: u32 = 20;

const END_OF_FILE: i32 = 0xC000_0011_u32 as i32;
const INVALID_INFO_CLASS: i32 = 0xC000_0003_u32 as i32;
const INFO_LENGTH_MISMATCH: i32 = 0xC000_0004_u32 as i32;
const INVALID_HANDLE: i32 = 0xC000_0008_u32 as i32;
const INVALID_PARAMETER: i32 = 0xC000_000D_u32 as i32;
const NAME_INVALID: i32 = 0xC000_0033_u32 as i32;
const NAME_NOT_FOUND: i32 = 0xC000_0034_u32 as i32;
const NAME_COLLISION: i32 = 0xC000_0035_u32 as i32;
const PATH_NOT_FOUND: i32 = 0xC000_003A_u32 as i32;
const PATH_SYNTAX_BAD: i32 = 0xC000_003B_u32 as i32;
const SHARING_VIOLATION: i32 = 0xC000_0043_u32 as i32;
const DELETE_PENDING: i32 = 0xC000_0056_u32 as i32;
const IS_A_DIRECTORY: i32 = 0xC000_00BA_u32 as i32;
const NOT_A_DIRECTORY: i32 = 0xC000_0103_u32 as i32;
const NOT_EMPTY: i32 = 0xC000_0101_u32 as i32;

/// An open file.
struct File(u64);

impl Drop for File {
    fn drop(&mut self) {
        unsafe { ZwClose(self.0) };
    }
}

/// The file, and what `Information` says of it.
unsafe fn create(
    name: &UnicodeString,
    root: u64,
    access: u32,
    share: u32,
    disposition: u32,
    options: u32,
) -> Result<(File, u64), i32> {
    let (mut handle, mut iosb) = (0, [u64::MAX; 2]);
    let attributes = ObjectAttributes::named(name, root);
    let status = unsafe {
        ZwCreateFile(
            &mut handle,
            access,
            &attributes,
            &mut iosb,
            null(),
            0x80,
            share,
            disposition,
            options,
            null(),
            0,
        )
    };
    if status < 0 {
        Err(status)
    } else {
        Ok((File(handle), iosb[1]))
    }
}

unsafe fn open(name: &'static [u16], access: u32, options: u32) -> Result<File, i32> {
    unsafe { create(&unicode(name), 0, access, SHARE_ALL, OPEN, options) }.map(|(file, _)| file)
}

/// What a routine returned, and `Information`.
type Told = (i32, u64);

impl File {
    unsafe fn write(&self, bytes: &[u8], offset: *const i64) -> Told {
        let mut iosb = [0_u64; 2];
        let length = bytes.len() as u32;
        let status =
            unsafe { ZwWriteFile(self.0, 0, 0, 0, &mut iosb, bytes.as_ptr(), length, offset, null()) };
        (status, iosb[1])
    }

    unsafe fn read(&self, bytes: &mut [u8], offset: *const i64) -> Told {
        let mut iosb = [0_u64; 2];
        let length = bytes.len() as u32;
        let status = unsafe {
            ZwReadFile(
                self.0,
                0,
                0,
                0,
                &mut iosb,
                bytes.as_mut_ptr(),
                length,
                offset,
                null(),
            )
        };
        (status, iosb[1])
    }

    unsafe fn set<T>(&self, class: u32, value: T) -> i32 {
        let mut iosb = [0_u64; 2];
        let length = size_of::<T>() as u32;
        unsafe { ZwSetInformationFile(self.0, &mut iosb, (&raw const value).cast(), length, class) }
    }

    unsafe fn position(&self) -> i64 {
        let (mut iosb, mut position) = ([0_u64; 2], -1_i64);
        unsafe { ZwQueryInformationFile(self.0, &mut iosb, (&raw mut position).cast(), 8, POSITION) };
        position
    }

    /// FILE_STANDARD_INFORMATION: AllocationSize, EndOfFile, NumberOfLinks, and behind it DeletePending and Directory.
    unsafe fn standard(&self) -> [u64; 3] {
        let (mut iosb, mut facts) = ([0_u64; 2], [0_u64; 3]);
        unsafe { ZwQueryInformationFile(self.0, &mut iosb, (&raw mut facts).cast(), 24, STANDARD) };
        facts
    }
}

unsafe fn sound_files() -> i32 {
    unsafe {
        // FILE_CREATED, then FILE_OPENED.
        let made = create(
            &unicode(&LOG),
            0,
            ALL & !DELETE,
            SHARE_ALL,
            OPEN_IF,
            SYNCHRONOUS | NO_DIRECTORY,
        );
        let Ok((file, 2)) = made else { return FAILED };
        check!(file.write(b"0123456789", null()) == (0, 10) && file.position() == 10);
        // FILE_WRITE_TO_END_OF_FILE, and the place that FILE_USE_FILE_POINTER_POSITION means.
        let (at, position, end) = (4_i64, -2_i64, -1_i64);
        check!(file.write(b"ab", &at) == (0, 2) && file.position() == 6);
        check!(file.write(b"cd", &position) == (0, 2) && file.write(b"ef", &end) == (0, 2));
        let mut bytes = [0; 16];
        check!(file.read(&mut bytes, null()) == (END_OF_FILE, 0));
        check!(file.set(POSITION, 2_i64) == 0 && file.read(&mut bytes[..4], null()) == (0, 4));
        check!(&bytes[..4] == b"23ab" && file.position() == 6);
        check!(file.set(POSITION, -3_i64) == INVALID_PARAMETER && file.position() == 6);
        check!(file.read(&mut bytes, &0) == (0, 12) && &bytes[..12] == b"0123abcd89ef");
        check!(file.read(&mut bytes, &-5) == (INVALID_PARAMETER, 0));
        check!(file.read(&mut bytes[..0], &100) == (0, 0));
        check!(file.set(END_OF_FILE_CLASS, 3_i64) == 0 && file.standard()[1] == 3);
        check!(file.set(END_OF_FILE_CLASS, 0_u32) == INFO_LENGTH_MISMATCH);
        check!(file.set(99, 0_i64) == INVALID_INFO_CLASS);
        // Another handle sees it, under its other name; only a synchronous one has a position.
        let Ok(other) = open(&SAME, READ, NO_DIRECTORY) else {
            return FAILED;
        };
        check!(other.read(&mut bytes, null()) == (INVALID_PARAMETER, 0));
        check!(other.read(&mut bytes, &1) == (0, 2) && &bytes[..2] == b"12");
        drop(other);
        sharing(&file)
    }
}

/// What handles let each other do, and what makes one impossible.
unsafe fn sharing(file: &File) -> i32 {
    unsafe {
        let log = unicode(&LOG);
        let refused =
            |access, share, disposition, options| create(&log, 0, access, share, disposition, options).err();
        // `file` writes, which this handle does not share; then it shares, and asks for what nobody else allows.
        check!(refused(READ, 1, OPEN, 0) == Some(SHARING_VIOLATION));
        let Ok((_reader, 1)) = create(&log, 0, READ, SHARE_ALL & !4, OPEN, 0) else {
            return FAILED;
        };
        check!(refused(DELETE, SHARE_ALL, OPEN, 0) == Some(SHARING_VIOLATION));
        check!(refused(READ, SHARE_ALL, CREATE, 0) == Some(NAME_COLLISION));
        check!(refused(READ, SHARE_ALL, OPEN, A_DIRECTORY) == Some(NOT_A_DIRECTORY));
        check!(refused(READ, SHARE_ALL, OPEN, SYNCHRONOUS) == Some(INVALID_PARAMETER));
        check!(refused(READ, SHARE_ALL, OPEN, DELETE_ON_CLOSE) == Some(INVALID_PARAMETER));
        check!(refused(READ, SHARE_ALL, OPEN, A_DIRECTORY | NO_DIRECTORY) == Some(INVALID_PARAMETER));
        check!(refused(READ, SHARE_ALL, 6, 0) == Some(INVALID_PARAMETER));
        // FILE_OVERWRITTEN.
        let Ok((empty, 3)) = create(&log, 0, WRITE, SHARE_ALL, OVERWRITE_IF, 0) else {
            return FAILED;
        };
        check!(empty.standard()[1] == 0 && file.standard()[1] == 0);
        names(file)
    }
}

unsafe fn names(file: &File) -> i32 {
    unsafe {
        check!(open(&NOWHERE, READ, 0).err() == Some(PATH_NOT_FOUND));
        check!(open(&OTHER_DRIVE, READ, 0).err() == Some(PATH_NOT_FOUND));
        check!(open(&NO_ROOT, READ, 0).err() == Some(PATH_SYNTAX_BAD));
        check!(open(&WILD, READ, 0).err() == Some(NAME_INVALID));
        check!(open(&TEMP, READ, NO_DIRECTORY).err() == Some(IS_A_DIRECTORY));
        let directory = unicode(&DIRECTORY);
        let made = create(&directory, 0, ALL, SHARE_ALL, CREATE, A_DIRECTORY);
        let (Ok((directory, 2)), Ok(temp)) = (made, open(&TEMP, READ, A_DIRECTORY)) else {
            return FAILED;
        };
        // Below a handle, and gone with its last one.
        let below = unicode(&RELATIVE);
        let made = create(&below, temp.0, ALL, SHARE_ALL, CREATE, DELETE_ON_CLOSE);
        let Ok((text, 2)) = made else { return FAILED };
        check!(directory.set(DISPOSITION, 1_u8) == NOT_EMPTY);
        drop(text);
        check!(create(&below, temp.0, READ, SHARE_ALL, OPEN, 0).err() == Some(NAME_NOT_FOUND));
        check!(directory.set(DISPOSITION, 1_u8) == 0 && directory.standard()[2] == 0x0101_0000_0001);
        check!(open(&DIRECTORY, READ, 0).err() == Some(DELETE_PENDING));
        drop(directory);
        check!(open(&DIRECTORY, READ, 0).err() == Some(NAME_NOT_FOUND));
        check!(file.set(DISPOSITION, 1_u8) == 0);
        let mut iosb = [0_u64; 2];
        check!(
            ZwFlushBuffersFile(file.0, &mut iosb) == 0 && ZwFlushBuffersFile(4, &mut iosb) == INVALID_HANDLE
        );
    }
    0
}

unsafe fn leave_file() -> i32 {
    let made = unsafe { create(&unicode(&LOG), 0, ALL, SHARE_ALL, OPEN_IF, SYNCHRONOUS) };
    match made {
        Ok((file, _)) => {
            core::mem::forget(file);
            0
        }
        Err(status) => status,
    }
}

unsafe fn create_file_at_apc() -> i32 {
    unsafe {
        let old = KfRaiseIrql(1);
        let _ = create(&unicode(&LOG), 0, ALL, SHARE_ALL, OPEN_IF, SYNCHRONOUS);
        KeLowerIrql(old);
    }
    0
}
