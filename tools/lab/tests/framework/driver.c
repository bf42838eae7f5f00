/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The driver that tests the lab's framework: one control code per case, and `main.rs` knows what each must come
 * to.
 */
#include "kmdf.h"
#include "send.h"

typedef struct {
    HANDLE Device, Manual, Sequential, Lock, Spin, Cancelable, Deferred;
    volatile long Inside, MostInside, Cleanups, Closes, Creates;
    u8 RefuseRemoval, CleanupCompletes;
    /* What EvtDeviceFileCreate does with its request: the function of the misuse. */
    u32 AtCreate;
} DEVICE;
typedef struct { char Letter; } LETTER;

static const CONTEXT_TYPE DeviceType = { sizeof(CONTEXT_TYPE), "DEVICE", sizeof(DEVICE), &DeviceType, 0 };
static const CONTEXT_TYPE LetterType = { sizeof(CONTEXT_TYPE), "LETTER", sizeof(LETTER), &LetterType, 0 };
static DEVICE *This;
static char Order[16];
static u32 OrderLength;

__attribute__((noinline)) static void Complete(HANDLE request, NTSTATUS status, u64 information)
{
    WDF(265, request, status, information);
}

static void Note(char letter)
{
    if (OrderLength < sizeof(Order)) {
        Order[OrderLength++] = letter;
    }
}

/* ---- callbacks of Plug and Play: their order goes to the log ---- */

#define TRACED(name) static NTSTATUS name(HANDLE device, u64 a, u64 b) { DbgPrint("trace " #name "\n"); return SUCCESS; }
TRACED(Prepare) TRACED(D0Entry) TRACED(D0EntryPost) TRACED(SelfInit) TRACED(SelfSuspend) TRACED(D0ExitPre) TRACED(D0Exit)
TRACED(Release) TRACED(SelfFlush) TRACED(SelfCleanup) TRACED(Surprise) TRACED(DeviceCleanup) TRACED(DeviceDestroy)
TRACED(DriverUnloads)

static NTSTATUS QueryRemove(HANDLE device)
{
    DbgPrint("trace QueryRemove\n");
    return This->RefuseRemoval ? UNSUCCESSFUL : SUCCESS;
}

static void CancelCallback(HANDLE request);

static void FileCreate(HANDLE device, HANDLE request, HANDLE file)
{
    switch (This->AtCreate) {
    case 0x91B:
        WDF(281, request, This->Manual);
        return;
    case 0x91F:
        WDF(255, request, CancelCallback);
        return;
    }
    __atomic_add_fetch(&This->Creates, 1, __ATOMIC_SEQ_CST);
    WDF(263, request, SUCCESS);
}

static void FileCleanup(HANDLE file)
{
    HANDLE next = 0;
    DbgPrint("trace FileCleanup\n");
    if (This->CleanupCompletes && (NTSTATUS)WDF(158, This->Manual, &next) == SUCCESS) {
        Complete(next, SUCCESS, 0);
    }
    __atomic_add_fetch(&This->Cleanups, 1, __ATOMIC_SEQ_CST);
}

static void FileClose(HANDLE file)
{
    DbgPrint("trace FileClose\n");
    __atomic_add_fetch(&This->Closes, 1, __ATOMIC_SEQ_CST);
}

/* ---- callbacks of objects ---- */

static void LetterCleanup(HANDLE object)
{
    Note(((LETTER *)WDF(202, object, &LetterType))->Letter);
}

static void LetterDestroy(HANDLE object)
{
    Note(((LETTER *)WDF(202, object, &LetterType))->Letter - 'a' + 'A');
}

static HANDLE Letter(HANDLE parent, char letter)
{
    ATTRIBUTES attributes = Attributes(parent, &LetterType);
    HANDLE object = 0;
    attributes.Cleanup = (u64)LetterCleanup;
    attributes.Destroy = (u64)LetterDestroy;
    if ((NTSTATUS)WDF(207, &attributes, &object) == SUCCESS) {
        ((LETTER *)WDF(202, object, &LetterType))->Letter = letter;
    }
    return object;
}

/* Takes the cancelable request for whoever ends it, with a reference: it may be completed at any time. */
static HANDLE TakeCancelable(void)
{
    HANDLE request;
    WDF(316, This->Spin);
    request = This->Cancelable;
    if (request) {
        WDF(205, request, NONE, NONE, NONE);
        This->Cancelable = 0;
    }
    WDF(317, This->Spin);
    return request;
}

