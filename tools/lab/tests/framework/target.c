/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * I/O targets and what is sent to them: a control code per subject, which `target.rs` names. The answer is the lines that saw anything else than what
 * KMDF does, as u32s. Sources, beside the lines, are those of shared/targets/general and shared/core of microsoft/Windows-Driver-Frameworks.
 */
#include "kmdf.h"
#include "send.h"
#include "below.h"

__declspec(dllimport) u8 KeGetCurrentIrql(void);

#define INVALID_PARAMETER ((NTSTATUS)0xC000000D)
#define INVALID_DEVICE_STATE ((NTSTATUS)0xC0000184)
#define NOT_ACCEPTED ((NTSTATUS)0xC00000D0)
#define IO_TIMEOUT ((NTSTATUS)0xC00000B5)
#define REMOVED_NOT_SENT ((NTSTATUS)0xC0200206)
#define INVALID_STATE ((NTSTATUS)0xC0200208)
#define CODE(function) (0x22u << 16 | (function) << 2)

#define TIMEOUT 1
#define SYNCHRONOUS 2
#define IGNORE_STATE 4
#define FORGET 8
typedef struct { u32 Size, Flags; long long Timeout; } OPTIONS;
typedef struct { u32 Size, Type; NTSTATUS Status; u64 Information, Parameters[6]; } PARAMS;
typedef struct { u32 Size, Flags; NTSTATUS Status; u64 NewIrp; } REUSE;
_Static_assert(sizeof(OPTIONS) == 16 && sizeof(PARAMS) == 72 && sizeof(REUSE) == 24, "requests");

static HANDLE Device, Local, Manual;
static u32 Wrong[64], WrongCount;
static void Is(int right, u32 line)
{
    if (!right && WrongCount < 64) {
        Wrong[WrongCount++] = line;
    }
}
#define IS(condition) Is((condition), __LINE__)

/* ---- what a completion routine was told last ---- */

static volatile long Told;
static HANDLE ToldRequest, ToldTarget;
static PARAMS ToldParams;
static u64 ToldContext;

static void Back(HANDLE request, HANDLE target, PARAMS *params, u64 context)
{
    ToldRequest = request;
    ToldTarget = target;
    ToldParams = *params;
    ToldContext = context;
    __atomic_add_fetch(&Told, 1, __ATOMIC_SEQ_CST);
}

static int IsTold(long count)
{
    for (int i = 0; i < 1000 && Told < count; i++) {
        KeDelayExecutionThread(0, 0, &Millisecond);
    }
    return Told == count;
}

static HANDLE Made(void)
{
    HANDLE request = 0;
    IS(STATUS(247, NONE, Local, &request) == SUCCESS);
    return request;
}

static void Format(HANDLE request, u32 function)
{
    STACK_LOCATION stack = { 15 };
    stack.Parameters[2] = CODE(function);
    WDF(252, request, &stack);
}

/* Sends a request of the driver's own; whether it went. */
static int SendIt(HANDLE request, u32 function, u32 flags, long long timeout)
{
    OPTIONS options = { sizeof(OPTIONS), flags, timeout };
    Format(request, function);
    WDF(260, request, Back, 0x77ULL);
    return (u8)WDF(253, request, Local, &options);
}

static NTSTATUS Reuse(HANDLE request)
{
    REUSE reuse = { sizeof(REUSE), 0, SUCCESS };
    return STATUS(249, request, &reuse);
}

/* ---- 0x800: the local target ---- */

static void TheTarget(void)
{
    IS(Local && WDF(42, Device) == Local);
    IS(WDF(173, Local) == 1 && WDF(174, Local) == Device);
    IS(WDF(178, Local) == (u64)Lower && WDF(179, Local) == (u64)Bottom && WDF(32, Device) == (u64)Lower);
}

/* ---- 0x801: what is refused, and with what ---- */

