/* free(): double free of 0x* */
/* A bigmaac freed twice in a row, while it is still warm. */
#include "check.h"

int main(void)
{
    char *p = malloc(1 << 20);
    p[0] = 1;
    free(p);
    free(opaque(p));
    return 0;
}
