// What the mock workers and the load generator share: a clock, growing byte buffers, loopback sockets, HTTP heads.
#ifndef WIRE_H
#define WIRE_H
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static inline long now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

__attribute__((noreturn)) static inline void fail(const char *what) {
    perror(what);
    exit(1);
}

// Bytes [start, end) of `data` are valid; what is taken from the front is reclaimed when the buffer needs room.
typedef struct {
    char *data;
    size_t start, end, capacity;
} Buffer;

static inline size_t held(const Buffer *b) { return b->end - b->start; }
static inline char *front(const Buffer *b) { return b->data + b->start; }

static inline void take(Buffer *b, size_t n) {
    b->start += n;
    if (b->start == b->end) b->start = b->end = 0;
}

// Room for n more bytes at the end.
static inline char *reserve(Buffer *b, size_t n) {
    if (b->end + n > b->capacity && b->start > 0) {
        memmove(b->data, front(b), held(b));
        b->end -= b->start;
        b->start = 0;
    }
    if (b->end + n > b->capacity) {
        b->capacity = 2 * (b->end + n);
        b->data = realloc(b->data, b->capacity);
        if (!b->data) fail("memory");
    }
    return b->data + b->end;
}

static inline void append(Buffer *b, const void *bytes, size_t n) {
    memcpy(reserve(b, n), bytes, n);
    b->end += n;
}

__attribute__((format(printf, 2, 3))) static inline void appendf(Buffer *b, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *text = reserve(b, 2048);
    int n = vsnprintf(text, 2048, format, arguments);
    va_end(arguments);
    b->end += n < 2048 ? n : 2047;
}

// Sends what it can. False when the connection is broken; what is left over waits for EPOLLOUT.
static inline bool send_held(int fd, Buffer *b) {
    while (held(b)) {
        ssize_t n = send(fd, front(b), held(b), MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN;
        take(b, n);
    }
    return true;
}

typedef enum { MORE_LATER, END_OF_STREAM, BROKEN } Received;

static inline Received receive_all(int fd, Buffer *b) {
    for (;;) {
        char *room = reserve(b, 65536);
        ssize_t n = recv(fd, room, 65536, 0);
        if (n == 0) return END_OF_STREAM;
        if (n < 0) return errno == EAGAIN ? MORE_LATER : BROKEN;
        b->end += n;
        if (n < 65536) return MORE_LATER;  // level-triggered: whatever comes next wakes us again
    }
}

static inline struct sockaddr_in loopback(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static inline void no_delay(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static inline void watch(int epoll, int operation, int fd, unsigned events, void *owner) {
    struct epoll_event event = {.events = events, .data.ptr = owner};
    if (epoll_ctl(epoll, operation, fd, &event)) fail("epoll_ctl");
}

// Waits for events until `due_us` (never past it by more than the kernel's slack; -1: for ever).
static inline int wait_until(int epoll, struct epoll_event *events, int most, long due_us) {
    long left = due_us < 0 ? 0 : due_us - now_us();
    if (left < 0) left = 0;
    struct timespec timeout = {left / 1000000, left % 1000000 * 1000};
    int n = epoll_pwait2(epoll, events, most, due_us < 0 ? NULL : &timeout, NULL);
    if (n < 0 && errno != EINTR) fail("epoll_pwait2");
    return n < 0 ? 0 : n;
}

// Length of the HTTP head including its empty line, 0 while incomplete.
static inline size_t head_length(const Buffer *b) {
    char *end = memmem(front(b), held(b), "\r\n\r\n", 4);
    return end ? end + 4 - front(b) : 0;
}

// The value of a header within a head, or NULL. `name` is given as "\r\nname:", in any case.
static inline const char *header(const char *head, size_t length, const char *name) {
    size_t n = strlen(name);
    for (const char *line = head; (line = memchr(line, '\r', head + length - line)); line++)
        if ((size_t)(head + length - line) > n && !strncasecmp(line, name, n)) return line + n + strspn(line + n, " ");
    return NULL;
}

// Moves the payload of complete parts of a chunked body from `raw` to `body`. True when the last chunk was seen.
// left: bytes of the current chunk (with its CRLF) still to come, kept by the caller between calls.
static inline bool unchunk(Buffer *raw, Buffer *body, size_t *left) {
    for (;;) {
        if (*left > 2) {
            size_t n = held(raw) < *left - 2 ? held(raw) : *left - 2;
            append(body, front(raw), n);
            take(raw, n);
            *left -= n;
            if (*left > 2) return false;
        }
        if (*left) {  // the CRLF after the payload
            if (held(raw) < *left) return false;
            take(raw, *left);
            *left = 0;
        }
        char *line = held(raw) ? memmem(front(raw), held(raw), "\r\n", 2) : NULL;
        if (!line) return false;
        size_t size = strtoul(front(raw), NULL, 16), used = line + 2 - front(raw);
        if (size == 0) {  // no trailers are sent by anything measured here
            if (held(raw) < used + 2) return false;
            take(raw, used + 2);
            return true;
        }
        take(raw, used);
        *left = size + 2;
    }
}
#endif