static void Refusals(void)
{
    OPTIONS options = { 12, 0 };
    HANDLE request = Made(), other = 0;
    REUSE reuse = { sizeof(REUSE), 4, SUCCESS };
    IS(!(u8)WDF(253, request, Local, NONE) && STATUS(254, request) == NOT_ACCEPTED); /* not formatted: fxiotarget.cpp:1203 */
    Format(request, 0xA00);
    IS(!(u8)WDF(253, request, Local, &options) && STATUS(254, request) == INVALID_PARAMETER); /* fxrequestvalidatefunctions.hpp:66 */
    options.Size = sizeof(OPTIONS);
    options.Flags = 0x10;
    IS(!(u8)WDF(253, request, Local, &options) && STATUS(254, request) == INVALID_PARAMETER);
    options.Flags = FORGET | IGNORE_STATE;
    IS(!(u8)WDF(253, request, Local, &options) && STATUS(254, request) == INVALID_PARAMETER); /* :93 */
    options.Flags = FORGET;
    IS(!(u8)WDF(253, request, Local, &options) && STATUS(254, request) == INVALID_DEVICE_STATE); /* fxrequestapi.cpp:1943 */
    IS(STATUS(249, request, &reuse) == INVALID_PARAMETER);
    reuse.Size = 16;
    IS(STATUS(249, request, &reuse) == INVALID_PARAMETER);
    WDF(208, request);
    /* Cancelled before it is sent: fxiotarget.cpp:1526. A reuse takes that back. */
    request = Made();
    Arrived = 0;
    IS(!(u8)WDF(258, request));
    IS(!SendIt(request, 0xA00, 0, 0) && STATUS(254, request) == CANCELLED && Arrived == 0);
    IS(Reuse(request) == SUCCESS);
    Told = 0;
    IS(SendIt(request, 0xA00, 0, 0) && IsTold(1) && Arrived == 1);
    WDF(208, request);
    /* Without a target it has no IRP until one is named. */
    IS(STATUS(247, NONE, NONE, &other) == SUCCESS);
    IS(STATUS(250, other, Local) == SUCCESS && WDF(285, other));
    Told = 0;
    IS(SendIt(other, 0xA00, 0, 0) && IsTold(1));
    WDF(208, other);
}

/* ---- 0x802: there and back ---- */

static void RoundTrips(void)
{
    HANDLE request = Made();
    Told = 0;
    IS(SendIt(request, 0xA00, 0, 0) && Told == 1);
    IS(ToldRequest == request && ToldTarget == Local && ToldContext == 0x77);
    IS(ToldParams.Size == sizeof(PARAMS) && ToldParams.Type == 0xFF && ToldParams.Status == SUCCESS); /* fxrequestbase.cpp:455 */
    IS(STATUS(254, request) == SUCCESS);
    /* It is formatted no more: fxrequestbase.cpp:511. Its routine is gone, too. */
    IS(!(u8)WDF(253, request, Local, NONE) && STATUS(254, request) == NOT_ACCEPTED);
    IS(Reuse(request) == SUCCESS);
    Format(request, 0xFFF);
    IS((u8)WDF(253, request, Local, NONE) && Told == 1 && STATUS(254, request) == INVALID_DEVICE_REQUEST);
    IS(Reuse(request) == SUCCESS);
    /* Completed later, at DISPATCH_LEVEL or not: here, from this thread. */
    IS(SendIt(request, 0xA02, 0, 0) && Told == 1);
    IS(Release(UNSUCCESSFUL, 5) && Told == 2 && ToldParams.Status == UNSUCCESSFUL && ToldParams.Information == 5);
    WDF(208, request);
}

/* ---- 0x803: cancelled while it is sent ---- */

static void Cancellation(void)
{
    HANDLE request = Made();
    Told = 0;
    IS(SendIt(request, 0xA01, 0, 0) && Told == 0);
    IS((u8)WDF(258, request) && Told == 1 && ToldParams.Status == CANCELLED);
    IS(!(u8)WDF(258, request)); /* it is back */
    IS(Reuse(request) == SUCCESS);
    /* What the driver below does not let be cancelled comes back when that driver likes. */
    IS(SendIt(request, 0xA02, 0, 0) && !(u8)WDF(258, request) && Told == 1);
    IS(Release(SUCCESS, 0) && Told == 2 && ToldParams.Status == SUCCESS);
    WDF(208, request);
}

/* ---- 0x804: with a timeout ---- */

