#include "stop.h"

#include <signal.h>
#include <stddef.h>

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
enum { SIGNALS = sizeof signals / sizeof *signals };

static volatile sig_atomic_t watched[SIGNALS];
static volatile sig_atomic_t caught;

static void record_signal(int number) {
    caught = number;
    for (size_t i = 0; i < SIGNALS; i++)
        if (watched[i])
            signal(signals[i], SIG_DFL);
}

void stop_catch(void) {
    struct sigaction action = {.sa_handler = record_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < SIGNALS; i++) {
        struct sigaction before;
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
            watched[i] = 1;
            sigaction(signals[i], &action, NULL);
        }
    }
}

int stop_signal(void) {
    return caught;
}
