//! Root-enumerated devices through `SetupAPI` and newdev: the steps of `devcon install`, `update` and `remove`
//! (`setupapi.h`, `newdev.h`, and the pages of their routines on Microsoft Learn).

use std::{
    ffi::OsStr,
    io, iter,
    os::windows::ffi::OsStrExt,
    path::{self, Path},
    ptr,
};

use windows_sys::{
    Wdk::System::SystemInformation::{NtQuerySystemInformation, SystemCodeIntegrityInformation},
    Win32::{
        Devices::{
            DeviceAndDriverInstallation::{
                CM_Get_DevNode_Status, CR_SUCCESS, DI_FUNCTION, DICD_GENERATE_ID, DIF_REGISTERDEVICE,
                DIF_REMOVE, DIGCF_ALLCLASSES, DN_HAS_PROBLEM, DN_STARTED, DN_WILL_BE_REMOVED,
                DiUninstallDevice, HDEVINFO, INSTALLFLAG_FORCE, MAX_CLASS_NAME_LEN, SP_DEVINFO_DATA,
                SPDRP_HARDWAREID, SetupDiCallClassInstaller, SetupDiCreateDeviceInfoList,
                SetupDiCreateDeviceInfoW, SetupDiDestroyDeviceInfoList, SetupDiEnumDeviceInfo,
                SetupDiGetClassDevsW, SetupDiGetDeviceInstanceIdW, SetupDiGetDevicePropertyW,
                SetupDiGetDeviceRegistryPropertyW, SetupDiGetINFClassW, SetupDiSetDeviceRegistryPropertyW,
                SetupUninstallOEMInfW, UpdateDriverForPlugAndPlayDevicesW,
            },
            Properties::{DEVPKEY_Device_DriverInfPath, DEVPKEY_Device_DriverVersion},
        },
        Foundation::{CloseHandle, DEVPROPKEY, ERROR_NO_MORE_ITEMS, FALSE, HANDLE},
        Security::{GetTokenInformation, TOKEN_ELEVATION, TOKEN_QUERY, TokenElevation},
        System::{
            Threading::{GetCurrentProcess, OpenProcessToken},
            WindowsProgramming::SYSTEM_CODEINTEGRITY_INFORMATION,
        },
    },
    core::{BOOL, GUID},
};

use super::{
    Device, HARDWARE_ID, HAS_PROBLEM, STARTED, State, WILL_BE_REMOVED,
    removal::{self, Removed, Remover},
};
use crate::error::Error;

/// `CODEINTEGRITY_OPTION_TESTSIGN` (the documentation of `NtQuerySystemInformation`).
const TEST_SIGNING: u32 = 0x02;
const _: () = assert!(
    STARTED == DN_STARTED && HAS_PROBLEM == DN_HAS_PROBLEM && WILL_BE_REMOVED == DN_WILL_BE_REMOVED,
    "the bits are those of cfg.h"
);
/// Characters of an instance ID, a hardware ID or a property: `MAX_DEVICE_ID_LEN` of `cfgmgr32.h` is 200.
const TEXT: u32 = 512;

/// What an installation came to.
#[derive(Clone, Copy, Debug)]
pub struct Installed {
    /// There was no device, and there is one now.
    pub created: bool,
    /// Windows has to restart before the driver is used.
    pub restart: bool,
}

/// The last error of this thread as ours.
fn failed(step: &'static str) -> Error {
    let code = io::Error::last_os_error().raw_os_error().unwrap_or_default();
    Error::Windows {
        step,
        code: code.cast_unsigned(),
    }
}

fn succeeded(result: BOOL, step: &'static str) -> Result<(), Error> {
    if result == FALSE {
        Err(failed(step))
    } else {
        Ok(())
    }
}

fn wide(text: impl AsRef<OsStr>) -> Vec<u16> {
    text.as_ref().encode_wide().chain(iter::once(0)).collect()
}

/// Text up to its NUL.
fn narrow(text: &[u16]) -> String {
    String::from_utf16_lossy(text.split(|&character| character == 0).next().unwrap_or_default())
}

/// Size of what a pointer to `T` points to, as `SetupAPI` wants it.
const fn size<T>() -> u32 {
    assert!(size_of::<T>() <= 0xFFFF);
    #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
    {
        size_of::<T>() as u32
    }
}

