/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What mingw-w64's wdm.h lacks, or states differently from the WDK's, for x64.
 *
 * A prototype stands here only for a routine that the WDK declares as a function and ntoskrnl.exe exports
 * (ntoskrnl.def lists them): what is an inline in the WDK must not turn into an import.
 */
#ifndef KIT_WDM_H
#define KIT_WDM_H

/*
 * Functions in the WDK, inlines in mingw-w64. Inlines get no binding, so the names are given to real prototypes; but
 * KeRaiseIrqlToDpcLevel has none on x64, where the WDK makes it of KfRaiseIrql. The last two are the other way round.
 */
#define KeGetCurrentIrql KitHiddenKeGetCurrentIrql
#define KeLowerIrql KitHiddenKeLowerIrql
#define KfRaiseIrql KitHiddenKfRaiseIrql
#define KeRaiseIrqlToDpcLevel KitHiddenKeRaiseIrqlToDpcLevel
#define KeInitializeSpinLock KitHiddenKeInitializeSpinLock
#define KeSaveFloatingPointState KitHiddenKeSaveFloatingPointState
#define KeRestoreFloatingPointState KitHiddenKeRestoreFloatingPointState
#include_next <wdm.h>
#undef KeGetCurrentIrql
#undef KeLowerIrql
#undef KfRaiseIrql
#undef KeRaiseIrqlToDpcLevel
#undef KeInitializeSpinLock
#undef KeSaveFloatingPointState
#undef KeRestoreFloatingPointState

NTKERNELAPI KIRQL NTAPI KeGetCurrentIrql(VOID);
NTKERNELAPI VOID NTAPI KeLowerIrql(KIRQL NewIrql);
NTKERNELAPI KIRQL NTAPI KfRaiseIrql(KIRQL NewIrql);
NTKERNELAPI VOID NTAPI KeInitializeSpinLock(PKSPIN_LOCK SpinLock);

/* The processor's SSE state is the thread's on x64, and there is nothing to save. */
FORCEINLINE NTSTATUS KeSaveFloatingPointState(PKFLOATING_SAVE FloatSave)
{
    (void)FloatSave;
    return STATUS_SUCCESS;
}
FORCEINLINE NTSTATUS KeRestoreFloatingPointState(PKFLOATING_SAVE FloatSave)
{
    (void)FloatSave;
    return STATUS_SUCCESS;
}

/* Of what the WDK makes it on x64. */
FORCEINLINE KIRQL KeRaiseIrqlToDpcLevel(VOID)
{
    return KfRaiseIrql(DISPATCH_LEVEL);
}

/* An instruction on x64, where mingw-w64 has the function. */
#undef DbgBreakPoint
#define DbgBreakPoint __debugbreak

/* Values that mingw-w64 has wrong in ntstatus.h and bugcodes.h; both are read once. */
#include <bugcodes.h>
#undef STATUS_GRAPHICS_DRIVER_MISMATCH
#define STATUS_GRAPHICS_DRIVER_MISMATCH ((NTSTATUS)0xC01E0009)
#undef STATUS_PKU2U_CERT_FAILURE
#define STATUS_PKU2U_CERT_FAILURE ((NTSTATUS)0xC000042F)
#undef BUGCODE_ID_DRIVER
#define BUGCODE_ID_DRIVER ((ULONG)0x000000D2)
#undef BOOTING_IN_SAFEMODE_MINIMAL
#define BOOTING_IN_SAFEMODE_MINIMAL ((ULONG)0x000000A8)
#undef BOOTING_IN_SAFEMODE_NETWORK
#define BOOTING_IN_SAFEMODE_NETWORK ((ULONG)0x000000A9)
#undef BOOTING_IN_SAFEMODE_DSREPAIR
#define BOOTING_IN_SAFEMODE_DSREPAIR ((ULONG)0x000000AA)
#undef BOOTLOG_ENABLED
#define BOOTLOG_ENABLED ((ULONG)0x000000B7)
#undef IMPERSONATING_WORKER_THREAD
#define IMPERSONATING_WORKER_THREAD ((ULONG)0x000000DF)

/* Windows 10 (evntprov.h) */
typedef enum _EVENT_INFO_CLASS {
    EventProviderBinaryTrackInfo,
    EventProviderSetReserved1,
    EventProviderSetTraits,
    EventProviderUseDescriptorType,
    MaxEventInfo
} EVENT_INFO_CLASS;
NTKERNELAPI NTSTATUS NTAPI EtwSetInformation(REGHANDLE RegHandle, EVENT_INFO_CLASS InformationClass,
    PVOID EventInformation, ULONG InformationLength);

