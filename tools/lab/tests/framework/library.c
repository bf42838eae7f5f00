/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A library of KMDF as WDFLDR.SYS sees one: it registers, is commissioned, takes a client, and lets everything go again. What it has of the framework is
 * enough for bind.c without a device. The structures are those of src/framework/shared/inc/private/common/fxldr.h:79-139 and 301-330 in
 * microsoft/Windows-Driver-Frameworks, and the order that of src/framework/kmdf/src/dynamic/version/version.cpp.
 *
 *   COMMISSION_FAILS   Commission, and with it WdfRegisterLibrary and DriverEntry, fails
 *   ENTRY_FAILS        DriverEntry fails after it has registered
 *   REGISTERS_NOTHING  DriverEntry succeeds and has not registered
 *   REFUSES            RegisterClient refuses every client
 *   LEAKS              what Commission allocates is not freed
 *   KEEPS              what RegisterClient allocates is not freed
 */
#include "kmdf.h"

typedef struct { u32 Size; NTSTATUS (*Commission)(void), (*Decommission)(void); void *RegisterClient, *UnregisterClient; u32 Version[3]; } LIBRARY_INFO;
typedef struct { u32 Size; UNICODE_STRING *RegistryPath; void *DriverObject; } CLIENT_INFO;
_Static_assert(sizeof(LIBRARY_INFO) == 56 && sizeof(CLIENT_INFO) == 24, "fxldr.h");

/* DRIVER_OBJECT and DRIVER_EXTENSION, as far as they are used. */
typedef struct { void *Driver; NTSTATUS (*AddDevice)(void *, void *); } EXTENSION;
typedef struct { u8 Before[0x30]; EXTENSION *Extension; u8 Between[0x30]; void (*Unload)(void *); } DRIVER;

__declspec(dllimport) NTSTATUS WdfRegisterLibrary(LIBRARY_INFO *info, UNICODE_STRING *path, const UNICODE_STRING *device);
__declspec(dllimport) NTSTATUS WdfLdrDiagnosticsValueByNameAsULONG(UNICODE_STRING *name, u32 *value);
__declspec(dllimport) void *ExAllocatePool2(u64 flags, u64 size, u32 tag);
__declspec(dllimport) void ExFreePool(void *block);

#define NON_PAGED 0x40
#define TAG 0x6C62694C
#define REFUSED ((NTSTATUS)0xC000000D)
#define NO_MEMORY ((NTSTATUS)0xC000009A)

static void *Own, *Client[458];
static GLOBALS *Bound;
static NTSTATUS (*EvtDeviceAdd)(void *, void *);

static NTSTATUS Commission(void)
{
    DbgPrint("library: commission\n");
#ifdef COMMISSION_FAILS
    return NO_MEMORY;
#else
    Own = ExAllocatePool2(NON_PAGED, 24, TAG);
    return Own ? SUCCESS : NO_MEMORY;
#endif
}

static NTSTATUS Decommission(void)
{
    DbgPrint("library: decommission\n");
#ifndef LEAKS
    ExFreePool(Own);
#endif
    return SUCCESS;
}

static NTSTATUS AddDevice(void *driver, void *device)
{
    return EvtDeviceAdd(driver, 0);
}

static void ClientUnload(void *driver)
{
    DbgPrint("library: the client's unload\n");
}

/* WdfDriverCreate */
static NTSTATUS DriverCreate(GLOBALS *globals, DRIVER *driver, UNICODE_STRING *path, void *attributes, DRIVER_CONFIG *config, u64 *handle)
{
    DbgPrint("library: create, globals %s\n", globals == Bound ? "its own" : "another's");
    EvtDeviceAdd = (void *)config->DeviceAdd;
    driver->Extension->AddDevice = AddDevice;
    driver->Unload = ClientUnload;
    globals->DisplaceDriverUnload = 1;
    return SUCCESS;
}

static NTSTATUS RegisterClient(BIND_INFO *info, GLOBALS **globals, void **context)
{
    CLIENT_INFO *client = *context;
    DbgPrint("library: register %wZ, version 1.%u, %u functions, size %u\n", client->RegistryPath, info->Minor, info->FuncCount, client->Size);
#ifdef REFUSES
    return REFUSED;
#endif
    Bound = ExAllocatePool2(NON_PAGED, sizeof(GLOBALS), TAG);
    if (!Bound) {
        return NO_MEMORY;
    }
    Client[116] = DriverCreate;
    *(void ***)info->FuncTable = Client;
    *globals = Bound;
    *context = Own;
    return SUCCESS;
}

static NTSTATUS UnregisterClient(BIND_INFO *info, GLOBALS *globals)
{
    DbgPrint("library: unregister, globals %s\n", globals == Bound ? "its own" : "another's");
#ifndef KEEPS
    ExFreePool(globals);
#endif
    return SUCCESS;
}

static LIBRARY_INFO Info = { sizeof(LIBRARY_INFO), Commission, Decommission, RegisterClient, UnregisterClient, { 1, 33, 7 } };

static void Unload(void *driver)
{
    DbgPrint("library: unload\n");
}

NTSTATUS DriverEntry(DRIVER *driver, UNICODE_STRING *path)
{
    static UNICODE_STRING name = STRING(L"DbgPrintOn"), device = STRING(L"\\Device\\KMDF0");
    u32 chatty = 7;
    NTSTATUS status = WdfLdrDiagnosticsValueByNameAsULONG(&name, &chatty);
    DbgPrint("library: entry %wZ, DbgPrintOn %x\n", path, status);
    driver->Unload = Unload;
#ifdef REGISTERS_NOTHING
    if (chatty == 7) {
        return SUCCESS;
    }
#endif
    status = WdfRegisterLibrary(&Info, path, &device);
#ifdef ENTRY_FAILS
    return NO_MEMORY;
#endif
    return status;
}
