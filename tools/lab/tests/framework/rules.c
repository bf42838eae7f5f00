/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What KMDF answers where a driver asks for something wrong, and where it does something that only a real framework shows: a control
 * code per subject, which `rules.rs` names. The answer is the lines that saw anything else, as u32s. Each line cites the
 * framework's own source, below src/framework/shared of microsoft/Windows-Driver-Frameworks unless it says otherwise.
 */
#include "kmdf.h"

#define INVALID_PARAMETER ((NTSTATUS)0xC000000D)
#define INVALID_PARAMETER_4 ((NTSTATUS)0xC00000F2)
#define INVALID_DEVICE_STATE ((NTSTATUS)0xC0000184)
#define BUFFER_TOO_SMALL ((NTSTATUS)0xC0000023)
#define BUFFER_OVERFLOW ((NTSTATUS)0x80000005)

static HANDLE Device, Default, Manual, Sequential, Passive, Managed;

/* With PLAIN the driver has no EvtIoInCallerContext: requests go straight to their queues. */
#ifdef PLAIN
#define SEEN 0
#define REFUSED_BY_QUEUE INVALID_DEVICE_STATE
#define ENQUEUED(status) 1
#else
#define SEEN 1
#define REFUSED_BY_QUEUE ((NTSTATUS)0x80000011) /* what WDF_BUSY becomes */
#define ENQUEUED(status) (Enqueued == (NTSTATUS)(status))
#endif

/* ---- what was wrong ---- */

static u32 Wrong[64], WrongCount, WrongAtStart[64], WrongAtStartCount;

static void Is(int right, u32 line)
{
    if (!right && WrongCount < 64) {
        Wrong[WrongCount++] = line;
    }
}
#define IS(condition) Is((condition), __LINE__)

/* ---- requests that the driver sends to itself ---- */

#include "send.h"

__declspec(dllimport) u8 KeGetCurrentIrql(void);
__declspec(dllimport) u8 KeAreApcsDisabled(void);
__declspec(dllimport) u64 PsGetCurrentThreadId(void);

/* What became of it. It is freed, so it must be done. */
static NTSTATUS End(SENT *sent, u64 *information)
{
    NTSTATUS status = UNSUCCESSFUL;
    IS(IsDone(sent));
    if (sent->Done) {
        status = sent->Irp->Status;
        if (information) {
            *information = sent->Irp->Information;
        }
        IoFreeIrp(sent->Irp);
    }
    return status;
}

/* What the callbacks of the queues do with a request of ours. */
static HANDLE Held;                        /* the last one that a callback kept */
static NTSTATUS Answer, Enqueued;          /* what it is completed with; what WdfDeviceEnqueueRequest said */
static u64 Information, Presented, PresentedBy;
static void (*Look)(HANDLE request);       /* looks at it first */
static u8 Keep, CleanedUp;

static void Handle(HANDLE request)
{
    Presented++;
    PresentedBy = PsGetCurrentThreadId();
    if (Look) {
        Look(request);
    }
    if (Keep) {
        Held = request;
    } else {
        WDF(265, request, Answer, Information);
    }
}

static void Read(HANDLE queue, HANDLE request, u64 length) { Handle(request); }
static void Write(HANDLE queue, HANDLE request, u64 length) { Handle(request); }
static void Internal(HANDLE queue, HANDLE request, u64 output, u64 input, u32 code) { Handle(request); }
static void RequestCleanup(HANDLE request) { CleanedUp++; }

/* Sends a request that is answered in its callback. */
static NTSTATUS Sent(u8 major, u32 code, u32 output, u32 input, void (*look)(HANDLE), NTSTATUS answer, u64 information)
{
    SENT sent;
    u64 written = 0;
    NTSTATUS status;
    Look = look;
    Answer = answer;
    Information = information;
    Send(&sent, major, code, output, input);
    sent.Irp->SystemBuffer = 0x1000;
    sent.Irp->UserBuffer = 0x2000;
    (sent.Irp->Current - 1)->Parameters[3] = major == 14 || major == 15 ? 0x3000 : 0;
    Go(&sent);
    status = End(&sent, &written);
    IS(status != answer || written == information);
    Look = 0;
    return status;
}

/* A request that its callback keeps, in `Held`. */
static void Hold(SENT *sent)
{
    Keep = 1;
    Held = 0;
    Send(sent, 15, 0, 0, 0);
    Go(sent);
    IS(Held != 0);
    Keep = 0;
}

