// What the load generator measured: samples, their percentiles and the one JSON object it prints.
#include "load.h"

void record(Sample *s, double value) {
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 4096;
        s->values = realloc(s->values, s->capacity * sizeof *s->values);
        if (!s->values) fail("memory");
    }
    s->values[s->count++] = value;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(const Sample *s, double share) { return s->values[(size_t)(share * (s->count - 1) + 0.5)]; }

static void print_sample(const char *name, Sample *s) {
    double sum = 0;
    if (!s->count) {
        printf("\"%s\":null,", name);
        return;
    }
    qsort(s->values, s->count, sizeof *s->values, ascending);
    for (size_t i = 0; i < s->count; i++) sum += s->values[i];
    printf("\"%s\":{\"count\":%zu,\"mean\":%.4f,\"p50\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"max\":%.4f},", name, s->count,
           sum / s->count, percentile(s, 0.5), percentile(s, 0.9), percentile(s, 0.99), s->values[s->count - 1]);
}

void print_tally(void) {
    static const char *name[OUTCOMES] = {"complete", "short_clean", "error_then_done", "error_event", "cut",
                                         "no_answer", "timed_out", "abandoned", "other_status", "unfinished"};
    printf("{\"sent\":%ld,", tally.sent);
    for (int i = 0; i < OUTCOMES; i++) printf("\"%s\":%ld,", name[i], tally.outcome[i]);
    printf("\"by_status\":{");
    const char *comma = "";
    for (int i = 0; i < 600; i++)
        if (tally.by_status[i]) {
            printf("%s\"%d\":%ld", comma, i, tally.by_status[i]);
            comma = ",";
        }
    printf("},\"stuck\":%ld,\"unsent\":%ld,\"tokens\":%ld,\"longest_s\":%.3f,", tally.stuck, tally.unsent, tally.tokens,
           tally.longest_s);
    print_sample("ttft_ms", &tally.ttft_ms);
    print_sample("itl_ms", &tally.itl_ms);
    print_sample("tpot_ms", &tally.tpot_ms);
    print_sample("e2e_ms", &tally.e2e_ms);
    printf("\"seconds\":%.4f}\n", tally.seconds);
}