/// A device information set. Its elements live as long as it does.
struct Set(HDEVINFO);

impl Drop for Set {
    fn drop(&mut self) {
        // SAFETY: the set is valid until here: whoever makes a `Set` has checked the handle.
        let _ = unsafe { SetupDiDestroyDeviceInfoList(self.0) };
    }
}

const INVALID_SET: HDEVINFO = -1;

const fn element() -> SP_DEVINFO_DATA {
    SP_DEVINFO_DATA {
        cbSize: size::<SP_DEVINFO_DATA>(),
        ClassGuid: GUID::from_u128(0),
        DevInst: 0,
        Reserved: 0,
    }
}

impl Set {
    /// All root-enumerated devices, those that are gone and not yet forgotten included.
    fn of_root() -> Result<Self, Error> {
        let root = wide("ROOT");
        // SAFETY: `root` is NUL-terminated and outlives the call; the other pointers may be null.
        let set =
            unsafe { SetupDiGetClassDevsW(ptr::null(), root.as_ptr(), ptr::null_mut(), DIGCF_ALLCLASSES) };
        if set == INVALID_SET {
            return Err(failed("listing the devices"));
        }
        Ok(Self(set))
    }

    /// An empty one, for a device of the class.
    fn of_class(class: &GUID) -> Result<Self, Error> {
        // SAFETY: `class` is valid for the call; there is no parent window.
        let set = unsafe { SetupDiCreateDeviceInfoList(class, ptr::null_mut()) };
        if set == INVALID_SET {
            return Err(failed("making a device information set"));
        }
        Ok(Self(set))
    }

    /// The devices with our hardware ID.
    fn ours(&self) -> Result<Vec<SP_DEVINFO_DATA>, Error> {
        let mut ours = Vec::new();
        for index in 0.. {
            let mut data = element();
            // SAFETY: the set is valid as long as `self`, and `data` says its size.
            let found = unsafe { SetupDiEnumDeviceInfo(self.0, index, &raw mut data) };
            if found == FALSE {
                let end =
                    io::Error::last_os_error().raw_os_error() == Some(ERROR_NO_MORE_ITEMS.cast_signed());
                return if end {
                    Ok(ours)
                } else {
                    Err(failed("listing the devices"))
                };
            }
            if self
                .hardware_ids(&data)
                .iter()
                .any(|id| id.eq_ignore_ascii_case(HARDWARE_ID))
            {
                ours.push(data);
            }
        }
        Ok(ours)
    }

    /// The hardware IDs; none when the device has no such property.
    fn hardware_ids(&self, data: &SP_DEVINFO_DATA) -> Vec<String> {
        let mut text = [0_u16; TEXT as usize];
        // SAFETY: `data` is an element of this set, and `text` has the bytes that its size says.
        let read = unsafe {
            SetupDiGetDeviceRegistryPropertyW(
                self.0,
                data,
                SPDRP_HARDWAREID,
                ptr::null_mut(),
                text.as_mut_ptr().cast(),
                TEXT * size::<u16>(),
                ptr::null_mut(),
            )
        };
        if read == FALSE {
            return Vec::new();
        }
        text.split(|&character| character == 0)
            .take_while(|id| !id.is_empty())
            .map(String::from_utf16_lossy)
            .collect()
    }

    fn instance(&self, data: &SP_DEVINFO_DATA) -> Result<String, Error> {
        let mut text = [0_u16; TEXT as usize];
        // SAFETY: `data` is an element of this set, and `text` has as many characters as is said.
        let read =
            unsafe { SetupDiGetDeviceInstanceIdW(self.0, data, text.as_mut_ptr(), TEXT, ptr::null_mut()) };
        succeeded(read, "reading the device's name")?;
        Ok(narrow(&text))
    }

    fn property(&self, data: &SP_DEVINFO_DATA, key: &DEVPROPKEY) -> Option<String> {
        let mut text = [0_u16; TEXT as usize];
        let mut kind = 0;
        // SAFETY: `data` is an element of this set, and `text` has the bytes that its size says.
        let read = unsafe {
            SetupDiGetDevicePropertyW(
                self.0,
                data,
                key,
                &raw mut kind,
                text.as_mut_ptr().cast(),
                TEXT * size::<u16>(),
                ptr::null_mut(),
                0,
            )
        };
        (read != FALSE).then(|| narrow(&text))
    }

