//! Types of objects.

/// Types of objects, as handles carry them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are the framework's")]
pub enum Kind {
    General = 1,
    Driver,
    Device,
    Queue,
    Request,
    FileObject,
    SpinLock,
    WaitLock,
    Timer,
    Dpc,
    WorkItem,
    Key,
    String,
    Memory,
    ResourceList,
    IoTarget,
    Collection,
}

impl Kind {
    /// As the headers call its handle type.
    pub fn name(self) -> &'static str {
        match self {
            Self::General => "WDFOBJECT",
            Self::Driver => "WDFDRIVER",
            Self::Device => "WDFDEVICE",
            Self::Queue => "WDFQUEUE",
            Self::Request => "WDFREQUEST",
            Self::FileObject => "WDFFILEOBJECT",
            Self::SpinLock => "WDFSPINLOCK",
            Self::WaitLock => "WDFWAITLOCK",
            Self::Timer => "WDFTIMER",
            Self::Dpc => "WDFDPC",
            Self::WorkItem => "WDFWORKITEM",
            Self::Key => "WDFKEY",
            Self::String => "WDFSTRING",
            Self::Memory => "WDFMEMORY",
            Self::ResourceList => "WDFCMRESLIST",
            Self::IoTarget => "WDFIOTARGET",
            Self::Collection => "WDFCOLLECTION",
        }
    }

    /// Whether a driver may delete it by hand (wdfobject.h, "WdfObjectDelete": not drivers, devices, files). Of queues, requests and I/O targets
    /// it may those that the framework did not make.
    pub(super) fn deletable(self) -> bool {
        !matches!(
            self,
            Self::Driver | Self::Device | Self::FileObject | Self::ResourceList
        )
    }

    /// Whether cleaning up may wait, so that it is done at `PASSIVE_LEVEL`.
    pub(super) fn needs_passive(self) -> bool {
        matches!(
            self,
            Self::Device | Self::Queue | Self::Timer | Self::Dpc | Self::WorkItem | Self::IoTarget
        )
    }

    pub(super) fn from_raw(raw: u64) -> Option<Self> {
        const ALL: [Kind; 17] = [
            Kind::General,
            Kind::Driver,
            Kind::Device,
            Kind::Queue,
            Kind::Request,
            Kind::FileObject,
            Kind::SpinLock,
            Kind::WaitLock,
            Kind::Timer,
            Kind::Dpc,
            Kind::WorkItem,
            Kind::Key,
            Kind::String,
            Kind::Memory,
            Kind::ResourceList,
            Kind::IoTarget,
            Kind::Collection,
        ];
        ALL.into_iter().find(|kind| *kind as u64 == raw)
    }
}
