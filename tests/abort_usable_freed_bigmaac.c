/* malloc_usable_size(): double free of 0x* */
/* The size of a bigmaac that was freed. */
#include "check.h"
#include <malloc.h>

int main(void)
{
    char *p = malloc(1 << 20);
    free(p);
    printf("%zu\n", malloc_usable_size(opaque(p)));
    return 0;
}