/* ---- 0x801: attributes, object/fxvalidatefunctions.cpp:45 ---- */

static const CONTEXT_TYPE Nameless = { sizeof(CONTEXT_TYPE), 0, 8, &Nameless, 0 };
static const CONTEXT_TYPE Misshapen = { 30, "Misshapen", 8, &Misshapen, 0 };
static const CONTEXT_TYPE Eight = { sizeof(CONTEXT_TYPE), "Eight", 8, &Eight, 0 };

static NTSTATUS Creates(u32 index, ATTRIBUTES attributes)
{
    HANDLE object = 0;
    char *buffer;
    NTSTATUS status = index == 192 ? STATUS(192, &attributes, POOL_NX, 0x74736554, 8ULL, &object, &buffer)
                                   : STATUS(index, &attributes, &object);
    if (status == SUCCESS) {
        WDF(208, object);
    }
    return status;
}

static ATTRIBUTES With(u32 level, u32 scope)
{
    ATTRIBUTES attributes = Attributes(Device, 0);
    attributes.Level = level;
    attributes.Scope = scope;
    return attributes;
}

static void Attributes_(void)
{
    ATTRIBUTES attributes = Attributes(Device, &Nameless);
    HANDLE object = 0, child = 0;
    IS(Creates(207, attributes) == (NTSTATUS)0xC0200209); /* :95 */
    attributes.Type = &Misshapen;
    IS(Creates(207, attributes) == (NTSTATUS)0xC0000004); /* :79 */
    attributes = Attributes(Device, 0);
    attributes.SizeOverride = 8;
    IS(Creates(207, attributes) == (NTSTATUS)0xC0200209); /* :113 */
    attributes.Type = &Eight;
    IS(Creates(207, attributes) == SUCCESS);
    attributes.SizeOverride = 4;
    IS(Creates(207, attributes) == (NTSTATUS)0xC0200209); /* :125 */
    IS(Creates(207, With(0, 1)) == (NTSTATUS)0xC0200209); /* :161 */
    IS(Creates(207, With(1, 5)) == (NTSTATUS)0xC0200209); /* :171 */
    IS(Creates(207, With(2, 1)) == SUCCESS);
    IS(Creates(207, With(2, 2)) == (NTSTATUS)0xC0200210); /* :186, fxuserobjectapi.cpp:120 */
    IS(Creates(207, With(1, 4)) == SUCCESS);
    IS(Creates(312, With(2, 1)) == (NTSTATUS)0xC0200211); /* :206, fxwaitlockapi.cpp:82 */
    IS(Creates(312, With(1, 3)) == (NTSTATUS)0xC0200210);
    IS(Creates(315, With(2, 1)) == (NTSTATUS)0xC0200211); /* fxspinlockapi.cpp:75 */
    IS(Creates(192, With(3, 1)) == (NTSTATUS)0xC0200211); /* fxmemorybufferapi.cpp:127 */
    /* A child of what is deleted, but referenced: object/fxobject.cpp:870. */
    attributes = Attributes(Device, 0);
    IS(STATUS(207, &attributes, &object) == SUCCESS);
    WDF(205, object, NONE, NONE, NONE);
    WDF(208, object);
    attributes = Attributes(object, 0);
    IS(STATUS(207, &attributes, &child) == (NTSTATUS)0xC0000056);
    WDF(206, object, NONE, NONE, NONE);
}

/* ---- 0x802: queues, irphandlers/io/fxioqueue.cpp:312, fxioqueueapi.cpp:119 ---- */

static NTSTATUS CreatesQueue(u32 type, u8 is_default, void *read, u32 presented, HANDLE parent, HANDLE *queue)
{
    QUEUE_CONFIG config = { sizeof(QUEUE_CONFIG), type, 0 };
    ATTRIBUTES attributes = Attributes(parent, 0);
    config.DefaultQueue = is_default;
    config.Read = read;
    config.Presented = presented;
    return STATUS(152, Device, &config, &attributes, queue);
}

