//! Everything that both Microsoft's metadata and the kit's headers have of the kernel's interface: each structure's size and the offset of each
//! field, and each constant's value.

use crate::{
    headers::Headers,
    metadata::Metadata,
    signature::{Signature, Type},
};

/// Where the headers are right and the metadata is not, which has one layout for all processors and no `DECLSPEC_ALIGN`. Sizes and offsets on
/// x64 by the WDK's headers (10.0.22621).
const ON_X64: &[(&str, usize)] = &[
    ("sizeof(CM_FULL_RESOURCE_DESCRIPTOR)", 36),
    ("sizeof(CM_PARTIAL_RESOURCE_DESCRIPTOR)", 20),
    ("FIELD_OFFSET(CM_PARTIAL_RESOURCE_DESCRIPTOR, u)", 4),
    ("sizeof(CM_PARTIAL_RESOURCE_LIST)", 28),
    ("sizeof(CM_RESOURCE_LIST)", 40),
    ("FIELD_OFFSET(CM_RESOURCE_LIST, List)", 4),
    ("sizeof(DEVICE_OBJECT)", 336),
    ("sizeof(ERESOURCE)", 104),
    ("FIELD_OFFSET(ERESOURCE, SpinLock)", 96),
    ("sizeof(KFLOATING_SAVE)", 4),
    ("FIELD_OFFSET(KTIMER, Period)", 60),
    ("sizeof(OBJECT_ATTRIBUTES32)", 24),
    ("FIELD_OFFSET(OBJECT_ATTRIBUTES32, SecurityQualityOfService)", 20),
    ("sizeof(SLIST_ENTRY)", 16),
    ("FIELD_OFFSET(XSAVE_FORMAT, Reserved4)", 416),
    ("sizeof(XSTATE_CONTEXT)", 32),
    ("FIELD_OFFSET(XSTATE_CONTEXT, Buffer)", 24),
];

/// Structures of mingw-w64's that are wrong or short, and that the kit leaves so; tools/kit/README.md lists them.
const LEFT_WRONG: &[&str] = &[
    "DEBUG_DEVICE_DESCRIPTOR",
    "DMA_OPERATIONS",
    "HAL_DISPATCH",
    "KUSER_SHARED_DATA",
    "PCI_EXPRESS_CAPABILITY",
    "XSTATE_CONFIGURATION",
];

/// As [`ON_X64`], of constants: what is another number on other processors, longer than 32 bits, or read from the headers as Microsoft's static
/// analysis sees them.
const CONSTANTS_ON_X64: &[(&str, u32)] = &[
    ("CLOCK_LEVEL", 13),
    ("DevicePropertyBusTypeGuid", 12),
    ("DevicePropertyClassGuid", 6),
    ("DevicePropertyClassName", 5),
    ("DevicePropertyCompatibleIDs", 2),
    ("DevicePropertyContainerID", 22),
    ("DevicePropertyDeviceDescription", 0),
    ("DevicePropertyDriverKeyName", 7),
    ("DevicePropertyEnumeratorName", 15),
    ("DevicePropertyFriendlyName", 9),
    ("DevicePropertyHardwareID", 1),
    ("DevicePropertyLocationInformation", 10),
    ("DevicePropertyManufacturer", 8),
    ("DevicePropertyPhysicalDeviceObjectName", 11),
    ("FILE_CHARACTERISTICS_REMOVAL_POLICY_MASK_EX", 49152),
    ("FS_FILTER_ACQUIRE_FOR_CC_FLUSH", 251),
    ("FS_FILTER_ACQUIRE_FOR_MOD_WRITE", 253),
    ("FS_FILTER_ACQUIRE_FOR_SECTION_SYNCHRONIZATION", 255),
    ("FS_FILTER_RELEASE_FOR_CC_FLUSH", 250),
    ("FS_FILTER_RELEASE_FOR_MOD_WRITE", 252),
    ("FS_FILTER_RELEASE_FOR_SECTION_SYNCHRONIZATION", 254),
    ("HIGH_LEVEL", 15),
    ("IPI_LEVEL", 14),
    ("KERNEL_LARGE_STACK_COMMIT", 24576),
    ("KERNEL_LARGE_STACK_SIZE", 73728),
    ("KERNEL_STACK_SIZE", 24576),
    ("KI_USER_SHARED_DATA", 0),
    ("POWER_LEVEL", 14),
    ("PROFILE_LEVEL", 15),
    ("ResultNegative", 1),
    ("ResultPositive", 2),
    ("ResultZero", 0),
    ("SharedInterruptTime", 8),
    ("SharedSystemTime", 20),
    ("SharedTickCount", 800),
];

