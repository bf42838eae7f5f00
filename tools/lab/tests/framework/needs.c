/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a framework asks of the kernel and hardly a driver does, by the routines' pages. Prints the line of the first check that fails, or 0. A driver that
 * is no Plug and Play driver, without a framework.
 */
#include "kmdf.h"

typedef struct { u8 Before[0x68]; void (*Unload)(void *); } DRIVER;
typedef struct { u32 Length; u64 Root; UNICODE_STRING *Name; u32 Attributes; u64 Security, Quality; } OBJECT_ATTRIBUTES;
typedef struct { u64 Routine; u32 Flags; const u16 *Name; void *Context; u32 DefaultType; const void *Default; u32 Length; } QUERY;

__declspec(dllimport) NTSTATUS IoAllocateDriverObjectExtension(DRIVER *driver, void *name, u32 size, u64 **extension);
__declspec(dllimport) u64 *IoGetDriverObjectExtension(DRIVER *driver, void *name);
__declspec(dllimport) NTSTATUS IoOpenDriverRegistryKey(DRIVER *driver, u32 kind, u32 access, u32 flags, u64 *handle);
__declspec(dllimport) NTSTATUS RtlQueryRegistryValuesEx(u32 relative, u64 path, QUERY *table, void *context, void *environment);
__declspec(dllimport) NTSTATUS ZwClose(u64 handle);
__declspec(dllimport) NTSTATUS ExCreateCallback(u64 *object, OBJECT_ATTRIBUTES *attributes, u8 create, u8 multiple);
__declspec(dllimport) u64 ExRegisterCallback(u64 object, void *routine, void *context);
__declspec(dllimport) void ExUnregisterCallback(u64 handle);
__declspec(dllimport) void ExNotifyCallback(u64 object, void *first, void *second);
__declspec(dllimport) u64 ObfDereferenceObject(u64 object);
__declspec(dllimport) u8 KeRegisterBugCheckReasonCallback(void *record, void *routine, u32 reason, const char *component);
__declspec(dllimport) u8 KeDeregisterBugCheckReasonCallback(void *record);
__declspec(dllimport) u8 KdRefreshDebuggerNotPresent(void);
__declspec(dllimport) u64 MmLockPagableDataSection(void *address);
__declspec(dllimport) void MmLockPagableSectionByHandle(u64 handle);
__declspec(dllimport) void MmUnlockPagableImageSection(u64 handle);
__declspec(dllimport) u64 ExAllocateTimer(void *callback, void *context, u32 attributes);
__declspec(dllimport) u8 ExSetTimer(u64 timer, long long due, long long period, void *parameters);
__declspec(dllimport) u8 ExCancelTimer(u64 timer, void *parameters);
__declspec(dllimport) u8 ExDeleteTimer(u64 timer, u8 cancel, u8 wait, void *parameters);
__declspec(dllimport) void KeInitializeTimerEx(u64 *timer, u32 kind);
__declspec(dllimport) u8 KeSetCoalescableTimer(u64 *timer, long long due, u32 period, u32 tolerance, void *dpc);
__declspec(dllimport) NTSTATUS KeWaitForSingleObject(void *object, u32 reason, u8 mode, u8 alertable, const long long *timeout);
__declspec(dllimport) const u16 *wcsrchr(const u16 *text, u16 wanted);
__declspec(dllimport) NTSTATUS IoCreateDevice(DRIVER *, u32 extension, UNICODE_STRING *, u32 type, u32 flags, u8 exclusive, void **device);
__declspec(dllimport) void IoDeleteDevice(void *device);
__declspec(dllimport) NTSTATUS IoGetDeviceProperty(void *device, u32 property, u32 room, void *buffer, u32 *length);
__declspec(dllimport) u32 PoSetPowerState(void *device, u32 kind, u32 state);
__declspec(dllimport) NTSTATUS IoWMIRegistrationControl(void *device, u32 action);
__declspec(dllimport) NTSTATUS IoSetCompletionRoutineEx(void *device, u8 *irp, void *routine, void *context, u8 success, u8 error, u8 cancel);
__declspec(dllimport) u8 *IoAllocateIrp(char stack, u8 quota);
__declspec(dllimport) void IoFreeIrp(u8 *irp);

#define NAME_COLLISION ((NTSTATUS)0xC0000035)
#define NAME_NOT_FOUND ((NTSTATUS)0xC0000034)
#define INVALID_PARAMETER ((NTSTATUS)0xC000000D)
#define MILLISECOND 10000LL
#define CHECK(is) do { if (!(is)) { return __LINE__; } } while (0)

static u32 Called;
static void *Arguments[3];

static void Callback(void *context, void *first, void *second)
{
    Called++;
    Arguments[0] = context;
    Arguments[1] = first;
    Arguments[2] = second;
}

static void Expired(u64 timer, u64 *seen)
{
    *seen += timer != 0;
}

__attribute__((section("PAGEX"), noinline)) static u32 Pageable(u32 value)
{
    return value + 1;
}