static void CancelCallback(HANDLE request)
{
    HANDLE taken = TakeCancelable();
    Complete(request, CANCELLED, 0);
    if (taken) {
        WDF(206, taken, NONE, NONE, NONE);
    }
}

static void TimerCallback(HANDLE timer)
{
    HANDLE request = This->Deferred;
    Complete(request, SUCCESS, 0);
}

static void WorkCallback(HANDLE item)
{
    Complete(This->Deferred, SUCCESS, 0);
    WDF(208, item);
}

static void SequentialControl(HANDLE queue, HANDLE request, u64 output, u64 input, u32 code)
{
    const long long millisecond = -10000;
    long inside = __atomic_add_fetch(&This->Inside, 1, __ATOMIC_SEQ_CST);
    u32 *result = 0;
    if (inside > This->MostInside) {
        This->MostInside = inside;
    }
    KeDelayExecutionThread(0, 0, &millisecond);
    __atomic_sub_fetch(&This->Inside, 1, __ATOMIC_SEQ_CST);
    if ((NTSTATUS)WDF(270, request, 4ULL, &result, NONE) == SUCCESS) {
        *result = (u32)This->MostInside;
        Complete(request, SUCCESS, 4);
    } else {
        Complete(request, UNSUCCESSFUL, 0);
    }
}

/* ---- the cases ---- */

#define FUNCTION(code) ((code) >> 2 & 0xFFF)

static void Answer(HANDLE request, const void *bytes, u64 count)
{
    void *output = 0;
    if ((NTSTATUS)WDF(270, request, count, &output, NONE) == SUCCESS) {
        memcpy(output, bytes, count);
        Complete(request, SUCCESS, count);
    } else {
        Complete(request, UNSUCCESSFUL, 0);
    }
}

static void Deferred(HANDLE request, u32 function)
{
    ATTRIBUTES attributes = Attributes(This->Device, 0);
    HANDLE object = 0;
    NTSTATUS status;
    This->Deferred = request;
    if (function == 0x805) {
        TIMER_CONFIG config = { sizeof(TIMER_CONFIG), TimerCallback, 0, 1, 0, 0 };
        status = WDF(318, &config, &attributes, &object);
    } else {
        DEFERRED_CONFIG config = { sizeof(DEFERRED_CONFIG), function == 0x806 ? WorkCallback : TimerCallback, 1 };
        status = WDF(function == 0x806 ? 379 : 111, &config, &attributes, &object);
    }
    if (status != SUCCESS) {
        Complete(request, status, 0);
    } else if (function == 0x805) {
        WDF(319, object, -100000LL);
    } else {
        WDF(function == 0x806 ? 380 : 112, object);
    }
}

static void Objects(HANDLE request)
{
    HANDLE parent, child;
    OrderLength = 0;
    parent = Letter(0, 'a');
    child = Letter(parent, 'b');
    Letter(child, 'c');
    Letter(parent, 'd');
    WDF(205, child, NONE, NONE, NONE);
    WDF(208, parent);
    Note('|');
    WDF(206, child, NONE, NONE, NONE);
    Answer(request, Order, OrderLength);
}

static void Registry(HANDLE request)
{
    static UNICODE_STRING name = STRING(L"Answer"), other = STRING(L"Nothing");
    u32 values[3] = { 0, 0, 0 };
    HANDLE key = 0;
    if ((NTSTATUS)WDF(119, Globals->Driver, 0x20019, NONE, &key) == SUCCESS) {
        values[0] = (u32)WDF(240, key, &name, &values[1]);
        values[2] = (u32)WDF(240, key, &other, &values[1]);
        WDF(231, key);
    }
    Answer(request, values, sizeof(values));
}

static volatile long Ticks;
static void Tick(HANDLE object) { __atomic_add_fetch(&Ticks, 1, __ATOMIC_SEQ_CST); }

/* What has no case of its own: every call with its result checked. The answer is the first line that was wrong, or 0. */
#define CHECK(condition) do { if (!(condition)) { return __LINE__; } } while (0)
#define OK(...) CHECK((NTSTATUS)WDF(__VA_ARGS__) == SUCCESS)