/* Windows 10, version 2004. The suffix is Microsoft's, and bindgen makes no constant of such a number: wdk-sys has its own. */
typedef ULONG64 POOL_FLAGS;
#define POOL_FLAG_USE_QUOTA 0x1UI64
#define POOL_FLAG_UNINITIALIZED 0x2UI64
#define POOL_FLAG_SESSION 0x4UI64
#define POOL_FLAG_CACHE_ALIGNED 0x8UI64
#define POOL_FLAG_RESERVED1 0x10UI64
#define POOL_FLAG_RAISE_ON_FAILURE 0x20UI64
#define POOL_FLAG_NON_PAGED 0x40UI64
#define POOL_FLAG_NON_PAGED_EXECUTE 0x80UI64
#define POOL_FLAG_PAGED 0x100UI64
#define POOL_FLAG_RESERVED2 0x200UI64
#define POOL_FLAG_RESERVED3 0x400UI64
#define POOL_FLAG_REQUIRED_START 0x1UI64
#define POOL_FLAG_REQUIRED_END 0x80000000UI64
#define POOL_FLAG_OPTIONAL_START 0x100000000UI64
#define POOL_FLAG_SPECIAL_POOL 0x100000000UI64
#define POOL_FLAG_OPTIONAL_END 0x8000000000000000UI64
NTKERNELAPI PVOID NTAPI ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag);

/* Inlines over ExAllocatePoolWithTag and its relatives (wdm.h). */
FORCEINLINE PVOID NTAPI ExAllocatePoolUninitialized(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag)
{
    return ExAllocatePoolWithTag(PoolType, NumberOfBytes, Tag);
}
FORCEINLINE PVOID NTAPI ExAllocatePoolZero(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag)
{
    PVOID Pool = ExAllocatePoolWithTag(PoolType, NumberOfBytes, Tag);
    if (Pool != NULL) {
        RtlZeroMemory(Pool, NumberOfBytes);
    }
    return Pool;
}
FORCEINLINE PVOID NTAPI ExAllocatePoolQuotaUninitialized(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag)
{
    return ExAllocatePoolWithQuotaTag(PoolType, NumberOfBytes, Tag);
}
FORCEINLINE PVOID NTAPI ExAllocatePoolQuotaZero(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag)
{
    PVOID Pool = ExAllocatePoolWithQuotaTag(PoolType, NumberOfBytes, Tag);
    if (Pool != NULL) {
        RtlZeroMemory(Pool, NumberOfBytes);
    }
    return Pool;
}
FORCEINLINE PVOID NTAPI ExAllocatePoolPriorityUninitialized(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag,
    EX_POOL_PRIORITY Priority)
{
    return ExAllocatePoolWithTagPriority(PoolType, NumberOfBytes, Tag, Priority);
}
FORCEINLINE PVOID NTAPI ExAllocatePoolPriorityZero(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag,
    EX_POOL_PRIORITY Priority)
{
    PVOID Pool = ExAllocatePoolWithTagPriority(PoolType, NumberOfBytes, Tag, Priority);
    if (Pool != NULL) {
        RtlZeroMemory(Pool, NumberOfBytes);
    }
    return Pool;
}

/*
 * "Single binary opt-in: POOL_NX_OPTIN" (Microsoft Learn): with POOL_NX_OPTIN what a driver allocates as NonPagedPool is not
 * executable from here on. Every Windows that the kit builds for has such a pool.
 */
#define DrvRtPoolNxOptIn 0x00000001
#if defined(POOL_NX_OPTIN) && POOL_NX_OPTIN
__declspec(selectany) POOL_TYPE ExDefaultNonPagedPoolType = NonPagedPool;
#define NonPagedPool (ExDefaultNonPagedPoolType)
#endif
FORCEINLINE VOID ExInitializeDriverRuntime(ULONG RuntimeFlags)
{
#if defined(POOL_NX_OPTIN) && POOL_NX_OPTIN
    if (RuntimeFlags & DrvRtPoolNxOptIn) {
        ExDefaultNonPagedPoolType = NonPagedPoolNx;
    }
#else
    (void)RuntimeFlags;
#endif
}

/* Bits beside the priority of MmGetSystemAddressForMdlSafe and MmMapLockedPagesSpecifyCache, from Windows 8 on. */
#define MdlMappingNoWrite 0x80000000
#define MdlMappingNoExecute 0x40000000
#define MdlMappingWithGuardPtes 0x20000000

/* Declared beside their relatives, and not documented. */
NTKERNELAPI VOID NTAPI ExInitializeRundownProtectionCacheAwareEx(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware,
    ULONG Flags);
NTKERNELAPI VOID NTAPI ExCleanupRundownProtectionCacheAware(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware);

/* The name is the slot in the import table, which is why the WDK declares one pointer more than the variable has. */
extern POBJECT_TYPE *PsThreadType;

#endif