static void Queues(void)
{
    HANDLE queue = 0, object = 0;
    ATTRIBUTES attributes = Attributes(0, 0);
    QUEUE_CONFIG config = { sizeof(QUEUE_CONFIG), 2, 0 };
    IS(CreatesQueue(2, 0, 0, ~0U, 0, &queue) == (NTSTATUS)0xC020020B);          /* fxioqueue.cpp:324 */
    IS(CreatesQueue(1, 0, 0, 0, 0, &queue) == (NTSTATUS)0xC020020B);
    IS(CreatesQueue(3, 0, Read, 0, 0, &queue) == INVALID_PARAMETER);            /* :342 */
    IS(CreatesQueue(3, 0, 0, 1, 0, &queue) == INVALID_PARAMETER);               /* :357 */
    IS(CreatesQueue(1, 0, Read, ~0U, 0, &queue) == INVALID_PARAMETER);
    IS(CreatesQueue(3, 0, 0, 0, 0, 0) == INVALID_PARAMETER_4);                  /* fxioqueueapi.cpp:147 */
    IS(CreatesQueue(2, 1, Read, ~0U, 0, &queue) == INVALID_DEVICE_STATE);       /* :188, though there is none yet for reads */
    IS(CreatesQueue(3, 0, 0, 0, Globals->Driver, &queue) == INVALID_DEVICE_REQUEST); /* fxpkgio.cpp:1012 */
    IS(STATUS(207, &attributes, &object) == SUCCESS);
    IS(CreatesQueue(3, 0, 0, 0, object, &queue) == INVALID_DEVICE_REQUEST);
    WDF(208, object);
    /* Under the device's lock a queue has the device's level: fxioqueue.cpp:672. The device's is dispatch. */
    attributes = Attributes(0, 0);
    attributes.Level = 2;
    attributes.Scope = 2;
    config.Read = Read;
    config.Presented = ~0U;
    IS(STATUS(152, Device, &config, &attributes, &queue) == INVALID_PARAMETER);
    /* All but the default queue can be deleted. */
    IS(CreatesQueue(3, 0, 0, 0, Device, &queue) == SUCCESS);
    WDF(208, queue);
}

/* ---- 0x803: timers, DPCs, work items ---- */

static volatile u8 TimerIrql = 99;
static void Tick(HANDLE object) { TimerIrql = KeGetCurrentIrql(); }

static NTSTATUS Timer(u32 period, u32 delay, u8 high, u32 level, HANDLE parent, HANDLE *timer)
{
    TIMER_CONFIG config = { sizeof(TIMER_CONFIG), Tick, period, 0, delay, 0, high };
    ATTRIBUTES attributes = Attributes(parent, 0);
    attributes.Level = level;
    return STATUS(318, &config, &attributes, timer);
}

static void Deferred(void)
{
    DEFERRED_CONFIG config = { sizeof(DEFERRED_CONFIG), Tick, 0 };
    ATTRIBUTES orphan = Attributes(0, 0), below = Attributes(Device, 0), serial = Attributes(Passive, 0);
    HANDLE object = 0;
    IS(Timer(0, 0, 0, 1, 0, &object) == (NTSTATUS)0xC0200212);       /* core/fxtimerapi.cpp:89 */
    IS(STATUS(111, &config, &orphan, &object) == (NTSTATUS)0xC0200212);
    IS(STATUS(379, &config, &orphan, &object) == (NTSTATUS)0xC0200212);
    IS(STATUS(379, &config, NONE, &object) == (NTSTATUS)0xC0200212);
    IS(Timer(0x80000000, 0, 0, 1, Device, &object) == INVALID_PARAMETER); /* :121 */
    IS(Timer(0, 1, 1, 1, Device, &object) == INVALID_PARAMETER);     /* :163 */
    IS(Timer(1, 0, 0, 2, Device, &object) == (NTSTATUS)0xC00000BB);  /* :184 */
    IS(Timer(0, 0, 0, 1, Globals->Driver, &object) == INVALID_DEVICE_REQUEST); /* fxtimer.cpp:193 */
    below.Level = 2;
    IS(STATUS(379, &config, &below, &object) == (NTSTATUS)0xC0200211);
    below.Level = 1;
    /* A passive queue under a lock, and a DPC that is to be serialized with it: object/fxobject.cpp:1368. */
    config.Serialize = 1;
    IS(STATUS(111, &config, &serial, &object) == (NTSTATUS)0xC020020C);
    IS(STATUS(379, &config, &serial, &object) == SUCCESS);
    WDF(208, object);
    /* A timer inherits no level, even from a passive queue: fxtimer.cpp:220. */
    IS(Timer(0, 0, 0, 1, Passive, &object) == SUCCESS);
    TimerIrql = 99;
    WDF(319, object, -10000LL);
    for (int i = 0; i < 500 && TimerIrql == 99; i++) {
        KeDelayExecutionThread(0, 0, &Millisecond);
    }
    IS(TimerIrql == 2);
    WDF(208, object);
}

