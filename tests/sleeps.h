/* sleeps.h - the sleeps of the library's background thread, for the programs of the system tests. */
#ifndef SLEEPS_H
#define SLEEPS_H

#include "sys_blocks.h"
#include <dirent.h>

/* How often it went to sleep so far; -1: there is none. */
static inline long sleeps(void)
{
    long count = -1;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; (task = readdir(tasks));) {
        char path[300];
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        if (value_in(path, "Name:\tbigmaac\n") >= 0)
            count = (long)value_in(path, "voluntary_ctxt_switches:");
    }
    closedir(tasks);
    return count;
}

#endif
