/* Loaded in front of the C library (LD_PRELOAD): makes a real process's disk full, slow, broken or deadly.

   DISK_TROUBLE names a folder. As long as a file of one of these names stands in it, calls on files below
   DISK_FOLDER behave so:
     full    writes that make a file longer fail with ENOSPC
     broken  fsync and fdatasync fail with EIO
     stalled fsync and fdatasync wait until the file is gone
     deadly  the next write into a write-ahead log writes half of it, then the process dies as by kill -9 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_so(const char *name) {
    const char *folder = getenv("DISK_TROUBLE");
    char path[PATH_MAX];
    if (!folder) return 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

/* The path behind a descriptor, when it is below DISK_FOLDER. */
static int concerns(int fd, char *path) {
    const char *folder = getenv("DISK_FOLDER");
    char link[64];
    ssize_t size;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    size = readlink(link, path, PATH_MAX - 1);
    if (!folder || size < 0) return 0;
    path[size] = 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}

static int ends_with(const char *text, const char *end) {
    size_t size = strlen(text), wanted = strlen(end);
    return size >= wanted && strcmp(text + size - wanted, end) == 0;
}

ssize_t pwrite64(int fd, const void *data, size_t count, off64_t at) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    char path[PATH_MAX];
    struct stat found;
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    if (is_so("full") && concerns(fd, path) && fstat(fd, &found) == 0 && at + (off64_t)count > found.st_size) {
        errno = ENOSPC;
        return -1;
    }
    if (is_so("deadly") && concerns(fd, path) && ends_with(path, "-wal") && count > 100) {
        real(fd, data, count / 2, at);
        kill(getpid(), SIGKILL);
    }
    return real(fd, data, count, at);
}

ssize_t pwrite(int fd, const void *data, size_t count, off_t at) { return pwrite64(fd, data, count, at); }

static int trouble(int fd) {
    char path[PATH_MAX];
    if (!concerns(fd, path)) return 0;
    while (is_so("stalled")) usleep(2000);
    return is_so("broken");
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    if (trouble(fd)) {
        errno = EIO;
        return -1;
    }
    return real(fd);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    if (trouble(fd)) {
        errno = EIO;
        return -1;
    }
    return real(fd);
}
