/* IP addresses in certificates, asked line by line (see lines.h): find ADDRESS CERTIFICATE PIECE
 *
 * The certificate is shown PIECE bytes at a time. Answers yes or no; `name` when ADDRESS is no address.
 *
 * SPDX-License-Identifier: MIT */
#include "fm_bearssl.h"
#include "lines.h"

int main(void) {
    static struct lines lines;
    while (lines_next(&lines)) {
        struct fm_bearssl_address address;
        const uint8_t *data = lines.values[1].data;
        size_t left = lines.values[1].size;
        size_t piece = lines_number(&lines, 2);
        bool is_address = fm_bearssl_address_of(&address, lines_text(&lines, 0));
        for (; left > 0; left -= piece, data += piece) {
            piece = piece < left ? piece : left;
            fm_bearssl_address_look(&address, data, piece);
        }
        lines_say(!is_address ? "name" : address.found && !address.broken ? "yes" : "no");
        lines_end();
    }
    return 0;
}
