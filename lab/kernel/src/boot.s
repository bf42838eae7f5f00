# From QEMU's PVH entry (32-bit, no paging, EBX = start info) to 64-bit code in the upper half, and the same way
# for each further processor from real mode. AT&T syntax: it has the far jumps.

.section .note.pvh,"a",@note
.balign 4
.long 4, 8, 18                      # name size, descriptor size, XEN_ELFNOTE_PHYS32_ENTRY
.asciz "Xen"
.quad pvh_start

.set CR0_ON, 0x80010023             # PG | WP | NE | MP | PE
.set CR4_ON, 0x00000620             # OSXMMEXCPT | OSFXSR | PAE
.set EFER_ON, 0x00000900            # NXE | LME

.section .boot.text,"awx"
.code32
.globl pvh_start
pvh_start:
    cli
    cld
    movl %ebx, %esi
    # 4 GiB of 2 MiB pages: once where they lie, once as the direct map, its first GiB also as the kernel's.
    movl $boot_pd, %edi
    movl $0x83, %eax
    xorl %edx, %edx
1:  movl %eax, (%edi)
    movl %edx, 4(%edi)
    addl $0x200000, %eax
    addl $8, %edi
    cmpl $boot_pd + 4*4096, %edi
    jne 1b
    movl $boot_pd + 3, boot_pdpt
    movl $boot_pd + 4096 + 3, boot_pdpt + 8
    movl $boot_pd + 8192 + 3, boot_pdpt + 16
    movl $boot_pd + 12288 + 3, boot_pdpt + 24
    movl $boot_pd + 3, boot_pdpt_high + 510*8
    movl $boot_pdpt + 3, boot_pml4
    movl $boot_pdpt + 3, boot_pml4 + 256*8
    movl $boot_pdpt_high + 3, boot_pml4 + 511*8
    movl $CR4_ON, %eax
    movl %eax, %cr4
    movl $boot_pml4, %eax
    movl %eax, %cr3
    movl $0xC0000080, %ecx
    movl $EFER_ON, %eax
    xorl %edx, %edx
    wrmsr
    movl $CR0_ON, %eax
    movl %eax, %cr0
    lgdt boot_gdt_pointer
    ljmp $8, $1f
.code64
1:  xorl %eax, %eax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw %ax, %fs
    movw %ax, %gs
    movabsq $boot_stack_top, %rsp
    movl %esi, %edi
    movabsq $start_boot_processor, %rax
    callq *%rax
    ud2

.balign 8
boot_gdt:
    .quad 0, 0x00AF9B000000FFFF     # null, 64-bit code
boot_gdt_pointer:
    .word 15
    .quad boot_gdt

.section .boot.bss,"aw",@nobits
.balign 4096
boot_pml4:      .skip 4096
boot_pdpt:      .skip 4096
boot_pdpt_high: .skip 4096
boot_pd:        .skip 4*4096

.section .bss.boot_stack,"aw",@nobits
.balign 16
.skip 65536
.globl boot_stack_top
boot_stack_top:

.section .trampoline,"awx"
.code16
trampoline:
    cli
    cld
    xorw %ax, %ax
    movw %ax, %ds
    lgdtl trampoline_gdt_pointer
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $16, $1f
.code32
1:  movw $24, %ax
    movw %ax, %ds
    movw %ax, %ss
    movl $CR4_ON, %eax
    movl %eax, %cr4
    movl trampoline_cr3, %eax
    movl %eax, %cr3
    movl $0xC0000080, %ecx
    movl $EFER_ON, %eax
    xorl %edx, %edx
    wrmsr
    movl $CR0_ON, %eax
    movl %eax, %cr0
    ljmp $8, $1f
.code64
1:  xorl %eax, %eax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw %ax, %fs
    movw %ax, %gs
    movq trampoline_stack, %rsp
    movq trampoline_number, %rdi
    movabsq $start_application_processor, %rax
    callq *%rax
    ud2

.balign 8
trampoline_gdt:
    .quad 0, 0x00AF9B000000FFFF, 0x00CF9B000000FFFF, 0x00CF93000000FFFF
trampoline_gdt_pointer:
    .word 31
    .long trampoline_gdt
.balign 8
.globl trampoline_cr3
trampoline_cr3:    .quad 0
.globl trampoline_stack
trampoline_stack:  .quad 0
.globl trampoline_number
trampoline_number: .quad 0

# Assembler blocks of one codegen unit follow one another: leave the section as it was found.
.text
