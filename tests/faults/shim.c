/* Fails or kills at the n-th output operation below a folder.
 *
 *   cc -shared -fPIC -O1 -o shim.so shim.c -ldl
 *   LD_PRELOAD=shim.so, then fault_arm(prefix, n, action) through ctypes.
 *
 * Output operations are: creating a file, write, fsync, rename, unlink, mkdir, rmdir. `action` is 0 to
 * count only, -1 to die by SIGKILL before the operation, or an errno to fail it with. fault_count() is
 * the number of operations so far.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static char prefix[PATH_MAX];
static long target, count;
static int action;

void fault_arm(const char *where, long n, int what) {
    snprintf(prefix, sizeof prefix, "%s", where);
    target = n;
    action = what;
    count = 0;
}

long fault_count(void) { return count; }

/* Whether the operation has to fail; it may also be the last thing the process does. */
static int fails(const char *path) {
    if (!prefix[0] || strncmp(path, prefix, strlen(prefix)) != 0) return 0;
    if (__sync_add_and_fetch(&count, 1) < target || !target || !action) return 0;
    if (action == -1) {
        if (count == target) kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    /* A full disk stays full; a bad block is met once. */
    if (action != ENOSPC && count != target) return 0;
    errno = action;
    return 1;
}

static int fails_at(int folder, const char *path) {
    char base[PATH_MAX] = "", whole[2 * PATH_MAX];
    if (path[0] == '/') return fails(path);
    if (folder == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return 0;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = readlink(link, base, sizeof base - 1);
        if (length < 0) return 0;
        base[length] = 0;
    }
    snprintf(whole, sizeof whole, path[0] ? "%s/%s" : "%s%s", base, path);
    return fails(whole);
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name);

#define OPEN(function)                                          \
    int function(const char *path, int flags, ...) {            \
        REAL(int, #function, const char *, int, ...)            \
        va_list rest;                                           \
        va_start(rest, flags);                                  \
        mode_t mode = va_arg(rest, mode_t);                     \
        va_end(rest);                                           \
        if ((flags & O_CREAT) && fails_at(AT_FDCWD, path)) return -1; \
        return real(path, flags, mode);                         \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(function)                                        \
    int function(int folder, const char *path, int flags, ...) { \
        REAL(int, #function, int, const char *, int, ...)       \
        va_list rest;                                           \
        va_start(rest, flags);                                  \
        mode_t mode = va_arg(rest, mode_t);                     \
        va_end(rest);                                           \
        if ((flags & O_CREAT) && fails_at(folder, path)) return -1; \
        return real(folder, path, flags, mode);                 \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int file, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t)
    return fails_at(file, "") ? -1 : real(file, data, size);
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t)
    return fails_at(file, "") ? -1 : real(file, data, size, at);
}
ssize_t writev(int file, const struct iovec *data, int size) {
    REAL(ssize_t, "writev", int, const struct iovec *, int)
    return fails_at(file, "") ? -1 : real(file, data, size);
}
FILE *fopen64(const char *path, const char *mode) {
    REAL(FILE *, "fopen64", const char *, const char *)
    return mode[0] != 'r' && fails_at(AT_FDCWD, path) ? NULL : real(path, mode);
}
size_t fwrite(const void *data, size_t size, size_t items, FILE *file) {
    REAL(size_t, "fwrite", const void *, size_t, size_t, FILE *)
    return fails_at(fileno(file), "") ? 0 : real(data, size, items, file);
}
int fsync(int file) {
    REAL(int, "fsync", int)
    return fails_at(file, "") ? -1 : real(file);
}
int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *)
    return fails_at(AT_FDCWD, to) ? -1 : real(from, to);
}
int unlink(const char *path) {
    REAL(int, "unlink", const char *)
    return fails_at(AT_FDCWD, path) ? -1 : real(path);
}
int unlinkat(int folder, const char *path, int flags) {
    REAL(int, "unlinkat", int, const char *, int)
    return fails_at(folder, path) ? -1 : real(folder, path, flags);
}
int rmdir(const char *path) {
    REAL(int, "rmdir", const char *)
    return fails_at(AT_FDCWD, path) ? -1 : real(path);
}
int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t)
    return fails_at(AT_FDCWD, path) ? -1 : real(path, mode);
}
