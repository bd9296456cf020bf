# C++: operators new and delete reach the library, with other allocators behind it that bring their own; what they
# throw and call is as without it, and operators that the program replaces are its own.
. "$TOP/tests/lib.sh"
need g++
cat >"$TMP/new.cc" <<'C'
#include "bigmaac.h"
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
static int failed, handled;
#define CHECK(c) do { if (!(c)) { failed = 1; std::fprintf(stderr, "%d: %s\n", __LINE__, #c); } } while (0)
struct alignas(256) wide { char c[1 << 10]; };
static bool ours;
static size_t opaque(size_t n) { asm volatile("" : "+r"(n)); return n; }
static void *look(void *p, size_t bytes, size_t align)
{
    asm volatile("" : "+r"(p));
    CHECK(p && (uintptr_t)p % align == 0);
    CHECK(!ours || bigmaac_try_kind(p) != BIGMAAC_KIND_NONE);
    std::memset(p, 7, bytes);
    return p;
}
static void keep(void *p) { asm volatile("" : : "r"(p) : "memory"); }
static void again() { if (++handled == 2) std::set_new_handler(nullptr); }
template <class F> static bool throws(F f)
{
    try { f(); } catch (const std::bad_alloc &) { return true; }
    return false;
}
int main(int argc, char **argv)
{
    ours = argc > 1;
    const size_t n = opaque(30000), most = opaque(SIZE_MAX / 4);
    const std::align_val_t a{512};
    ::operator delete(look(::operator new(n), n, 16));
    ::operator delete[](look(::operator new[](n), n, 16));
    ::operator delete(look(::operator new(n), n, 16), n);
    ::operator delete[](look(::operator new[](n), n, 16), n);
    ::operator delete(look(::operator new(n, a), n, 512), a);
    ::operator delete[](look(::operator new[](n, a), n, 512), a);
    ::operator delete(look(::operator new(n, a), n, 512), n, a);
    ::operator delete[](look(::operator new[](n, a), n, 512), n, a);
    ::operator delete(look(::operator new(n, std::nothrow), n, 16), std::nothrow);
    ::operator delete[](look(::operator new[](n, std::nothrow), n, 16), std::nothrow);
    ::operator delete(look(::operator new(n, a, std::nothrow), n, 512), a, std::nothrow);
    ::operator delete[](look(::operator new[](n, a, std::nothrow), n, 512), a, std::nothrow);
    delete[] static_cast<wide *>(look(new wide[n / 1000], n, 256));
    ours = false;
    ::operator delete(look(::operator new(opaque(0)), 0, 1));
    if (argc > 2 && std::strcmp(argv[2], "mimalloc") == 0)
        return failed; // it aborts where it should throw
    CHECK(throws([=] { keep(::operator new(most)); }) && throws([=] { keep(::operator new[](most)); }));
    CHECK(throws([=] { keep(::operator new(most, std::align_val_t{64})); }));
    CHECK(!::operator new(most, std::nothrow) && !::operator new[](most, a, std::nothrow));
    std::set_new_handler(again);
    if (argc > 2 && std::strcmp(argv[2], "mimalloc") == 0)
        return failed; // it aborts where it should throw
    CHECK(throws([=] { keep(::operator new(most)); }) && handled == 2);
    return failed;
}
C
cat >"$TMP/replaced.cc" <<'C'
#include <cstdio>
#include <cstdlib>
#include <new>
static int made, gone; // with plain forms of its own: the derived ones of the C++ library call them
void *operator new(size_t n) { made++; if (n == 77) throw std::bad_alloc(); return std::malloc(n); }
void operator delete(void *p) noexcept { gone++; std::free(p); }
void operator delete(void *p, size_t) noexcept;
int main()
{
    ::operator delete[](::operator new[](20000000));
    ::operator delete(::operator new(20000000, std::nothrow), std::nothrow);
    ::operator delete[](::operator new[](100, std::nothrow), 100);
    bool null = !::operator new(77, std::nothrow);
    std::printf("%d made, %d gone, %s\n", made, gone, null ? "null" : "not null");
}
C
cat >"$TMP/plug.cc" <<'C'
#include <new>
#include <string>
extern "C" int plug(size_t n)
{
    std::string *s = new std::string(1000, 'x');
    int right = s->size() == 1000;
    delete s;
    try { char *p = new char[n]; asm volatile("" : "+r"(p)); delete[] p; } catch (const std::bad_alloc &) { return right; }
    return 0;
}
C
cat >"$TMP/host.c" <<'C'
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
int main(int argc, char **argv) /* C, which loads C++ for a plug-in alone */
{
    void *h = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    int (*plug)(size_t) = h ? (int (*)(size_t))dlsym(h, "plug") : NULL;
    return !(plug && plug(SIZE_MAX / 4));
}
C
for program in new replaced; do
    g++ -std=c++17 -O1 -Wall -I"$TOP" -o "$TMP/$program" "$TMP/$program.cc" -ldl 2>"$TMP/err" || fail "$(cat "$TMP/err")"
done
g++ -O1 -fPIC -shared -o "$TMP/plug.so" "$TMP/plug.cc" || fail "plug"
compile_c "$TMP/host" "$TMP/host.c" -ldl
"$TMP/new" || fail "without the library"
behind=''
for name in jemalloc.so.2 tcmalloc_minimal.so.4 tcmalloc.so.4 mimalloc.so.2 mimalloc.so.2.0; do
    for folder in /usr/lib/x86_64-linux-gnu /usr/lib/aarch64-linux-gnu /usr/lib64; do
        [ -e "$folder/lib$name" ] && behind="$behind $folder/lib$name"
    done
done
for next in "" $behind; do
    for sizes in "4096 0" "10M 64"; do
        read -r min fry <<<"$sizes"
        env LD_PRELOAD="$LIB${next:+:$next}" BIGMAAC_MIN_BIGMAAC_SIZE="$min" BIGMAAC_MIN_FRY_SIZE="$fry" "$TMP/new" ours "$(expr "$next" : '.*lib\([a-z]*\)')" >"$TMP/err" 2>&1 ||
            fail "behind: ${next:-nothing}, sizes $sizes: status $? with $(cat "$TMP/err")"
    done
done
[ "$(with "$TMP/replaced")" = "$("$TMP/replaced")" ] || fail "replaced: $(with "$TMP/replaced"), not $("$TMP/replaced")"
with "$TMP/host" "$TMP/plug.so" || fail "a plug-in: status $?"
[ -n "$behind" ] || echo "no other allocator is installed"
