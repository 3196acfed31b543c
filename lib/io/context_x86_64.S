/*
 * The switch between stacks for the System V ABI of x86-64: what a callee must
 * keep goes onto the old stack and comes from the new one.
 */
#if defined(__x86_64__) && !defined(POSTERN_UCONTEXT)

#    if defined(__CET__)
#        include <cet.h>
#    else
#        define _CET_ENDBR
#    endif

    .text

/* void context_swap(struct context *from, struct context *to) */
    .globl context_swap
    .hidden context_swap
    .type context_swap, @function
    .align 16
context_swap:
    .cfi_startproc
    _CET_ENDBR
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbx, 0
    pushq %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r12, 0
    pushq %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r13, 0
    pushq %r14
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r14, 0
    pushq %r15
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r15, 0
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    stmxcsr (%rsp)
    fnstcw 4(%rsp)
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    ldmxcsr (%rsp)
    fldcw 4(%rsp)
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq %r15
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r15
    popq %r14
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r14
    popq %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r13
    popq %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r12
    popq %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbx
    popq %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbp
    ret
    .cfi_endproc
    .size context_swap, . - context_swap

/* Where a new stack starts: context_make() left fn in r13, arg in r12. */
    .globl context_start
    .hidden context_start
    .type context_start, @function
    .align 16
context_start:
    .cfi_startproc
    .cfi_undefined %rip
    _CET_ENDBR
    movq %r12, %rdi
    call *%r13
    ud2
    .cfi_endproc
    .size context_start, . - context_start

#endif

    .section .note.GNU-stack, "", @progbits
