/* api_slack.c - what malloc_usable_size promises belongs to the block, wherever that goes. */
#include "bigmaac.h"
#include "check.h"
#include <malloc.h>

int main(void)
{
    static const size_t sizes[] = {5000, 70001, 1000001, (20 << 20) + 100};
    for (int out = 0; out < 2; out++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            char *p = opaque(malloc(sizes[i]));
            size_t usable = malloc_usable_size(p);
            CHECK(usable >= sizes[i]);
            p[usable - 1] = 42;
            if (out)
                bigmaac_try_advise(p, BIGMAAC_OPT_OUT); /* EINVAL for what is no bigmaac */
            CHECK(malloc_usable_size(p) == usable && p[usable - 1] == 42);
            p = opaque(realloc(p, 2 * usable));
            CHECK(p[usable - 1] == 42);
            free(p);
        }
    return check_result();
}
