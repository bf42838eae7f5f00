/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What mingw-w64's ntifs.h declares otherwise than the WDK's. */
#ifndef KIT_NTIFS_H
#define KIT_NTIFS_H

#define RtlFreeHeap KitHiddenRtlFreeHeap
#define SeExamineSacl KitHiddenSeExamineSacl
#include_next <ntifs.h>
#undef RtlFreeHeap
#undef SeExamineSacl

NTSYSAPI LOGICAL NTAPI RtlFreeHeap(PVOID HeapHandle, ULONG Flags, PVOID BaseAddress);

/* With a resource's list since Windows 8. */
NTKERNELAPI VOID NTAPI SeExamineSacl(PACL Sacl, PACL ResourceSacl, PACCESS_TOKEN Token, ACCESS_MASK DesiredAccess,
    BOOLEAN AccessGranted, PBOOLEAN GenerateAudit, PBOOLEAN GenerateAlarm);

#endif