static u32 TourOfRequests(HANDLE queue, HANDLE request)
{
    struct { u16 Size; u8 Minor; u32 Type; u64 Output, Input; u32 Code; u64 Type3; } parameters = { sizeof(parameters) };
    ATTRIBUTES attributes = Attributes(0, &LetterType);
    HANDLE file, device;
    void *context = 0, *other;
    WDF(266, request, &parameters);
    CHECK(parameters.Type == 14 && FUNCTION(parameters.Code) == 0x80F && parameters.Output == 4 && parameters.Input == 2);
    WDF(275, request, 7ULL);
    CHECK(WDF(276, request) == 7);
    CHECK((char)WDF(280, request) == 1);
    CHECK(WDF(282, request) == queue && !(u8)WDF(257, request) && WDF(285, request));
    file = WDF(277, request);
    CHECK(file && WDF(139, file) == This->Device && WDF(140, file));
    CHECK(WDF(90, This->Device, WDF(140, file)) == file);
    CHECK(((UNICODE_STRING *)WDF(137, file))->Length == 0);
    OK(203, request, &attributes, &context);
    CHECK(context && (void *)WDF(202, request, &LetterType) == context && WDF(204, context) == request);
    other = 0;
    CHECK((NTSTATUS)WDF(203, request, &attributes, &other) == (NTSTATUS)0x40000000 && other == context);
    CHECK(WDF(202, request, &DeviceType) == 0);
    device = WDF(157, queue);
    CHECK(device == This->Device && WDF(92, device) == queue && WDF(39, device) == Globals->Driver);
    CHECK(WDF(30, WDF(31, device)) == device && WDF(32, device) && WDF(33, device));
    CHECK(WDF(118, Globals->Driver) && WDF(120, WDF(118, Globals->Driver)) == Globals->Driver);
    CHECK(((const u16 *)WDF(117, Globals->Driver))[0] == '\\');
    return 0;
}

static u32 TourOfMemory(void)
{
    static UNICODE_STRING text = STRING(L"Text"), answer = STRING(L"Answer"), none = STRING(L"None"), link = STRING(L"\\??\\LabTest");
    UNICODE_STRING string = { 0, 0, 0 };
    static u16 characters[16];
    HANDLE object = 0, key = 0;
    u64 size = 0;
    u32 length = 0, kind = 0, number = 0;
    u16 bytes = 0;
    char *buffer = 0;
    OK(192, NONE, POOL_NX, 0x74736554, 100ULL, &object, &buffer);
    CHECK(WDF(194, object, &size) == (u64)buffer && size == 100);
    buffer[99] = 1;
    WDF(208, object);
    CHECK((NTSTATUS)WDF(192, NONE, POOL_NX, 0x74736554, NONE, &object, NONE) == (NTSTATUS)0xC000000D);
    OK(308, &text, NONE, &object);
    WDF(309, object, &string);
    CHECK(string.Length == 8 && string.Buffer[3] == 't' && string.Buffer != text.Buffer);
    WDF(208, object);
    OK(119, Globals->Driver, 0x20019, NONE, &key);
    CHECK((NTSTATUS)WDF(240, key, &text, &number) == (NTSTATUS)0xC0000024);
    string.Buffer = characters;
    string.MaximumLength = sizeof(characters);
    OK(238, key, &text, &bytes, &string);
    CHECK(string.Length == 10 && bytes == 12 && characters[4] == 'o');
    string.MaximumLength = 4;
    CHECK((NTSTATUS)WDF(238, key, &text, &bytes, &string) == (NTSTATUS)0xC000000D);
    string.Length = 0;
    CHECK((NTSTATUS)WDF(238, key, &text, &bytes, &string) == (NTSTATUS)0x80000005);
    OK(235, key, &answer, 4, &number, &length, &kind);
    CHECK(number == 42 && length == 4 && kind == 4);
    CHECK((NTSTATUS)WDF(229, key, &none, 0x20019, NONE, &object) == (NTSTATUS)0xC0000034);
    WDF(231, key);
    OK(80, This->Device, &link);
    /* One for each device (fxdeviceapi.cpp:1030). */
    CHECK((NTSTATUS)WDF(80, This->Device, &link) == INVALID_DEVICE_REQUEST);
    return 0;
}