    fn describe(&self, data: &SP_DEVINFO_DATA) -> Result<Device, Error> {
        Ok(Device {
            instance: self.instance(data)?,
            state: state(data.DevInst),
            package: self.property(data, &DEVPKEY_Device_DriverInfPath),
            version: self.property(data, &DEVPKEY_Device_DriverVersion),
        })
    }

    fn call_installer(
        &self,
        function: DI_FUNCTION,
        data: &SP_DEVINFO_DATA,
        step: &'static str,
    ) -> Result<(), Error> {
        // SAFETY: `data` is an element of this set.
        let done = unsafe { SetupDiCallClassInstaller(function, self.0, data) };
        succeeded(done, step)
    }
}

fn state(device: u32) -> State {
    let (mut status, mut problem) = (0, 0);
    // SAFETY: both are valid for the call, and any number is allowed as the device.
    let result = unsafe { CM_Get_DevNode_Status(&raw mut status, &raw mut problem, device, 0) };
    State::of((result == CR_SUCCESS).then_some((status, problem)))
}

/// The devices with our hardware ID.
///
/// # Errors
/// [`Error::Windows`].
pub fn devices() -> Result<Vec<Device>, Error> {
    let set = Set::of_root()?;
    set.ours()?.iter().map(|data| set.describe(data)).collect()
}

/// Makes the device unless it is there, and installs the driver on it: `devcon install`, or `devcon update`.
///
/// # Errors
/// [`Error::Windows`]; a device that was made for nothing is removed again.
pub fn install(inf: &Path) -> Result<Installed, Error> {
    // newdev takes a full path only.
    let full = path::absolute(inf).map_err(|source| Error::File {
        path: inf.into(),
        source,
    })?;
    let full = wide(full);
    let here = devices()?.iter().any(|device| device.state != State::Absent);
    if here {
        let restart = update(&full)?;
        return Ok(Installed {
            created: false,
            restart,
        });
    }
    let (set, data) = create(&full)?;
    match update(&full) {
        Ok(restart) => Ok(Installed {
            created: true,
            restart,
        }),
        Err(error) => {
            // The first error is the one to tell.
            let _ = set.call_installer(DIF_REMOVE, &data, "removing the device again");
            Err(error)
        }
    }
}

/// Registers a device of the INF's class with our hardware ID.
fn create(inf: &[u16]) -> Result<(Set, SP_DEVINFO_DATA), Error> {
    let mut class = GUID::from_u128(0);
    let mut name = [0_u16; MAX_CLASS_NAME_LEN as usize];
    // SAFETY: `inf` is NUL-terminated, `name` has as many characters as is said, and both pointers outlive the call.
    let read = unsafe {
        SetupDiGetINFClassW(
            inf.as_ptr(),
            &raw mut class,
            name.as_mut_ptr(),
            MAX_CLASS_NAME_LEN,
            ptr::null_mut(),
        )
    };
    succeeded(read, "reading the INF")?;
    let set = Set::of_class(&class)?;
    let mut data = element();
    // SAFETY: the set is valid, `name` is NUL-terminated, and `data` says its size.
    let created = unsafe {
        SetupDiCreateDeviceInfoW(
            set.0,
            name.as_ptr(),
            &raw const class,
            ptr::null(),
            ptr::null_mut(),
            DICD_GENERATE_ID,
            &raw mut data,
        )
    };
    succeeded(created, "making the device")?;
    // A list of strings ends with an empty one.
    let ids: Vec<u16> = wide(HARDWARE_ID).into_iter().chain(iter::once(0)).collect();
    let bytes = u32::try_from(ids.len() * size_of::<u16>()).unwrap_or(u32::MAX);
    // SAFETY: `data` is an element of the set, and `ids` has `bytes` bytes.
    let set_ids = unsafe {
        SetupDiSetDeviceRegistryPropertyW(set.0, &raw mut data, SPDRP_HARDWAREID, ids.as_ptr().cast(), bytes)
    };
    succeeded(set_ids, "naming the device")?;
    set.call_installer(DIF_REGISTERDEVICE, &data, "registering the device")?;
    Ok((set, data))
}

