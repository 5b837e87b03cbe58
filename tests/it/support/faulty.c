/* Loaded before the C library: makes a program's calls that touch one folder fail.
 *
 * FAULTY_UNDER: the folder. FAULTY_AT: the number of the call that fails, from 1 (0: none).
 * FAULTY_HOW: once (EIO), on (every later write too: ENOSPC), torn (half of a write, then ENOSPC
 * once). FAULTY_LOG: a file that gets a letter for each call.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_int calls;

static int under(const char *path) {
    const char *folder = getenv("FAULTY_UNDER");
    return folder && path && strncmp(path, folder, strlen(folder)) == 0;
}

static int descriptor(int fd) {
    char name[64], path[PATH_MAX];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(name, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return under(path);
}

static void note(char what) {
    const char *log = getenv("FAULTY_LOG");
    if (!log) return;
    int fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (fd < 0) return;
    syscall(SYS_write, fd, &what, 1);
    syscall(SYS_close, fd);
}

/* 0: succeeds; 1: fails; 2: fails half-way. */
static int fate(char what, int writes) {
    note(what);
    const char *text = getenv("FAULTY_AT"), *how = getenv("FAULTY_HOW");
    int at = text ? atoi(text) : 0, now = ++calls;
    if (at == 0 || now < at || !how) return 0;
    if (strcmp(how, "on") == 0) {
        errno = ENOSPC;
        return writes;
    }
    if (now != at) return 0;
    if (strcmp(how, "torn") == 0) {
        errno = ENOSPC;
        return writes ? 2 : 0;
    }
    errno = EIO;
    return 1;
}

#define NEXT(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

#define OPEN(name)                                                     \
    int name(const char *path, int flags, ...) {                       \
        va_list rest;                                                  \
        va_start(rest, flags);                                         \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;      \
        va_end(rest);                                                  \
        if (under(path) && fate('o', flags & O_CREAT)) return -1;      \
        return NEXT(name)(path, flags, mode);                          \
    }
OPEN(open)
OPEN(open64)

ssize_t write(int fd, const void *bytes, size_t count) {
    int fails = descriptor(fd) ? fate('w', 1) : 0;
    if (fails == 1 || (fails == 2 && count < 2)) return -1;
    return NEXT(write)(fd, bytes, fails == 2 ? count / 2 : count);
}

ssize_t read(int fd, void *bytes, size_t count) {
    if (descriptor(fd) && fate('r', 0)) return -1;
    return NEXT(read)(fd, bytes, count);
}

int fsync(int fd) {
    if (descriptor(fd) && fate('s', 0)) return -1;
    return NEXT(fsync)(fd);
}

int fdatasync(int fd) {
    if (descriptor(fd) && fate('s', 0)) return -1;
    return NEXT(fdatasync)(fd);
}

int ftruncate64(int fd, off64_t length) {
    if (descriptor(fd) && fate('t', 0)) return -1;
    return NEXT(ftruncate64)(fd, length);
}

off64_t lseek64(int fd, off64_t offset, int whence) {
    if (descriptor(fd) && fate('k', 0)) return -1;
    return NEXT(lseek64)(fd, offset, whence);
}

int mkdir(const char *path, mode_t mode) {
    if (under(path) && fate('m', 1)) return -1;
    return NEXT(mkdir)(path, mode);
}

int rename(const char *from, const char *to) {
    if (under(from) && fate('n', 1)) return -1;
    return NEXT(rename)(from, to);
}

int unlink(const char *path) {
    if (under(path) && fate('u', 0)) return -1;
    return NEXT(unlink)(path);
}
