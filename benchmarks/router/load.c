// Load generator for OpenAI-compatible servers on a loopback port, one thread, keep-alive connections.
//
//   load --port P [--connections C] [--rate R | --replay FILE] [--seconds S] [--requests N] [--warmup-s W]
//        [--stream] [--completions] [--prompt-bytes 200] [--max-tokens 16] [--bytes-per-token 4]
//        [--timeout-s T] [--drain-s D] [--abandon-after EVENTS] [--seed 1]
//
// Closed loop (the default): each of C connections sends its next request when it has the answer. --rate: Poisson
// arrivals per second. --replay: a CSV file of arrival_s,prompt_tokens,output_tokens without a head line, in order.
// Open loops use up to C connections (4096) and count a request without a free one as unsent. Latencies count from the
// moment at which a request was due. A run ends when it has sent what it should and all answers have come, or D
// seconds later. No request is repeated but one whose kept-alive connection was closed under it before a byte of answer.
// Prints one JSON object: how requests ended (load.h), percentiles in ms of those sent after the warm-up.
#include "load.h"
#include <getopt.h>
#include <math.h>
#include <signal.h>

Options option = {.prompt_bytes = 200, .max_tokens = 16, .bytes_per_token = 4, .seconds = 1e9, .requests = 1L << 62,
                  .drain_s = 10, .seed = 1};
Tally tally;

static Conn *conns;
static Conn **idle;
static Shot *shots;
static int epoll, idle_count, busy_count;
static long shot_count, unique, start_us, warm_us, stop_us;
static unsigned long random_state;
static char *filler;

static double uniform(void) {  // splitmix64, in (0, 1)
    unsigned long z = random_state += 0x9e3779b97f4a7c15UL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9UL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebUL;
    return ((z ^ (z >> 31)) >> 11) * 0x1p-53 + 0x1p-54;
}

// ---- a request

static void write_request(Conn *c, int prompt_bytes) {
    static Buffer body;
    char stamp[24];  // differs from request to request, so that no two prompts share a prefix
    int stamp_length = snprintf(stamp, sizeof stamp, "%08lx%08lx ", option.seed & 0xffffffff, unique++);
    body.start = body.end = 0;
    appendf(&body, option.completions ? "{\"model\":\"mock\",\"prompt\":\""
                                      : "{\"model\":\"mock\",\"messages\":[{\"role\":\"user\",\"content\":\"");
    if (stamp_length > prompt_bytes) stamp_length = prompt_bytes;
    append(&body, stamp, stamp_length);
    append(&body, filler, prompt_bytes - stamp_length);
    appendf(&body, "%s,\"max_tokens\":%d,\"stream\":%s}", option.completions ? "\"" : "\"}]", c->wanted,
            option.streamed ? "true" : "false");
    c->out.start = c->out.end = 0;
    appendf(&c->out, "POST /v1/%s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\n"
            "authorization: Bearer sk-mock\r\ncontent-length: %zu\r\n\r\n",
            option.completions ? "completions" : "chat/completions", option.port, held(&body));
    append(&c->out, front(&body), held(&body));
}

static void disconnect(Conn *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->reused = c->connecting = c->writing = false;
    c->in.start = c->in.end = 0;
}

static void end_request(Conn *c, Outcome outcome) {
    long time_us = now_us();
    double e2e_s = (time_us - c->due_us) / 1e6;
    c->busy = false;
    busy_count--;
    idle[idle_count++] = c;
    tally.outcome[outcome]++;
    if (outcome == STATUS) tally.by_status[c->status < 600 ? c->status : 0]++;
    if (outcome == COMPLETE && !option.streamed) c->events = c->wanted;
    tally.tokens += c->events;
    if (e2e_s > tally.longest_s) tally.longest_s = e2e_s;
    if (outcome != COMPLETE || c->due_us < warm_us) return;
    record(&tally.e2e_ms, e2e_s * 1e3);
    if (!option.streamed) return;
    record(&tally.ttft_ms, (c->first_us - c->due_us) / 1e3);
    if (c->events > 1) record(&tally.tpot_ms, (c->last_us - c->first_us) / 1e3 / (c->events - 1));
}

static void lose_connection(Conn *c);

static void push(Conn *c) {
    if (!send_held(c->fd, &c->out)) return lose_connection(c);
    bool writing = held(&c->out) > 0;
    if (writing != c->writing) watch(epoll, EPOLL_CTL_MOD, c->fd, EPOLLIN | EPOLLRDHUP | (writing ? EPOLLOUT : 0), c);
    c->writing = writing;
}

