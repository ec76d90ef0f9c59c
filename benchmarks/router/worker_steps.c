// How the mock workers run: slots, steps and their clocks.
#include "workers.h"

static void run_request(Worker *w, Conn *c) {
    c->state = RUNNING;
    c->slot = w->running_count;
    w->running[w->running_count++] = c;
    w->kv += c->prompt;
}

void leave_slot(Worker *w, Conn *c) {
    Conn *last = w->running[--w->running_count];
    w->running[c->slot] = last;
    last->slot = c->slot;
    w->kv -= c->prompt + c->made;
}

// Starts the clock's next step with those that run and as many that wait as there are slots; stops it if there are none.
static void begin_step(Clock *clock, long begin_us) {
    long fullest = 0, sum = 0, running = 0;
    for (Worker *w = workers + clock->first; w < workers + clock->first + clock->count; w++) {
        while (w->running_count < option.slots && !TAILQ_EMPTY(&w->waiting)) {
            Conn *c = TAILQ_FIRST(&w->waiting);
            TAILQ_REMOVE(&w->waiting, c, queue);
            w->waiting_count--;
            run_request(w, c);
        }
        running += w->running_count;
        sum += w->kv;
        if (w->kv > fullest) fullest = w->kv;
    }
    clock->ticking = running > 0;
    if (!running) return;
    double takes_us = option.step_us + option.kv_token_us * fullest;
    clock->began_us = begin_us;
    clock->due_us = begin_us + (long)takes_us;
    clock->steps++;
    clock->nominal_us += takes_us;
    clock->imbalance_tokens += (double)clock->count * fullest - sum;
    clock->idle_us += takes_us * (1.0 - (double)sum / ((double)clock->count * fullest));
}

static void end_step(Clock *clock, long time_us) {
    for (Worker *w = workers + clock->first; w < workers + clock->first + clock->count; w++)
        for (int i = w->running_count - 1; i >= 0; i--) {  // from the end: a finished one is replaced by the last
            Conn *c = w->running[i];
            emit_token(c);
            w->kv++;
            if (c->made == c->wanted) {
                leave_slot(w, c);
                end_answer(c);
            } else if (c->streamed) {
                flush(c);
            }
        }
    clock->actual_us += time_us - clock->began_us;
    long late_us = time_us - clock->due_us;  // being a little late does not slow the clock, falling behind does
    begin_step(clock, late_us < clock->due_us - clock->began_us ? clock->due_us : time_us);
}

static void enqueue(Worker *w, Conn *c) {
    c->state = WAITING;
    TAILQ_INSERT_TAIL(&w->waiting, c, queue);
    w->waiting_count++;
    if (!w->clock->ticking) begin_step(w->clock, now_us());
}

void admit(Worker *w, Conn *c) {
    if (option.instant) {
        while (c->made < c->wanted) emit_token(c);
        end_answer(c);
    } else {
        enqueue(w, c);
    }
}

// Lets in what was delayed and ends the steps that are over; the time of the next such event, -1 for none.
long advance(void) {
    long next_us = -1, time_us = now_us();
    for (Worker *w = workers; w < workers + option.count; w++) {
        Conn *c;
        while ((c = TAILQ_FIRST(&w->delayed)) && c->due_us <= time_us) {
            TAILQ_REMOVE(&w->delayed, c, queue);
            admit(w, c);
        }
        if (c && (next_us < 0 || c->due_us < next_us)) next_us = c->due_us;
    }
    for (Clock *clock = clocks; clock < clocks + clock_count; clock++) {
        if (clock->ticking && clock->due_us <= time_us) end_step(clock, time_us);
        if (clock->ticking && (next_us < 0 || clock->due_us < next_us)) next_us = clock->due_us;
    }
    return next_us;
}
