// Where the stack is large enough a thunk is another name.
//
// SPDX-License-Identifier: MIT
#ifndef STACK_THUNK_DOUBLE_H
#define STACK_THUNK_DOUBLE_H

extern "C" void stack_thunk_add_ref();
#define make_stack_thunk(name) \
    __asm__(".text\n.global thunk_" #name "\nthunk_" #name ": jmp " #name "\n")

#endif
