/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a KMDF 1.31 client needs, without Microsoft's headers, so that layouts and indices are a second opinion on lab/wdf's. Sources:
 * the public headers of KMDF 1.31, fxldr.h for the loader's structure, wdm.h.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int NTSTATUS;
typedef u64 HANDLE;

#define SUCCESS 0
#define PENDING 0x103
#define UNSUCCESSFUL ((NTSTATUS)0xC0000001)
#define INVALID_DEVICE_REQUEST ((NTSTATUS)0xC0000010)
#define CANCELLED ((NTSTATUS)0xC0000120)
#define POOL_NX 512

typedef struct { u16 Length, MaximumLength; const u16 *Buffer; } UNICODE_STRING;
#define STRING(text) { sizeof(text) - 2, sizeof(text), (const u16 *)(text) }

__declspec(dllimport) int DbgPrint(const char *format, ...);
__declspec(dllimport) u8 KeAcquireSpinLockRaiseToDpc(u64 *lock);
__declspec(dllimport) void KeReleaseSpinLock(u64 *lock, u8 irql);
__declspec(dllimport) u8 KfRaiseIrql(u8 irql);
__declspec(dllimport) void KeLowerIrql(u8 irql);
__declspec(dllimport) NTSTATUS KeDelayExecutionThread(char mode, u8 alertable, const long long *interval);

/* For the compiler's own calls. */
void *memset(void *target, int value, u64 count)
{
    volatile u8 *byte = target;
    while (count--) {
        *byte++ = (u8)value;
    }
    return target;
}

void *memcpy(void *target, const void *source, u64 count)
{
    volatile u8 *to = target;
    const u8 *from = source;
    while (count--) {
        *to++ = *from++;
    }
    return target;
}

/* ---- the loader ---- */

typedef struct { u64 Driver; u32 Flags, Tag; char Name[32]; u8 DisplaceDriverUnload; } GLOBALS;
typedef struct {
    u32 Size;
    const u16 *Component;
    u32 Major, Minor, Build, FuncCount;
    void ***FuncTable;
    void *Module;
    u32 *MinimumVersionRequired;
    u8 *ClientVersionHigherThanFramework;
    u32 *FuncCountPtr, *StructCountPtr;
    u64 **StructTable;
} BIND_INFO;
_Static_assert(sizeof(BIND_INFO) == 88, "WDF_BIND_INFO2");

__declspec(dllimport) NTSTATUS WdfVersionBind(void *driver, UNICODE_STRING *path, BIND_INFO *info, GLOBALS **globals);
__declspec(dllimport) void WdfVersionUnbind(UNICODE_STRING *path, BIND_INFO *info, GLOBALS *globals);

static void **Functions;
static GLOBALS *Globals;
static u32 MinimumVersion = 31, FunctionCount = 458, StructureCount;
static u64 *Structures;
static u8 ClientIsNewer;
static BIND_INFO Bind = {
    88, L"KmdfLibrary", 1, 31, 0, 458, &Functions, 0, &MinimumVersion, &ClientIsNewer, &FunctionCount, &StructureCount, &Structures,
};
static UNICODE_STRING Path;

/* Every framework function, by its index. Arguments are whole words: on the stack an int would have a stranger's upper half. */
#define NONE ((u64)0)
#define WDF(index, ...) (((u64(*)(GLOBALS *, ...))Functions[index])(Globals, __VA_ARGS__))
#define STATUS(...) ((NTSTATUS)WDF(__VA_ARGS__))

/* ---- layouts ---- */

typedef struct { u32 Size; u64 Cleanup, Destroy; u32 Level, Scope; HANDLE Parent; u64 SizeOverride; const void *Type; } ATTRIBUTES;
typedef struct CONTEXT_TYPE { u32 Size; const char *Name; u64 ContextSize; const struct CONTEXT_TYPE *Unique; void *Get; } CONTEXT_TYPE;
typedef struct { u32 Size; void *DeviceAdd, *Unload; u32 Flags, Tag; } DRIVER_CONFIG;
typedef struct { u32 Size; void *Create, *Close, *Cleanup; u32 AutoForward, Class; } FILE_CONFIG;
typedef struct {
    u32 Size, DispatchType, PowerManaged;
    u8 AllowZeroLength, DefaultQueue;
    void *Default, *Read, *Write, *DeviceControl, *Internal, *Stop, *Resume, *CanceledOnQueue;
    u32 Presented;
    u64 Driver;
} QUEUE_CONFIG;
typedef struct {
    u32 Size;
    void *D0Entry, *D0EntryPost, *D0Exit, *D0ExitPre, *Prepare, *Release, *SelfCleanup, *SelfFlush, *SelfInit, *SelfSuspend,
        *SelfRestart, *Surprise, *QueryRemove, *QueryStop, *Usage, *Relations, *UsageEx;
} PNP_CALLBACKS;
typedef struct { u32 Size; void *Func; u32 Period; u8 Serialize; u32 Delay, Padding; u8 HighResolution; } TIMER_CONFIG;
typedef struct { u32 Size; void *Func; u8 Serialize; } DEFERRED_CONFIG;
_Static_assert(sizeof(ATTRIBUTES) == 56 && sizeof(CONTEXT_TYPE) == 40 && sizeof(DRIVER_CONFIG) == 32, "objects");
_Static_assert(sizeof(FILE_CONFIG) == 40 && sizeof(QUEUE_CONFIG) == 96 && sizeof(PNP_CALLBACKS) == 144, "devices");
_Static_assert(sizeof(TIMER_CONFIG) == 40 && sizeof(DEFERRED_CONFIG) == 24, "deferred");

static ATTRIBUTES Attributes(HANDLE parent, const CONTEXT_TYPE *type)
{
    ATTRIBUTES attributes = { sizeof(ATTRIBUTES), 0, 0, 1, 1, parent, 0, type };
    return attributes;
}
