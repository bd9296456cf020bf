/* free(): double free of 0x* */
/* A fry freed again after its whole slab was given back. */
#include "check.h"

int main(void)
{
    enum { COUNT = 2000 };
    static char *p[COUNT];
    for (int i = 0; i < COUNT; i++)
        p[i] = malloc(1000);
    for (int i = 0; i < COUNT; i++)
        free(p[i]);
    free(opaque(p[COUNT / 2 + 1]));
    return 0;
}
