/* sys_files.h - the library's swap files, found from outside: open descriptors on unlinked files
 * in the folder of $BIGMAAC_TEMPLATE. */
#ifndef SYS_FILES_H
#define SYS_FILES_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static inline void swap_folder(char *out, size_t room)
{
    const char *template = getenv("BIGMAAC_TEMPLATE");
    const char *slash = strrchr(template, '/');
    snprintf(out, room, "%.*s", (int)(slash - template), template);
}

/* Fills fds with the descriptors of swap files of this process; returns how many there are. */
static inline size_t swap_fds(int *fds, size_t room)
{
    char folder[512], path[64], target[1024];
    size_t count = 0;
    struct dirent *entry;
    DIR *d = opendir("/proc/self/fd");
    swap_folder(folder, sizeof folder);
    while (d && (entry = readdir(d)) != NULL) {
        struct stat st;
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || fstat(fd, &st) != 0 || st.st_nlink != 0)
            continue;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length > 0 && strncmp(target, folder, strlen(folder)) == 0 && count < room)
            fds[count++] = fd;
    }
    if (d)
        closedir(d);
    return count;
}

/* Names in the swap folder that look like swap files: there must never be one. */
static inline size_t swap_names(void)
{
    char folder[512];
    size_t count = 0;
    struct dirent *entry;
    swap_folder(folder, sizeof folder);
    DIR *d = opendir(folder);
    while (d && (entry = readdir(d)) != NULL)
        count += strncmp(entry->d_name, "bigmaac.", 8) == 0;
    if (d)
        closedir(d);
    return count;
}

#endif
