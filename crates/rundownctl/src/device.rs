//! The driver of the running Windows, through its device interface.
//!
//! The handle is opened for overlapped requests, so that others get through while a wait pends.

use std::{collections::BTreeMap, io, ptr, time::Duration};

use rundown_abi::INTERFACE_GUID;
use windows_sys::{
    Win32::{
        Devices::DeviceAndDriverInstallation::{
            CM_GET_DEVICE_INTERFACE_LIST_PRESENT, CM_Get_Device_Interface_List_SizeW,
            CM_Get_Device_Interface_ListW, CR_BUFFER_SMALL, CR_SUCCESS,
        },
        Foundation::{
            CloseHandle, ERROR_ACCESS_DENIED, FALSE, GENERIC_READ, GENERIC_WRITE, HANDLE,
            INVALID_HANDLE_VALUE,
        },
        Storage::FileSystem::{
            CreateFileW, FILE_FLAG_OVERLAPPED, FILE_SHARE_READ, FILE_SHARE_WRITE, OPEN_EXISTING,
        },
    },
    core::GUID,
};

use crate::{
    error::Error,
    target::{Access, Handle, Ioctl, Target, Ticket, User},
};

mod under_way;

use under_way::UnderWay;

/// The status of a `CreateFileW` that failed with `ERROR_ACCESS_DENIED`.
const STATUS_ACCESS_DENIED: u32 = 0xC000_0022;

/// The first present device of the driver's interface class.
#[derive(Default)]
pub struct Device {
    under_way: BTreeMap<u64, UnderWay>,
    next_ticket: u64,
}

impl Device {
    /// A device that has yet to be looked for.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            under_way: BTreeMap::new(),
            next_ticket: 0,
        }
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
                FILE_FLAG_OVERLAPPED,
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

    fn begin(&mut self, handle: Handle, request: &Ioctl<'_>) -> Result<Ticket, Error> {
        let under_way = UnderWay::begin(to_raw(handle), request)?;
        self.next_ticket += 1;
        self.under_way.insert(self.next_ticket, under_way);
        Ok(Ticket(self.next_ticket))
    }

    fn answer(&mut self, ticket: Ticket, patience: Duration) -> Result<Option<Vec<u8>>, Error> {
        let Some(request) = self.under_way.get(&ticket.0) else {
            return Err(Error::Usage("a request has one answer".into()));
        };
        if !request.has_completed(patience)? {
            return Ok(None);
        }
        let answer = self.under_way.remove(&ticket.0).map(UnderWay::answer);
        answer.transpose()
    }

    fn cancel(&mut self, ticket: Ticket) -> Result<(), Error> {
        self.under_way.get(&ticket.0).map_or(Ok(()), UnderWay::cancel)
    }

    fn close(&mut self, handle: Handle) -> Result<(), Error> {
        // They are cancelled and waited for, as long as the handle names what they were sent to.
        self.under_way
            .retain(|_, request| !request.was_sent_to(to_raw(handle)));
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