/// Constants of mingw-w64's that are those of older headers (the ends of enumerations, versions of structures, the version of Windows that is
/// asked for), or of page tables as they lie on x86, which the WDK does not have on x64.
const OF_OLDER_HEADERS: &[&str] = &[
    "CONNECT_CURRENT_VERSION",
    "FileMaximumInformation",
    "HAL_DISPATCH_VERSION",
    "MaxProcessInfoClass",
    "MaxRegNtNotifyClass",
    "MaxSuiteType",
    "MaxThreadInfoClass",
    "MaxTokenInfoClass",
    "MaximumWaitReason",
    "NTDDI_VERSION",
    "PCI_BUS_INTERFACE_STANDARD_VERSION",
    "PDE_BASE",
    "PDE_TOP",
    "POLICY_AUDIT_SUBCATEGORY_COUNT",
    "PO_FX_VERSION",
    "PROTECTED_POOL",
    "PTE_BASE",
    "PTE_TOP",
    "PowerInformationLevelMaximum",
    "ResourceTypeMax",
    "SE_MAX_WELL_KNOWN_PRIVILEGE",
    "WDK_NTDDI_VERSION",
    "WINVER",
];

/// What the headers have otherwise than these lines claim: each a condition.
fn wrong(test: &str, conditions: &[String]) -> (usize, Vec<String>) {
    let lines: Vec<String> = conditions
        .iter()
        .map(|condition| format!("_Static_assert({condition}, \"\");"))
        .collect();
    let errors = Headers::new(test).errors(&lines);
    let wrong = errors
        .iter()
        // Any other error is that of a name that the headers do not have.
        .filter(|(_, what)| what.starts_with("static assertion failed"))
        .map(|(line, _)| conditions[*line].clone())
        .collect();
    (conditions.len() - errors.len(), wrong)
}

#[test]
fn all_structures_have_microsofts_layouts() {
    let metadata = Metadata::read();
    let mut conditions: Vec<String> = Vec::new();
    let mut claim = |what: String, metadata: usize| {
        let known = ON_X64.iter().find(|(known, _)| *known == what);
        conditions.push(format!(
            "{what} == {}",
            known.map_or(metadata, |(_, right)| *right)
        ));
    };
    for name in metadata.structure_names() {
        let Some(layout) = metadata.try_layout(name) else {
            continue;
        };
        claim(format!("sizeof({name})"), layout.size);
        for (field, offset) in layout.fields() {
            claim(format!("FIELD_OFFSET({name}, {field})"), offset);
        }
    }
    let (agreed, wrong) = wrong("all-layouts", &conditions);
    println!("{agreed} sizes and offsets agree");
    assert!(agreed > 3000, "{agreed}");
    let is_of = |condition: &str, name: &str| {
        let words = condition.split(|character: char| !(character.is_alphanumeric() || character == '_'));
        words.into_iter().any(|word| word == name)
    };
    let unexpected: Vec<&String> = wrong
        .iter()
        .filter(|condition| !LEFT_WRONG.iter().any(|name| is_of(condition, name)))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    for name in LEFT_WRONG {
        assert!(
            wrong.iter().any(|condition| is_of(condition, name)),
            "{name} is right by now"
        );
    }
}

