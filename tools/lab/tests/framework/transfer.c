/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reads and writes: what is written can be read again. IO is WDF_DEVICE_IO_TYPE (2 buffered, 3 direct), ZERO whether the driver wants requests
 * of no bytes. Every call's result is looked at; the first line that was wrong fails the request with 0xE000 and that line.
 */
#include "kmdf.h"

#define CHECK(condition) do { if (!(condition)) { WDF(263, request, (NTSTATUS)(0xE0000000 | __LINE__)); return; } } while (0)
#define BUFFER_TOO_SMALL ((NTSTATUS)0xC0000023)
#define INVALID_PARAMETER ((NTSTATUS)0xC000000D)

static u8 Stored[64];
static u64 StoredLength, LastOffset;

typedef struct { u16 Size; u8 Minor; u32 Type; u64 Length; u32 Key; u64 Offset; u64 Rest; } PARAMETERS;

static u64 Offset(HANDLE request)
{
    PARAMETERS parameters = { sizeof(parameters) };
    WDF(266, request, &parameters);
    return parameters.Offset;
}

static void Write(HANDLE queue, HANDLE request, u64 length)
{
    HANDLE memory = 1, again = 0;
    u64 size = 0;
    u8 *buffer = 0;
    LastOffset = Offset(request);
    CHECK((NTSTATUS)WDF(268, request, &again) == INVALID_DEVICE_REQUEST && again == 0);
    if (length == 0) {
        CHECK((NTSTATUS)WDF(267, request, &memory) == BUFFER_TOO_SMALL && memory == 0);
        WDF(265, request, SUCCESS, NONE);
        return;
    }
    CHECK((NTSTATUS)WDF(267, request, &memory) == SUCCESS && (NTSTATUS)WDF(267, request, &again) == SUCCESS && memory == again);
    CHECK((NTSTATUS)WDF(269, request, NONE, &buffer, &size) == SUCCESS && size == length);
    CHECK(WDF(194, memory, &size) == (u64)buffer && size == length);
    CHECK((NTSTATUS)WDF(196, memory, NONE, Stored, NONE) == INVALID_PARAMETER);
    CHECK((NTSTATUS)WDF(196, memory, 1ULL, Stored, length) == BUFFER_TOO_SMALL);
    CHECK(length <= sizeof(Stored) && (NTSTATUS)WDF(196, memory, NONE, Stored, length) == SUCCESS);
    StoredLength = length;
    WDF(265, request, SUCCESS, length);
}

static void Read(HANDLE queue, HANDLE request, u64 length)
{
    HANDLE memory = 0;
    u64 count = length < StoredLength ? length : StoredLength;
    LastOffset = Offset(request);
    if (length == 0) {
        WDF(265, request, SUCCESS, NONE);
        return;
    }
    CHECK((NTSTATUS)WDF(267, request, &memory) == INVALID_DEVICE_REQUEST && memory == 0);
    CHECK((NTSTATUS)WDF(268, request, &memory) == SUCCESS && memory);
    CHECK((NTSTATUS)WDF(197, memory, length, Stored, 1ULL) == BUFFER_TOO_SMALL);
    CHECK((NTSTATUS)WDF(197, memory, NONE, Stored, count) == SUCCESS);
    WDF(265, request, SUCCESS, count);
}

/* The offset of the last read or write, by way of its output memory. */
static void Control(HANDLE queue, HANDLE request, u64 output, u64 input, u32 code)
{
    HANDLE memory = 0;
    CHECK((NTSTATUS)WDF(268, request, &memory) == SUCCESS);
    CHECK((NTSTATUS)WDF(197, memory, NONE, &LastOffset, 8ULL) == SUCCESS);
    WDF(265, request, SUCCESS, 8ULL);
}

static NTSTATUS DeviceAdd(HANDLE driver, HANDLE init)
{
    static const u8 interface[16] = { 0x44, 0x33, 0x22, 0x11, 0x66, 0x55, 0x88, 0x77, 1, 2, 3, 4, 5, 6, 7, 8 };
    QUEUE_CONFIG config = { sizeof(QUEUE_CONFIG) };
    HANDLE device = 0;
    NTSTATUS status;
    WDF(61, init, (u64)IO);
    status = (NTSTATUS)WDF(75, &init, NONE, &device);
    if (status != SUCCESS) {
        return status;
    }
    config.DispatchType = 1;
    config.PowerManaged = 2;
    config.AllowZeroLength = ZERO;
    config.DefaultQueue = 1;
    config.Read = Read;
    config.Write = Write;
    config.DeviceControl = Control;
    status = (NTSTATUS)WDF(152, device, &config, NONE, NONE);
    return status == SUCCESS ? (NTSTATUS)WDF(77, device, interface, NONE) : status;
}

#include "entry.h"
