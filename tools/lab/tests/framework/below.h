/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A WDM device of the same driver below its KMDF one: what a driver of another image would be in the stack. A KMDF driver may have such devices if it
 * puts routines of its own before the framework's in its driver object, after WdfDriverCreate.
 *
 * Control codes say what becomes of a request: 0xA00 it is done at once; 0xA01 it waits and can be cancelled; 0xA02 it waits and cannot.
 */
__declspec(dllimport) NTSTATUS IoCreateDevice(void *driver, u32 extension, void *name, u32 type, u32 characteristics, u8 exclusive, void **device);
__declspec(dllimport) void *IoAttachDeviceToDeviceStack(void *source, void *target);
__declspec(dllimport) void IoDetachDevice(void *target);
__declspec(dllimport) void IoDeleteDevice(void *device);
__declspec(dllimport) void IofCompleteRequest(IRP *irp, char boost);
__declspec(dllimport) void IoReleaseCancelSpinLock(u8 irql);

#define FUNCTION(code) ((code) >> 2 & 0xFFF)
#define FLAGS(device) (*(u32 *)((u8 *)(device) + 0x30))
#define INITIALIZING 0x80

typedef NTSTATUS DISPATCH(void *device, IRP *irp);

static DISPATCH *Framework[28];
static u8 *Lower, *Bottom;
static volatile long Arrived, Completed;
static u32 Majors[28], LastMajor, LastCode, LastInput, LastOutput;
static u64 LastOffset, LastFile, LastSystem, LastUser, LastType3, LastArgument1, LastArgument2, LastMdlStart, LastMdlCount;

/* Where the bytes of a read or write are, by the flags of the device. */
static u8 *Transfer(IRP *irp)
{
    u8 *mdl = (u8 *)irp->Mdl;
    if (FLAGS(Lower) & 4) {
        return (u8 *)irp->SystemBuffer;
    }
    /* Nothing here is paged: StartVa and ByteOffset are what the driver above sent. */
    return FLAGS(Lower) & 16 ? mdl ? *(u8 **)(mdl + 32) + *(u32 *)(mdl + 44) : 0 : (u8 *)irp->UserBuffer;
}

/* Those that wait. */
#define MOST 8
static u64 WaitingLock;
static IRP *Waiting[MOST];

static IRP *TakeWaiting(IRP *wanted)
{
    u8 irql = KeAcquireSpinLockRaiseToDpc(&WaitingLock);
    IRP *found = 0;
    for (int i = 0; i < MOST && !found; i++) {
        if (Waiting[i] && (!wanted || Waiting[i] == wanted)) {
            found = Waiting[i];
            Waiting[i] = 0;
        }
    }
    KeReleaseSpinLock(&WaitingLock, irql);
    return found;
}

static NTSTATUS Finish(IRP *irp, NTSTATUS status, u64 information)
{
    irp->Status = status;
    irp->Information = information;
    __atomic_add_fetch(&Completed, 1, __ATOMIC_SEQ_CST);
    IofCompleteRequest(irp, 0);
    return status;
}

static void Cancelled(void *device, IRP *irp)
{
    IoReleaseCancelSpinLock(irp->Rest[4]);
    if (TakeWaiting(irp)) {
        Finish(irp, CANCELLED, 0);
    }
}

/* Completes one that waits; 0 if there is none, or it is being cancelled. */
static int Release(NTSTATUS status, u64 information)
{
    IRP *irp = TakeWaiting(0);
    if (!irp) {
        return 0;
    }
    if (irp->CancelRoutine && !__atomic_exchange_n(&irp->CancelRoutine, 0, __ATOMIC_SEQ_CST)) {
        return 0;
    }
    Finish(irp, status, information);
    return 1;
}

static NTSTATUS Wait(IRP *irp, int cancelable)
{
    u8 irql;
    int cancelled = 0;
    irp->Current->Control |= 1; /* IoMarkIrpPending */
    irql = KeAcquireSpinLockRaiseToDpc(&WaitingLock);
    if (cancelable) {
        __atomic_store_n(&irp->CancelRoutine, (u64)Cancelled, __ATOMIC_SEQ_CST);
        /* Rest[3] is IRP.Cancel. */
        cancelled = irp->Rest[3] && __atomic_exchange_n(&irp->CancelRoutine, 0, __ATOMIC_SEQ_CST);
    }
    for (int i = 0; i < MOST && !cancelled; i++) {
        if (!Waiting[i]) {
            Waiting[i] = irp;
            break;
        }
    }
    KeReleaseSpinLock(&WaitingLock, irql);
    if (cancelled) {
        Finish(irp, CANCELLED, 0);
    }
    return PENDING;
}

