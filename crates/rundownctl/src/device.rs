//! The driver of the running Windows, through its device interface.
//!
//! Requests go through `NtDeviceIoControlFile` (winternl.h) and not through `DeviceIoControl`, which would fold the
//! driver's causes into a few Win32 errors: `STATUS_INVALID_PARAMETER_1` to `_8` are all `ERROR_INVALID_PARAMETER` there.

use std::{io, ptr};

use rundown_abi::INTERFACE_GUID;
use windows_sys::{
    Wdk::System::IO::NtDeviceIoControlFile,
    Win32::{
        Devices::DeviceAndDriverInstallation::{
            CM_GET_DEVICE_INTERFACE_LIST_PRESENT, CM_Get_Device_Interface_List_SizeW,
            CM_Get_Device_Interface_ListW, CR_BUFFER_SMALL, CR_SUCCESS,
        },
        Foundation::{
            CloseHandle, ERROR_ACCESS_DENIED, FALSE, GENERIC_READ, GENERIC_WRITE, HANDLE,
            INVALID_HANDLE_VALUE,
        },
        Storage::FileSystem::{CreateFileW, FILE_SHARE_READ, FILE_SHARE_WRITE, OPEN_EXISTING},
        System::IO::{IO_STATUS_BLOCK, IO_STATUS_BLOCK_0},
    },
    core::GUID,
};

use crate::{
    error::Error,
    ntstatus::is_success,
    target::{Access, Handle, Ioctl, Target, User},
};

/// The status of a `CreateFileW` that failed with `ERROR_ACCESS_DENIED`.
const STATUS_ACCESS_DENIED: u32 = 0xC000_0022;

/// The first present device of the driver's interface class.
#[derive(Debug, Default)]
pub struct Device {}

impl Device {
    /// A device that has yet to be looked for.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

fn lost(error: &io::Error) -> Error {
    Error::Unreachable {
        what: format!("the device cannot be used: {error}"),
        advice: "is the driver installed and started (`pnputil /enum-devices /class Rundown`)?".into(),
    }
}

/// The path of the first present device, NUL-terminated.
fn path() -> Result<Vec<u16>, Error> {
    let (data1, data2, data3, data4) = INTERFACE_GUID;
    let class = GUID {
        data1,
        data2,
        data3,
        data4,
    };
    loop {
        let mut length = 0;
        // SAFETY: `length` and `class` are valid for the call; a null device ID asks for all devices.
        let result = unsafe {
            CM_Get_Device_Interface_List_SizeW(
                &raw mut length,
                &raw const class,
                ptr::null(),
                CM_GET_DEVICE_INTERFACE_LIST_PRESENT,
            )
        };
        let mut list = vec![0_u16; length as usize];
        if result == CR_SUCCESS && !list.is_empty() {
            // SAFETY: `list` has `length` characters, and `class` is valid for the call.
            let result = unsafe {
                CM_Get_Device_Interface_ListW(
                    &raw const class,
                    ptr::null(),
                    list.as_mut_ptr(),
                    length,
                    CM_GET_DEVICE_INTERFACE_LIST_PRESENT,
                )
            };
            // A device came between the two calls.
            if result == CR_BUFFER_SMALL {
                continue;
            }
            let end = list.iter().position(|&character| character == 0).unwrap_or(0);
            if result == CR_SUCCESS && end > 0 {
                list.truncate(end + 1);
                return Ok(list);
            }
        }
        return Err(Error::Unreachable {
            what: "no rundown device is present".into(),
            advice: "install the driver with `devcon install rundown.inf Root\\Rundown` and start it".into(),
        });
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "it was a pointer before `open` widened it"
)]
const fn to_raw(handle: Handle) -> HANDLE {
    ptr::with_exposed_provenance_mut(handle.0 as usize)
}

impl Target for Device {
    fn open(&mut self, access: Access, user: User) -> Result<Handle, Error> {
        if user == User::Other {
            return Err(Error::Usage(
                "only the lab can play another user; run the client as that user".into(),
            ));
        }
        let access = match access {
            Access::None => 0,
            Access::Read => GENERIC_READ,
            Access::Write => GENERIC_WRITE,
            Access::ReadWrite => GENERIC_READ | GENERIC_WRITE,
        };
        let path = path()?;
        // SAFETY: `path` is NUL-terminated and outlives the call; the other pointers may be null.
        let handle = unsafe {
            CreateFileW(
                path.as_ptr(),
                access,
                FILE_SHARE_READ | FILE_SHARE_WRITE,
                ptr::null(),
                OPEN_EXISTING,
                0,
                ptr::null_mut(),
            )
        };
        if handle != INVALID_HANDLE_VALUE {
            return Ok(Handle(handle.expose_provenance() as u64));
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() == Some(ERROR_ACCESS_DENIED.cast_signed()) {
            return Err(Error::Refused {
                request: "opening the device".into(),
                status: STATUS_ACCESS_DENIED,
            });
        }
        Err(lost(&error))
    }

    fn ioctl(&mut self, handle: Handle, request: &Ioctl<'_>) -> Result<Vec<u8>, Error> {
        let too_long = |_| Error::Usage("a buffer cannot be longer than 4 GiB".into());
        let input_length = u32::try_from(request.input.len()).map_err(too_long)?;
        let output_length = u32::try_from(request.capacity).map_err(too_long)?;
        let mut output = vec![0_u8; request.capacity];
        let mut block = IO_STATUS_BLOCK {
            Anonymous: IO_STATUS_BLOCK_0 { Status: 0 },
            Information: 0,
        };
        // SAFETY: the handle was opened without FILE_FLAG_OVERLAPPED, so the call returns after the request has
        // completed, and until then the two buffers and `block` live; their lengths are those passed.
        let status = unsafe {
            NtDeviceIoControlFile(
                to_raw(handle),
                ptr::null_mut(),
                None,
                ptr::null(),
                &raw mut block,
                request.code,
                request.input.as_ptr().cast(),
                input_length,
                output.as_mut_ptr().cast(),
                output_length,
            )
        };
        let status = status.cast_unsigned();
        if !is_success(status) {
            return Err(Error::Refused {
                request: request.name.into(),
                status,
            });
        }
        output.truncate(block.Information);
        Ok(output)
    }

    fn close(&mut self, handle: Handle) -> Result<(), Error> {
        // SAFETY: `open` gave the handle, and its one owner closes it once.
        let closed = unsafe { CloseHandle(to_raw(handle)) };
        if closed == FALSE {
            Err(lost(&io::Error::last_os_error()))
        } else {
            Ok(())
        }
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}
