/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A client of KMDF of any version, whose entry point binds it as the WDK's WdfDriverEntry.lib does. The structures are not this
 * project's but those of src/framework/shared/inc/private/common/fxldr.h:79-139 in microsoft/Windows-Driver-Frameworks,
 * and the globals those of src/publicinc/wdf/kmdf/1.31/wdffuncenum.h:81-110.
 *
 *   MINOR, COUNT   the version that the client is built for, and how many functions its table has
 *   MINIMUM        the version that it needs at least, in a WDF_BIND_INFO2; without it the structure is a WDF_BIND_INFO
 *   NUMBER         MINIMUM is in the structure by itself, where a pointer to it belongs
 *   NO_DEVICE      EvtDriverDeviceAdd succeeds and creates nothing
 *   STAYS_BOUND    nothing is unbound behind the unload
 */
typedef unsigned char BOOLEAN;
typedef unsigned short WCHAR;
typedef unsigned int ULONG;
typedef unsigned long long size_t;
typedef int NTSTATUS;
typedef struct { unsigned short Length, MaximumLength; WCHAR *Buffer; } UNICODE_STRING;
typedef void (*WDFFUNC)(void);

typedef struct { ULONG Major, Minor, Build; } WDF_VERSION;

typedef struct {
    ULONG Size;
    const WCHAR *Component;
    WDF_VERSION Version;
    ULONG FuncCount;
    WDFFUNC *FuncTable;
    void *Module;
} WDF_BIND_INFO;

typedef struct {
    WDF_BIND_INFO V1;
    ULONG *MinimumVersionRequired;
    BOOLEAN *ClientVersionHigherThanFramework;
    ULONG *FuncCountPtr;
    ULONG *StructCountPtr;
    size_t **StructTable;
} WDF_BIND_INFO2;

typedef struct { void *Driver; ULONG Flags, Tag; char Name[32]; BOOLEAN DisplaceDriverUnload; } WDF_DRIVER_GLOBALS;

__declspec(dllimport) NTSTATUS WdfVersionBind(
    void *driver, UNICODE_STRING *path, WDF_BIND_INFO *info, WDF_DRIVER_GLOBALS **globals);
__declspec(dllimport) void WdfVersionUnbind(UNICODE_STRING *path, WDF_BIND_INFO *info, WDF_DRIVER_GLOBALS *globals);
__declspec(dllimport) int DbgPrint(const char *format, ...);

BOOLEAN WdfClientVersionHigherThanFramework;
/* What nobody writes unless the client is newer. */
ULONG WdfFunctionCount = 7777, WdfStructureCount = 8888;
size_t *WdfStructures;
WDF_DRIVER_GLOBALS *WdfDriverGlobals;

/* A client up to KMDF 1.13 has the whole table, a later one its address. */
#if COUNT <= 438
static WDFFUNC Functions[COUNT];
#define TABLE Functions
#define FUNCTION(index) Functions[index]
#else
static WDFFUNC *WdfFunctions;
#define TABLE ((WDFFUNC *)&WdfFunctions)
#define FUNCTION(index) WdfFunctions[index]
#endif

#ifdef MINIMUM
ULONG WdfMinimumVersionRequired = MINIMUM;
static WDF_BIND_INFO2 Info = {
    { sizeof(WDF_BIND_INFO2), L"KmdfLibrary", { 1, MINOR, 0 }, COUNT, TABLE, 0 },
#ifdef NUMBER
    (ULONG *)MINIMUM,
#else
    &WdfMinimumVersionRequired,
#endif
    &WdfClientVersionHigherThanFramework,
    &WdfFunctionCount,
    &WdfStructureCount,
    &WdfStructures,
};
#define BIND (&Info.V1)
#else
static WDF_BIND_INFO Info = { sizeof(WDF_BIND_INFO), L"KmdfLibrary", { 1, MINOR, 0 }, COUNT, TABLE, 0 };
#define BIND (&Info)
#endif

/* Only these of the framework's functions are used; both are in every version. */
typedef struct { ULONG Size; void *DeviceAdd, *Unload; ULONG Flags, Tag; } WDF_DRIVER_CONFIG;
typedef NTSTATUS (*WDF_DRIVER_CREATE)(
    WDF_DRIVER_GLOBALS *, void *, UNICODE_STRING *, void *, WDF_DRIVER_CONFIG *, void **);
typedef NTSTATUS (*WDF_DEVICE_CREATE)(WDF_DRIVER_GLOBALS *, void **, void *, void **);

static NTSTATUS DeviceAdd(void *driver, void *init)
{
    void *device = 0;
#ifdef NO_DEVICE
    return 0;
#endif
    return ((WDF_DEVICE_CREATE)FUNCTION(75))(WdfDriverGlobals, &init, 0, &device);
}

typedef struct { char Before[0x68]; void (*Unload)(void *); } DRIVER_OBJECT;
static void (*DisplacedUnload)(void *);
static UNICODE_STRING Path;

static void Unload(void *driver)
{
    DisplacedUnload(driver);
#ifndef STAYS_BOUND
    WdfVersionUnbind(&Path, BIND, WdfDriverGlobals);
#endif
}

NTSTATUS DriverEntry(DRIVER_OBJECT *driver, UNICODE_STRING *path)
{
    WDF_DRIVER_CONFIG config = { sizeof(WDF_DRIVER_CONFIG), DeviceAdd, 0, 0, 0 };
    NTSTATUS status;
    Path = *path;
    status = WdfVersionBind(driver, &Path, BIND, &WdfDriverGlobals);
    if (status < 0) {
        return status;
    }
    DbgPrint("bound newer=%u functions=%u structures=%u queue=%u\n", WdfClientVersionHigherThanFramework, WdfFunctionCount,
        WdfStructureCount, WdfStructures ? (ULONG)WdfStructures[33] : 0);
    status = ((WDF_DRIVER_CREATE)FUNCTION(116))(WdfDriverGlobals, driver, path, 0, &config, 0);
    if (status < 0) {
        WdfVersionUnbind(&Path, BIND, WdfDriverGlobals);
        return status;
    }
    if (WdfDriverGlobals->DisplaceDriverUnload) {
        DisplacedUnload = driver->Unload;
        driver->Unload = Unload;
    }
    return status;
}
