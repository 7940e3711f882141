// Preloaded into a server: counts what it allocates, in the file that ALLOCATIONS names (8 bytes, to be looked at any time).
//   cc -shared -fPIC tests/loops/count_allocations.c -o count_allocations.so
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);

static volatile unsigned long nowhere;
static volatile unsigned long* count = &nowhere;

__attribute__((constructor)) static void begin(void) {
  const char* const name = getenv("ALLOCATIONS");
  const int fd = name != NULL ? open(name, O_RDWR | O_CREAT | O_TRUNC, 0600) : -1;
  if (fd < 0 || ftruncate(fd, sizeof *count) != 0) return;
  void* const shared = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared != MAP_FAILED) count = shared;
}

void* malloc(size_t n) { return __sync_fetch_and_add(count, 1), __libc_malloc(n); }
void* calloc(size_t n, size_t size) { return __sync_fetch_and_add(count, 1), __libc_calloc(n, size); }
void* realloc(void* p, size_t n) { return __sync_fetch_and_add(count, 1), __libc_realloc(p, n); }