static u32 Objects(DRIVER *driver)
{
    static u8 one, another;
    static UNICODE_STRING power = STRING(L"\\Callback\\PowerState"), own = STRING(L"\\Callback\\Own");
    OBJECT_ATTRIBUTES attributes = { sizeof attributes, 0, &power, 0x40, 0, 0 };
    u64 *extension, object, first, second;
    CHECK(IoAllocateDriverObjectExtension(driver, &one, 40, &extension) == SUCCESS && extension && !extension[0] && !extension[4]);
    CHECK(IoGetDriverObjectExtension(driver, &one) == extension && !IoGetDriverObjectExtension(driver, &another));
    CHECK(IoAllocateDriverObjectExtension(driver, &one, 40, &extension) == NAME_COLLISION && !extension);

    CHECK(ExCreateCallback(&object, &attributes, 0, 1) == SUCCESS);
    first = ExRegisterCallback(object, Callback, &one);
    CHECK(first);
    ExUnregisterCallback(first);
    ObfDereferenceObject(object);
    attributes.Name = &own;
    CHECK(ExCreateCallback(&object, &attributes, 0, 0) == NAME_NOT_FOUND);
    CHECK(ExCreateCallback(&object, &attributes, 1, 0) == SUCCESS);
    first = ExRegisterCallback(object, Callback, &one);
    second = ExRegisterCallback(object, Callback, &another);
    CHECK(first && !second);
    ExNotifyCallback(object, &first, &second);
    CHECK(Called == 1 && Arguments[0] == &one && Arguments[1] == &first && Arguments[2] == &second);
    ExUnregisterCallback(first);
    ExNotifyCallback(object, &first, &second);
    CHECK(Called == 1);
    ObfDereferenceObject(object);
    return 0;
}

static u32 Registry(DRIVER *driver)
{
    /* As the framework asks for its settings (globals.cpp:1531): the type to check is above REG_NONE, which is no default. */
    u32 value = 77, zero = 0;
    QUERY table[2] = { { 0, 0x120, L"VerifierOn", &value, 4 << 24, &zero, 4 } };
    u64 key;
    CHECK(IoOpenDriverRegistryKey(driver, 7, 0x20019, 0, &key) == INVALID_PARAMETER);
    CHECK(IoOpenDriverRegistryKey(driver, 0, 0x20019, 0, &key) == SUCCESS);
    CHECK(RtlQueryRegistryValuesEx(0xC0000000, key, table, 0, 0) == SUCCESS && value == 77);
    CHECK(ZwClose(key) == SUCCESS);
    return 0;
}

static u32 Rest(DRIVER *driver)
{
    static u64 record[6], timer[8];
    static const u16 path[] = L"a\\b\\c";
    const long long wait = -50 * MILLISECOND;
    u64 section, expired = 0, extended;
    void *device;
    u8 *irp, *next, old;
    u16 name[16];
    u32 length;
    CHECK(KeRegisterBugCheckReasonCallback(record, Callback, 1, "needs") == 1 && KeRegisterBugCheckReasonCallback(record, Callback, 1, "needs") == 0);
    CHECK(record[2] == (u64)Callback && record[3] != 0);
    CHECK(KeDeregisterBugCheckReasonCallback(record) == 1 && KeDeregisterBugCheckReasonCallback(record) == 0);
    CHECK(KdRefreshDebuggerNotPresent() == 1);
    CHECK(wcsrchr(path, '\\') == path + 3 && wcsrchr(path, 'x') == 0 && wcsrchr(path, 0) == path + 5);

    section = MmLockPagableDataSection(Pageable);
    MmLockPagableSectionByHandle(section);
    MmUnlockPagableImageSection(section);
    old = KfRaiseIrql(2);
    CHECK(Pageable(1) == 2);
    KeLowerIrql(old);
    MmUnlockPagableImageSection(section);

    extended = ExAllocateTimer(Expired, &expired, 0);
    CHECK(extended && ExSetTimer(extended, -MILLISECOND, 0, 0) == 0);
    KeDelayExecutionThread(0, 0, &wait);
    CHECK(expired == 1 && ExCancelTimer(extended, 0) == 0);
    CHECK(ExSetTimer(extended, 1000 * wait, 0, 0) == 0 && ExSetTimer(extended, 1000 * wait, 0, 0) == 1);
    CHECK(ExDeleteTimer(extended, 1, 1, 0) == 1);
    KeInitializeTimerEx(timer, 0);
    CHECK(KeSetCoalescableTimer(timer, -MILLISECOND, 0, 10, 0) == 0 && KeWaitForSingleObject(timer, 0, 0, 0, 0) == SUCCESS);

    CHECK(IoCreateDevice(driver, 0, 0, 0x22, 0, 0, &device) == SUCCESS);
    CHECK(IoGetDeviceProperty(device, 0xF, sizeof name, name, &length) == SUCCESS && length == 10 && name[0] == 'R' && name[4] == 0);
    CHECK(IoGetDeviceProperty(device, 0xF, 8, name, &length) == (NTSTATUS)0xC0000023 && length == 10);
    CHECK(IoGetDeviceProperty(device, 0xB, sizeof name, name, &length) == NAME_NOT_FOUND);
    CHECK(PoSetPowerState(device, 1, 1) == 0 && PoSetPowerState(device, 1, 4) == 1 && PoSetPowerState(device, 1, 1) == 4);
    CHECK(IoWMIRegistrationControl(device, 1) == SUCCESS && IoWMIRegistrationControl(device, 2) == SUCCESS);
    irp = IoAllocateIrp(1, 0);
    CHECK(irp && IoSetCompletionRoutineEx(device, irp, Callback, &expired, 1, 0, 1) == SUCCESS);
    next = *(u8 **)(irp + 0xB8) - 0x48;
    CHECK(next[3] == 0x60 && *(void **)(next + 0x38) == Callback && *(void **)(next + 0x40) == &expired);
    IoFreeIrp(irp);
    IoDeleteDevice(device);
    return 0;
}

static void Unload(void *driver) {}

NTSTATUS DriverEntry(DRIVER *driver, UNICODE_STRING *path)
{
    u32 line = Objects(driver);
    line = line ? line : Registry(driver);
    line = line ? line : Rest(driver);
    DbgPrint("needs: %u\n", line);
#ifdef REFUSES
    return NAME_NOT_FOUND;
#endif
    driver->Unload = Unload;
    return SUCCESS;
}
