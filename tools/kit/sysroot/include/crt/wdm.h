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
 * KeRaiseIrqlToDpcLevel has none on x64, where the WDK makes it of KfRaiseIrql.
 */
#define KeGetCurrentIrql KitHiddenKeGetCurrentIrql
#define KeLowerIrql KitHiddenKeLowerIrql
#define KfRaiseIrql KitHiddenKfRaiseIrql
#define KeRaiseIrqlToDpcLevel KitHiddenKeRaiseIrqlToDpcLevel
#include_next <wdm.h>
#undef KeGetCurrentIrql
#undef KeLowerIrql
#undef KfRaiseIrql
#undef KeRaiseIrqlToDpcLevel

NTKERNELAPI KIRQL NTAPI KeGetCurrentIrql(VOID);
NTKERNELAPI VOID NTAPI KeLowerIrql(KIRQL NewIrql);
NTKERNELAPI KIRQL NTAPI KfRaiseIrql(KIRQL NewIrql);

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

/* Windows 10, version 2004 */
typedef ULONG64 POOL_FLAGS;
NTKERNELAPI PVOID NTAPI ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag);

/* Declared beside their relatives, and not documented. */
NTKERNELAPI VOID NTAPI ExInitializeRundownProtectionCacheAwareEx(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware,
    ULONG Flags);
NTKERNELAPI VOID NTAPI ExCleanupRundownProtectionCacheAware(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware);

/* The name is the slot in the import table, which is why the WDK declares one pointer more than the variable has. */
extern POBJECT_TYPE *PsThreadType;

#endif