static void Timeouts(void)
{
    HANDLE request = Made();
    OPTIONS options = { sizeof(OPTIONS), SYNCHRONOUS | TIMEOUT, -200000 };
    Told = 0;
    IS(STATUS(262, request) == SUCCESS && STATUS(262, request) == SUCCESS);
    IS(SendIt(request, 0xA01, TIMEOUT, -200000) && IsTold(1) && ToldParams.Status == IO_TIMEOUT); /* fxiotarget.cpp:2107 */
    IS(Reuse(request) == SUCCESS);
    IS(SendIt(request, 0xA00, TIMEOUT, -10000000) && Told == 2 && ToldParams.Status == SUCCESS);
    IS(Reuse(request) == SUCCESS);
    /* A timeout of 0 is none. */
    IS(SendIt(request, 0xA01, TIMEOUT, 0) && Release(SUCCESS, 0) && Told == 3);
    IS(Reuse(request) == SUCCESS);
    Format(request, 0xA01);
    IS((u8)WDF(253, request, Local, &options) && STATUS(254, request) == IO_TIMEOUT && Told == 3);
    WDF(208, request);
}

/* ---- 0x805: stopped, purged and started ---- */

static void Later(HANDLE timer) { Release(SUCCESS, 0); }

static HANDLE ReleaseLater(void)
{
    TIMER_CONFIG config = { sizeof(TIMER_CONFIG), Later, 0, 0, 0, 0 };
    ATTRIBUTES attributes = Attributes(Device, 0);
    HANDLE timer = 0;
    IS(STATUS(318, &config, &attributes, &timer) == SUCCESS);
    WDF(319, timer, -300000LL);
    return timer;
}

static void States(void)
{
    HANDLE first = Made(), second = Made(), timer;
    Told = 0;
    Arrived = 0;
    /* What is sent to a stopped target waits for its start. */
    WDF(172, Local, 3);
    IS(WDF(173, Local) == 2);
    IS(SendIt(first, 0xA00, 0, 0) && Told == 0 && Arrived == 0);
    IS(SendIt(second, 0xA00, IGNORE_STATE, 0) && Told == 1 && Arrived == 1);
    IS(STATUS(171, Local) == SUCCESS && Told == 2 && Arrived == 2 && WDF(173, Local) == 1);
    /* And can be cancelled there, at once. */
    WDF(172, Local, 3);
    IS(Reuse(first) == SUCCESS && SendIt(first, 0xA00, 0, 0));
    IS((u8)WDF(258, first) && Told == 3 && ToldParams.Status == CANCELLED && Arrived == 2);
    IS(Reuse(first) == SUCCESS && SendIt(first, 0xA00, TIMEOUT, -200000) && IsTold(4) && ToldParams.Status == IO_TIMEOUT && Arrived == 2);
    /* A purge ends what waits, and refuses what comes: fxiotarget.cpp:550, :1427. */
    IS(Reuse(first) == SUCCESS && SendIt(first, 0xA00, 0, 0));
    WDF(420, Local, 2);
    IS(WDF(173, Local) == 6 && Told == 5 && ToldParams.Status == REMOVED_NOT_SENT);
    IS(Reuse(first) == SUCCESS && !SendIt(first, 0xA00, 0, 0) && STATUS(254, first) == INVALID_DEVICE_STATE);
    IS(STATUS(171, Local) == SUCCESS && WDF(173, Local) == 1);
    /* Stopped: what was sent is cancelled, or waited for, or neither. */
    IS(Reuse(first) == SUCCESS && SendIt(first, 0xA01, 0, 0));
    WDF(172, Local, 1);
    IS(Told == 6 && ToldParams.Status == CANCELLED && WDF(173, Local) == 2);
    IS(STATUS(171, Local) == SUCCESS);
    IS(Reuse(first) == SUCCESS && SendIt(first, 0xA02, 0, 0));
    timer = ReleaseLater();
    WDF(172, Local, 2);
    IS(Told == 7 && ToldParams.Status == SUCCESS);
    WDF(208, timer);
    IS(STATUS(171, Local) == SUCCESS && Reuse(first) == SUCCESS && SendIt(first, 0xA02, 0, 0));
    WDF(172, Local, 3);
    WDF(172, Local, 9); /* no such action */
    IS(Told == 7 && WDF(173, Local) == 2);
    timer = ReleaseLater();
    WDF(420, Local, 1);
    IS(Told == 8 && ToldParams.Status == SUCCESS && WDF(173, Local) == 6);
    WDF(208, timer);
    IS(STATUS(171, Local) == SUCCESS);
    WDF(208, first);
    WDF(208, second);
}

/* ---- 0x806: IRPs of the driver's ---- */

