/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Requests with memory for an I/O target: what the driver below sees of it, and what comes back. IO is how that driver takes reads and writes, its
 * device's flags: 4 buffered, 16 direct, 0 neither. A control code per subject; the answer is the lines that saw anything else than what KMDF does.
 */
#include "kmdf.h"
#include "send.h"
#include "below.h"

#define CODE(function, method) (0x22u << 16 | (function) << 2 | (method))
#define INVALID_PARAMETER ((NTSTATUS)0xC000000D)
#define OVERFLOW ((NTSTATUS)0xC0000095)
#define IO_TIMEOUT ((NTSTATUS)0xC00000B5)

typedef struct { u32 Size, Flags; long long Timeout; } OPTIONS;
typedef struct { u32 Size, Type; NTSTATUS Status; u64 Information, Parameters[6]; } PARAMS;
typedef struct { u32 Size, Flags; NTSTATUS Status; u64 NewIrp; } REUSE;
typedef struct { u64 Offset, Length; } PART;
typedef struct { u32 Type; u64 What, Second; } DESCRIPTOR;
_Static_assert(sizeof(PART) == 16 && sizeof(DESCRIPTOR) == 24, "memory");

static HANDLE Device, Local;
static u32 Wrong[64], WrongCount;
static void Is(int right, u32 line)
{
    if (!right && WrongCount < 64) {
        Wrong[WrongCount++] = line;
    }
}
#define IS(condition) Is((condition), __LINE__)

static u32 Told;
static PARAMS ToldParams;
static void Back(HANDLE request, HANDLE target, PARAMS *params, u64 context)
{
    ToldParams = *params;
    Told++;
}

static HANDLE Memory(u64 size, u8 **buffer)
{
    HANDLE memory = 0;
    IS(STATUS(192, NONE, POOL_NX, 0x74736554, size, &memory, buffer) == SUCCESS);
    return memory;
}

static HANDLE Made(void)
{
    HANDLE request = 0;
    IS(STATUS(247, NONE, Local, &request) == SUCCESS);
    return request;
}

static int SendIt(HANDLE request)
{
    WDF(260, request, Back, NONE);
    Told = 0;
    return (u8)WDF(253, request, Local, NONE) && Told == 1;
}

/* ---- 0x800: reads and writes ---- */

static void Transfers(void)
{
    const long long offset = 0x100000003;
    PART part = { 2, 3 }, all = { 0, 0 }, rest = { 5, 0 }, beyond = { 6, 3 }, wraps = { ~0ULL, 2 };
    PARAMS params = { sizeof(PARAMS) };
    REUSE reuse = { sizeof(REUSE), 0, SUCCESS };
    HANDLE request = Made(), memory;
    u8 *bytes;
    memory = Memory(8, &bytes);
    for (int i = 0; i < 8; i++) {
        bytes[i] = 1;
    }
    IS(STATUS(183, Local, request, memory, &part, &offset) == SUCCESS);
    IS(SendIt(request) && LastMajor == 3 && LastOutput == 3 && LastOffset == (u64)offset);
    IS(ToldParams.Type == 3 && ToldParams.Information == 3);
    IS(ToldParams.Parameters[0] == memory && ToldParams.Parameters[1] == 3 && ToldParams.Parameters[2] == 2);
    IS(bytes[1] == 1 && bytes[2] == 0 && bytes[3] == 1 && bytes[4] == 2 && bytes[5] == 1);
    WDF(261, request, &params);
    IS(params.Type == 3 && params.Parameters[1] == 3);
    IS(STATUS(249, request, &reuse) == SUCCESS);
    WDF(261, request, &params);
    IS(params.Type == 0xFF && params.Parameters[0] == 0); /* fxrequestcontext.cpp:124 */
    IS(STATUS(185, Local, request, memory, &rest, NONE) == SUCCESS);
    IS(SendIt(request) && LastMajor == 4 && LastOutput == 3 && LastInput == 3 && LastOffset == 0);
    IS(ToldParams.Type == 4 && ToldParams.Parameters[2] == 5);
    IS(STATUS(249, request, &reuse) == SUCCESS);
    IS(STATUS(185, Local, request, memory, &all, NONE) == SUCCESS && SendIt(request) && LastOutput == 8);
    /* Parts that are none: ifxmemory.hpp:105. */
    IS(STATUS(183, Local, request, memory, &beyond, NONE) == OVERFLOW);
    IS(STATUS(183, Local, request, memory, &wraps, NONE) == OVERFLOW);
    /* Without memory. */
    IS(STATUS(183, Local, request, NONE, NONE, NONE) == SUCCESS && SendIt(request) && LastOutput == 0);
    /* The memory is referenced while the request is formatted: its object may be deleted meanwhile. */
    IS(STATUS(249, request, &reuse) == SUCCESS);
    IS(STATUS(185, Local, request, memory, NONE, NONE) == SUCCESS);
    bytes[0] = 7;
    WDF(208, memory);
    IS(SendIt(request) && LastOutput == 8);
    WDF(208, request);
}