static u32 TourOfDeferral(void)
{
    const long long no_time = 0, soon = -20000;
    TIMER_CONFIG timer = { sizeof(TIMER_CONFIG), Tick, 1, 0, 0, 0 };
    DEFERRED_CONFIG deferred = { sizeof(DEFERRED_CONFIG), Tick, 0 };
    ATTRIBUTES attributes = Attributes(This->Device, 0), orphan = Attributes(0, 0);
    HANDLE object = 0;
    CHECK((NTSTATUS)WDF(318, &timer, &orphan, &object) == (NTSTATUS)0xC0200212);
    OK(318, &timer, &attributes, &object);
    CHECK(WDF(321, object) == This->Device);
    Ticks = 0;
    CHECK(!(u8)WDF(319, object, -10000LL));
    while (Ticks < 5) {
        KeDelayExecutionThread(0, 0, &soon);
    }
    CHECK((u8)WDF(320, object, 1));
    Ticks = 0;
    KeDelayExecutionThread(0, 0, &soon);
    CHECK(Ticks == 0 && !(u8)WDF(320, object, 1));
    WDF(208, object);
    OK(379, &deferred, &attributes, &object);
    WDF(380, object);
    WDF(382, object);
    CHECK(Ticks == 1 && WDF(381, object) == This->Device);
    WDF(208, object);
    OK(111, &deferred, &attributes, &object);
    CHECK((u8)WDF(112, object) && WDF(114, object) == This->Device);
    WDF(113, object, 1);
    CHECK(Ticks <= 2);
    WDF(208, object);
    CHECK((NTSTATUS)WDF(313, This->Lock, &no_time) == SUCCESS);
    WDF(314, This->Lock);
    return 0;
}

static u32 TourOfQueues(HANDLE parallel, HANDLE request)
{
    QUEUE_CONFIG config = { sizeof(QUEUE_CONFIG), 3, 0 };
    HANDLE queue = 0, next = 0;
    OK(152, This->Device, &config, NONE, &queue);
    CHECK((NTSTATUS)WDF(158, parallel, &next) == (NTSTATUS)0xC0000184);
    CHECK((NTSTATUS)WDF(158, queue, &next) == (NTSTATUS)0x8000001A);
    WDF(156, queue);
    CHECK((NTSTATUS)WDF(158, queue, &next) == (NTSTATUS)0xC0200203);
    WDF(154, queue);
    CHECK((NTSTATUS)WDF(158, queue, &next) == (NTSTATUS)0x8000001A);
    OK(281, request, queue);
    OK(158, queue, &next);
    CHECK(next == request && WDF(282, request) == queue);
    OK(281, request, This->Manual);
    OK(158, This->Manual, &next);
    WDF(164, queue);
    CHECK((NTSTATUS)WDF(281, request, queue) == (NTSTATUS)0xC0200204);
    WDF(154, queue);
    OK(281, request, queue);
    OK(158, queue, &next);
    config.Size--;
    CHECK((NTSTATUS)WDF(152, This->Device, &config, NONE, &queue) == (NTSTATUS)0xC0000004);
    return 0;
}

/* support/fxcollectionapi.cpp: an object may be in it twice, and stays as long as it is in it. */
static u32 TourOfCollections(void)
{
    HANDLE collection = 0, first = Letter(0, 'p'), second = Letter(0, 'q');
    OK(13, NONE, &collection);
    CHECK(WDF(14, collection) == 0 && !WDF(19, collection) && !WDF(20, collection) && !WDF(18, collection, 0));
    OK(15, collection, first);
    OK(15, collection, second);
    OK(15, collection, first);
    CHECK(WDF(14, collection) == 3 && WDF(19, collection) == first && WDF(20, collection) == first);
    CHECK(WDF(18, collection, 1) == second && !WDF(18, collection, 3));
    WDF(16, collection, first);
    CHECK(WDF(14, collection) == 2 && WDF(19, collection) == second);
    OrderLength = 0;
    WDF(208, first);
    CHECK(OrderLength == 1 && Order[0] == 'p' && WDF(20, collection) == first);
    WDF(17, collection, 1);
    CHECK(OrderLength == 2 && Order[1] == 'P' && WDF(14, collection) == 1);
    WDF(208, second);
    CHECK(OrderLength == 3);
    WDF(208, collection);
    CHECK(OrderLength == 4 && Order[3] == 'Q');
    return 0;
}

static void Tour(HANDLE queue, HANDLE request)
{
    u32 wrong = TourOfRequests(queue, request);
    wrong = wrong ? wrong : TourOfMemory();
    wrong = wrong ? wrong : TourOfCollections();
    wrong = wrong ? wrong : TourOfDeferral();
    wrong = wrong ? wrong : TourOfQueues(queue, request);
    Answer(request, &wrong, sizeof(wrong));
}

