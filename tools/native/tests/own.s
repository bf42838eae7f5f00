# Run-down routines, written for these tests from the contract: what own.uf lists, so that the tests of the mapping, of
# the fault handler and of the stand-ins need nobody's Windows. Where there is a choice it differs from ours and from
# NT's: other registers, no fast paths apart, displacements in the reads of the shared data.
#
# GNU as; own.uf is its disassembly in uf's format, with addresses from 0xfffff80220000000 on. own.rs makes it.
        .intel_syntax noprefix

        .macro  make_event block
        mov     dword ptr [\block+8], 0x60001  # Type and Size
        mov     dword ptr [\block+0xc], 0
        lea     rax, [\block+0x10]
        mov     [\block+0x10], rax
        mov     [\block+0x18], rax
        .endm

        .macro  sleep_on block
        lea     rcx, [\block+8]
        xor     edx, edx
        xor     r8d, r8d
        xor     r9d, r9d
        mov     qword ptr [rsp+0x20], 0
        call    KeWaitForSingleObject
        .endm

        .org 0x1000
ExAcquireRundownProtection:
        mov     rax, [rcx]
0:      test    al, 1
        jne     1f
        lea     rdx, [rax+2]
        lock cmpxchg [rcx], rdx
        jne     0b
        mov     eax, 1
        ret
1:      xor     eax, eax
        ret

        .org 0x1100
ExReleaseRundownProtection:
        mov     rax, [rcx]
0:      test    al, 1
        jne     ExfReleaseRundownProtection
        lea     rdx, [rax-2]
        lock cmpxchg [rcx], rdx
        jne     0b
        ret

        .org 0x1200
ExWaitForRundownProtectionRelease:
        xor     eax, eax
        mov     edx, 1
        lock cmpxchg [rcx], rdx
        cmp     rax, 1
        ja      0f
        ret
0:      push    rsi
        push    rbx
        sub     rsp, 0x68
        lea     rsi, [rsp+0x38]                 # the block
        mov     dword ptr [rsi+0x20], 1
        mov     dword ptr [rsi+0x24], 0
        mov     dword ptr [rsp+0x28], 0         # KeYieldProcessorEx counts here
        lea     r8, [rsi+1]
1:      mov     rdx, rax
        shr     rdx, 1
        mov     [rsi], rdx
        lock cmpxchg [rcx], r8
        jne     1b
        test    rdx, rdx
        je      done
        mov     r11, cr8
        cmp     r11d, 2
        jae     poll
        movabs  r9, 0xfffff78000000000
        cmp     word ptr [r9+0x36a], 1          # UnparkedProcessorCount
        jbe     sleep
        movabs  r9, 0xfffff78000000000
        cmp     byte ptr [r9+0x297], 0          # PF_MONITORX_INSTRUCTION_AVAILABLE
        jne     monitor
        movabs  r9, 0xfffff78000000000
        movzx   r10d, word ptr [r9+0x2d6]       # CyclesPerYield
        mov     eax, dword ptr [rip+ExpSpinCycleCount]
        xor     edx, edx
        div     r10d
        jmp     spin
monitor:
        rdtsc
        shl     rdx, 32
        or      rax, rdx
        mov     r8, rax
        mov     r9d, dword ptr [rip+ExpSpinCycleCount]
        add     r9, rax
2:      lea     rax, [rsi+0x20]
        xor     ecx, ecx
        xor     edx, edx
        monitorx
        test    byte ptr [rsi+0x20], 1
        je      done
        rdtsc
        shl     rdx, 32
        or      rax, rdx
        cmp     rax, r8
        jb      sleep
        cmp     rax, r9
        jae     sleep
        mov     r8, rax
        mov     rbx, r9
        sub     rbx, rax
        mov     ecx, 2
        xor     eax, eax
        mwaitx
        jmp     2b
poll:   test    byte ptr [rsi+0x20], 1
        je      done
        lea     rcx, [rsp+0x28]
        call    KeYieldProcessorEx
        jmp     poll
sleep:  make_event rsi
        lock btr dword ptr [rsi+0x20], 0
        jae     done
        sleep_on rsi
done:   add     rsp, 0x68
        pop     rbx
        pop     rsi
        ret

# The cache-aware routines. RCX is the structure: the slots at 0, from one to the next at 0x10, their number at 0x14.
# They are laid out twice as far apart as anybody else's.

# RCX becomes the slot of the current processor: KPCR.Prcb.Number, reduced.
        .macro  slot
        mov     eax, gs:[0x1a4]
        xor     edx, edx
        div     dword ptr [rcx+0x14]
        mov     eax, [rcx+0x10]
        imul    rax, rdx
        add     rax, [rcx]
        mov     rcx, rax
        .endm

        .org 0x1400
