/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * WdfDriverEntry.lib: the entry point of a KMDF driver, which binds it to the framework before its DriverEntry runs.
 *
 * Written from the documented behaviour and the public layouts (bind information of KMDF 1.25 and later,
 * https://github.com/microsoft/Windows-Driver-Frameworks, MIT). A driver linked with this library is for the lab and
 * for test machines: what users install is linked with the WDK's own.
 */
#include <ntddk.h>
#include <wdf.h>

/* What the loader is told about this client, and where it stores what it answers. */

typedef struct _WDF_VERSION {
    ULONG Major;
    ULONG Minor;
    ULONG Build;
} WDF_VERSION;

typedef struct _WDF_BIND_INFO {
    ULONG Size; /* of the WDF_BIND_INFO2 around it: tells the loader which of the two it is */
    PCWSTR Component;
    WDF_VERSION Version;
    ULONG FuncCount;
    const WDFFUNC **FuncTable;
    PVOID Module;
} WDF_BIND_INFO;

/* All that the second form adds are pointers to globals of the client. */
typedef struct _WDF_BIND_INFO2 {
    WDF_BIND_INFO V1;
    PULONG MinimumVersionRequired;
    PBOOLEAN ClientVersionHigherThanFramework;
    PULONG FuncCountPtr;
    PULONG StructCountPtr;
    size_t **StructTable;
} WDF_BIND_INFO2;

_Static_assert(sizeof(WDF_BIND_INFO) == 48, "WDF_BIND_INFO");
_Static_assert(FIELD_OFFSET(WDF_BIND_INFO, Component) == 8, "WDF_BIND_INFO.Component");
_Static_assert(FIELD_OFFSET(WDF_BIND_INFO, Version.Major) == 16, "WDF_BIND_INFO.Version.Major");
_Static_assert(FIELD_OFFSET(WDF_BIND_INFO, Version.Minor) == 20, "WDF_BIND_INFO.Version.Minor");
_Static_assert(FIELD_OFFSET(WDF_BIND_INFO, Version.Build) == 24, "WDF_BIND_INFO.Version.Build");
_Static_assert(FIELD_OFFSET(WDF_BIND_INFO, FuncCount) == 28, "WDF_BIND_INFO.FuncCount");
_Static_assert(FIELD_OFFSET(WDF_BIND_INFO, FuncTable) == 32, "WDF_BIND_INFO.FuncTable");
_Static_assert(FIELD_OFFSET(WDF_BIND_INFO, Module) == 40, "WDF_BIND_INFO.Module");
_Static_assert(sizeof(WDF_BIND_INFO2) == 88, "WDF_BIND_INFO2");
_Static_assert(FIELD_OFFSET(WDF_BIND_INFO2, MinimumVersionRequired) == 48, "WDF_BIND_INFO2.MinimumVersionRequired");
_Static_assert(FIELD_OFFSET(WDF_BIND_INFO2, ClientVersionHigherThanFramework) == 56,
    "WDF_BIND_INFO2.ClientVersionHigherThanFramework");
_Static_assert(FIELD_OFFSET(WDF_BIND_INFO2, FuncCountPtr) == 64, "WDF_BIND_INFO2.FuncCountPtr");
_Static_assert(FIELD_OFFSET(WDF_BIND_INFO2, StructCountPtr) == 72, "WDF_BIND_INFO2.StructCountPtr");
_Static_assert(FIELD_OFFSET(WDF_BIND_INFO2, StructTable) == 80, "WDF_BIND_INFO2.StructTable");

NTSTATUS NTAPI WdfVersionBind(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath, WDF_BIND_INFO *BindInfo,
    PWDF_DRIVER_GLOBALS *Globals);
VOID NTAPI WdfVersionUnbind(PUNICODE_STRING RegistryPath, WDF_BIND_INFO *BindInfo, PWDF_DRIVER_GLOBALS Globals);

DRIVER_INITIALIZE DriverEntry;
DRIVER_INITIALIZE FxDriverEntry;
void __security_init_cookie(void);

const WDFFUNC *WdfFunctions;
PWDF_DRIVER_GLOBALS WdfDriverGlobals;
WDFFUNC WdfDriverMiniportUnloadOverride;
BOOLEAN WdfClientVersionHigherThanFramework;
/*
 * The oldest framework that the driver loads with. Under the WDK wdffuncenum.h defines it so in every C file, for
 * KMDF_VERSION_MINOR, and one of them is taken.
 */
__declspec(selectany) ULONG WdfMinimumVersionRequired = KMDF_VERSION_MINOR;
/*
 * The client's table size until the loader stores the framework's. wdk-sys takes the length of its table from here
 * at run time, so a loader that leaves it alone must find the right value.
 */
ULONG WdfFunctionCount = WdfFunctionTableNumEntries;
ULONG WdfStructureCount;
size_t *WdfStructures;

static WDF_BIND_INFO2 BindInfo = {
    .V1 = {
        .Size = sizeof(WDF_BIND_INFO2),
        .Component = L"KmdfLibrary",
        .Version = { KMDF_VERSION_MAJOR, KMDF_VERSION_MINOR, 0 },
        .FuncCount = WdfFunctionTableNumEntries,
        .FuncTable = &WdfFunctions,
    },
    .MinimumVersionRequired = &WdfMinimumVersionRequired,
    .ClientVersionHigherThanFramework = &WdfClientVersionHigherThanFramework,
    .FuncCountPtr = &WdfFunctionCount,
    .StructCountPtr = &WdfStructureCount,
    .StructTable = &WdfStructures,
};

/* The caller's registry path does not outlive DriverEntry, and unbinding needs it. */
static WCHAR RegistryPathBuffer[256];
static UNICODE_STRING RegistryPathCopy = { 0, sizeof(RegistryPathBuffer), RegistryPathBuffer };

/* The routine that the framework or the driver put into the driver object before ours displaced it. */
static PDRIVER_UNLOAD DisplacedUnload;

static VOID Unbind(VOID)
{
    WdfVersionUnbind(&RegistryPathCopy, &BindInfo.V1, WdfDriverGlobals);
}

static VOID NTAPI Unload(PDRIVER_OBJECT DriverObject)
{
    if (DisplacedUnload != NULL) {
        DisplacedUnload(DriverObject);
    }
    Unbind();
}

/* A miniport's port driver owns DriverUnload; the framework calls this pointer in its place. */
static VOID NTAPI MiniportUnload(VOID)
{
    Unbind();
}

NTSTATUS NTAPI FxDriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NTSTATUS Status;

    __security_init_cookie();

    /* RtlCopyUnicodeString would cut a path that is too long, and unbinding would then name another key. */
    if (RegistryPath->Length > RegistryPathCopy.MaximumLength) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    RtlCopyUnicodeString(&RegistryPathCopy, RegistryPath);

    Status = WdfVersionBind(DriverObject, &RegistryPathCopy, &BindInfo.V1, &WdfDriverGlobals);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }

    Status = DriverEntry(DriverObject, RegistryPath);
    if (!NT_SUCCESS(Status)) {
        Unbind();
        return Status;
    }

    if (WdfDriverGlobals->DisplaceDriverUnload) {
        DisplacedUnload = DriverObject->DriverUnload;
        DriverObject->DriverUnload = Unload;
    } else if (WdfDriverGlobals->DriverFlags & WdfDriverInitNoDispatchOverride) {
        WdfDriverMiniportUnloadOverride = MiniportUnload;
    }
    return Status;
}
