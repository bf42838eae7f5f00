/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Requests as another driver in the kernel sends them. Layouts are wdm.h's.
 */
typedef struct {
    u8 Major, Minor, Flags, Control;
    u64 Parameters[4];
    u64 DeviceObject, FileObject;
    void *CompletionRoutine;
    u64 Context;
} STACK_LOCATION;
typedef struct {
    u16 Type, Size;
    u32 Before;
    u64 Mdl;
    u32 Flags;
    u64 SystemBuffer, ThreadListEntry[2];
    NTSTATUS Status;
    u64 Information;
    u8 RequestorMode, Rest[7];
    u64 UserIosb, UserEvent, Overlay[2], CancelRoutine, UserBuffer, DriverContext[4], Thread, Auxiliary, ListEntry[2];
    STACK_LOCATION *Current;
} IRP;
_Static_assert(sizeof(STACK_LOCATION) == 72, "IO_STACK_LOCATION");
_Static_assert(__builtin_offsetof(IRP, Status) == 0x30 && __builtin_offsetof(IRP, UserBuffer) == 0x70, "IRP");
_Static_assert(__builtin_offsetof(IRP, Current) == 0xB8, "IRP");

__declspec(dllimport) IRP *IoAllocateIrp(char stack_size, u8 charge);
__declspec(dllimport) void IoFreeIrp(IRP *irp);
__declspec(dllimport) u8 IoCancelIrp(IRP *irp);
__declspec(dllimport) NTSTATUS IofCallDriver(void *device, IRP *irp);
static const long long Millisecond = -10000;

static NTSTATUS Done(void *device, IRP *irp, volatile u8 *done)
{
    *done = 1;
    return (NTSTATUS)0xC0000016; /* STATUS_MORE_PROCESSING_REQUIRED */
}

typedef struct { IRP *Irp; volatile u8 Done; } SENT;

/* The device object that requests go to. */
static u64 Target;

static void Send(SENT *sent, u8 major, u32 code, u32 output, u32 input)
{
    STACK_LOCATION *next;
    sent->Done = 0;
    sent->Irp = IoAllocateIrp(((char *)Target)[0x4C], 0);
    next = sent->Irp->Current - 1;
    next->Major = major;
    next->Parameters[0] = output;
    next->Parameters[1] = major == 14 || major == 15 ? 0xABCD000000000000ULL | input : 0;
    next->Parameters[2] = code;
    next->CompletionRoutine = Done;
    next->Context = (u64)&sent->Done;
    next->Control = 0xE0;
    sent->Irp->RequestorMode = 0;
}

static void Go(SENT *sent)
{
    IofCallDriver((void *)Target, sent->Irp);
}

static int IsDone(SENT *sent)
{
    for (int i = 0; i < 500 && !sent->Done; i++) {
        KeDelayExecutionThread(0, 0, &Millisecond);
    }
    return sent->Done;
}