/// Installs the INF's driver on every device with our hardware ID and tells whether Windows must restart.
fn update(inf: &[u16]) -> Result<bool, Error> {
    let id = wide(HARDWARE_ID);
    let mut restart = FALSE;
    // SAFETY: both strings are NUL-terminated and outlive the call, as does `restart`; there is no parent window.
    let done = unsafe {
        UpdateDriverForPlugAndPlayDevicesW(
            ptr::null_mut(),
            id.as_ptr(),
            inf.as_ptr(),
            INSTALLFLAG_FORCE,
            &raw mut restart,
        )
    };
    succeeded(done, "installing the driver")?;
    Ok(restart != FALSE)
}

/// Our devices in an information set, as `SetupAPI` removes them.
struct Ours {
    set: Set,
    elements: Vec<SP_DEVINFO_DATA>,
}

impl Remover for Ours {
    fn devices(&self) -> Result<Vec<Device>, Error> {
        self.elements.iter().map(|data| self.set.describe(data)).collect()
    }

    fn remove(&mut self, index: usize) -> Result<bool, Error> {
        let data = &raw const self.elements[index];
        let mut restart = FALSE;
        // SAFETY: `data` is an element of the set, `restart` outlives the call; there is no parent window.
        let done = unsafe { DiUninstallDevice(ptr::null_mut(), self.set.0, data, 0, &raw mut restart) };
        succeeded(done, "removing the device")?;
        Ok(restart != FALSE)
    }

    fn delete(&mut self, package: &str) -> Result<(), Error> {
        let name = wide(package);
        // SAFETY: `name` is NUL-terminated and outlives the call; the last parameter is reserved.
        let done = unsafe { SetupUninstallOEMInfW(name.as_ptr(), 0, ptr::null()) };
        succeeded(done, "deleting the package")
    }
}

/// Removes every device with our hardware ID, then the packages that they used, as far as no restart is needed.
///
/// # Errors
/// [`Error::Windows`], when what was removed until then is removed.
pub fn remove() -> Result<Removed, Error> {
    let set = Set::of_root()?;
    let elements = set.ours()?;
    removal::remove(&mut Ours { set, elements })
}

/// Whether the kernel accepts test signatures; `None` when it does not say.
#[must_use]
pub fn test_signing() -> Option<bool> {
    let mut information = SYSTEM_CODEINTEGRITY_INFORMATION {
        Length: size::<SYSTEM_CODEINTEGRITY_INFORMATION>(),
        CodeIntegrityOptions: 0,
    };
    // SAFETY: `information` outlives the call and has the size that is said.
    let status = unsafe {
        NtQuerySystemInformation(
            SystemCodeIntegrityInformation,
            (&raw mut information).cast(),
            size::<SYSTEM_CODEINTEGRITY_INFORMATION>(),
            ptr::null_mut(),
        )
    };
    (status >= 0).then_some(information.CodeIntegrityOptions & TEST_SIGNING != 0)
}

/// Whether this process has an administrator's rights; `None` when Windows does not say.
#[must_use]
pub fn elevated() -> Option<bool> {
    let mut token: HANDLE = ptr::null_mut();
    // SAFETY: it takes no parameters and returns a constant.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: the process is this one, and `token` outlives the call.
    let opened = unsafe { OpenProcessToken(process, TOKEN_QUERY, &raw mut token) };
    if opened == FALSE {
        return None;
    }
    let mut elevation = TOKEN_ELEVATION { TokenIsElevated: 0 };
    let mut length = 0;
    // SAFETY: the token is open, and `elevation` and `length` outlive the call, with the size that is said.
    let read = unsafe {
        GetTokenInformation(
            token,
            TokenElevation,
            (&raw mut elevation).cast(),
            size::<TOKEN_ELEVATION>(),
            &raw mut length,
        )
    };
    // SAFETY: the token was opened above and is closed once.
    let _ = unsafe { CloseHandle(token) };
    (read != FALSE).then_some(elevation.TokenIsElevated != 0)
}