static void Irps(void)
{
    REUSE reuse = { sizeof(REUSE), 1, UNSUCCESSFUL };
    IRP *small = IoAllocateIrp(1, 0), *large = IoAllocateIrp(4, 0);
    HANDLE request = 0;
    IS(STATUS(248, NONE, small, 0, &request) == SUCCESS && WDF(285, request) == (u64)small);
    IS(STATUS(250, request, Local) == NOT_ACCEPTED); /* two devices are below: fxrequestbase.cpp:367 */
    reuse.NewIrp = (u64)large;
    IS(STATUS(249, request, &reuse) == SUCCESS && WDF(285, request) == (u64)large);
    IS(STATUS(250, request, Local) == SUCCESS && WDF(285, request) == (u64)large);
    Told = 0;
    IS(SendIt(request, 0xA00, 0, 0) && Told == 1);
    WDF(208, request);
    IoFreeIrp(small);
    IoFreeIrp(large);
    IS(STATUS(248, NONE, IoAllocateIrp(2, 0), 1, &request) == SUCCESS);
    IS(SendIt(request, 0xA00, 0, 0) && Told == 2);
    WDF(208, request); /* and its IRP */
    request = Made();
    reuse.NewIrp = 0;
    IS(WDF(285, request) != 0);
    reuse.Flags = 0;
    IS(STATUS(249, request, &reuse) == SUCCESS && STATUS(254, request) == UNSUCCESSFUL);
    WDF(208, request);
}

/* ---- 0x807: the sender waits ---- */

static void Synchronous(void)
{
    HANDLE request = Made(), timer;
    IS(SendIt(request, 0xA00, SYNCHRONOUS, 0) && STATUS(254, request) == SUCCESS);
    IS(Told == 1 && ToldContext == 0x77); /* its routine is called all the same: fxiotarget.cpp:2645 */
    IS(Reuse(request) == SUCCESS);
    Format(request, 0xA02);
    timer = ReleaseLater();
    Told = 0;
    {
        OPTIONS options = { sizeof(OPTIONS), SYNCHRONOUS, 0 };
        IS((u8)WDF(253, request, Local, &options) && STATUS(254, request) == SUCCESS && Told == 0);
    }
    WDF(208, timer);
    WDF(420, Local, 2);
    IS(Reuse(request) == SUCCESS && !SendIt(request, 0xA00, SYNCHRONOUS, 0) && STATUS(254, request) == INVALID_DEVICE_STATE);
    IS(STATUS(171, Local) == SUCCESS);
    /* Its routine is still set. */
    Told = 0;
    Format(request, 0xA00);
    IS((u8)WDF(253, request, Local, NONE) && Told == 1);
    WDF(208, request);
}

/* ---- requests of clients, sent on ---- */

static void SentOn(HANDLE request, HANDLE target, PARAMS *params, u64 context)
{
    WDF(265, request, params->Status, params->Information);
}

static void Pass(HANDLE request)
{
    WDF(251, request);
    WDF(260, request, SentOn, NONE);
    if (!(u8)WDF(253, request, Local, NONE)) {
        WDF(263, request, STATUS(254, request));
    }
}

static void CancelCallback(HANDLE request) { WDF(263, request, CANCELLED); }

static void WithOptions(HANDLE request, u32 function)
{
    OPTIONS options = { sizeof(OPTIONS), function == 0x810 ? SYNCHRONOUS : FORGET, 0 };
    switch (function) {
    case 0x810: /* waits, and completes it then */
    case 0x813: /* of another type than it came as */
        if (function == 0x810) {
            WDF(251, request);
        } else {
            options.Flags = SYNCHRONOUS;
            Format(request, 0xA00);
        }
        if ((u8)WDF(253, request, Local, &options)) {
            WDF(265, request, STATUS(254, request), WDF(276, request));
        } else {
            WDF(263, request, STATUS(254, request));
        }
        return;
    case 0x811: /* without a routine */
        WDF(251, request);
        WDF(253, request, Local, NONE);
        WDF(263, request, STATUS(254, request));
        return;
    case 0x812: /* forgotten */
        if (!(u8)WDF(253, request, Local, &options)) {
            WDF(263, request, UNSUCCESSFUL);
        }
        return;
    }
}

static void RequestCleanup(HANDLE request) { DbgPrint("trace RequestCleanup\n"); }

