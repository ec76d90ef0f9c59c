// What the files of the load generator share; load.c says what it is.
#ifndef LOAD_H
#define LOAD_H
#define _GNU_SOURCE
#include "wire.h"

typedef enum {  // how a request ended, as a client that knows how many tokens it asked for sees it
    COMPLETE,
    SHORT_CLEAN,      // a 200 that ended in good form (a last chunk; with or without [DONE]) but lacks tokens: looks like success
    ERROR_THEN_DONE,  // an error event in the stream, then [DONE] all the same
    ERROR_EVENT,      // an error event and no [DONE]
    CUT,              // the connection broke within the answer
    NO_ANSWER,        // the connection broke, or could not be made, before any answer
    TIMED_OUT,        // the client gave up
    ABANDONED,        // the client hung up on purpose
    STATUS,           // an answer with another status than 200
    UNFINISHED,       // still in flight when the run ended
    OUTCOMES
} Outcome;

typedef struct {
    double at_s;
    int prompt_tokens, output_tokens;
} Shot;

typedef struct {
    int fd, prompt_tokens, wanted, events, status;
    bool busy, connecting, headed, chunked, done, error_event, reused, writing;
    long due_us, first_us, last_us;  // due: when it should have been sent, which latencies count from
    size_t chunk_left, body_left;    // body_left: of an answer with a content-length
    Buffer out, in, body;            // body: what is unchunked and not yet a whole line
} Conn;

typedef struct {
    double *values;
    size_t count, capacity;
} Sample;

typedef struct {
    int port, connections, prompt_bytes, max_tokens, bytes_per_token, abandon_after;
    long requests, seed;
    double seconds, warmup_s, rate, timeout_s, drain_s;
    bool streamed, completions;
    const char *replay;
} Options;

typedef struct {
    long sent, outcome[OUTCOMES], by_status[600], tokens, unsent;
    long stuck;  // of those unfinished, how many were older than the timeout (or 5 s without one)
    double seconds, longest_s;
    Sample ttft_ms, itl_ms, e2e_ms, tpot_ms;
} Tally;

extern Options option;
extern Tally tally;

// load_answer.c: reads what has come; true when the answer is over, then `outcome` says how it ended.
bool read_answer(Conn *c, long time_us, bool measured);
Outcome outcome_of(const Conn *c, bool connection_ended);

// load_sample.c
void record(Sample *sample, double value);
void print_tally(void);
#endif