/* ---- 0x804: contexts, object/fxobject.cpp:607, handleapi.cpp:465 ---- */

static void Contexts(void)
{
    ATTRIBUTES attributes = Attributes(Device, &Eight), none = Attributes(0, 0);
    HANDLE object = 0;
    void *first, *second = 0;
    IS(STATUS(207, &attributes, &object) == SUCCESS);
    first = (void *)WDF(202, object, &Eight);
    IS(STATUS(203, object, &attributes, &second) == (NTSTATUS)0xC020020F); /* a parent */
    attributes.Parent = 0;
    IS(STATUS(203, object, &attributes, &second) == (NTSTATUS)0x40000000 && second == first);
    IS(STATUS(203, object, &none, &second) == (NTSTATUS)0xC0000033);
    WDF(208, object);
}

/* ---- 0x805: keys, support/fxregistryapi.cpp ---- */

static void Registry(void)
{
    static UNICODE_STRING answer = STRING(L"Answer"), text = STRING(L"Text");
    static u16 characters[16];
    UNICODE_STRING string = { 10, 4, characters };
    HANDLE key = 0;
    u32 number = 0;
    IS(STATUS(119, Globals->Driver, 0x20019, NONE, &key) == SUCCESS);
    IS(STATUS(238, key, &text, NONE, &string) == INVALID_PARAMETER); /* Length above MaximumLength */
    string.Length = 0;
    string.MaximumLength = 0;
    IS(STATUS(238, key, &text, NONE, &string) == INVALID_PARAMETER); /* :896 */
    string.MaximumLength = 5;
    IS(STATUS(238, key, &text, NONE, &string) == INVALID_PARAMETER); /* odd */
    string.MaximumLength = 4;
    IS(STATUS(238, key, &text, NONE, &string) == BUFFER_OVERFLOW);
    WDF(231, key);
    /* KEY_ENUMERATE_SUB_KEYS alone opens the key, and does not let values be read. */
    IS(STATUS(119, Globals->Driver, 8, NONE, &key) == SUCCESS);
    IS(STATUS(240, key, &answer, &number) == (NTSTATUS)0xC0000022);
    WDF(231, key);
    IS(STATUS(119, Globals->Driver, 1, NONE, &key) == SUCCESS);
    IS(STATUS(240, key, &answer, &number) == SUCCESS && number == 42);
    WDF(231, key);
}

/* ---- 0x806: buffers and parameters, core/fxrequest.cpp:1299, :1540 ---- */

static u64 ExpectedInput, ExpectedOutput;
static NTSTATUS ExpectedInputStatus, ExpectedOutputStatus;

static void LookAtBuffers(HANDLE request)
{
    void *buffer = &buffer;
    u64 length = 77;
    NTSTATUS status = STATUS(269, request, 4ULL, &buffer, &length);
    IS(status == ExpectedInputStatus);
    IS(status == SUCCESS ? (u64)buffer == ExpectedInput : buffer == 0 && length == 0);
    buffer = &buffer;
    length = 77;
    status = STATUS(270, request, 4ULL, &buffer, &length);
    IS(status == ExpectedOutputStatus);
    IS(status == SUCCESS ? (u64)buffer == ExpectedOutput : buffer == 0 && length == 0);
}

static void LookAtParameters(HANDLE request)
{
    struct { u16 Size; u8 Minor; u32 Type; u64 Output, Input; u32 Code; u64 Type3; } parameters = { sizeof(parameters) };
    WDF(266, request, &parameters);
    IS(parameters.Type == 15 && parameters.Output == 8 && (u32)parameters.Input == 4 && parameters.Type3 == 0x3000);
    IS(parameters.Input >> 48 == 0xABCD); /* as it lies in the stack location */
}

static void Expect(NTSTATUS input_status, u64 input, NTSTATUS output_status, u64 output)
{
    ExpectedInputStatus = input_status;
    ExpectedInput = input;
    ExpectedOutputStatus = output_status;
    ExpectedOutput = output;
}

