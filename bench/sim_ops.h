/* sim_ops.h - what PAGING and STREAM ask the kernel for, answered by the simulator (sim_machine.h).
 * SPDX-License-Identifier: MIT */
static uint64_t op_now(void);
static void op_sleep(uint64_t ms);
static bool op_wanted(void);
static void op_yield(void);
static bool op_resident(size_t offset, size_t bytes, unsigned char *vector);
static void op_advise(size_t offset, size_t bytes, int advice);
static void op_usage(struct usage *u);
static bool op_is_mapped(size_t offset);
static void op_write(const struct range *g, size_t at, size_t bytes);
static bool op_read(const struct range *g, size_t from, size_t bytes);
static size_t op_read_one(const struct range *g, size_t at, size_t pages);