__attribute__((section("PAGE"), noinline)) static int Pageable(void)
{
    return DbgPrint("framework test: pageable code runs\n");
}

__attribute__((section("INIT"), noinline)) static int AtEntryOnly(void)
{
    return DbgPrint("framework test: initialization code runs\n");
}

static void QueueStops(HANDLE queue, u64 context) {}

/* A frame of its own, so that reports can name it. */
__attribute__((noinline)) static void Misuse(HANDLE queue, HANDLE request, u32 function)
{
    QUEUE_CONFIG other = { sizeof(QUEUE_CONFIG), 3, 0 };
    SENT sent;
    u64 parameters[5] = { 0 };
    static u64 spin;
    const long long no_time = 0;
    HANDLE object = 0;
    void *buffer = 0;
    switch (function) {
    case 0x900: /* completes twice */
        Complete(request, SUCCESS, 0);
        Complete(request, SUCCESS, 0);
        return;
    case 0x901: /* a queue is no device */
        WDF(92, queue);
        break;
    case 0x902: /* deleted already */
        object = Letter(0, 'x');
        WDF(208, object);
        WDF(208, object);
        break;
    case 0x903: /* more than the buffer has */
        Complete(request, SUCCESS, 1000);
        return;
    case 0x904: /* still cancelable */
        WDF(255, request, CancelCallback);
        Complete(request, SUCCESS, 0);
        return;
    case 0x905: /* waits for itself */
        WDF(313, This->Lock, NONE);
        WDF(313, This->Lock, NONE);
        break;
    case 0x906: /* never completed */
        return;
    case 0x907: /* referenced and forgotten */
        object = Letter(0, 'y');
        WDF(205, object, NONE, NONE, NONE);
        break;
    case 0x908: /* waits at DISPATCH_LEVEL */
        KeAcquireSpinLockRaiseToDpc(&spin);
        WDF(313, This->Lock, &no_time);
        WDF(314, This->Lock);
        WDF(313, This->Lock, NONE);
        break;
    case 0x909: /* WdfIoTargetCreate */
        WDF(167, This->Device, NONE, &object);
        break;
    case 0x90A: /* one dereference too many */
        object = Letter(0, 'z');
        WDF(206, object, NONE, NONE, NONE);
        break;
    case 0x90B: /* writes behind a context */
        ((volatile char *)WDF(202, Letter(request, 'w'), &LetterType))[1] = 1;
        break;
    case 0x90C: /* comes back at DISPATCH_LEVEL */
        Complete(request, SUCCESS, 0);
        KfRaiseIrql(2);
        return;
    case 0x90D: /* PASSIVE_LEVEL only */
        KfRaiseIrql(2);
        WDF(119, Globals->Driver, 0x20019, NONE, &object);
        KeLowerIrql(0);
        break;
    case 0x90E: /* releases what it does not hold */
        WDF(314, This->Lock);
        break;
    case 0x90F: /* a null pointer */
        WDF(266, request, NONE);
        break;
    case 0x910: /* completes what a queue has */
        WDF(281, request, This->Manual);
        Complete(request, SUCCESS, 0);
        return;
    case 0x911: /* no handle at all */
        WDF(263, 0x1234, SUCCESS);
        break;
    case 0x912: /* writes behind the system buffer */
        if ((NTSTATUS)WDF(270, request, 4ULL, &buffer, NONE) == SUCCESS) {
            ((volatile char *)buffer)[4] = 1;
        }
        break;
    case 0x914: /* leaks pool by way of a memory object: none, for the object goes with the driver */
        WDF(192, NONE, POOL_NX, 0x74736554, 100ULL, &object, NONE);
        break;
    case 0x915: /* the framework's, not the driver's to delete */
        WDF(208, queue);
        break;
    case 0x916: /* touches a request's buffer after it is completed */
        if ((NTSTATUS)WDF(270, request, 4ULL, &buffer, NONE) == SUCCESS) {
            Complete(request, SUCCESS, 0);
            ((volatile char *)buffer)[0] = 1;
            return;
        }
        break;
    case 0x917: /* pageable code at DISPATCH_LEVEL */
        KfRaiseIrql(2);
        Pageable();
        KeLowerIrql(0);
        break;
    case 0x918: /* code that was thrown away after DriverEntry */
        AtEntryOnly();
        break;
    case 0x919: /* pageable code below DISPATCH_LEVEL: no misuse, it is paged in */
        KfRaiseIrql(2);
        KeLowerIrql(0);
        Pageable();
        break;
    case 0x91A: /* enqueues what EvtIoInCallerContext was not given */
        WDF(91, This->Device, request);
        return;
    case 0x91B: /* forwards a create, which comes from no queue */
    case 0x91F: /* marks one cancelable */
        This->AtCreate = function;
        break;
    case 0x91C: /* forwards to the queue that it comes from */
        WDF(281, request, queue);
        return;
    case 0x91D: /* looks for a request in another queue than it waits in */
        WDF(205, request, NONE, NONE, NONE);
        WDF(281, request, This->Manual);
        WDF(152, This->Device, &other, NONE, &object);
        WDF(161, object, request, &object);
        return;
    case 0x91E: /* retrieves a found request from a queue that presents by itself */
        WDF(161, queue, request, &object);
        break;
    case 0x920: /* has a queue owe two callbacks */
        WDF(281, request, This->Manual);
        WDF(158, This->Manual, &object);
        WDF(155, This->Manual, QueueStops, NONE);
        WDF(155, This->Manual, QueueStops, NONE);
        return;
    case 0x922: /* asks for the file object of a request that has none: what EvtIoDeviceControl does with the echo */
        Target = WDF(31, This->Device);
        Send(&sent, 14, 0x22 << 16 | 0x811 << 2, 0, 0);
        Go(&sent);
        break;
    case 0x923: /* asks for its client's address where the client need not be */
        WDF(273, request, NONE, &object, NONE);
        break;
    case 0x924: /* takes out of a collection what is not in it */
        WDF(13, NONE, &object);
        WDF(17, object, NONE);
        break;
    case 0x921: /* forgets _INIT */
        WDF(266, request, &parameters);
        break;
    default:
        Complete(request, INVALID_DEVICE_REQUEST, 0);
        return;
    }
    Complete(request, SUCCESS, 0);
}