ExAcquireRundownProtectionCacheAware:
        slot
        jmp     ExAcquireRundownProtection

        .org 0x1480
ExReleaseRundownProtectionCacheAware:
        slot
        jmp     ExReleaseRundownProtection

        .org 0x1500
ExAcquireRundownProtectionCacheAwareEx:
        lea     r8d, [rdx+rdx]
        slot
        mov     rax, [rcx]
0:      test    al, 1
        jne     1f
        lea     rdx, [rax+r8]
        lock cmpxchg [rcx], rdx
        jne     0b
        mov     al, 1
        ret
1:      xor     eax, eax
        ret

        .org 0x1600
ExReleaseRundownProtectionCacheAwareEx:
        mov     r8d, edx
        slot
        mov     rax, [rcx]
        lea     r9, [r8+r8]
0:      test    al, 1
        jne     1f
        mov     rdx, rax
        sub     rdx, r9
        lock cmpxchg [rcx], rdx
        jne     0b
        ret
1:      mov     rdx, r8
        neg     rdx
        lock xadd [rax-1], rdx                  # Count of the block
        cmp     rdx, r8
        jne     2f
        lea     rcx, [rax+7]                    # its event
        lock btr dword ptr [rax+0x1f], 0
        jb      2f
        xor     edx, edx
        xor     r8d, r8d
        jmp     KeSetEvent
2:      ret

        .org 0x1700
ExWaitForRundownProtectionReleaseCacheAware:
        sub     rsp, 0x58
        lea     r8, [rsp+0x28]                  # the block; nobody spins, so its flag is clear
        mov     qword ptr [r8], 0
        make_event r8
        mov     qword ptr [r8+0x20], 0
        lea     r9, [r8+1]
        mov     r10, [rcx]
        mov     r11d, [rcx+0x14]
        xor     edx, edx
0:      mov     rax, r9
        xchg    [r10], rax
        add     rdx, rax
        mov     eax, [rcx+0x10]
        add     r10, rax
        dec     r11d
        jne     0b
        shr     rdx, 1
        je      1f
        mov     rax, rdx
        lock xadd [r8], rdx
        add     rdx, rax
        je      1f
        sleep_on r8
1:      add     rsp, 0x58
        ret

        .org 0x1800
ExRundownCompletedCacheAware:
        mov     r8d, 1
        jmp     every

        .org 0x1880
ExReInitializeRundownProtectionCacheAware:
        xor     r8d, r8d
        jmp     every

        .org 0x1900
ExSizeOfRundownProtectionCacheAware:
        sub     rsp, 0x28
        mov     ecx, 0xffff                     # ALL_PROCESSOR_GROUPS
        call    KeQueryMaximumProcessorCountEx
        inc     eax                             # room to align
        shl     eax, 7
        add     eax, 0x18
        add     rsp, 0x28
        ret

        .org 0x1980
ExInitializeRundownProtectionCacheAware:
        push    rbx
        sub     rsp, 0x20
        mov     rbx, rcx
        mov     ecx, 0xffff
        call    KeQueryMaximumProcessorCountEx
        lea     rdx, [rbx+0x18+0x7f]
        and     rdx, -0x80
        mov     [rbx], rdx
        mov     qword ptr [rbx+8], 0            # ExAllocate... says what to free
        mov     dword ptr [rbx+0x10], 0x80
        mov     [rbx+0x14], eax
        mov     rcx, rbx
        add     rsp, 0x20
        pop     rbx
        jmp     ExReInitializeRundownProtectionCacheAware

        .org 0x9000
spin:   test    byte ptr [rsi+0x20], 1
        je      done
        sub     eax, 1
        jb      sleep
        pause
        jmp     spin

# Both of the routines that come here are listed with it, as code that a linker shares is.
        .org 0x9100
every:  mov     r10, [rcx]
        mov     r11d, [rcx+0x14]
0:      mov     rax, r8
        xchg    [r10], rax
        mov     eax, [rcx+0x10]
        add     r10, rax
        dec     r11d
        jne     0b
        ret

        .org 0x20000
ExpSpinCycleCount:
        .org 0x30000
KeWaitForSingleObject:
        .org 0x30100
KeYieldProcessorEx:
        .org 0x30200
ExfReleaseRundownProtection:
        .org 0x30300
KeSetEvent:
        .org 0x30400
KeQueryMaximumProcessorCountEx:
        .org 0x30410
