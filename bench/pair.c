/* pair.c - COUNT times malloc(100) and free: for counting instructions.
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    for (size_t i = 0; i < count; i++)
        free(malloc(100)); /* stays a pair of calls by -fno-builtin */
    return 0;
}