/* ---- 0x801: control requests, by method ---- */

static void Controls(void)
{
    PART part = { 1, 2 };
    REUSE reuse = { sizeof(REUSE), 0, SUCCESS };
    HANDLE request = Made(), input, output;
    u8 *in, *out;
    input = Memory(4, &in);
    output = Memory(6, &out);
    in[0] = 1, in[1] = 2, in[2] = 3, in[3] = 4;
    for (int i = 0; i < 6; i++) {
        out[i] = 0xEE;
    }
    IS(STATUS(187, Local, request, CODE(0xA00, 0), input, &part, output, NONE) == SUCCESS);
    IS(SendIt(request) && LastMajor == 14 && LastInput == 2 && LastOutput == 6);
    IS(out[0] == 3 && out[1] == 4 && out[2] == 0 && out[5] == 0 && in[1] == 2);
    IS(ToldParams.Type == 14 && ToldParams.Parameters[0] == CODE(0xA00, 0) && ToldParams.Parameters[1] == input);
    IS(ToldParams.Parameters[2] == 1 && ToldParams.Parameters[3] == output && ToldParams.Parameters[5] == 6);
    IS(STATUS(249, request, &reuse) == SUCCESS);
    IS(STATUS(189, Local, request, CODE(0xA00, 0), input, NONE, output, &part) == SUCCESS);
    IS(SendIt(request) && LastMajor == 15 && LastInput == 4 && LastOutput == 2 && out[1] == 2 && out[2] == 3 && out[3] == 0);
    IS(ToldParams.Type == 15 && ToldParams.Parameters[4] == 1);
    /* Out of the other's hands: LastMdl and so on are what the IRP had. */
    IS(STATUS(187, Local, request, CODE(0xFFF, 2), input, NONE, output, NONE) == SUCCESS);
    IS(SendIt(request) && LastSystem == (u64)in && LastMdlStart == (u64)out && LastMdlCount == 6 && ToldParams.Status == INVALID_DEVICE_REQUEST);
    IS(STATUS(187, Local, request, CODE(0xFFF, 3), input, NONE, output, NONE) == SUCCESS);
    IS(SendIt(request) && LastUser == (u64)out && LastType3 == (u64)in);
    IS(STATUS(191, Local, request, CODE(0xFFF, 3), input, NONE, NONE, NONE, output, NONE) == SUCCESS);
    IS(SendIt(request) && LastMajor == 15 && LastArgument1 == (u64)in && LastArgument2 == 0 && LastType3 == (u64)out);
    IS(ToldParams.Type == 0x1C && ToldParams.Parameters[0] == input && ToldParams.Parameters[3] == output);
    WDF(208, request);
    WDF(208, input);
    WDF(208, output);
}

/* ---- 0x802: waited for ---- */