static void transmit(Conn *c) {
    c->headed = c->chunked = c->done = c->error_event = false;
    c->events = c->status = 0;
    c->chunk_left = 0;
    c->in.start = c->in.end = c->body.start = c->body.end = 0;
    write_request(c, c->prompt_tokens * option.bytes_per_token);
    if (c->fd >= 0) return push(c);
    struct sockaddr_in address = loopback(option.port);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) fail("socket");
    no_delay(c->fd);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) return lose_connection(c);
    c->connecting = c->writing = true;
    watch(epoll, EPOLL_CTL_ADD, c->fd, EPOLLIN | EPOLLRDHUP | EPOLLOUT, c);
}

static void lose_connection(Conn *c) {
    bool stale = c->reused && !c->headed && !held(&c->in);
    disconnect(c);
    if (!c->busy) return;
    if (stale) return transmit(c);
    end_request(c, outcome_of(c, true));
}

static void send_request(Conn *c, long due_us, int prompt_tokens, int output_tokens) {
    c->busy = true;
    busy_count++;
    tally.sent++;
    c->due_us = due_us;
    c->prompt_tokens = prompt_tokens;
    c->wanted = output_tokens;
    transmit(c);
}

static void on_event(Conn *c, unsigned events) {
    long time_us = now_us();
    if (c->fd < 0) return;
    if (c->connecting && events & EPOLLOUT) c->connecting = false;
    if (events & EPOLLOUT && c->busy) push(c);
    if (c->fd < 0 || !(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
    Received last = receive_all(c->fd, &c->in);
    if (c->busy && read_answer(c, time_us, c->due_us >= warm_us)) {
        c->reused = true;
        end_request(c, outcome_of(c, false));
        if (last == MORE_LATER && held(&c->out)) disconnect(c);  // answered before all of the request was sent
    } else if (c->busy && option.abandon_after && c->events >= option.abandon_after) {
        disconnect(c);
        end_request(c, ABANDONED);
    }
    if (c->fd >= 0 && (last != MORE_LATER || events & (EPOLLHUP | EPOLLERR))) lose_connection(c);
}

// ---- when requests are sent

static Conn *free_connection(void) { return idle_count ? idle[--idle_count] : NULL; }

// Sends what is due; when the next one is, -1 when nothing more will be sent by the clock.
static long send_due(void) {
    static long next;
    static long due_us;
    int prompt = option.prompt_bytes / option.bytes_per_token;
    if (!option.replay && option.rate <= 0) {
        while (idle_count && tally.sent < option.requests && now_us() < stop_us)
            send_request(free_connection(), now_us(), prompt, option.max_tokens);
        return tally.sent < option.requests && now_us() < stop_us ? stop_us : -1;
    }
    for (;; next++) {
        if (next >= option.requests || (option.replay && next >= shot_count)) return -1;
        if (option.replay) due_us = start_us + (long)(shots[next].at_s * 1e6);
        else if (!due_us) due_us = start_us;
        if (due_us >= stop_us) return -1;
        if (due_us > now_us()) return due_us;
        Conn *c = free_connection();
        if (!c) tally.unsent++;
        else if (option.replay) send_request(c, due_us, shots[next].prompt_tokens, shots[next].output_tokens);
        else send_request(c, due_us, prompt, option.max_tokens);
        if (!option.replay) due_us += (long)(-log(uniform()) / option.rate * 1e6);
    }
}

static void give_up_on_late(void) {
    long time_us = now_us();
    for (Conn *c = conns; c < conns + option.connections; c++)
        if (c->busy && time_us - c->due_us > option.timeout_s * 1e6) {
            disconnect(c);
            end_request(c, TIMED_OUT);
        }
}

static void run(void) {
    static struct epoll_event events[1024];
    long give_up_us = -1, look_us = 0;
    for (;;) {
        long next_us = send_due(), time_us = now_us();
        if (next_us < 0 && give_up_us < 0) give_up_us = time_us + (long)(option.drain_s * 1e6);
        if (next_us < 0 && (!busy_count || time_us >= give_up_us)) return;
        if (option.timeout_s > 0 && time_us >= look_us) {
            give_up_on_late();
            look_us = time_us + 50000;
        }
        long wake_us = next_us < 0 ? give_up_us : next_us;
        if (option.timeout_s > 0 && look_us < wake_us) wake_us = look_us;
        int n = wait_until(epoll, events, 1024, wake_us);
        for (int i = 0; i < n; i++) on_event(events[i].data.ptr, events[i].events);
    }
}

static void count_unfinished(void) {
    long time_us = now_us();
    double patience_s = option.timeout_s > 0 ? option.timeout_s : 5;
    for (Conn *c = conns; c < conns + option.connections; c++)
        if (c->busy) {
            tally.outcome[UNFINISHED]++;
            tally.stuck += time_us - c->due_us > patience_s * 1e6;
        }
}

// ---- start

static int read_shots(void) {  // returns the largest prompt
    FILE *file = fopen(option.replay, "r");
    int largest = 0, fields;
    Shot shot;
    if (!file) fail(option.replay);
    for (long room = 0; (fields = fscanf(file, "%lf,%d,%d\n", &shot.at_s, &shot.prompt_tokens, &shot.output_tokens)) == 3;) {
        if (shot_count == room) shots = realloc(shots, (room = room ? 2 * room : 1024) * sizeof *shots);
        shots[shot_count++] = shot;
        if (shot.prompt_tokens > largest) largest = shot.prompt_tokens;
    }
    if (fields != EOF || !shot_count) {
        fprintf(stderr, "%s: line %ld is not arrival_s,prompt_tokens,output_tokens\n", option.replay, shot_count + 1);
        exit(2);
    }
    fclose(file);
    return largest;
}

static void read_options(int count, char **arguments) {
    static const struct option known[] = {
        {"port", 1, 0, 'p'},         {"connections", 1, 0, 'c'}, {"rate", 1, 0, 'r'},      {"replay", 1, 0, 'f'},
        {"seconds", 1, 0, 's'},      {"requests", 1, 0, 'n'},    {"warmup-s", 1, 0, 'w'},  {"stream", 0, 0, 'S'},
        {"completions", 0, 0, 'C'},  {"prompt-bytes", 1, 0, 'b'},{"max-tokens", 1, 0, 'm'},{"bytes-per-token", 1, 0, 'B'},
        {"timeout-s", 1, 0, 't'},    {"drain-s", 1, 0, 'd'},     {"abandon-after", 1, 0, 'a'}, {"seed", 1, 0, 'e'}, {0}};
    for (int name; (name = getopt_long(count, arguments, "", known, NULL)) != -1;) switch (name) {
            case 'p': option.port = atoi(optarg); break;
            case 'c': option.connections = atoi(optarg); break;
            case 'r': option.rate = atof(optarg); break;
            case 'f': option.replay = optarg; break;
            case 's': option.seconds = atof(optarg); break;
            case 'n': option.requests = atol(optarg); break;
            case 'w': option.warmup_s = atof(optarg); break;
            case 'S': option.streamed = true; break;
            case 'C': option.completions = true; break;
            case 'b': option.prompt_bytes = atoi(optarg); break;
            case 'm': option.max_tokens = atoi(optarg); break;
            case 'B': option.bytes_per_token = atoi(optarg); break;
            case 't': option.timeout_s = atof(optarg); break;
            case 'd': option.drain_s = atof(optarg); break;
            case 'a': option.abandon_after = atoi(optarg); break;
            case 'e': option.seed = atol(optarg); break;
            default: exit(2);
        }
    if (!option.connections) option.connections = option.replay || option.rate > 0 ? 4096 : 1;
    if (option.port < 1 || option.connections < 1 || option.max_tokens < 1 || option.bytes_per_token < 1 ||
        (option.seconds >= 1e9 && option.requests >= 1L << 62 && !option.replay)) {
        fprintf(stderr, "load: expected --port, positive counts and an end: --seconds, --requests or --replay\n");
        exit(2);
    }
}

int main(int count, char **arguments) {
    signal(SIGPIPE, SIG_IGN);
    read_options(count, arguments);
    int largest = option.replay ? read_shots() * option.bytes_per_token : option.prompt_bytes;
    filler = malloc(largest + 1);
    for (int i = 0; i < largest; i++) filler[i] = i % 6 ? "abcdefghijklmnopqrstuvwxyz"[i * 7 % 26] : ' ';
    random_state = option.seed;
    epoll = epoll_create1(0);
    conns = calloc(option.connections, sizeof *conns);
    idle = calloc(option.connections, sizeof *idle);
    for (int i = option.connections - 1; i >= 0; i--) {
        conns[i].fd = -1;
        idle[idle_count++] = conns + i;
    }
    start_us = now_us();
    warm_us = start_us + (long)(option.warmup_s * 1e6);
    stop_us = start_us + (long)(option.seconds * 1e6);
    run();
    tally.seconds = (now_us() - start_us) / 1e6;
    count_unfinished();
    print_tally();
}
