/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A client's own memory: a METHOD_NEITHER request is handled where it arrives, in EvtIoInCallerContext; and the MDLs of others. Every call's result is
 * looked at; the first line that was wrong fails the request with 0xE000 and that line. The statuses are those of fxrequestapi.cpp and
 * fxrequestkm.cpp.
 */
#include "kmdf.h"

#define CHECK(condition) do { if (!(condition)) { WDF(263, request, (NTSTATUS)(0xE0000000 | __LINE__)); return; } } while (0)
#define BUFFER_TOO_SMALL ((NTSTATUS)0xC0000023)
#define INVALID_USER_BUFFER ((NTSTATUS)0xC00000E8)
#define ACCESS_VIOLATION ((NTSTATUS)0xC0000005)
#define INVALID_PARAMETER ((NTSTATUS)0xC000000D)

typedef struct { u64 Next; short Size; u16 Flags; u32 Processor; u64 Process; u8 *Mapped, *Start; u32 Count, Offset; } MDL;
typedef struct { u16 Size; u8 Minor; u32 Type; u64 Output, Input; u32 Code; u64 Type3; } PARAMETERS;

static HANDLE Device, Driver;

/* The input turned round, by memory objects that lock both. */
static void Neither(HANDLE request, u64 length)
{
    u8 *input = 0, *output = 0, *from, *to;
    u64 size = 0;
    HANDLE in = 0, out = 0, mdl = 1;
    CHECK((NTSTATUS)WDF(269, request, NONE, &input, &size) == INVALID_DEVICE_REQUEST && input == 0);
    CHECK((NTSTATUS)WDF(271, request, &mdl) == INVALID_DEVICE_REQUEST && mdl == 0);
    CHECK((NTSTATUS)WDF(273, request, length + 1, &input, &size) == BUFFER_TOO_SMALL && input == 0 && size == 0);
    CHECK((NTSTATUS)WDF(273, request, length, &input, &size) == SUCCESS && input && size == length);
    CHECK((NTSTATUS)WDF(274, request, NONE, &output, NONE) == SUCCESS && output);
    CHECK((NTSTATUS)WDF(278, request, input, NONE, &in) == INVALID_USER_BUFFER && in == 0);
    CHECK((NTSTATUS)WDF(278, request, 0x10000ULL, length, &in) == ACCESS_VIOLATION && in == 0);
    CHECK((NTSTATUS)WDF(278, request, input, length, &in) == SUCCESS);
    CHECK((NTSTATUS)WDF(279, request, output, length, &out) == SUCCESS);
    from = (u8 *)WDF(194, in, &size);
    to = (u8 *)WDF(194, out, &size);
    CHECK(from && to && from != input && size == length);
    for (u64 index = 0; index < length; index++) {
        to[index] = from[length - 1 - index];
    }
    WDF(265, request, SUCCESS, length);
}

static void InCallerContext(HANDLE device, HANDLE request)
{
    PARAMETERS parameters = { sizeof(parameters) };
    NTSTATUS status;
    WDF(266, request, &parameters);
    if ((parameters.Code & 3) == 3) {
        Neither(request, parameters.Input & 0xFFFFFFFF);
        return;
    }
    status = (NTSTATUS)WDF(91, device, request);
    if (status != SUCCESS) {
        WDF(263, request, status);
    }
}

typedef struct { u32 Size, Major, Minor; } VERSION;

/* What the framework says of itself, and memory that the driver lends to an object. */
static void Versions(HANDLE request)
{
    static u8 own[4] = { 1, 2, 3, 4 }, other[2] = { 5, 6 };
    VERSION good = { sizeof(VERSION), 1, 33 }, newer = { sizeof(VERSION), 1, 34 }, small = { 4, 1, 0 };
    UNICODE_STRING text = { 0 };
    HANDLE string = 0, memory = 0;
    u64 size = 0;
    CHECK((u8)WDF(123, Driver, &good) == 1 && (u8)WDF(123, Driver, &newer) == 0 && (u8)WDF(123, Driver, &small) == 0);
    CHECK((NTSTATUS)WDF(308, NONE, NONE, &string) == SUCCESS && (NTSTATUS)WDF(122, Driver, string) == SUCCESS);
    WDF(309, string, &text);
    CHECK(text.Length > 40 && text.Buffer[0] == 'K' && text.Buffer[7] == 'M');
    WDF(208, string);
    CHECK((NTSTATUS)WDF(193, NONE, own, NONE, &memory) == INVALID_PARAMETER);
    CHECK((NTSTATUS)WDF(193, NONE, own, 4ULL, &memory) == SUCCESS && WDF(194, memory, &size) == (u64)own && size == 4);
    CHECK((NTSTATUS)WDF(195, memory, other, NONE) == INVALID_PARAMETER);
    CHECK((NTSTATUS)WDF(195, memory, other, 2ULL) == SUCCESS && WDF(194, memory, &size) == (u64)other && size == 2);
    WDF(208, memory);
    WDF(367, 0);
    WDF(265, request, SUCCESS, NONE);
}

static void Control(HANDLE queue, HANDLE request, u64 output, u64 input, u32 code)
{
    MDL *in = 0, *again = 0, *out = 0;
    u8 *buffer = 0;
    u64 size = 0;
    if ((code >> 2 & 0xFFF) == 0x801) {
        Versions(request);
        return;
    }
    CHECK((NTSTATUS)WDF(269, request, NONE, &buffer, &size) == SUCCESS);
    CHECK((NTSTATUS)WDF(271, request, &in) == SUCCESS && (NTSTATUS)WDF(271, request, &again) == SUCCESS && in == again);
    CHECK(in->Mapped == buffer && in->Count == input && (in->Flags & 4));
    CHECK((NTSTATUS)WDF(272, request, &out) == SUCCESS && out != in && out->Count == output);
    CHECK((NTSTATUS)WDF(270, request, NONE, &buffer, &size) == SUCCESS && out->Mapped == buffer);
    for (u64 index = 0; index < output; index++) {
        buffer[index] = 0x5A;
    }
    WDF(265, request, SUCCESS, output);
}

static NTSTATUS DeviceAdd(HANDLE driver, HANDLE init)
{
    static const u8 interface[16] = { 0x44, 0x33, 0x22, 0x11, 0x66, 0x55, 0x88, 0x77, 1, 2, 3, 4, 5, 6, 7, 8 };
    QUEUE_CONFIG config = { sizeof(QUEUE_CONFIG) };
    NTSTATUS status;
    Driver = driver;
    WDF(74, init, InCallerContext);
    status = (NTSTATUS)WDF(75, &init, NONE, &Device);
    if (status != SUCCESS) {
        return status;
    }
    config.DispatchType = 2;
    config.PowerManaged = 2;
    config.DefaultQueue = 1;
    config.Presented = (u32)-1;
    config.DeviceControl = Control;
    status = (NTSTATUS)WDF(152, Device, &config, NONE, NONE);
    return status == SUCCESS ? (NTSTATUS)WDF(77, Device, interface, NONE) : status;
}

#include "entry.h"
