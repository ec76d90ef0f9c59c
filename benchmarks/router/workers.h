// What the files of the mock workers share; workers.c says what they are.
#ifndef WORKERS_H
#define WORKERS_H
#define _GNU_SOURCE
#include "wire.h"
#include <sys/queue.h>

enum { HEALTHY = 0, HANG = 1 };  // other values of Worker.mode: the status to answer
typedef enum { IDLE, DELAYED, WAITING, RUNNING, HUNG } State;
typedef struct Worker Worker;

typedef struct Conn {
    Worker *worker;  // first, as in Worker: tells the two apart in epoll's data
    int fd, slot;
    State state;
    bool streamed, chat, wants_usage, writing;
    long prompt, made, wanted, due_us;
    Buffer in, raw, out;
    TAILQ_ENTRY(Conn) queue;
} Conn;
TAILQ_HEAD(Queue, Conn);

typedef struct {  // what steps together: one worker, or all in lockstep
    int first, count;
    bool ticking;
    long due_us, began_us;
    long steps;
    double nominal_us, actual_us, idle_us, imbalance_tokens;
} Clock;

struct Worker {
    Worker *worker;  // NULL
    Clock *clock;
    int port, listener, mode, running_count, waiting_count;
    long delay_us, kv;
    Conn **running;
    struct Queue delayed, waiting;
    long started, served, aborted, refused, tokens, peak;
};

typedef struct {
    int port, count, slots, bytes_per_token;
    bool instant, lockstep;
    double step_us, kv_token_us;
    long kv_capacity;
} Options;

extern Options option;
extern Worker *workers;
extern Clock *clocks;
extern int clock_count, epoll, in_flight, peak_in_flight;

// worker_answers.c
void make_token_chunks(void);
void flush(Conn *c);
void answer_json(Conn *c, int status, const char *body);
void answer_stats(Conn *c);
void answer_metrics(Conn *c);
void emit_token(Conn *c);  // one token more; of a stream, its event goes to c->out
void end_answer(Conn *c);

// worker_steps.c
void admit(Worker *w, Conn *c);
void leave_slot(Worker *w, Conn *c);
long advance(void);

// worker_requests.c
void read_requests(Conn *c);
#endif
