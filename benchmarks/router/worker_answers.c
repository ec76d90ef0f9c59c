// What the mock workers send.
#include "workers.h"

static const char *EVENT[2] = {
    "data: {\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"created\":1700000000,\"model\":\"mock\",\"choices\":"
    "[{\"index\":0,\"text\":\" word\",\"logprobs\":null,\"finish_reason\":%s}]}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"mock\",\"choices\":"
    "[{\"index\":0,\"delta\":{\"content\":\" word\"},\"logprobs\":null,\"finish_reason\":%s}]}\n\n"};
static char token_chunk[2][2][400];  // [chat][last]: a whole HTTP chunk

void make_token_chunks(void) {
    for (int chat = 0; chat < 2; chat++)
        for (int last = 0; last < 2; last++) {
            char event[360];
            int n = snprintf(event, sizeof event, EVENT[chat], last ? "\"length\"" : "null");
            snprintf(token_chunk[chat][last], sizeof token_chunk[chat][last], "%x\r\n%s\r\n", n, event);
        }
}

void flush(Conn *c) {
    bool alive = send_held(c->fd, &c->out), writing = alive && held(&c->out);
    if (writing != c->writing) {  // a broken connection is closed when epoll says so
        c->writing = writing;
        watch(epoll, EPOLL_CTL_MOD, c->fd, EPOLLIN | EPOLLRDHUP | (writing ? EPOLLOUT : 0), c);
    }
}

static void answer(Conn *c, int status, const char *type, const char *body, size_t n) {
    appendf(&c->out, "HTTP/1.1 %d %s\r\ncontent-type: %s\r\n%scontent-length: %zu\r\n\r\n", status,
            status == 200 ? "OK" : "Error", type, status == 429 ? "retry-after: 1\r\n" : "", n);
    append(&c->out, body, n);
    flush(c);
}

void answer_json(Conn *c, int status, const char *body) { answer(c, status, "application/json", body, strlen(body)); }

static void usage(Conn *c, Buffer *text) {
    appendf(text, "\"usage\":{\"prompt_tokens\":%ld,\"completion_tokens\":%ld,\"total_tokens\":%ld}}", c->prompt, c->made,
            c->prompt + c->made);
}

static void answer_whole(Conn *c) {
    static Buffer body;
    body.start = body.end = 0;
    appendf(&body, c->chat ? "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"mock\","
                             "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\""
                           : "{\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"created\":1700000000,\"model\":\"mock\","
                             "\"choices\":[{\"index\":0,\"text\":\"");
    for (long i = 0; i < c->made; i++) append(&body, " word", 5);
    appendf(&body, c->chat ? "\"},\"finish_reason\":\"length\"}]," : "\",\"finish_reason\":\"length\"}],");
    usage(c, &body);
    answer(c, 200, "application/json", body.data, body.end);
}

void emit_token(Conn *c) {
    c->made++;
    c->worker->tokens++;
    if (!c->streamed) return;
    if (c->made == 1)
        appendf(&c->out, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n");
    const char *chunk = token_chunk[c->chat][c->made == c->wanted];
    append(&c->out, chunk, strlen(chunk));
}

void end_answer(Conn *c) {
    c->worker->served++;
    in_flight--;
    c->state = IDLE;
    if (!c->streamed) return answer_whole(c);
    if (c->wants_usage) {
        Buffer event = {0};
        appendf(&event, "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"mock\",\"choices\":[],");
        usage(c, &event);
        appendf(&c->out, "%zx\r\n%.*s\n\n\r\n", held(&event) + 2, (int)held(&event), front(&event));
        free(event.data);
    }
    appendf(&c->out, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
    flush(c);
}

void answer_stats(Conn *c) {
    Worker *w = c->worker;
    Clock *k = w->clock;
    Buffer text = {0};
    appendf(&text, "{\"port\":%d,\"started\":%ld,\"served\":%ld,\"aborted\":%ld,\"refused\":%ld,\"running\":%d,\"waiting\":%d,"
            "\"tokens\":%ld,\"kv_tokens\":%ld,\"peak\":%ld,", w->port, w->started, w->served, w->aborted, w->refused,
            w->running_count, w->waiting_count, w->tokens, w->kv, w->peak);
    appendf(&text, "\"in_flight_all\":%d,\"peak_in_flight_all\":%d,\"steps\":%ld,\"nominal_s\":%.6f,\"actual_s\":%.6f,"
            "\"idle_share\":%.6f,\"imbalance_tokens\":%.1f}", in_flight, peak_in_flight, k->steps, k->nominal_us / 1e6,
            k->actual_us / 1e6, k->nominal_us > 0 ? k->idle_us / k->nominal_us : 0, k->steps ? k->imbalance_tokens / k->steps : 0);
    answer(c, 200, "application/json", front(&text), held(&text));
    free(text.data);
}

void answer_metrics(Conn *c) {
    Worker *w = c->worker;
    Buffer text = {0};
    appendf(&text, "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine=\"0\",model_name=\"mock\"} %d\n"
            "# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting{engine=\"0\",model_name=\"mock\"} %d\n"
            "# TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc{engine=\"0\",model_name=\"mock\"} %.6f\n",
            w->running_count, w->waiting_count, (double)w->kv / option.kv_capacity);
    appendf(&text, "# TYPE vllm:cache_config_info gauge\n"
            "vllm:cache_config_info{block_size=\"16\",engine=\"0\",num_gpu_blocks=\"%ld\"} 1.0\n", option.kv_capacity / 16);
    answer(c, 200, "text/plain; version=0.0.4", front(&text), held(&text));
    free(text.data);
}