static void Buffers(void)
{
    Expect(SUCCESS, 0x1000, SUCCESS, 0x1000); /* METHOD_BUFFERED */
    IS(Sent(15, 0, 8, 8, LookAtBuffers, SUCCESS, 0) == SUCCESS);
    Expect(BUFFER_TOO_SMALL, 0, BUFFER_TOO_SMALL, 0); /* less than the driver wants */
    IS(Sent(15, 0, 3, 3, LookAtBuffers, SUCCESS, 0) == SUCCESS);
    Expect(SUCCESS, 0x3000, SUCCESS, 0x2000); /* METHOD_NEITHER of another driver: its own addresses, :1376, :1666 */
    IS(Sent(15, 3, 8, 8, LookAtBuffers, SUCCESS, 0) == SUCCESS);
    Expect(BUFFER_TOO_SMALL, 0, BUFFER_TOO_SMALL, 0); /* a length of zero comes before the method */
    IS(Sent(15, 3, 0, 0, LookAtBuffers, SUCCESS, 0) == SUCCESS);
    Expect(SUCCESS, 0x1000, INVALID_DEVICE_REQUEST, 0);
    IS(Sent(4, 0, 8, 0, LookAtBuffers, SUCCESS, 8) == SUCCESS);
    IS(Sent(15, 0, 8, 4, LookAtParameters, SUCCESS, 0) == SUCCESS);
    /* A write of nothing is not for the driver, unless it says so: fxioqueue.cpp:3232. */
    Presented = 0;
    IS(Sent(4, 0, 0, 0, 0, UNSUCCESSFUL, 0) == SUCCESS && Presented == 0);
}

/* ---- 0x807: completion, core/fxrequest.cpp:422, :632 ---- */

static void Completion(void)
{
    SENT sent;
    IS(Sent(15, 0, 8, 8, 0, SUCCESS, 100) == SUCCESS);               /* another driver's output is as long as it says itself */
    IS(Sent(14, 0, 8, 8, 0, SUCCESS, 100) == SUCCESS);
    IS(Sent(4, 0, 8, 0, 0, BUFFER_OVERFLOW, 100) == BUFFER_OVERFLOW); /* how much there would be */
    IS(Sent(15, 0, 0, 0, 0, (NTSTATUS)0xC0200204, 0) == (NTSTATUS)0x80000011); /* WDF_BUSY */
    IS(Sent(15, 0, 0, 0, 0, (NTSTATUS)0xC0200203, 0) == (NTSTATUS)0x80000011); /* WDF_PAUSED */
    IS(Sent(15, 0, 0, 0, 0, (NTSTATUS)0xC0200201, 0) == (NTSTATUS)0xC00000E5); /* WDF_INTERNAL_ERROR */
    IS(Sent(15, 0, 0, 0, 0, (NTSTATUS)0xC020020A, 0) == INVALID_DEVICE_REQUEST); /* WDF_TOO_FRAGMENTED */
    IS(Sent(15, 0, 0, 0, 0, (NTSTATUS)0xC0200214, 0) == (NTSTATUS)0xC000009A); /* WDF_NOT_ENOUGH_MAP_REGISTERS */
    IS(Sent(15, 0, 0, 0, 0, (NTSTATUS)0xC0200212, 0) == INVALID_DEVICE_REQUEST); /* any other */
    /* Enqueueing to a queue without a callback for the type succeeds, and the framework completes: fxioqueue.cpp:3440. The request's
     * cleanup callback runs only if the driver has ever seen it, be it in EvtIoInCallerContext: fxrequest.cpp:723. */
    Enqueued = UNSUCCESSFUL;
    CleanedUp = 0;
    Answer = SUCCESS;
    Send(&sent, 3, 0, 8, 0);
    Go(&sent);
    IS(End(&sent, 0) == INVALID_DEVICE_REQUEST && ENQUEUED(SUCCESS) && CleanedUp == SEEN);
}

/* ---- 0x808: purged and stopped queues ---- */

static volatile u32 Notices;
static HANDLE Cancelled;
static u8 CancelIrql = 99;
static void QueueState(HANDLE queue, u64 context) { Notices += (u32)context; }
static void Cancel(HANDLE request)
{
    Cancelled = request;
    CancelIrql = KeGetCurrentIrql();
    WDF(265, request, CANCELLED, NONE);
}