static NTSTATUS SkipDown(IRP *irp)
{
    irp->Rest[2]++; /* CurrentLocation */
    irp->Current++;
    return IofCallDriver(Bottom, irp);
}

static NTSTATUS Below(void *device, IRP *irp)
{
    STACK_LOCATION *stack = irp->Current;
    u8 *bytes = (u8 *)irp->SystemBuffer;
    NTSTATUS status;
    if (stack->Major == 0x1B && stack->Minor == 2) {
        status = SkipDown(irp);
        IoDetachDevice(Bottom);
        IoDeleteDevice(Lower);
        Lower = 0;
        return status;
    }
    if (stack->Major == 0x1B || stack->Major == 0x16 || stack->Major == 0x17) {
        return SkipDown(irp);
    }
    __atomic_add_fetch(&Arrived, 1, __ATOMIC_SEQ_CST);
    LastMajor = stack->Major;
    Majors[LastMajor]++;
    LastFile = stack->FileObject;
    LastCode = (u32)stack->Parameters[2];
    LastOutput = (u32)stack->Parameters[0];
    LastInput = (u32)stack->Parameters[1];
    LastOffset = stack->Parameters[2];
    LastSystem = irp->SystemBuffer;
    LastUser = irp->UserBuffer;
    LastArgument1 = stack->Parameters[0];
    LastArgument2 = stack->Parameters[1];
    LastType3 = stack->Parameters[3];
    LastMdlStart = irp->Mdl ? *(u64 *)(irp->Mdl + 32) + *(u32 *)(irp->Mdl + 44) : 0;
    LastMdlCount = irp->Mdl ? *(u32 *)(irp->Mdl + 40) : 0;
    switch (stack->Major) {
    case 0: case 2: case 0x12:
        return Finish(irp, SUCCESS, 0);
    case 3: /* counts up */
        bytes = Transfer(irp);
        for (u32 i = 0; i < LastOutput; i++) {
            bytes[i] = (u8)i;
        }
        return Finish(irp, SUCCESS, LastOutput);
    case 4: /* remembers the sum */
        bytes = Transfer(irp);
        LastInput = 0;
        for (u32 i = 0; i < LastOutput; i++) {
            LastInput += bytes[i];
        }
        return Finish(irp, SUCCESS, LastOutput);
    case 14: case 15:
        switch (FUNCTION(LastCode)) {
        case 0xA00: /* each byte one more */
            for (u32 i = 0; i < LastOutput; i++) {
                bytes[i] = i < LastInput ? bytes[i] + 1 : 0;
            }
            return Finish(irp, SUCCESS, LastOutput);
        case 0xA01:
            return Wait(irp, 1);
        case 0xA02:
            return Wait(irp, 0);
        }
    }
    return Finish(irp, INVALID_DEVICE_REQUEST, 0);
}

static NTSTATUS Dispatch(void *device, IRP *irp)
{
    return device == Lower ? Below(device, irp) : Framework[irp->Current->Major](device, irp);
}

/* Makes the device, on top of the physical one, in EvtDriverDeviceAdd. `flags` are how it takes reads and writes. */
static NTSTATUS MakeLower(HANDLE driver, HANDLE init, u32 flags)
{
    u8 *object = (u8 *)WDF(118, driver);
    DISPATCH **routines = (DISPATCH **)(object + 0x70);
    void *made = 0;
    NTSTATUS status = IoCreateDevice(object, 0, 0, 0x15, 2, 0, &made);
    if (status != SUCCESS) {
        return status;
    }
    Lower = made;
    FLAGS(Lower) |= flags;
    Bottom = IoAttachDeviceToDeviceStack(Lower, (void *)WDF(124, init));
    FLAGS(Lower) &= ~INITIALIZING;
    for (int i = 0; i < 28 && routines[0] != Dispatch; i++) {
        Framework[i] = routines[i];
    }
    for (int i = 0; i < 28; i++) {
        routines[i] = Dispatch;
    }
    return SUCCESS;
}

/* The KMDF device above takes control requests, as they come and whatever its power state, and has the tests' interface. */
static NTSTATUS Serve(HANDLE device, void *control)
{
    static const u8 interface[16] = { 0x44, 0x33, 0x22, 0x11, 0x66, 0x55, 0x88, 0x77, 1, 2, 3, 4, 5, 6, 7, 8 };
    QUEUE_CONFIG config = { sizeof(QUEUE_CONFIG) };
    NTSTATUS status;
    config.DispatchType = 2;
    config.PowerManaged = 2;
    config.DefaultQueue = 1;
    config.Presented = (u32)-1;
    config.DeviceControl = control;
    status = STATUS(152, device, &config, NONE, NONE);
    return status == SUCCESS ? STATUS(77, device, interface, NONE) : status;
}
