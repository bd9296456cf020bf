/* realloc(): double free of 0x* */
/* realloc of a fry that was freed. */
#include "check.h"

int main(void)
{
    char *p = malloc(1000), *keep = malloc(1000);
    free(p);
    p = realloc(opaque(p), 2000);
    free(keep);
    return 0;
}