static void Purge(void)
{
    SENT one, two, three;
    HANDLE held;
    /* Purging cancels what the driver has marked: fxioqueue.cpp:4062. */
    Hold(&one);
    held = Held;
    IS(STATUS(393, held, Cancel) == SUCCESS);
    Cancelled = 0;
    Notices = 0;
    WDF(165, Sequential, QueueState, 1ULL);
    IS(End(&one, 0) == CANCELLED && Cancelled == held && Notices == 1);
    /* It takes nothing in: :2411, whose status the driver passed on. */
    Enqueued = SUCCESS;
    Send(&two, 15, 0, 0, 0);
    Go(&two);
    IS(End(&two, 0) == REFUSED_BY_QUEUE && ENQUEUED(0xC0200204));
    WDF(154, Sequential);
    /* A stopped one does, and presents nothing until it is started. */
    WDF(155, Sequential, QueueState, 10ULL);
    IS(Notices == 11);
    Answer = SUCCESS;
    Send(&three, 15, 0, 0, 0);
    Presented = 0;
    Go(&three);
    IS(Presented == 0 && !three.Done);
    WDF(154, Sequential);
    IS(Presented == 1 && End(&three, 0) == SUCCESS);
    /* What is presented before a purge and marked after it is cancelled at once: :2150. */
    Hold(&one);
    WDF(165, Sequential, NONE, NONE);
    IS(STATUS(393, Held, Cancel) == CANCELLED);
    WDF(265, Held, CANCELLED, NONE);
    IS(End(&one, 0) == CANCELLED);
    WDF(154, Sequential);
}

/* ---- 0x809: the event loop, fxioqueue.cpp:2758 ---- */

static void OnQueue(HANDLE queue, HANDLE request)
{
    CancelIrql = KeGetCurrentIrql();
    Cancelled = request;
    WDF(265, request, CANCELLED, NONE);
}

static void Events(void)
{
    SENT one, two;
    HANDLE held, found = 1;
    u8 irql;
    /* The thread that completes one request is given the next: no worker. */
    Hold(&one);
    held = Held;
    Keep = 1;
    Send(&two, 15, 0, 0, 0);
    Go(&two);
    IS(Held == held);
    PresentedBy = 0;
    WDF(265, held, SUCCESS, NONE);
    IS(Held != held && PresentedBy == PsGetCurrentThreadId());
    IS(End(&one, 0) == SUCCESS);
    WDF(265, Held, SUCCESS, NONE);
    IS(End(&two, 0) == SUCCESS);
    Keep = 0;
    /* A cancellation at DISPATCH_LEVEL of what a passive queue's driver has is for a worker at PASSIVE_LEVEL: :2658. */
    Send(&one, 4, 0, 8, 0);
    Keep = 1;
    Held = 0;
    Go(&one);
    IS(Held != 0);
    Keep = 0;
    IS(STATUS(393, Held, Cancel) == SUCCESS);
    Cancelled = 0;
    CancelIrql = 99;
    irql = KfRaiseIrql(2);
    IoCancelIrp(one.Irp);
    KeLowerIrql(irql);
    IS(End(&one, 0) == CANCELLED && CancelIrql == 0);
    /* EvtIoCanceledOnQueue is for requests that the driver has seen before: :4400. The manual queue has one. */
    Hold(&one);
    IS(STATUS(281, Held, Manual) == SUCCESS);
    Cancelled = 0;
    CleanedUp = 0;
    IoCancelIrp(one.Irp);
    IS(End(&one, 0) == CANCELLED && Cancelled == Held && CleanedUp == 1);
    /* Found requests: :906, OutRequest is NULL after a failure; a request that is completed, but referenced, is not found. */
    Hold(&one);
    held = Held;
    WDF(205, held, NONE, NONE, NONE);
    IS(STATUS(281, held, Manual) == SUCCESS);
    IS(STATUS(161, Manual, held, &found) == SUCCESS && found == held);
    WDF(265, held, SUCCESS, NONE);
    IS(STATUS(161, Manual, held, &found) == (NTSTATUS)0xC0000225 && found == 0);
    WDF(206, held, NONE, NONE, NONE);
    IS(End(&one, 0) == SUCCESS);
    found = 1;
    IS(STATUS(158, Manual, &found) == (NTSTATUS)0x8000001A && found == 0);
}

