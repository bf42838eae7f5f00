//! Why a request is refused: one NTSTATUS per cause.

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $name:ident = $status:literal $nt:ident, $advice:literal;)+) => {
        /// Why the driver refuses a request. Each cause has an NTSTATUS of its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Refusal {
            $(
                $(#[doc = $doc])+
                #[doc = concat!("`", stringify!($nt), "`, `", stringify!($status), "`.")]
                $name,
            )+
        }

        impl Refusal {
            /// Every cause, in the order in which a request is checked.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The NTSTATUS that the request completes with, as its bits.
            #[must_use]
            pub const fn status(self) -> u32 {
                match self { $(Self::$name => $status),+ }
            }

            /// The name of [`Refusal::status`] in `ntstatus.h`.
            #[must_use]
            pub const fn status_name(self) -> &'static str {
                match self { $(Self::$name => stringify!($nt)),+ }
            }

            /// What is wrong and what to do, in one line for people.
            #[must_use]
            pub const fn explain(self) -> &'static str {
                match self { $(Self::$name => $advice),+ }
            }

            /// The cause behind an NTSTATUS, when it is one of ours.
            #[must_use]
            pub const fn from_status(status: u32) -> Option<Self> {
                match status { $($status => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

refusals! {
    /// The request came through no open handle, as a driver can send one.
    NoFileObject = 0xC000_0128 STATUS_FILE_CLOSED,
        "the request came through no open handle; open the device, and send it through the handle";
    /// The control code is not one of [`ioctl`](crate::ioctl).
    UnknownCode = 0xC000_0010 STATUS_INVALID_DEVICE_REQUEST,
        "the driver does not know this request; is the client newer than the driver?";
    /// The client speaks another version of the protocol.
    Version = 0xC000_0059 STATUS_REVISION_MISMATCH,
        "client and driver speak different versions of the protocol; install the two from the same build";
    /// The input is shorter than the request's structure.
    InputTooShort = 0xC000_0004 STATUS_INFO_LENGTH_MISMATCH,
        "the request is shorter than its structure; nothing was done";
    /// The input is longer than the request's structure.
    InputTooLong = 0xC000_0206 STATUS_INVALID_BUFFER_SIZE,
        "the request is longer than its structure; nothing was done";
    /// The header names a size that is not the structure's.
    Size = 0xC000_00EF STATUS_INVALID_PARAMETER_1,
        "the request's header names a size that is not its structure's";
    /// The output buffer cannot hold the answer.
    OutputTooSmall = 0xC000_0023 STATUS_BUFFER_TOO_SMALL,
        "the buffer for the answer is too small; nothing was done";
    /// No arm, or one that is none of [`Arm`](crate::Arm), or, in a question, one that is not the run's.
    Arm = 0xC000_00F0 STATUS_INVALID_PARAMETER_2,
        "the arms must be some of ours, ours-wide, ours-cache-aware, native, native-cache-aware, empty-call, lock-xadd, ours-wide-cache-aware and ours-dispatch";
    /// The workload is none of [`Workload`](crate::Workload).
    Workload = 0xC000_00F7 STATUS_INVALID_PARAMETER_9,
        "there is no such workload; is the client newer than the driver?";
    /// No threads, or more than the limit that [`Info`](crate::Info) names, or one for a hand-off.
    Threads = 0xC000_00F1 STATUS_INVALID_PARAMETER_3,
        "the number of threads must be at least 1 (2 for a hand-off) and at most the driver's limit (see `rundownctl info`)";
    /// No time, or more than the limit.
    Milliseconds = 0xC000_00F2 STATUS_INVALID_PARAMETER_4,
        "the duration must be at least 1 ms and at most the driver's limit (see `rundownctl info`)";
    /// No rounds, or more than the limit, or more than the duration has milliseconds for.
    Rounds = 0xC000_00F9 STATUS_INVALID_PARAMETER_11,
        "there must be a round, within the driver's limit (see `rundownctl info`), and each turn of it must last at least 1 ms";
    /// The warm-up is as long as a turn, or longer.
    WarmUp = 0xC000_00FA STATUS_INVALID_PARAMETER_12,
        "the warm-up must be shorter than a turn: the duration, divided by the rounds and twice the arms";
    /// The waiter is none of [`Waiter`](crate::Waiter).
    Waiter = 0xC000_00F5 STATUS_INVALID_PARAMETER_7,
        "there is no such waiter; use passive, apc or dispatch";
    /// The hold time is beyond the limit of the holders' level.
    Hold = 0xC000_00F3 STATUS_INVALID_PARAMETER_5,
        "the hold time is beyond the driver's limit; holders at DISPATCH_LEVEL are allowed less (see `rundownctl info`)";
    /// The time between run-downs is beyond the limit.
    Gap = 0xC000_00F4 STATUS_INVALID_PARAMETER_6,
        "the time between run-downs is beyond the driver's limit (see `rundownctl info`)";
    /// The spin budget is beyond the limit.
    Spin = 0xC000_00F6 STATUS_INVALID_PARAMETER_8,
        "the spin budget is beyond the driver's limit (see `rundownctl info`)";
    /// An empty batch, or one beyond the limit, or one of several references where the workload takes them one by one.
    Batch = 0xC000_00F8 STATUS_INVALID_PARAMETER_10,
        "a batch has at least 1 reference and at most the driver's limit (see `rundownctl info`); only the workload batches takes more than 1";
    /// The kind is none of [`ObjectKind`](crate::ObjectKind).
    Kind = 0xC000_0232 STATUS_INVALID_VARIANT,
        "there is no such kind of object; use ours, ours-wide, ours-cache-aware, native or native-cache-aware";
    /// A release of no references.
    Count = 0xC000_0173 STATUS_INVALID_BLOCK_LENGTH,
        "a release needs at least one reference";
    /// There is no such [`Pair`](crate::Pair) or [`Pairing`](crate::Pairing).
    Pair = 0xC000_017B STATUS_INVALID_MEMBER,
        "there is no such pair to compare, or pairing to share a word";
    /// No steps or rounds, or more than the limit that [`ObjectLimits`](crate::ObjectLimits) names.
    Steps = 0xC000_01A1 STATUS_INVALID_LOCK_RANGE,
        "the number of steps or rounds must be at least 1 and at most the driver's limit; send several requests for more";
    /// A reserved field or flag is not zero.
    Reserved = 0xC000_0030 STATUS_INVALID_PARAMETER_MIX,
        "a reserved field or flag of the request is not zero";
    /// A floor has no run-down.
    FloorWorkload = 0xC000_0024 STATUS_OBJECT_TYPE_MISMATCH,
        "empty-call and lock-xadd cannot be run down; use them with the workloads uncontended and contended";
    /// A cache-aware wait sleeps, and so does that of the reference for `DISPATCH_LEVEL`, until its DPCs have run.
    CacheAwareAtDispatch = 0xC000_0148 STATUS_INVALID_LEVEL,
        "a cache-aware reference, and ours-dispatch, cannot be waited for at DISPATCH_LEVEL, because the wait sleeps";
    /// The system's wait at `DISPATCH_LEVEL` is beyond its documentation, and was not asked for by its flag.
    NativeAtDispatch = 0xC000_00D0 STATUS_REQUEST_NOT_ACCEPTED,
        "the system's wait is documented up to APC_LEVEL; at DISPATCH_LEVEL it has to be forced";
    /// The device was removed by surprise.
    Removed = 0xC000_02B6 STATUS_DEVICE_REMOVED,
        "the device was removed; close the handle";
    /// The system's wait at `DISPATCH_LEVEL`, which Driver Verifier answers with a bugcheck.
    NativeUnderVerifier = 0xC000_0421 STATUS_VERIFIER_STOP,
        "under Driver Verifier the system's wait at DISPATCH_LEVEL would stop the machine; turn Verifier off for rundown.sys";
    /// A waiter at `DISPATCH_LEVEL`, or a holder in another processor's DPC, on a single processor.
    OneProcessor = 0xC000_00BB STATUS_NOT_SUPPORTED,
        "holders at DISPATCH_LEVEL have to run on other processors, and this machine has one";
    /// The run's counters would take more memory than the limit.
    Bytes = 0xC000_012D STATUS_COMMITMENT_LIMIT,
        "so many threads and arms take more memory than the driver's limit allows (see `rundownctl info`)";
    /// Another run is going on.
    Busy = 0x8000_0011 STATUS_DEVICE_BUSY,
        "a stress run is going on, and there is one at a time; wait for it or stop it";
    /// No run of this number was started by this handle.
    NoSuchRun = 0xC000_0225 STATUS_NOT_FOUND,
        "this handle has not started such a run";
    /// The handle has no object of this number.
    NoSuchObject = 0xC000_02F0 STATUS_OBJECTID_NOT_FOUND,
        "this handle has no such object; it was made by another handle, or is destroyed";
    /// The handle has as many objects as it may.
    TooManyObjects = 0xC000_0044 STATUS_QUOTA_EXCEEDED,
        "this handle has as many objects as it may; destroy some";
    /// The handle's objects take as many bytes as they may.
    TooManyBytes = 0xC000_0099 STATUS_ALLOTTED_SPACE_EXCEEDED,
        "the objects of this handle take as much pool as they may; destroy some";
    /// The objects of all handles take as many bytes as they may.
    TooManyBytesInAll = 0xC000_0468 STATUS_DEVICE_INSUFFICIENT_RESOURCES,
        "the objects of all handles take as much pool as they may; destroy some";
    /// More references than may be outstanding on one object.
    TooManyReferences = 0xC000_0095 STATUS_INTEGER_OVERFLOW,
        "so many references cannot be outstanding on one object; release some";
    /// More references would be released than are outstanding. NT's word goes negative, or the machine stops.
    NotHeld = 0xC000_0264 STATUS_RESOURCE_NOT_OWNED,
        "fewer references than that are outstanding on the object; nothing was released";
    /// A wait goes on. With a second one, both hang in NT.
    WaitGoingOn = 0xC000_042A STATUS_REQUEST_OUT_OF_SEQUENCE,
        "a wait goes on on the object, whether or not its request was cancelled; release its references first";
    /// A wait on a word with the pointer of a finished wait in it. NT's never ends.
    WouldHang = 0xC000_0194 STATUS_POSSIBLE_DEADLOCK,
        "the native routine would wait for ever, because the object has been waited for already; complete or re-initialise it first";
    /// References are outstanding. In NT their releases would corrupt memory.
    ReferencesOut = 0xC000_0708 STATUS_RESOURCE_IN_USE,
        "references are outstanding on the object; release them, or wait for them, first";
    /// As many waits go on as may, in the whole driver.
    TooManyWaits = 0xC000_0129 STATUS_TOO_MANY_THREADS,
        "as many waits go on in the driver as may; release some references, so that waits end, and try again";
    /// The native wait block is not laid out as ours.
    ForeignLayout = 0xC000_0058 STATUS_UNKNOWN_REVISION,
        "this system's wait block is not the one that the driver knows, so ours and the native routines cannot share a word";
    /// The pool, or the thread creation, is exhausted.
    Resources = 0xC000_009A STATUS_INSUFFICIENT_RESOURCES,
        "the system is out of memory or threads; try fewer threads";
}

#[cfg(test)]
mod tests {
    use super::Refusal;

    #[test]
    fn each_cause_has_a_status_of_its_own() {
        for &cause in Refusal::ALL {
            assert_eq!(Refusal::from_status(cause.status()), Some(cause));
            assert!(
                cause.status() >> 30 >= 2,
                "a refusal must be an error or a warning"
            );
        }
    }
}
