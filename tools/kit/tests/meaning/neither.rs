//! The names that neither Microsoft's metadata nor the KMDF tables have, each with what its documentation says and
//! where. A new one needs a look at the page.

pub(crate) enum Meaning {
    /// A type, the same as this one.
    Is(&'static str),
    /// A function that ntoskrnl.exe exports, by the type of a pointer to it.
    Function(&'static str),
    /// A constant with this value.
    Value(u32),
    /// A structure that only its owner knows.
    Opaque,
    /// Made by wdk-sys, not by the headers.
    OfWdkSys,
}

pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) meaning: Meaning,
    /// Its page on <https://learn.microsoft.com>.
    pub(crate) page: &'static str,
}

const TYPES: &str = "windows/win32/winprog/windows-data-types";
const POOL: &str = "windows-hardware/drivers/kernel/pool_flags";
const HANDLES: &str = "windows-hardware/drivers/wdf/summary-of-framework-objects";

const fn known(name: &'static str, meaning: Meaning, page: &'static str) -> Known {
    Known { name, meaning, page }
}

pub(crate) const NAMES: &[Known] = &[
    known("BOOLEAN", Meaning::Is("unsigned char"), TYPES),
    known("PVOID", Meaning::Is("void *"), TYPES),
    known("ULONG", Meaning::Is("unsigned long"), TYPES),
    known("ULONG_PTR", Meaning::Is("unsigned long long"), TYPES),
    known(
        "GUID",
        Meaning::Is("struct _GUID"),
        "windows/win32/api/guiddef/ns-guiddef-guid",
    ),
    known(
        "LARGE_INTEGER",
        Meaning::Is("union _LARGE_INTEGER"),
        "windows/win32/api/winnt/ns-winnt-large_integer-r1",
    ),
    known(
        "KPROCESSOR_MODE",
        Meaning::Is("char"),
        "windows-hardware/drivers/ddi/wdm/nf-wdm-kewaitforsingleobject",
    ),
    known(
        "PCUNICODE_STRING",
        Meaning::Is("const UNICODE_STRING *"),
        "windows/win32/api/ntdef/ns-ntdef-_unicode_string",
    ),
    known(
        "RTL_OSVERSIONINFOW",
        Meaning::Is("OSVERSIONINFOW"),
        "windows-hardware/drivers/ddi/wdm/ns-wdm-_osversioninfow",
    ),
    known(
        "_EX_RUNDOWN_REF_CACHE_AWARE",
        Meaning::Opaque,
        "windows-hardware/drivers/ddi/wdm/nf-wdm-exallocatecacheawarerundownprotection",
    ),
    known("POOL_FLAG_NON_PAGED", Meaning::OfWdkSys, POOL),
    known("POOL_FLAG_CACHE_ALIGNED", Meaning::OfWdkSys, POOL),
    // A gap of the metadata (microsoft/wdkmetadata, issue 76), which has its counterpart KfRaiseIrql.
    known(
        "KeLowerIrql",
        Meaning::Function("void (*)(KIRQL)"),
        "windows-hardware/drivers/ddi/wdm/nf-wdm-kelowerirql",
    ),
    known(
        "PKDPC",
        Meaning::Is("KDPC *"),
        "windows-hardware/drivers/ddi/wdm/nf-wdm-keinitializedpc",
    ),
    known(
        "KEY_QUERY_VALUE",
        Meaning::Value(1),
        "windows/win32/sysinfo/registry-key-security-and-access-rights",
    ),
    known("WDFDEVICE", Meaning::Is("struct WDFDEVICE__ *"), HANDLES),
    known("WDFDRIVER", Meaning::Is("struct WDFDRIVER__ *"), HANDLES),
    known("WDFFILEOBJECT", Meaning::Is("struct WDFFILEOBJECT__ *"), HANDLES),
    known("WDFKEY", Meaning::Is("struct WDFKEY__ *"), HANDLES),
    known("WDFOBJECT", Meaning::Is("void *"), HANDLES),
    known("WDFQUEUE", Meaning::Is("struct WDFQUEUE__ *"), HANDLES),
    known("WDFREQUEST", Meaning::Is("struct WDFREQUEST__ *"), HANDLES),
    known("WDFWAITLOCK", Meaning::Is("struct WDFWAITLOCK__ *"), HANDLES),
    known(
        "PWDFDEVICE_INIT",
        Meaning::Is("struct WDFDEVICE_INIT *"),
        "windows-hardware/drivers/wdf/wdfdevice_init",
    ),
    known(
        "WDF_NO_HANDLE",
        Meaning::OfWdkSys,
        "windows-hardware/drivers/ddi/wdfdriver/nf-wdfdriver-wdfdrivercreate",
    ),
    known(
        "WDF_NO_OBJECT_ATTRIBUTES",
        Meaning::OfWdkSys,
        "windows-hardware/drivers/ddi/wdfobject/ns-wdfobject-_wdf_object_attributes",
    ),
];
