/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What mingw-w64's wdm.h lacks, or states differently from the WDK's, for x64.
 *
 * A prototype stands here only for a routine that the WDK declares as a function and ntoskrnl.exe exports
 * (ntoskrnl.def lists them): what is an inline in the WDK must not turn into an import.
 */
#ifndef KIT_WDM_H
#define KIT_WDM_H

/* Functions in the WDK, inlines in mingw-w64. Inlines get no binding, so the names are given to real prototypes. */
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
NTKERNELAPI KIRQL NTAPI KeRaiseIrqlToDpcLevel(VOID);

/* Windows 10, version 2004 */
typedef ULONG64 POOL_FLAGS;
NTKERNELAPI PVOID NTAPI ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag);

/* The name is the slot in the import table, which is why the WDK declares one pointer more than the variable has. */
extern POBJECT_TYPE *PsThreadType;

#endif
