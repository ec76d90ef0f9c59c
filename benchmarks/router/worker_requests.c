// What the mock workers understand: generations, probes and orders to misbehave.
#include "workers.h"

typedef struct { const char *at; size_t length; } Span;

// What follows `"name":` in the text, or NULL.
static const char *field(Span text, const char *name) {
    char *found = memmem(text.at, text.length, name, strlen(name));
    return found ? found + strlen(name) + strspn(found + strlen(name), " :") : NULL;
}

// The first message's text, or the prompt: the inside of the string, quotes excluded. {NULL, 0} where there is none.
static Span prompt_text(Span body) {
    const char *at = field(body, "\"content\""), *end;
    if (!at) at = field(body, "\"prompt\"");
    if (!at || *at != '"') return (Span){NULL, 0};
    for (end = ++at; (end = memchr(end, '"', body.at + body.length - end)) && end[-1] == '\\';) end++;
    return end ? (Span){at, end - at} : (Span){NULL, 0};
}

// A field outside the prompt, which may be long.
static const char *setting(Span body, Span prompt, const char *name) {
    if (!prompt.at) return field(body, name);
    const char *after = prompt.at + prompt.length;
    const char *found = field((Span){after, body.at + body.length - after}, name);
    return found ? found : field((Span){body.at, prompt.at - body.at}, name);
}

static void generate(Conn *c, Span head, Span body) {
    Worker *w = c->worker;
    Span prompt = prompt_text(body);
    const char *tokens = header(head.at, head.length, "\r\nx-prompt-tokens:"), *limit, *value;
    w->started++;
    if (w->mode >= 400) {
        w->refused++;
        return answer_json(c, w->mode, "{\"error\":{\"message\":\"told to fail\",\"type\":\"mock\",\"code\":null}}");
    }
    c->prompt = tokens ? atol(tokens) : (long)prompt.length / option.bytes_per_token;
    if (c->prompt < 1) c->prompt = 1;
    if (!(limit = setting(body, prompt, "\"max_tokens\""))) limit = setting(body, prompt, "\"max_completion_tokens\"");
    c->wanted = limit ? atol(limit) : 16;
    if (c->wanted < 1) c->wanted = 1;
    c->streamed = (value = setting(body, prompt, "\"stream\"")) && !strncmp(value, "true", 4);
    c->wants_usage = (value = setting(body, prompt, "\"include_usage\"")) && !strncmp(value, "true", 4);
    c->made = 0;
    if (++in_flight > peak_in_flight) peak_in_flight = in_flight;
    if (w->mode == HANG) {
        c->state = HUNG;
    } else if (w->delay_us) {
        c->state = DELAYED;
        c->due_us = now_us() + w->delay_us;
        TAILQ_INSERT_TAIL(&w->delayed, c, queue);
    } else {
        admit(w, c);
    }
    if (w->running_count + w->waiting_count > w->peak) w->peak = w->running_count + w->waiting_count;
}

static void control(Conn *c, const char *order) {
    Worker *w = c->worker;
    if (!strncmp(order, "reset ", 6)) {
        for (Clock *k = clocks; k < clocks + clock_count; k++) k->steps = k->nominal_us = k->actual_us = k->idle_us = k->imbalance_tokens = 0;
        for (Worker *each = workers; each < workers + option.count; each++) each->peak = 0;
        peak_in_flight = in_flight;
    } else {
        w->mode = !strncmp(order, "hang ", 5) ? HANG : order[0] >= '4' && order[0] <= '5' ? atoi(order) : HEALTHY;
        w->delay_us = !strncmp(order, "slow/", 5) ? atol(order + 5) * 1000 : 0;
    }
    answer_json(c, 200, "{}");
}

static bool asks(Span head, const char *line) { return head.length > strlen(line) && !strncmp(head.at, line, strlen(line)); }

static void serve(Conn *c, Span head, Span body) {
    c->chat = asks(head, "POST /v1/chat/completions ");
    if (c->chat || asks(head, "POST /v1/completions ")) return generate(c, head, body);
    if (asks(head, "GET /stats ")) return answer_stats(c);
    if (asks(head, "GET /ctl/")) return control(c, head.at + strlen("GET /ctl/"));
    if (c->worker->mode == HANG) c->state = HUNG, in_flight++;
    else if (asks(head, "GET /health ")) answer_json(c, 200, "{}");
    else if (asks(head, "GET /metrics ")) answer_metrics(c);
    else if (asks(head, "GET /v1/models "))
        answer_json(c, 200, "{\"object\":\"list\",\"data\":[{\"id\":\"mock\",\"object\":\"model\",\"created\":1700000000,"
                            "\"owned_by\":\"vllm\",\"root\":\"mock\",\"max_model_len\":1000000}]}");
    else answer_json(c, 404, "{\"detail\":\"Not Found\"}");
}

// The body of a request whose head is `head` bytes long; how long both are together, or 0 while incomplete.
static size_t whole_request(Conn *c, size_t head, Buffer *unchunked, Span *body) {
    const char *at = front(&c->in), *value = header(at, head, "\r\ncontent-length:");
    if (header(at, head, "\r\ntransfer-encoding:")) {
        Buffer raw = {.data = c->in.data, .start = c->in.start + head, .end = c->in.end};
        size_t left = 0, before = held(&raw);
        if (!unchunk(&raw, unchunked, &left)) return 0;
        *body = (Span){front(unchunked), held(unchunked)};
        return head + before - held(&raw);
    }
    *body = (Span){at + head, value ? strtoul(value, NULL, 10) : 0};
    return held(&c->in) < head + body->length ? 0 : head + body->length;
}

// Serves the requests that are complete. One at a time: a client sends the next when it has the answer.
void read_requests(Conn *c) {
    size_t head, whole = 1;
    while (c->state == IDLE && whole && (head = head_length(&c->in))) {
        Buffer unchunked = {0};
        Span body;
        whole = whole_request(c, head, &unchunked, &body);
        if (whole) serve(c, (Span){front(&c->in), head}, body);
        take(&c->in, whole);
        free(unchunked.data);
    }
}