/* A frame of its own, so that reports can name it. */
__attribute__((noinline)) static void Misuse(HANDLE queue, HANDLE request, u32 function)
{
    OPTIONS forget = { sizeof(OPTIONS), FORGET, 0 };
    struct { u16 Size; u8 Minor; u32 Type; u64 Rest[4]; } parameters = { sizeof(parameters) };
    PARAMS params = { sizeof(PARAMS) };
    HANDLE other = 0;
    switch (function) {
    case 0x900: /* completes what it has sent */
    case 0x901: /* forwards it */
    case 0x902: /* sends it twice */
    case 0x903: /* reuses it */
        Format(request, 0xA02);
        WDF(260, request, SentOn, NONE);
        WDF(253, request, Local, NONE);
        if (function == 0x900) {
            WDF(263, request, SUCCESS);
        } else if (function == 0x901) {
            WDF(281, request, Manual);
        } else if (function == 0x902) {
            WDF(253, request, Local, NONE);
        } else {
            Reuse(request);
        }
        return;
    case 0x904: /* deletes what it has sent */
        other = Made();
        SendIt(other, 0xA02, 0, 0);
        WDF(208, other);
        break;
    case 0x905: /* sends what is cancelable */
        WDF(255, request, CancelCallback);
        Pass(request);
        return;
    case 0x906: /* completes what it made */
        other = Made();
        WDF(263, other, SUCCESS);
        break;
    case 0x907: /* asks what it made for its parameters */
        other = Made();
        WDF(266, other, &parameters);
        break;
    case 0x908: /* formats what has no IRP */
        WDF(247, NONE, NONE, &other);
        Format(other, 0xA00);
        break;
    case 0x909: /* references what it made, and forgets it */
        other = Made();
        WDF(205, other, NONE, NONE, NONE);
        break;
    case 0x90A: /* asks for what no format has put there */
        other = Made();
        Told = 0;
        SendIt(other, 0xA00, 0, 0);
        WDF(261, other, &params);
        break;
    case 0x90B: /* deletes the framework's target */
        WDF(208, Local);
        break;
    case 0x90C: /* forgets what has a completion routine */
        WDF(260, request, SentOn, NONE);
        WDF(253, request, Local, &forget);
        return;
    case 0x90D: /* deletes what is the queue's */
        WDF(208, request);
        return;
    case 0x90E: /* waits at DISPATCH_LEVEL */
        other = Made();
        KfRaiseIrql(2);
        SendIt(other, 0xA00, SYNCHRONOUS, 0);
        KeLowerIrql(0);
        break;
    case 0x90F: /* waits for what does not come */
        SendIt(Made(), 0xA02, SYNCHRONOUS, 0);
        break;
    case 0x910: /* and the target goes with what does not come: at the removal */
        SendIt(Made(), 0xA02, 0, 0);
        break;
    }
    WDF(263, request, SUCCESS);
}

static void Control(HANDLE queue, HANDLE request, u64 output, u64 input, u32 code)
{
    static void (*const subjects[])(void) = { TheTarget, Refusals, RoundTrips, Cancellation, Timeouts, States, Irps, Synchronous };
    u32 function = FUNCTION(code);
    void *buffer = 0;
    u64 length = 0;
    if (function >= 0xA00) {
        Pass(request);
    } else if (function >= 0x900) {
        Misuse(queue, request, function);
    } else if (function == 0x820) { /* completes one of those that wait below */
        WDF(263, request, Release(SUCCESS, 0) ? SUCCESS : UNSUCCESSFUL);
    } else if (function >= 0x810) {
        WithOptions(request, function);
    } else {
        WrongCount = 0;
        Told = 0;
        subjects[function & 7]();
        if (STATUS(270, request, 1ULL, &buffer, &length) == SUCCESS) {
            memcpy(buffer, Wrong, WrongCount * 4);
        }
        WDF(265, request, SUCCESS, (u64)WrongCount * 4);
    }
}

static NTSTATUS DeviceAdd(HANDLE driver, HANDLE init)
{
    QUEUE_CONFIG manual = { sizeof(QUEUE_CONFIG), 3 };
    ATTRIBUTES attributes = Attributes(0, 0);
    NTSTATUS status = MakeLower(driver, init, 4);
    attributes.Cleanup = (u64)RequestCleanup;
    WDF(72, init, &attributes);
    status = status == SUCCESS ? STATUS(75, &init, NONE, &Device) : status;
    if (status != SUCCESS) {
        return status;
    }
    Local = WDF(42, Device);
    status = STATUS(152, Device, &manual, NONE, &Manual);
    return status == SUCCESS ? Serve(Device, Control) : status;
}

#include "entry.h"
