/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * BufferOverflowFastFailK.lib: what the compiler's run-time checks refer to (stack cookies, Control Flow Guard), and
 * the load configuration that tells Windows where to find it.
 */
#include <stddef.h>
#include <stdint.h>

/*
 * No WDK headers: mingw-w64's define some functions outright, and two objects with those could not be linked together.
 */
typedef uint32_t ULONG;
typedef uint64_t ULONG64;
typedef uintptr_t UINT_PTR;

/* Stack cookies (/GS). Windows replaces the default value while it loads the image, by the load configuration. */

#define DEFAULT_COOKIE 0x00002B992DDFA232ULL /* the value that Windows recognises as "not yet set" */

UINT_PTR __security_cookie = DEFAULT_COOKIE;

void __security_init_cookie(void)
{
    if (__security_cookie == DEFAULT_COOKIE) {
        UINT_PTR Cookie = __builtin_ia32_rdtsc() ^ (UINT_PTR)&__security_cookie;

        /* The upper 16 bits stay zero, so that an overflow by a string cannot write the cookie back. */
        __security_cookie = Cookie & 0x0000FFFFFFFFFFFFULL;
    }
}

void __security_check_cookie(UINT_PTR Cookie)
{
    if (Cookie != __security_cookie) {
        /* __fastfail(FAST_FAIL_STACK_COOKIE_CHECK_FAILURE) */
        __asm__ volatile("int $0x29" : : "c"(2UL));
        __builtin_unreachable();
    }
}

/*
 * Control Flow Guard. Compiled code calls through these two pointers; where Windows enforces it, the loader stores its
 * own routines there. Until then every target is let through.
 */

__attribute__((naked)) void _guard_check_icall_nop(void)
{
    __asm__("ret");
}

__attribute__((naked)) void _guard_dispatch_icall_nop(void)
{
    __asm__("jmp *%rax");
}

void (*const __guard_check_icall_fptr)(void) = _guard_check_icall_nop;
void (*const __guard_dispatch_icall_fptr)(void) = _guard_dispatch_icall_nop;

/* Made by the linker: the tables, and numbers (counts, flags) as the addresses of absolute symbols. */
extern const char __guard_fids_table[], __guard_fids_count[];
extern const char __guard_iat_table[], __guard_iat_count[];
extern const char __guard_longjmp_table[], __guard_longjmp_count[];
extern const char __guard_flags[];

/*
 * IMAGE_LOAD_CONFIG_DIRECTORY64 up to GuardLongJumpTargetCount; a shorter Size than today's is allowed (PE format
 * specification, "The Load Configuration Structure").
 */
typedef struct _LOAD_CONFIG {
    ULONG Size;
    ULONG TimeDateStamp;
    ULONG Version;
    ULONG GlobalFlags[2];
    ULONG CriticalSectionDefaultTimeout;
    ULONG64 HeapAndProcess[6];
    ULONG HeapFlagsAndDependentLoadFlags[2];
    ULONG64 EditList;
    UINT_PTR *SecurityCookie;
    ULONG64 SafeSehTable[2];
    const void *GuardCFCheckFunctionPointer;
    const void *GuardCFDispatchFunctionPointer;
    const char *GuardCFFunctionTable;
    const char *GuardCFFunctionCount;
    const char *GuardFlags; /* 32 bits; the other half is the code integrity's flags and catalogue, both zero */
    ULONG CodeIntegrity[2];
    const char *GuardAddressTakenIatEntryTable;
    const char *GuardAddressTakenIatEntryCount;
    const char *GuardLongJumpTargetTable;
    const char *GuardLongJumpTargetCount;
} LOAD_CONFIG;

_Static_assert(offsetof(LOAD_CONFIG, SecurityCookie) == 88, "SecurityCookie");
_Static_assert(offsetof(LOAD_CONFIG, GuardCFCheckFunctionPointer) == 112, "GuardCFCheckFunctionPointer");
_Static_assert(offsetof(LOAD_CONFIG, GuardFlags) == 144, "GuardFlags");
_Static_assert(offsetof(LOAD_CONFIG, GuardAddressTakenIatEntryTable) == 160, "GuardAddressTakenIatEntryTable");
_Static_assert(sizeof(LOAD_CONFIG) == 192, "LOAD_CONFIG");

const LOAD_CONFIG _load_config_used = {
    .Size = sizeof(LOAD_CONFIG),
    .SecurityCookie = &__security_cookie,
    .GuardCFCheckFunctionPointer = &__guard_check_icall_fptr,
    .GuardCFDispatchFunctionPointer = &__guard_dispatch_icall_fptr,
    .GuardCFFunctionTable = __guard_fids_table,
    .GuardCFFunctionCount = __guard_fids_count,
    .GuardFlags = __guard_flags,
    .GuardAddressTakenIatEntryTable = __guard_iat_table,
    .GuardAddressTakenIatEntryCount = __guard_iat_count,
    .GuardLongJumpTargetTable = __guard_longjmp_table,
    .GuardLongJumpTargetCount = __guard_longjmp_count,
};