#[test]
fn all_constants_have_microsofts_values() {
    let metadata = Metadata::read();
    let conditions: Vec<String> = metadata
        .integers()
        .filter(|(name, _)| !OF_OLDER_HEADERS.contains(name))
        .map(|(name, value)| {
            let known = CONSTANTS_ON_X64.iter().find(|(known, _)| *known == name);
            let value = known.map_or(value, |(_, right)| right.to_string());
            format!("(unsigned long)({name}) == (unsigned long)({value})")
        })
        .collect();
    let (agreed, wrong) = wrong("all-constants", &conditions);
    println!("{agreed} constants agree");
    assert!(agreed > 4000, "{agreed}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// wdk-sys's own constants, which it has since bindgen reads none of the headers'.
#[test]
fn pool_flags_are_those_of_wdk_sys() {
    let text = std::fs::read_to_string(crate::metadata::wdk_sys().join("src/constants.rs")).unwrap();
    let conditions: Vec<String> = text
        .lines()
        .filter_map(|line| {
            line.trim()
                .strip_prefix("pub const POOL_FLAG_")?
                .split_once(": POOL_FLAGS = ")
        })
        .map(|(name, rest)| {
            let value = rest.split(';').next().unwrap_or_default().replace('_', "");
            format!("POOL_FLAG_{name} == {value}ULL && sizeof(POOL_FLAG_{name}) == 8")
        })
        .collect();
    assert!(conditions.len() >= 14, "{conditions:?}");
    let (agreed, wrong) = wrong("pool-flags", &conditions);
    assert_eq!((agreed, wrong), (conditions.len(), vec![]));
}

/// What the WDK has as inlines is there for C, and calls nothing that the kernel does not export.
#[test]
fn inlines_of_the_wdk_compile() {
    let body = "
        KFLOATING_SAVE Save; KSPIN_LOCK Lock; KIRQL Irql;
        ExInitializeDriverRuntime(DrvRtPoolNxOptIn);
        if (!NT_SUCCESS(KeSaveFloatingPointState(&Save))) DbgBreakPoint();
        KeRestoreFloatingPointState(&Save);
        KeInitializeSpinLock(&Lock);
        Irql = KeRaiseIrqlToDpcLevel();
        KeLowerIrql(Irql);
        ExFreePool(ExAllocatePoolZero(NonPagedPool, 8, 1));
        ExFreePool(ExAllocatePoolUninitialized(NonPagedPoolNx, 8, 1));
        ExFreePool(ExAllocatePoolQuotaZero(PagedPool, 8, 1));
        ExFreePool(ExAllocatePoolPriorityZero(PagedPool, 8, 1, NormalPoolPriority));
        ExFreePool(ExAllocatePool2(POOL_FLAG_NON_PAGED | POOL_FLAG_CACHE_ALIGNED, 8, 1));
        return MmGetSystemAddressForMdlSafe(Mdl, NormalPagePriority | MdlMappingNoExecute);";
    let function = format!("PVOID Use(PMDL Mdl) {{ {} }}", body.replace('\n', " "));
    let headers = Headers::new("inlines");
    headers.accept(std::slice::from_ref(&function));
    headers.accept_before("#define POOL_NX_OPTIN 1", &[function]);
}

/// As [`ON_X64`]: functions that take a `KSPIN_LOCK_QUEUE_NUMBER`, which is 64 bits long on x64 alone.
const FUNCTIONS_ON_X64: &[&str] = &[
    "KeAcquireQueuedSpinLock",
    "KeReleaseQueuedSpinLock",
    "KeTryToAcquireQueuedSpinLock",
];

/// The bytes that a value takes in a register; `None` of what has no size on one of the two sides (`wchar_t`, `...`, an enumeration).
fn bytes(of: &Type) -> Option<u32> {
    match of {
        Type::Void => Some(0),
        Type::Integer(name) => name[1..].parse::<u32>().ok().map(|bits| bits / 8),
        // The metadata has opaque ones as integers.
        Type::Pointer | Type::PointerTo(_) => Some(8),
        Type::Other(_) => None,
    }
}

fn same_registers(here: &Signature, theirs: &Signature) -> bool {
    let same = |(one, other): (&Type, &Type)| match (bytes(one), bytes(other)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    };
    let parameters = here
        .parameters
        .iter()
        .filter(|of| **of != Type::Other("...".into()));
    parameters.clone().count() == theirs.parameters.len()
        && same((&here.result, &theirs.result))
        && parameters.zip(&theirs.parameters).all(same)
}

/// As far as a caller's registers go; what the driver uses is compared by its types (`functions_have_microsofts_signatures`).
#[test]
fn all_functions_have_microsofts_parameters() {
    let metadata = Metadata::read();
    let names: Vec<&str> = metadata.exporters().map(|(name, _)| name).collect();
    let headers = Headers::new("all-functions");
    let lines: Vec<String> = names
        .iter()
        .map(|name| format!("void *Use_{name} = (void *)&{name};"))
        .collect();
    let errors = headers.errors(&lines);
    let declared: Vec<&str> = names
        .iter()
        .enumerate()
        .filter(|(line, _)| !errors.contains_key(line))
        .map(|(_, name)| *name)
        .collect();
    println!("{} functions are declared", declared.len());
    assert!(declared.len() > 1300, "{}", declared.len());
    let wrong: Vec<&str> = headers
        .signatures(&declared)
        .into_iter()
        .zip(&declared)
        .filter_map(|(here, name)| (!same_registers(&here, &metadata.function(name)?)).then_some(*name))
        .collect();
    assert_eq!(wrong, FUNCTIONS_ON_X64);
}