static void Control(HANDLE queue, HANDLE request, u64 output, u64 input, u32 code)
{
    u32 function = FUNCTION(code);
    HANDLE next = 0;
    void *from = 0, *to = 0;
    u64 length = 0;
    NTSTATUS status;
    switch (function) {
    case 0x800: /* echo */
        status = WDF(269, request, 1ULL, &from, &length);
        if (status == SUCCESS) {
            status = WDF(270, request, length, &to, NONE);
        }
        Complete(request, status, status == SUCCESS ? length : 0);
        return;
    case 0x801: /* wait in the manual queue */
        status = WDF(281, request, This->Manual);
        if (status != SUCCESS) {
            Complete(request, status, 0);
        }
        return;
    case 0x802: /* complete the first of those */
        status = WDF(158, This->Manual, &next);
        if (status == SUCCESS) {
            Complete(next, SUCCESS, 0);
        }
        Complete(request, status, 0);
        return;
    case 0x803: /* wait, cancelable */
        WDF(316, This->Spin);
        This->Cancelable = request;
        WDF(205, request, NONE, NONE, NONE);
        WDF(317, This->Spin);
        status = WDF(393, request, CancelCallback);
        if (status != SUCCESS) {
            next = TakeCancelable();
            Complete(request, status, 0);
            if (next) {
                WDF(206, next, NONE, NONE, NONE);
            }
        }
        WDF(206, request, NONE, NONE, NONE);
        return;
    case 0x804: /* through the sequential queue */
        WDF(281, request, This->Sequential);
        return;
    case 0x805: /* completed by a timer's DPC */
    case 0x806: /* by a work item, which deletes itself */
    case 0x807: /* by a DPC */
        Deferred(request, function);
        return;
    case 0x808:
        Registry(request);
        return;
    case 0x809: {
        long counts[3] = { This->Creates, This->Cleanups, This->Closes };
        Answer(request, counts, sizeof(counts));
        return;
    }
    case 0x80A:
        Objects(request);
        return;
    case 0x80B: /* complete the cancelable one, if it is not cancelled meanwhile */
        next = TakeCancelable();
        status = next ? (NTSTATUS)WDF(256, next) : UNSUCCESSFUL;
        if (status == SUCCESS) {
            Complete(next, SUCCESS, 0);
        }
        if (next) {
            WDF(206, next, NONE, NONE, NONE);
        }
        Complete(request, status, 0);
        return;
    case 0x80C:
        This->RefuseRemoval = 1;
        Complete(request, SUCCESS, 0);
        return;
    case 0x811: /* looks for its file object */
        Complete(request, WDF(277, request) ? SUCCESS : UNSUCCESSFUL, 0);
        return;
    case 0x810: /* EvtFileCleanup completes one request of the manual queue */
        This->CleanupCompletes = 1;
        Complete(request, SUCCESS, 0);
        return;
    case 0x80D: { /* spin and wait locks */
        WDF(316, This->Spin);
        WDF(317, This->Spin);
        WDF(313, This->Lock, NONE);
        WDF(314, This->Lock);
        Complete(request, SUCCESS, 0);
        return;
    }
    case 0x80E: /* more memory than there is */
        Complete(request, (NTSTATUS)WDF(192, NONE, POOL_NX, 0x74736554, 1ULL << 62, &next, NONE), 0);
        return;
    case 0x80F:
        Tour(queue, request);
        return;
    default:
        Misuse(queue, request, function);
    }
}

