/* unit_large_pages.c - where the kernel caches a file in large pages, a store to one of them gets blocks for the holes in it,
 * too. They go back with the last fry beside them; and a block that was cut after a fork has none behind its end. (Mapped
 * memory: unit_map.c.) */
#include "../bigmaac.c"
#include "check.h"

#include <sys/wait.h>

enum { BYTES = 256 * 1024, KEEP = 4 }; /* of a page run; every so manieth is kept */
static const size_t list_most = 16 * kib; /* a file's list of extents may have blocks */

static size_t file_bytes(const struct file *f)
{
    struct stat st;
    CHECK(fsync(f->fd) == 0 && fstat(f->fd, &st) == 0);
    return (size_t)st.st_blocks * 512;
}

/* Drops the file's pages from memory: with the next access they are read again, as large ones. */
static void reread_large(const struct file *f, void *from, size_t bytes)
{
    CHECK(syscall(SYS_madvise, from, bytes, MADV_DONTNEED) == 0);
    CHECK(posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
    syscall(SYS_madvise, from, bytes, MADV_NORMAL);
    syscall(SYS_madvise, from, bytes, MADV_HUGEPAGE);
}

static void drop(char *p)
{
    bigmaac_free(p);
    fry_give_back();
}

__attribute__((constructor(101))) static void set(void)
{
    setenv("BIGMAAC_MIN_FRY_SIZE", "4K", 1);
    setenv("BIGMAAC_MIN_BIGMAAC_SIZE", "1M", 1);
}

static void fries(void)
{
    size_t count = 4 * file_page_most() / BYTES;
    char **p = calloc(count, sizeof *p);
    for (size_t i = 0; i < count; i++) {
        p[i] = bigmaac_malloc(BYTES);
        CHECK(p[i] && bigmaac_kind(p[i]) == BIGMAAC_KIND_FRY);
        if (i % KEEP == 0)
            fill(p[i], BYTES, i);
    }
    for (size_t i = 0; i < count; i++)
        if (i % KEEP)
            drop(p[i]);
    size_t tight = file_bytes(&fry.file);
    reread_large(&fry.file, mem_at(fry.space.start), fry.file_bytes);
    for (size_t i = 0; i < count; i += KEEP) {
        CHECK(is_filled(p[i], BYTES, i));
        fill(p[i], BYTES, i + 1);
    }
    size_t loose = file_bytes(&fry.file);
    fprintf(stderr, "large pages: %zu KiB in the file, %zu KiB once they were written to\n", tight >> 10, loose >> 10);
    size_t kept = count / KEEP / 2 * KEEP;
    for (size_t i = 0; i < count; i += KEEP)
        if (i != kept)
            drop(p[i]);
    CHECK(is_filled(p[kept], BYTES, kept + 1) && file_bytes(&fry.file) <= file_page_most() + list_most);
    drop(p[kept]);
    CHECK(file_bytes(&fry.file) == 0 && fry.backed_bytes == 0 && !fry_check());
    free(p);
}

/* A part of a block has come home after a fork, and is cut. */
__attribute__((unused)) static void frozen(void)
{
    const size_t most = huge_size, bytes = 4 * most, cut = most + most / 2;
    char *p = bigmaac_malloc(bytes);
    int status = -1;
    CHECK(p && bigmaac_kind(p) == BIGMAAC_KIND_BIGMAAC);
    threads_keep();
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    fill(p, 2 * most, 2);
    const struct big *r = big_containing(mem_offset(p));
    for (int i = 0; i < 100 && r->home_bytes < 2 * most; i++)
        home_round(2 * most, home_await_ms);
    CHECK(r->home_bytes == 2 * most);
    CHECK(bigmaac_realloc(p, cut) == p);
    CHECK(big_is_frozen(r) && r->home_bytes == cut && file_bytes(&r->file) <= cut + list_most);
    reread_large(&r->file, p, cut);
    CHECK(is_filled(p, cut, 2));
    fill(p, cut, 3);
    CHECK(file_bytes(&r->file) <= cut + list_most && is_filled(p, cut, 3) && !big_check());
    bigmaac_free(p);
}

int main(void)
{
    fries();
#ifndef __SANITIZE_THREAD__ /* without STOP nothing comes home */
    frozen();
#endif
    return check_result();
}
