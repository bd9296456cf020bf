# make             bigmaac.so, the library
# make demo        the main job without and with BigMaac, side by side, under a memory limit
# make test        everything that takes minutes; `make test ONLY=fork` runs what matches
# make test-long   what takes longer: stress, real programs, fault injection, a second kernel
# make bench       the benchmarks with targets; `make bench ONLY=churn` runs what matches
# make install     bigmaac.so, the launcher, header and manual page under PREFIX (uninstall)
# make deb         a Debian package in build/
# make wheel       a Python wheel in build/, for pip install
# make lint        shellcheck and cppcheck, where they are installed
# make clean
#
# CC, CFLAGS, PREFIX, LIBDIR and DESTDIR are the user's.

CC ?= gcc
CFLAGS ?= -O2 -g
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
VERSION = 1.0.0
ONLY ?=

WARNINGS = -Wall -Wextra -Wmissing-prototypes -Wshadow
# No link-time optimisation, which distributions ask for: it would lose the symbol versions (see PLATFORM in bigmaac.c).
LIBRARY_FLAGS = -std=gnu11 -fPIC -fvisibility=hidden -ftls-model=initial-exec $(WARNINGS) -fno-lto \
	-fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free
# By name: where the C library is older than 2.34, pthreads and dlsym are there.
OLD_GLIBC_LINK = -Wl,--push-state,--no-as-needed -l:libpthread.so.0 -l:libdl.so.2 -Wl,--pop-state
LIBRARY_LINK = -shared -pthread -Wl,-z,defs -Wl,-z,now -Wl,-z,nodelete

.PHONY: all demo test test-long bench install uninstall deb wheel lint clean
.DELETE_ON_ERROR:

all: bigmaac.so

bigmaac.so: bigmaac.c bigmaac.h Makefile
	@mkdir -p build
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LIBRARY_FLAGS) $(LDFLAGS) $(LIBRARY_LINK) -o build/$@.new bigmaac.c $(OLD_GLIBC_LINK)
	mv build/$@.new $@  # programs may be running under the old one

demo: bigmaac.so
	sh bench/demo.sh

test: bigmaac.so
	bash tests/run.sh quick "$(ONLY)"

test-long: bigmaac.so
	bash tests/run.sh long "$(ONLY)"

bench: bigmaac.so
	bash bench/run.sh "$(ONLY)"

install: bigmaac.so
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBDIR) $(DESTDIR)$(PREFIX)/include \
		$(DESTDIR)$(PREFIX)/share/man/man7
	install -m 755 bigmaac.so $(DESTDIR)$(LIBDIR)/bigmaac.so
	install -m 755 extras/bigmaac $(DESTDIR)$(PREFIX)/bin/bigmaac
	install -m 644 bigmaac.h $(DESTDIR)$(PREFIX)/include/bigmaac.h
	install -m 644 extras/bigmaac.7 $(DESTDIR)$(PREFIX)/share/man/man7/bigmaac.7

uninstall:
	rm -f $(DESTDIR)$(LIBDIR)/bigmaac.so $(DESTDIR)$(PREFIX)/bin/bigmaac \
		$(DESTDIR)$(PREFIX)/include/bigmaac.h $(DESTDIR)$(PREFIX)/share/man/man7/bigmaac.7

deb: bigmaac.so
	bash extras/make-deb $(VERSION)

wheel: bigmaac.so
	python3 extras/make-wheel $(VERSION)

lint:
	@command -v shellcheck >/dev/null && shellcheck -S warning .ci/run tests/*.sh tests/long/*.sh \
		bench/*.sh extras/bigmaac extras/make-deb || echo "lint: shellcheck: skipped or warned"
	@command -v cppcheck >/dev/null && cppcheck --quiet --enable=warning,portability \
		--inline-suppr bigmaac.c || echo "lint: cppcheck is not installed: skipped"

clean:
	rm -rf build bigmaac.so
