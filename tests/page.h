/* page.h - a multiple of the pages of every system of this architecture, for tests that set something on a part of a block. */
#ifndef PAGE_H
#define PAGE_H

#ifdef __x86_64__
enum { PAGE = 4096 };
#else
enum { PAGE = 65536 };
#endif

#endif
