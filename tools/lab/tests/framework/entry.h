/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The entry of a driver that has one device, which its DeviceAdd makes, as Microsoft's stub does it: bind, create the driver, unbind behind its unload.
 */
typedef struct { u8 Before[0x68]; void (*Unload)(void *); } DRIVER_OBJECT;
static void (*DisplacedUnload)(void *);

static void Unload(void *driver)
{
    DisplacedUnload(driver);
    WdfVersionUnbind(&Path, &Bind, Globals);
}

static void Nothing(HANDLE driver) {}

NTSTATUS DriverEntry(DRIVER_OBJECT *driver, UNICODE_STRING *path)
{
    DRIVER_CONFIG config = { sizeof(DRIVER_CONFIG), DeviceAdd, Nothing, 0, 0x74736554 };
    NTSTATUS status = WdfVersionBind(driver, path, &Bind, &Globals);
    if (status != SUCCESS) {
        return status;
    }
    status = (NTSTATUS)WDF(116, driver, path, NONE, &config, NONE);
    if (status != SUCCESS) {
        WdfVersionUnbind(path, &Bind, Globals);
        return status;
    }
    DisplacedUnload = driver->Unload;
    driver->Unload = Unload;
    return status;
}
