/* The double of an ESP32: its flash is a file, its eFuse key another one, and its power can be cut.
 *
 * Flash behaves as NOR flash does: a write only clears bits, an erase sets a sector of 4096 bytes. Every write and
 * every erase counts; the one at which the power is cut is done by half, or not at all, and the process ends with
 * BOARD_POWER_CUT. */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

/* What the shell says of a process that was killed. */
#define BOARD_POWER_CUT 137
#define BOARD_SECTOR 4096u

/* Opens the flash, a file with a partition table at 0x8000. `cut_at` numbers the write that the power is cut at, from 1
 * on; 0 is never. `hmac_key`: a file of 32 bytes, the key in the eFuse block of the HMAC peripheral, or "-". Ends the
 * process with a message when a file is not there. */
void board_start(const char *flash, const char *hmac_key, unsigned long cut_at);

/* Among the arguments of a program: dies=N, the write that the power is cut at; torn=1, half-way through it; ssid=NAME
 * and passphrase=TEXT, the only network in range, otherwise any is. */
void board_options(int count, char **argument);

/* How many writes and erases there have been. */
unsigned long board_writes(void);

uint32_t board_flash_size(void);
void board_read(uint32_t at, void *data, size_t size);
void board_write(uint32_t at, const void *data, size_t size);
void board_erase(uint32_t at, size_t size);

/* The key in the eFuse, or NULL. */
const uint8_t *board_hmac_key(void);

#endif
