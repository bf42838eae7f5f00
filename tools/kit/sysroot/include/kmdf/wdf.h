/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * KMDF for the stand-in WDK.
 *
 * Written for this kit, which makes wdfapi.h beside it for each version. The facts (function indices, prototypes,
 * layouts, enumerators' values) are those of the headers in https://github.com/microsoft/Windows-Driver-Frameworks
 * (MIT), src/publicinc/wdf/kmdf. What only C needs is kept from bindgen, which has no use for inlines: wdk-sys calls
 * through the table by index.
 */
#ifndef KIT_WDF_H
#define KIT_WDF_H

#include "wdfversion.h"

#if KMDF_VERSION_MAJOR != 1 || KMDF_VERSION_MINOR != KIT_KMDF_MINOR
#error "This folder of the stand-in WDK holds the headers of another version of KMDF."
#endif

/* Assertions, of which wdfapi.h has one for each size and offset. */
#define KIT_SIZE(Type, Size, Align) _Static_assert(sizeof(Type) == (Size) && _Alignof(Type) == (Align), #Type)
#define KIT_FIELD(Type, Field, Offset) _Static_assert(FIELD_OFFSET(Type, Field) == (Offset), #Type "." #Field)

/* What mingw-w64's wdm.h gets wrong without the kit's correction. */
KIT_SIZE(struct _DEVICE_OBJECT, 336, 16);
KIT_SIZE(struct _IRP, 208, 16);
KIT_SIZE(struct _KEVENT, 24, 8);
KIT_SIZE(struct _KDPC, 64, 8);
KIT_SIZE(struct _EX_RUNDOWN_REF, 8, 8);

/*
 * Handles. Microsoft's DECLARE_HANDLE gives each its own type under STRICT and one void pointer for all without it.
 * The strict form is used here: what compiles with it also compiles with the other.
 */
#define KIT_DECLARE_HANDLE(Name) typedef struct Name##__ { int unused; } *Name

typedef UCHAR BYTE;
typedef HANDLE WDFOBJECT, *PWDFOBJECT;
typedef PVOID WDFCONTEXT;
typedef size_t *WDF_STRUCT_INFO;
typedef struct WDFDEVICE_INIT *PWDFDEVICE_INIT;
typedef struct WDFCXDEVICE_INIT *PWDFCXDEVICE_INIT;

typedef const struct _WDF_OBJECT_CONTEXT_TYPE_INFO *PCWDF_OBJECT_CONTEXT_TYPE_INFO;
typedef PCWDF_OBJECT_CONTEXT_TYPE_INFO (__cdecl *PFN_GET_UNIQUE_CONTEXT_TYPE)(VOID);

#include "wdfapi.h"

typedef VOID (NTAPI *WDFFUNC)(VOID);

/* The table's name carries the version, so that two versions cannot be linked together. */
#define WdfFunctions KIT_WDF_FUNCTIONS

/* The framework's loader fills these in before DriverEntry runs (WdfVersionBind); the entry library defines them. */
extern const WDFFUNC *WdfFunctions;
extern PWDF_DRIVER_GLOBALS WdfDriverGlobals;
extern WDFFUNC WdfDriverMiniportUnloadOverride;
extern BOOLEAN WdfClientVersionHigherThanFramework;
extern ULONG WdfFunctionCount;
extern ULONG WdfStructureCount;
extern size_t *WdfStructures;

#ifndef __BINDGEN__
#include "wdfcalls.h"
#include "wdfinit.h"
#endif

#endif