/* ---- the device and the driver ---- */

static NTSTATUS Queue(u32 dispatch, u8 is_default, void *control, HANDLE *queue)
{
    QUEUE_CONFIG config = { sizeof(QUEUE_CONFIG) };
    config.DispatchType = dispatch;
    config.PowerManaged = 2;
    config.DefaultQueue = is_default;
    config.DeviceControl = control;
    config.Presented = dispatch == 2 ? ~0U : 0;
    return (NTSTATUS)WDF(152, This->Device, &config, NONE, queue);
}

static NTSTATUS DeviceAdd(HANDLE driver, HANDLE init)
{
    static const u8 interface[16] = { 0x44, 0x33, 0x22, 0x11, 0x66, 0x55, 0x88, 0x77, 1, 2, 3, 4, 5, 6, 7, 8 };
    PNP_CALLBACKS pnp = { sizeof(PNP_CALLBACKS), D0Entry, D0EntryPost, D0Exit, D0ExitPre, Prepare, Release, SelfCleanup,
        SelfFlush, SelfInit, SelfSuspend, 0, Surprise, QueryRemove, 0, 0, 0, 0 };
    FILE_CONFIG files = { sizeof(FILE_CONFIG), FileCreate, FileClose, FileCleanup, 2, 4 };
    ATTRIBUTES attributes = Attributes(0, &DeviceType);
    HANDLE device = 0;
    NTSTATUS status;
    attributes.Cleanup = (u64)DeviceCleanup;
    attributes.Destroy = (u64)DeviceDestroy;
    attributes.Level = 2;
    WDF(55, init, &pnp);
    WDF(71, init, &files, NONE);
    status = (NTSTATUS)WDF(75, &init, &attributes, &device);
    if (status != SUCCESS) {
        return status;
    }
    This = (DEVICE *)WDF(202, device, &DeviceType);
    This->Device = device;
    if (WDF(204, This) != device || init != 0) {
        return UNSUCCESSFUL;
    }
    attributes = Attributes(device, 0);
    if ((status = Queue(2, 1, Control, 0)) == SUCCESS && (status = Queue(3, 0, 0, &This->Manual)) == SUCCESS
        && (status = Queue(1, 0, SequentialControl, &This->Sequential)) == SUCCESS
        && (status = (NTSTATUS)WDF(312, &attributes, &This->Lock)) == SUCCESS
        && (status = (NTSTATUS)WDF(315, &attributes, &This->Spin)) == SUCCESS) {
        status = (NTSTATUS)WDF(77, device, interface, NONE);
    }
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
    DRIVER_CONFIG config = { sizeof(DRIVER_CONFIG), DeviceAdd, DriverUnloads, 0, 0x74736554 };
    NTSTATUS status;
    Path = *path;
    status = WdfVersionBind(driver, &Path, &Bind, &Globals);
    if (status != SUCCESS) {
        return status;
    }
    status = (NTSTATUS)WDF(116, driver, path, NONE, &config, NONE);
    if (status != SUCCESS) {
        WdfVersionUnbind(&Path, &Bind, Globals);
        return status;
    }
    DisplacedUnload = driver->Unload;
    driver->Unload = Unload;
    return status;
}