/* ---- 0x80E: critical regions, irphandlers/io/fxpkgio.cpp:374, support/fxwaitlock.hpp:265 ---- */

static HANDLE WaitLock;
static volatile u8 InWorker[4];

static void LookAtRegion(HANDLE request) { IS(KeAreApcsDisabled()); }

static void InWorkItem(HANDLE item)
{
    const long long no_time = 0;
    InWorker[0] = KeAreApcsDisabled();
    WDF(313, WaitLock, NONE);
    InWorker[1] = KeAreApcsDisabled();
    WDF(314, WaitLock);
    InWorker[2] = KeAreApcsDisabled();
    InWorker[3] = STATUS(313, WaitLock, &no_time) == SUCCESS;
    WDF(314, WaitLock);
}

static void Regions(void)
{
    DEFERRED_CONFIG config = { sizeof(DEFERRED_CONFIG), InWorkItem, 0 };
    ATTRIBUTES attributes = Attributes(Device, 0);
    HANDLE item = 0;
    /* This very callback is called in the sender's thread. */
    IS(KeAreApcsDisabled());
    IS(Sent(15, 0, 0, 0, LookAtRegion, SUCCESS, 0) == SUCCESS);
    IS(STATUS(312, &attributes, &WaitLock) == SUCCESS && STATUS(379, &config, &attributes, &item) == SUCCESS);
    WDF(380, item);
    WDF(382, item);
    IS(!InWorker[0] && InWorker[1] && !InWorker[2] && InWorker[3]);
    WDF(208, item);
    WDF(208, WaitLock);
}

/* ---- the queues, the device, the driver ---- */

static void Control(HANDLE queue, HANDLE request, u64 output, u64 input, u32 code)
{
    void *buffer = 0;
    u64 bytes;
    u32 function = code >> 2 & 0xFFF;
    if (code >> 16 != 0x22) {
        Handle(request);
        return;
    }
    WrongCount = 0;
    switch (function) {
    case 0x800:
        memcpy(Wrong, WrongAtStart, sizeof(Wrong));
        WrongCount = WrongAtStartCount;
        break;
    case 0x801: Attributes_(); break;
    case 0x802: Queues(); break;
    case 0x803: Deferred(); break;
    case 0x804: Contexts(); break;
    case 0x805: Registry(); break;
    case 0x806: Buffers(); break;
    case 0x807: Completion(); break;
    case 0x808: Purge(); break;
    case 0x809: Events(); break;
    case 0x80A: /* waits until its handle is closed */
        WDF(281, request, Manual);
        return;
    case 0x80B: /* uses some of its input, which Information may count where there is no output: fxrequest.cpp:443 */
        WDF(265, request, SUCCESS, input);
        return;
    case 0x80C: { /* forwards to the power-managed queue */
        NTSTATUS status = STATUS(281, request, Managed);
        if (status != SUCCESS) {
            WDF(263, request, status);
        }
        return;
    }
    case 0x80D: /* its callback returns late */
        WDF(265, request, SUCCESS, NONE);
        for (int i = 0; i < 200; i++) {
            KeDelayExecutionThread(0, 0, &Millisecond);
        }
        DbgPrint("trace Returned\n");
        return;
    case 0x80E: Regions(); break;
    default: IS(0);
    }
    bytes = WrongCount * sizeof(u32);
    if (bytes == 0) {
        WDF(265, request, SUCCESS, NONE);
    } else if (STATUS(270, request, bytes, &buffer, NONE) == SUCCESS) {
        memcpy(buffer, Wrong, bytes);
        WDF(265, request, SUCCESS, bytes);
    } else {
        WDF(265, request, UNSUCCESSFUL, NONE);
    }
}

static void InCallerContext(HANDLE device, HANDLE request)
{
    Enqueued = STATUS(91, device, request);
    if (Enqueued != SUCCESS) {
        WDF(263, request, Enqueued);
    }
}

