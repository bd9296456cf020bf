/* malloc_usable_size(): double free of 0x* */
/* The size of a fry that was freed. */
#include "check.h"
#include <malloc.h>

int main(void)
{
    char *p = malloc(1000), *keep = malloc(1000);
    free(p);
    printf("%zu\n", malloc_usable_size(opaque(p)));
    free(keep);
    return 0;
}
