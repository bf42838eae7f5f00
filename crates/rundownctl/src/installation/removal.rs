//! Which devices and packages an `uninstall` takes away, and what waits for a restart.

use super::Device;
use crate::error::Error;

/// The devices with our hardware ID, and what removes them: Windows, or its place in a test.
pub trait Remover {
    /// The devices, those that are not present included.
    ///
    /// # Errors
    /// [`Error::Windows`].
    fn devices(&self) -> Result<Vec<Device>, Error>;

    /// Removes the device at an index of [`Remover::devices`]; whether that waits for a restart of Windows.
    ///
    /// # Errors
    /// [`Error::Windows`].
    fn remove(&mut self, index: usize) -> Result<bool, Error>;

    /// Takes a package out of the driver store, by its published name.
    ///
    /// # Errors
    /// [`Error::Windows`], also as long as a device uses the package.
    fn delete(&mut self, package: &str) -> Result<(), Error>;
}

/// What a removal came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// The devices that are no more.
    pub devices: Vec<Device>,
    /// The packages that were taken out of the driver store.
    pub deleted: Vec<String>,
    /// The packages of devices that are removed when Windows restarts.
    pub kept: Vec<String>,
    /// Windows has to restart before the devices are gone.
    pub restart: bool,
}

/// Removes every device, then the packages that they used and no device uses any more.
///
/// A device with an open handle refuses to leave and is removed when Windows restarts. Until then it counts as
/// installed with its package, which `SetupUninstallOEMInf` then refuses to delete (Microsoft Learn).
///
/// # Errors
/// [`Error::Windows`], when what was removed until then is removed.
pub fn remove(windows: &mut impl Remover) -> Result<Removed, Error> {
    let mut removed = Removed::default();
    for (index, device) in windows.devices()?.into_iter().enumerate() {
        let restart = windows.remove(index)?;
        removed.restart |= restart;
        let packages = if restart {
            &mut removed.kept
        } else {
            &mut removed.deleted
        };
        packages.extend(device.package.clone());
        removed.devices.push(device);
    }
    for packages in [&mut removed.deleted, &mut removed.kept] {
        packages.sort();
        packages.dedup();
    }
    removed.deleted.retain(|package| !removed.kept.contains(package));
    removed
        .deleted
        .iter()
        .try_for_each(|package| windows.delete(package))?;
    Ok(removed)
}

impl Removed {
    /// What was done and what is left to do, in lines for people.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.devices.is_empty() {
            lines.push("there is no device with our hardware ID; nothing was done".to_owned());
        }
        let devices = self.devices.iter();
        lines.extend(devices.map(|device| format!("removed: {}", device.instance)));
        lines.extend(self.deleted.iter().map(|package| format!("deleted: {package}")));
        if self.restart {
            lines.push("restart Windows to finish; a handle to the device was open".to_owned());
        }
        let kept = self.kept.iter();
        lines.extend(kept.map(|package| {
            format!("kept: {package}, which the device uses until then; after the restart, `pnputil /delete-driver {package}`")
        }));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::installation::State;

    /// `ERROR_INF_IN_USE_BY_DEVICES` of `setupapi.h`.
    const IN_USE: u32 = 0xE000_023D;

    /// Windows with devices: the package of each, and whether a handle is open.
    struct Windows {
        devices: Vec<(&'static str, bool)>,
        /// Whether the device at the index is still installed.
        installed: Vec<bool>,
        store: Vec<&'static str>,
    }

    impl Windows {
        fn new(devices: &[(&'static str, bool)]) -> Self {
            Self {
                devices: devices.to_vec(),
                installed: vec![true; devices.len()],
                store: devices.iter().map(|(package, _)| *package).collect(),
            }
        }
    }

    impl Remover for Windows {
        fn devices(&self) -> Result<Vec<Device>, Error> {
            let devices = self.devices.iter().enumerate();
            Ok(devices
                .map(|(index, (package, _))| Device {
                    instance: format!(r"ROOT\RUNDOWN\000{index}"),
                    state: State::Started,
                    package: Some((*package).to_owned()),
                    version: None,
                })
                .collect())
        }

        fn remove(&mut self, index: usize) -> Result<bool, Error> {
            let (_, open) = self.devices[index];
            self.installed[index] = open;
            Ok(open)
        }

        fn delete(&mut self, package: &str) -> Result<(), Error> {
            let users = self.devices.iter().zip(&self.installed);
            let in_use = users
                .filter(|(_, installed)| **installed)
                .any(|((used, _), _)| *used == package);
            if in_use || !self.store.contains(&package) {
                return Err(Error::Windows {
                    step: "deleting the package",
                    code: IN_USE,
                });
            }
            self.store.retain(|stored| *stored != package);
            Ok(())
        }
    }

    #[test]
    fn a_device_goes_with_its_package() {
        let mut windows = Windows::new(&[("oem7.inf", false), ("oem7.inf", false)]);
        let removed = remove(&mut windows).unwrap();
        assert_eq!((removed.devices.len(), removed.restart), (2, false));
        assert_eq!(windows.store, [""; 0]);
        assert_eq!(
            removed.lines(),
            [
                r"removed: ROOT\RUNDOWN\0000",
                r"removed: ROOT\RUNDOWN\0001",
                "deleted: oem7.inf"
            ]
        );
    }

    #[test]
    fn an_open_handle_asks_for_a_restart_and_keeps_the_package() {
        let mut windows = Windows::new(&[("oem7.inf", true)]);
        let removed = remove(&mut windows).unwrap();
        assert_eq!(windows.store, ["oem7.inf"]);
        let lines = removed.lines().join("\n");
        assert!(
            removed.restart && lines.contains("restart Windows to finish"),
            "{lines}"
        );
        assert!(lines.contains("pnputil /delete-driver oem7.inf"), "{lines}");
        assert!(!lines.contains("deleted:"), "{lines}");
    }

    #[test]
    fn a_package_is_kept_for_the_one_device_that_still_uses_it() {
        let mut windows = Windows::new(&[("oem7.inf", false), ("oem7.inf", true), ("oem9.inf", false)]);
        let removed = remove(&mut windows).unwrap();
        assert_eq!(removed.kept, ["oem7.inf"]);
        assert_eq!(removed.deleted, ["oem9.inf"]);
        assert_eq!(windows.store, ["oem7.inf", "oem7.inf"]);
    }

    #[test]
    fn nothing_to_remove_is_said() {
        let removed = remove(&mut Windows::new(&[])).unwrap();
        assert_eq!(removed, Removed::default());
        assert_eq!(removed.lines().len(), 1);
    }

    #[test]
    fn what_windows_refuses_is_the_error() {
        let mut windows = Windows::new(&[("oem7.inf", false)]);
        windows.store.clear();
        assert!(matches!(
            remove(&mut windows),
            Err(Error::Windows { code: IN_USE, .. })
        ));
    }
}
