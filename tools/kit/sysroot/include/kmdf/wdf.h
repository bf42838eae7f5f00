/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * KMDF 1.31, the part of it that the driver uses, for the stand-in WDK.
 *
 * Written for this kit. The facts (function indices, prototypes, layouts, enum values) are those of the headers in
 * https://github.com/microsoft/Windows-Driver-Frameworks (MIT), src/publicinc/wdf/kmdf/1.31; wdflayout.h asserts
 * each of them again while the header is compiled. The inline wrappers and the *_INIT functions are left out:
 * bindgen drops inlines, and wdk-sys calls through the table by index.
 */
#ifndef KIT_WDF_H
#define KIT_WDF_H

#if KMDF_VERSION_MAJOR != 1 || KMDF_VERSION_MINOR != 31
#error "The stand-in WDK holds the headers of KMDF 1.31 only."
#endif

/* The table's name carries the version, so that two versions cannot be linked together. */
#define WdfFunctions WdfFunctions_01031

#include "wdftypes.h"
#include "wdffuncs.h"
#include "wdflayout.h"

#endif
