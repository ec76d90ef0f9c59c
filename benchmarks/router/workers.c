// Mock inference workers: N OpenAI-compatible servers on consecutive loopback ports, one thread.
//
//   workers --port P [--count N] [--slots B] [--mode instant|steps|lockstep] [--step-us A] [--kv-token-us B]
//           [--bytes-per-token 4] [--kv-capacity TOKENS]
//
// A request of p prompt tokens holds p + (tokens made so far) KV tokens. At most `slots` requests of a worker run, the
// rest wait in order of arrival and join at the start of a step. A step gives each running request one token and takes
//   instant    no time: all tokens leave at once                    steps   A + B * (KV tokens of this worker)
//   lockstep   A + B * (KV tokens of the fullest worker), and all workers step together: the others idle meanwhile
// A prompt's tokens are its bytes / bytes-per-token, or the header x-prompt-tokens where the router lets it through.
//
// GET /stats         counters of this worker and of its clock       GET /ctl/reset   clocks' and peak counters to zero
// GET /ctl/healthy   answer again                    GET /ctl/hang   accept, never answer (health probes too)
// GET /ctl/500       generations get that status (any from 400 to 599)    GET /ctl/slow/MS   first byte MS later
#include "workers.h"
#include <getopt.h>
#include <signal.h>

Options option = {.count = 1, .slots = 256, .bytes_per_token = 4, .kv_capacity = 1 << 20};
Worker *workers;
Clock *clocks;
int clock_count, epoll, in_flight, peak_in_flight;

static void close_connection(Conn *c) {
    Worker *w = c->worker;
    if (c->state != IDLE) {
        w->aborted++;
        in_flight--;
    }
    if (c->state == RUNNING) leave_slot(w, c);
    if (c->state == WAITING) {
        TAILQ_REMOVE(&w->waiting, c, queue);
        w->waiting_count--;
    }
    if (c->state == DELAYED) TAILQ_REMOVE(&w->delayed, c, queue);
    close(c->fd);
    free(c->in.data);
    free(c->out.data);
    free(c);
}

static void accept_all(Worker *w) {
    int fd;
    while ((fd = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        Conn *c = calloc(1, sizeof *c);
        if (!c) fail("memory");
        c->worker = w;
        c->fd = fd;
        no_delay(fd);
        watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP, c);
    }
}

static void serve_event(Conn *c, unsigned events) {
    if (events & EPOLLOUT) flush(c);
    if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
    Received last = receive_all(c->fd, &c->in);
    read_requests(c);
    if (last != MORE_LATER || events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) close_connection(c);
}

static void listen_on(Worker *w, int port) {
    int on = 1;
    struct sockaddr_in address = loopback(port);
    w->port = port;
    w->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(w->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(w->listener, (struct sockaddr *)&address, sizeof address) || listen(w->listener, 4096)) fail("listen");
    watch(epoll, EPOLL_CTL_ADD, w->listener, EPOLLIN, w);
}

static void start_workers(void) {
    clock_count = option.lockstep ? 1 : option.count;
    workers = calloc(option.count, sizeof *workers);
    clocks = calloc(clock_count, sizeof *clocks);
    for (int i = 0; i < clock_count; i++) clocks[i] = (Clock){.first = i, .count = option.lockstep ? option.count : 1};
    for (int i = 0; i < option.count; i++) {
        Worker *w = workers + i;
        w->clock = clocks + (option.lockstep ? 0 : i);
        w->running = calloc(option.slots, sizeof *w->running);
        TAILQ_INIT(&w->delayed);
        TAILQ_INIT(&w->waiting);
        listen_on(w, option.port + i);
    }
}

static void read_options(int count, char **arguments) {
    static const struct option known[] = {
        {"port", 1, 0, 'p'},        {"count", 1, 0, 'n'},       {"slots", 1, 0, 's'},           {"mode", 1, 0, 'm'},
        {"step-us", 1, 0, 'a'},     {"kv-token-us", 1, 0, 'b'}, {"bytes-per-token", 1, 0, 't'}, {"kv-capacity", 1, 0, 'k'},
        {0}};
    const char *mode = "instant";
    for (int name; (name = getopt_long(count, arguments, "", known, NULL)) != -1;) switch (name) {
            case 'p': option.port = atoi(optarg); break;
            case 'n': option.count = atoi(optarg); break;
            case 's': option.slots = atoi(optarg); break;
            case 'm': mode = optarg; break;
            case 'a': option.step_us = atof(optarg); break;
            case 'b': option.kv_token_us = atof(optarg); break;
            case 't': option.bytes_per_token = atoi(optarg); break;
            case 'k': option.kv_capacity = atol(optarg); break;
            default: exit(2);
        }
    option.instant = !strcmp(mode, "instant");
    option.lockstep = !strcmp(mode, "lockstep");
    bool stepping = option.lockstep || !strcmp(mode, "steps");
    if (option.port < 1 || option.count < 1 || option.slots < 1 || option.bytes_per_token < 1 || option.kv_capacity < 16 ||
        !(option.instant || stepping) || (stepping && option.step_us < 1)) {
        fprintf(stderr, "workers: expected --port, counts >= 1, --mode instant, steps or lockstep, --step-us >= 1 but in instant\n");
        exit(2);
    }
}

int main(int count, char **arguments) {
    static struct epoll_event events[512];
    signal(SIGPIPE, SIG_IGN);
    read_options(count, arguments);
    epoll = epoll_create1(0);
    make_token_chunks();
    start_workers();
    for (long due_us = -1;; due_us = advance()) {
        int n = wait_until(epoll, events, 512, due_us);
        for (int i = 0; i < n; i++) {
            Worker *w = events[i].data.ptr;
            if (w->worker) serve_event(events[i].data.ptr, events[i].events);
            else accept_all(w);
        }
    }
}
