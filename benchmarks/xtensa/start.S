/* From the reset of qemu's machine "sim" to main(), and what that machine offers.
 *
 * SPDX-License-Identifier: MIT */
    .section .reset, "ax"
    .align 4
    j start

    .text
    .literal_position
    .global start
    .align 4
start:
    movi a1, _stack
    movi a0, 0
    call0 main
    mov a3, a2
    movi a2, 1          /* exit */
    simcall

/* int sim(int number, int, int, int): the number is where simcall wants it already, and so is the result. */
    .global sim
    .align 4
sim:
    simcall
    ret

    .global cycles
    .align 4
cycles:
    rsr a2, ccount
    ret

/* void turn(uint32_t times): two instructions each. */
    .global turn
    .align 4
turn:
    addi a2, a2, -1
    bnez a2, turn
    ret
