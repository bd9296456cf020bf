/* free(): double free of 0x* */
/* A bigmaac freed again when nothing of the first time is left: its file and mapping are gone. */
#include "check.h"
#include <unistd.h>

int main(void)
{
    char *p = malloc(1 << 20), *keep = malloc(1 << 20);
    free(p);
    usleep(1300000); /* longer than freed bigmaacs stay warm */
    free(malloc(300 << 10));
    usleep(1300000);
    free(malloc(300 << 10));
    free(opaque(p));
    free(keep);
    return 0;
}
