// How the load generator reads an answer: plain JSON or an event stream, whole or cut.
#include "load.h"

static bool contains(const char *line, size_t n, const char *text) { return memmem(line, n, text, strlen(text)) != NULL; }

static void read_token(Conn *c, long time_us, bool measured) {
    if (c->events++ == 0) c->first_us = time_us;
    else if (measured) record(&tally.itl_ms, (time_us - c->last_us) / 1e3);
    c->last_us = time_us;
}

static void read_event(Conn *c, const char *line, size_t n, long time_us, bool measured) {
    if (n < 6 || strncmp(line, "data:", 5)) return;
    if (contains(line, n, "[DONE]")) c->done = true;
    else if (contains(line, n, "\"error\"")) c->error_event = true;
    else if (contains(line, n, "\"choices\":[{")) read_token(c, time_us, measured);
}

// Takes the whole lines out of the body.
static void read_lines(Conn *c, long time_us, bool measured) {
    char *end;
    while (held(&c->body) && (end = memchr(front(&c->body), '\n', held(&c->body)))) {
        size_t n = end - front(&c->body);
        read_event(c, front(&c->body), n, time_us, measured);
        take(&c->body, n + 1);
    }
}

static bool read_head(Conn *c) {
    size_t n = head_length(&c->in);
    if (!n) return false;
    const char *at = front(&c->in), *length = header(at, n, "\r\ncontent-length:");
    c->headed = true;
    c->status = atoi(at + strlen("HTTP/1.1 "));
    c->chunked = header(at, n, "\r\ntransfer-encoding:") != NULL;
    c->body_left = length ? strtoul(length, NULL, 10) : SIZE_MAX;  // SIZE_MAX: until the connection ends
    take(&c->in, n);
    return true;
}

bool read_answer(Conn *c, long time_us, bool measured) {
    if (!c->headed && !read_head(c)) return false;
    bool over = false;
    if (c->chunked) {
        over = unchunk(&c->in, &c->body, &c->chunk_left);
    } else {
        size_t n = held(&c->in) < c->body_left ? held(&c->in) : c->body_left;
        append(&c->body, front(&c->in), n);
        take(&c->in, n);
        if (c->body_left != SIZE_MAX) over = (c->body_left -= n) == 0;
    }
    if (option.streamed && c->status == 200) read_lines(c, time_us, measured);
    else take(&c->body, held(&c->body));
    return over;
}

Outcome outcome_of(const Conn *c, bool connection_ended) {
    bool until_end = !c->chunked && c->body_left == SIZE_MAX;
    if (!c->headed) return NO_ANSWER;
    if (c->status == 200 && option.streamed && c->done && c->events >= c->wanted && !c->error_event) return COMPLETE;
    if (c->error_event) return c->done ? ERROR_THEN_DONE : ERROR_EVENT;
    if (connection_ended && !until_end) return CUT;
    if (c->status != 200) return STATUS;
    return option.streamed ? SHORT_CLEAN : COMPLETE;
}