static NTSTATUS Queue(u32 type, u8 is_default, u32 kind, HANDLE *queue)
{
    QUEUE_CONFIG config = { sizeof(QUEUE_CONFIG), type, 0 };
    ATTRIBUTES attributes = Attributes(0, 0);
    NTSTATUS status;
    config.DefaultQueue = is_default;
    config.Presented = type == 2 ? ~0U : 0;
    if (is_default) {
        config.DeviceControl = Control;
    } else if (kind == 15) {
        config.Internal = Internal;
    } else if (kind == 4) {
        config.Write = Write;
        attributes.Level = 2;
        attributes.Scope = 3;
    } else {
        config.CanceledOnQueue = OnQueue;
        config.PowerManaged = queue == &Managed;
    }
    status = STATUS(152, Device, &config, &attributes, queue);
    return status == SUCCESS && kind ? STATUS(93, Device, *queue, (u64)kind) : status;
}

/* The power-managed queues are purged by now, for good: irphandlers/io/fxioqueue.cpp:6125. */
static void SelfFlush(HANDLE device) { WDF(154, Managed); }
static void SelfCleanup(HANDLE device) { DbgPrint("trace SelfCleanup\n"); }

static NTSTATUS DeviceAdd(HANDLE driver, HANDLE init)
{
    static const u8 interface[16] = { 0x44, 0x33, 0x22, 0x11, 0x66, 0x55, 0x88, 0x77, 1, 2, 3, 4, 5, 6, 7, 8 };
    static UNICODE_STRING sddl = STRING(L"D:P(A;;GA;;;SY)");
    PNP_CALLBACKS pnp = { sizeof(PNP_CALLBACKS), 0, 0, 0, 0, 0, 0, SelfCleanup, SelfFlush, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
    ATTRIBUTES attributes = Attributes(driver, 0), requests = Attributes(0, 0);
    NTSTATUS status;
    /* core/fxdeviceapi.cpp:905, :937 */
    IS(STATUS(75, &init, &attributes, &Device) == (NTSTATUS)0xC020020F);
    IS(STATUS(68, init, &sddl) == SUCCESS);
    IS(STATUS(75, &init, NONE, &Device) == (NTSTATUS)0xC0000079);
    IS(STATUS(68, init, NONE) == SUCCESS);
    requests.Cleanup = (u64)RequestCleanup;
    WDF(55, init, &pnp);
    WDF(72, init, &requests);
#ifndef PLAIN
    WDF(74, init, InCallerContext);
#endif
    status = STATUS(75, &init, NONE, &Device);
    if (status == SUCCESS && (status = Queue(2, 1, 0, &Default)) == SUCCESS && (status = Queue(3, 0, 0, &Manual)) == SUCCESS
        && (status = Queue(1, 0, 15, &Sequential)) == SUCCESS && (status = Queue(1, 0, 4, &Passive)) == SUCCESS
        && (status = Queue(3, 0, 0, &Managed)) == SUCCESS && (status = STATUS(93, Device, Passive, 3ULL)) == SUCCESS) {
        Target = WDF(31, Device);
        status = STATUS(77, Device, interface, NONE);
    }
    memcpy(WrongAtStart, Wrong, sizeof(Wrong));
    WrongAtStartCount = WrongCount;
    return status;
}

typedef struct { u8 Before[0x68]; void (*Unload)(void *); } DRIVER_OBJECT;
static void (*DisplacedUnload)(void *);

static void Unload(void *driver)
{
    DisplacedUnload(driver);
    WdfVersionUnbind(&Path, &Bind, Globals);
}

NTSTATUS DriverEntry(DRIVER_OBJECT *driver, UNICODE_STRING *path)
{
    DRIVER_CONFIG config = { sizeof(DRIVER_CONFIG), DeviceAdd, 0, 8, 0 };
    ATTRIBUTES attributes = Attributes(0, 0);
    NTSTATUS status;
    Path = *path;
    status = WdfVersionBind(driver, &Path, &Bind, &Globals);
    if (status != SUCCESS) {
        return status;
    }
    /* core/fxdriverapi.cpp:144, :182, :203 */
    IS(STATUS(116, driver, path, NONE, &config, NONE) == INVALID_PARAMETER);
    config.Flags = 0;
    status = STATUS(116, driver, path, &attributes, &config, NONE);
    if (status != SUCCESS) {
        WdfVersionUnbind(&Path, &Bind, Globals);
        return status;
    }
    IS(STATUS(116, driver, path, NONE, &config, NONE) == (NTSTATUS)0xC0000183);
    IS(Globals->Tag == 0x7462616C); /* "labt", of the service labtest */
    DisplacedUnload = driver->Unload;
    driver->Unload = Unload;
    return status;
}