static void Synchronously(void)
{
    u8 local[5] = { 9, 8, 7, 6, 5 }, answer[4] = { 0 };
    DESCRIPTOR from = { 1, (u64)local, 5 }, to = { 1, (u64)answer, 4 }, none = { 1, 0, 4 }, what = { 4, (u64)local, 1 };
    DESCRIPTOR handle = { 3 };
    OPTIONS soon = { sizeof(OPTIONS), 1, -200000 };
    const long long offset = 77;
    PART part = { 4, 2 };
    HANDLE memory, request = Made();
    u8 *bytes;
    u64 count = 99;
    IS(STATUS(186, Local, NONE, CODE(0xA00, 0), &from, &to, NONE, &count) == SUCCESS && count == 4);
    IS(LastMajor == 14 && answer[0] == 10 && answer[3] == 7);
    IS(STATUS(188, Local, NONE, CODE(0xA00, 0), NONE, &to, NONE, NONE) == SUCCESS && LastMajor == 15 && answer[0] == 0);
    IS(STATUS(182, Local, NONE, &to, &offset, NONE, &count) == SUCCESS && count == 4 && answer[3] == 3 && LastOffset == 77);
    IS(STATUS(184, Local, NONE, &from, NONE, NONE, &count) == SUCCESS && count == 5 && LastInput == 35);
    memory = Memory(8, &bytes);
    handle.What = memory;
    handle.Second = (u64)&part;
    IS(STATUS(182, Local, request, &handle, NONE, NONE, &count) == SUCCESS && count == 2 && bytes[5] == 1);
    IS(STATUS(182, Local, request, &to, NONE, NONE, &count) == SUCCESS && count == 4); /* once more, without a reuse */
    IS(STATUS(186, Local, NONE, CODE(0xFFF, 0), NONE, NONE, NONE, &count) == INVALID_DEVICE_REQUEST && count == 0);
    IS(STATUS(190, Local, NONE, CODE(0xFFF, 3), &from, NONE, &to, NONE, NONE) == INVALID_DEVICE_REQUEST);
    IS(LastArgument1 == (u64)local && LastType3 == (u64)answer);
    IS(STATUS(186, Local, NONE, CODE(0xA01, 0), &from, NONE, &soon, NONE) == IO_TIMEOUT);
    /* Descriptors that are none: fxrequestbuffer.cpp:40. */
    IS(STATUS(182, Local, NONE, &none, NONE, NONE, NONE) == INVALID_PARAMETER);
    IS(STATUS(182, Local, NONE, &what, NONE, NONE, NONE) == INVALID_PARAMETER);
    soon.Size = 8;
    IS(STATUS(182, Local, NONE, &to, NONE, &soon, NONE) == (NTSTATUS)0xC0000004);
    WDF(208, memory);
    WDF(208, request);
}

/* ---- 0x803: a client's request in another's clothes, and back ---- */

static void AnotherForIt(HANDLE request, HANDLE target, PARAMS *params, u64 context)
{
    /* Completing it puts the client's buffer back. */
    WDF(265, request, params->Status, params->Information);
}

static void Clothes(HANDLE request)
{
    HANDLE input = 0, output = 0;
    OPTIONS forget = { sizeof(OPTIONS), 8, 0 };
    NTSTATUS status = STATUS(267, request, &input);
    status = status == SUCCESS ? STATUS(268, request, &output) : status;
    status = status == SUCCESS ? STATUS(189, Local, request, CODE(0xA00, 0), input, NONE, output, NONE) : status;
    if (status != SUCCESS) {
        WDF(263, request, status);
        return;
    }
    /* A format is in it: it cannot be forgotten (fxrequestapi.cpp:1956). */
    if ((u8)WDF(253, request, Local, &forget) || STATUS(254, request) != INVALID_DEVICE_REQUEST) {
        return;
    }
    WDF(260, request, AnotherForIt, NONE);
    if (!(u8)WDF(253, request, Local, NONE)) {
        WDF(263, request, STATUS(254, request));
    }
}

static void Control(HANDLE queue, HANDLE request, u64 output, u64 input, u32 code)
{
    static void (*const subjects[])(void) = { Transfers, Controls, Synchronously };
    void *buffer = 0;
    u64 length = 0;
    if (FUNCTION(code) == 0x803) {
        Clothes(request);
        return;
    }
    WrongCount = 0;
    subjects[FUNCTION(code) & 3]();
    if (STATUS(270, request, 1ULL, &buffer, &length) == SUCCESS) {
        memcpy(buffer, Wrong, WrongCount * 4);
    }
    WDF(265, request, SUCCESS, (u64)WrongCount * 4);
}

static NTSTATUS DeviceAdd(HANDLE driver, HANDLE init)
{
    NTSTATUS status = MakeLower(driver, init, IO);
    status = status == SUCCESS ? STATUS(75, &init, NONE, &Device) : status;
    if (status != SUCCESS) {
        return status;
    }
    Local = WDF(42, Device);
    return Serve(Device, Control);
}

#include "entry.h"
