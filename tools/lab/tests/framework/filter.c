/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A filter: what it has nothing for is the device's below, and it is to those above what that device is. With FAIL its EvtDriverDeviceAdd fails. The
 * answer to 0x800 is the lines that saw anything else than what KMDF does; sources are those of shared/core and shared/irphandlers.
 */
#include "kmdf.h"
#include "send.h"
#include "below.h"

static HANDLE Device, Local;
static u32 Wrong[64], WrongCount;
#define IS(condition) do { if (!(condition) && WrongCount < 64) { Wrong[WrongCount++] = __LINE__; } } while (0)
typedef struct { u32 Size, Flags; long long Timeout; } OPTIONS;

static void Look(void)
{
    u8 *own = (u8 *)WDF(31, Device);
    WrongCount = 0;
    IS((FLAGS(own) & 0x14) == (FLAGS(Lower) & 0x14) && (FLAGS(own) & 0x14) == 4); /* km/fxdevicekm.cpp:150 */
    IS(*(u32 *)(own + 0x48) == 0x15 && *(u32 *)(own + 0x34) == 2);                /* DeviceType, Characteristics */
    IS(WDF(32, Device) == (u64)Lower && WDF(178, Local) == (u64)Lower);
    IS(Majors[0] == 1 && Majors[0x12] == 0 && Majors[2] == 0);                    /* irphandlers/general/fxpkggeneral.cpp:1005 */
}

static void Control(HANDLE queue, HANDLE request, u64 output, u64 input, u32 code)
{
    OPTIONS forget = { sizeof(OPTIONS), 8, 0 };
    u32 counts[3] = { Majors[0], Majors[0x12], Majors[2] };
    void *buffer = 0;
    u64 length = 0;
    switch (FUNCTION(code)) {
    case 0x800:
        Look();
        if (STATUS(270, request, 256ULL, &buffer, &length) == SUCCESS) {
            memcpy(buffer, Wrong, WrongCount * 4);
        }
        WDF(265, request, SUCCESS, (u64)WrongCount * 4);
        return;
    case 0x801:
        if (STATUS(270, request, 12ULL, &buffer, &length) == SUCCESS) {
            memcpy(buffer, counts, 12);
        }
        WDF(265, request, SUCCESS, 12ULL);
        return;
    }
    if (!(u8)WDF(253, request, Local, &forget)) {
        WDF(263, request, STATUS(254, request));
    }
}

static NTSTATUS DeviceAdd(HANDLE driver, HANDLE init)
{
    NTSTATUS status = MakeLower(driver, init, 4);
    WDF(129, init);
    WDF(61, init, 3ULL); /* direct, which a filter has no say in */
    status = status == SUCCESS ? STATUS(75, &init, NONE, &Device) : status;
    if (status != SUCCESS) {
        return status;
    }
#ifdef FAIL
    return UNSUCCESSFUL;
#endif
    Local = WDF(42, Device);
    return Serve(Device, Control);
}

#include "entry.h"
