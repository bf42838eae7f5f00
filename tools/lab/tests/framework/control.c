/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A driver with a control device: without Plug and Play, unless PNP is defined. The names are what `control.rs` opens.
 */
#include "kmdf.h"

#define INVALID_PARAMETER ((NTSTATUS)0xC000000D)
#define INVALID_DEVICE_STATE ((NTSTATUS)0xC0000184)
#define NO_SUCH_DEVICE ((NTSTATUS)0xC000000E)

static const UNICODE_STRING Sddl = STRING(L"D:P(A;;GA;;;SY)(A;;GA;;;BA)");
static const UNICODE_STRING Name = STRING(L"\\Device\\Control"), Link = STRING(L"\\DosDevices\\Control");
static const UNICODE_STRING Unnamed = STRING(L"\\DosDevices\\Unnamed");
static const u8 Interface[16] = { 0x44, 0x33, 0x22, 0x11, 0x66, 0x55, 0x88, 0x77, 1, 2, 3, 4, 5, 6, 7, 8 };
static HANDLE Driver, Device, Other;

static void DeviceCleanup(HANDLE device) { DbgPrint("trace DeviceCleanup\n"); }
static void DeviceDestroy(HANDLE device) { DbgPrint("trace DeviceDestroy\n"); }
static void FileClose(HANDLE file) { DbgPrint("trace FileClose\n"); }
static void Shutdown(HANDLE device) {}

static void Control(HANDLE queue, HANDLE request, u64 output, u64 input, u32 code);

/* A queue as the framework's macro initialises it: power-managed unless the device is none that could be. */
static NTSTATUS Queue(HANDLE device, u8 is_default)
{
    QUEUE_CONFIG config = { sizeof(QUEUE_CONFIG) };
    HANDLE queue = 0;
    config.DispatchType = 1;
    config.PowerManaged = 2;
    config.DefaultQueue = is_default;
    config.DeviceControl = Control;
    return (NTSTATUS)WDF(152, device, &config, NONE, &queue);
}

static void Finish(HANDLE device) { WDF(27, device); }

static NTSTATUS Make(const UNICODE_STRING *name, HANDLE *device)
{
    ATTRIBUTES attributes = Attributes(0, 0);
    FILE_CONFIG files = { sizeof(FILE_CONFIG), 0, FileClose, 0, 2, 2 };
    HANDLE init = WDF(25, Driver, &Sddl);
    NTSTATUS status;
    if (init == 0) {
        return UNSUCCESSFUL;
    }
    if ((NTSTATUS)WDF(68, init, NONE) != INVALID_DEVICE_REQUEST) {
        return (NTSTATUS)(0xE0000000 | __LINE__);
    }
    WDF(26, init, Shutdown, 3ULL);
    WDF(71, init, &files, NONE);
    if (name) {
        WDF(67, init, name);
    }
    attributes.Cleanup = (u64)DeviceCleanup;
    attributes.Destroy = (u64)DeviceDestroy;
    status = (NTSTATUS)WDF(75, &init, &attributes, device);
    return status == SUCCESS ? Queue(*device, 1) : status;
}

/* What a control device is refused, and is not; the line of what is wrong. */
static u32 Refusals(void)
{
    HANDLE queue = WDF(92, Device);
    if ((NTSTATUS)Queue(Device, 1) != INVALID_DEVICE_STATE) return __LINE__;
    if ((NTSTATUS)Queue(Device, 0) != SUCCESS) return __LINE__;
    if ((NTSTATUS)WDF(77, Device, Interface, NONE) != INVALID_DEVICE_REQUEST) return __LINE__;
    if ((NTSTATUS)WDF(93, Device, queue, 3ULL) != INVALID_DEVICE_STATE) return __LINE__;
    if (WDF(32, Device) != 0 || WDF(33, Device) != 0) return __LINE__;
    if (WDF(30, WDF(31, Device)) != Device || WDF(39, Device) != Driver) return __LINE__;
    if ((NTSTATUS)WDF(80, Other, &Unnamed) != INVALID_DEVICE_STATE) return __LINE__;
    WDF(208, Other);
    return 0;
}

static void Control(HANDLE queue, HANDLE request, u64 output, u64 input, u32 code)
{
    u32 line;
    switch (code >> 2 & 0xFFF) {
    case 0x800: /* it works */
        WDF(263, request, SUCCESS);
        return;
    case 0x801:
        line = Refusals();
        WDF(263, request, line ? (NTSTATUS)(0xE0000000 | line) : SUCCESS);
        return;
    case 0x802: /* the device goes, and a handle is open */
        WDF(208, Device);
        WDF(263, request, SUCCESS);
        return;
    case 0x803: /* a structure that nobody uses up */
        WDF(25, Driver, &Sddl);
        WDF(263, request, SUCCESS);
        return;
    case 0x804: /* another device, which may be opened from 0x806 on */
    {
        static const UNICODE_STRING later = STRING(L"\\Device\\Later");
        WDF(263, request, Make(&later, &Other));
        return;
    }
    case 0x806:
        Finish(Other);
        WDF(263, request, SUCCESS);
        return;
    case 0x805: /* a structure is used twice */
    {
        HANDLE init = WDF(25, Driver, &Sddl), again = init, device;
        WDF(54, init);
        WDF(75, &again, NONE, &device);
        break;
    }
    }
    WDF(263, request, INVALID_DEVICE_REQUEST);
}

static NTSTATUS Devices(void)
{
    NTSTATUS status = Make(&Name, &Device);
    if (status != SUCCESS || (status = (NTSTATUS)WDF(80, Device, &Link)) != SUCCESS) {
        return status;
    }
    Finish(Device);
    /* One that is not finished, which the I/O manager makes up for, as for all of DriverEntry's. It has no name of its own. */
    return Make(0, &Other);
}

static NTSTATUS DeviceAdd(HANDLE driver, HANDLE init)
{
    HANDLE device = 0;
    return (NTSTATUS)WDF(75, &init, NONE, &device);
}

typedef struct { u8 Before[0x68]; void (*Unload)(void *); } DRIVER_OBJECT;
static void (*DisplacedUnload)(void *);

static void Unload(void *driver)
{
    DisplacedUnload(driver);
    WdfVersionUnbind(&Path, &Bind, Globals);
}

static void DriverUnloads(HANDLE driver) { DbgPrint("trace DriverUnloads\n"); }

NTSTATUS DriverEntry(DRIVER_OBJECT *driver, UNICODE_STRING *path)
{
    /* With EvtDriverDeviceAdd a driver without Plug and Play is refused. */
    DRIVER_CONFIG config = { sizeof(DRIVER_CONFIG), DeviceAdd, DriverUnloads, 1, 0x74736554 };
    NTSTATUS status = WdfVersionBind(driver, path, &Bind, &Globals);
    if (status != SUCCESS) {
        return status;
    }
    status = (NTSTATUS)WDF(116, driver, path, NONE, &config, &Driver);
    if (status != INVALID_PARAMETER) {
        WdfVersionUnbind(path, &Bind, Globals);
        return UNSUCCESSFUL;
    }
#ifdef PNP
    config.Flags = 0;
#else
    config.DeviceAdd = 0;
#endif
    status = (NTSTATUS)WDF(116, driver, path, NONE, &config, &Driver);
    if (status == SUCCESS) {
        status = Devices();
    }
    if (status != SUCCESS) {
        WdfVersionUnbind(path, &Bind, Globals);
        return status;
    }
    DisplacedUnload = driver->Unload;
    driver->Unload = Unload;
    return SUCCESS;
}
