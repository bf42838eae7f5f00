# The three routines, written for these tests from the contract: what own.uf lists, so that the tests of the mapping, of
# the fault handler and of the stand-ins need nobody's Windows. Where there is a choice it differs from ours and from
# NT's: other registers, no fast paths apart, displacements in the reads of the shared data.
#
# GNU as; own.uf is its disassembly in uf's format, with addresses from 0xfffff80220000000 on.
        .intel_syntax noprefix
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
sleep:  mov     dword ptr [rsi+8], 0x60001      # Type and Size
        mov     dword ptr [rsi+0xc], 0
        lea     rax, [rsi+0x10]
        mov     [rsi+0x10], rax
        mov     [rsi+0x18], rax
        lock btr dword ptr [rsi+0x20], 0
        jae     done
        lea     rcx, [rsi+8]
        xor     edx, edx
        xor     r8d, r8d
        xor     r9d, r9d
        mov     qword ptr [rsp+0x20], 0
        call    KeWaitForSingleObject
done:   add     rsp, 0x68
        pop     rbx
        pop     rsi
        ret

        .org 0x9000
spin:   test    byte ptr [rsi+0x20], 1
        je      done
        sub     eax, 1
        jb      sleep
        pause
        jmp     spin

        .org 0x20000
ExpSpinCycleCount:
        .org 0x30000
KeWaitForSingleObject:
        .org 0x30100
KeYieldProcessorEx:
        .org 0x30200
ExfReleaseRundownProtection:
        .org 0x30210
